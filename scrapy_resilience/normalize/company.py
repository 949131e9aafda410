"""Companies: ``normalize_company("Google LLC")``."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.normalize._common import normalizer, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["normalize_company"]

_LONGEST: Final = 200
"""Characters that are looked at: companies have shorter names."""

_MOST_WORDS: Final = 12
_MOST_FORMS: Final = 4
"""More is a list of forms, and no name."""
_SHORT: Final = 3
"""Letters up to which a form may be a word as well: ``SpA`` and a spa."""

_LEADING: Final = frozenset(
    "pt uab sia oü oy sarl eurl ooo oao zao pao jsc ojsc cjsc pjsc prjsc tov llc".split()
)
"""Forms in Latin letters that stand before a name; ``SAS Institute`` is a name."""

_INNER: Final = frozenset(
    "co company corp corporation inc incorporated ltd limited llc lp llp plc pvt private pte"
    " pty sdn tbk persero sa sas spa srl sl sau slu sab sapi nv bv ab oy ag gmbh se kg ohg as"
    " asa jsc pjsc pt cv san tic public cía cia".split()
)
"""Forms that stand before another; ``Mind C.T.I. Ltd.`` has initials there."""

_OF_THE_NAME: Final = re.compile(r"(?i:company|corporation), ")
_WITHOUT_COMPANY: Final = frozenset({"inc", "incorporated", "llc", "lp"})
"""Before these and a comma, *Company* is of the name: ``Ford Motor Company, LLC``."""

_AND: Final = re.compile(r"[&+]$|\b(?:and|und|et|y|og|och|и)$", re.IGNORECASE)
_CO: Final = frozenset({"co", "company"})
_LAST: Final = re.compile(r"(?<=[^\W\d_]{2})\.|/")
"""Within the last word of ``GmbH & Co.OHG`` and ``SA/NV``."""
_WORD: Final = re.compile(r"[^\s,]+")
_LETTERS_ONLY: Final = re.compile(r"[\W_]+")
_FIRST_JOINED: Final = "\u0e00"
"""The Thai block: it and all behind it put no space between a name and its form."""
_EDGES: Final = " ,;-–—·"
_QUOTES: Final = "\"'«»„“”‘’"
_IN_BRACKETS: Final = re.compile(r"\s\((?P<public>publ\b)?[^()]*\)$", re.IGNORECASE)
"""``(NYSE: ACM)`` behind a form is left out; ``(publ)`` belongs to it."""
_MARKS: Final = dict.fromkeys(map(ord, "™®©℠"))
_STROKES: Final = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})
_QUOTED: Final = re.compile(r"([^\"«»„“”‘’]+)[\"«„“”‘]([^\"«»„“”‘’]+)[\"»“”’]")
_VOWELS: Final = frozenset("aeiouyäöüáéíóúõ")


class _Forms(NamedTuple):
    """The table, by what it is looked up with."""

    keys: frozenset[str]
    last: frozenset[str]
    """They and their last words: a name that ends in no such word is done with."""
    short: frozenset[str]
    """Those of few letters, as they are written, without dots."""
    joined: tuple[str, ...]
    """Those in scripts that put no space between a name and its form, longest first."""


class _Split(NamedTuple):
    name: str
    form: str
    leads: bool
    """Whether the form stood before the name."""


@normalizer
def normalize_company(text: str) -> dict[str, Any] | None:
    """Return ``name``, ``suffix`` and ``raw``, or None for a text without a letter or digit.

    ``suffix`` is the legal form as it is written, behind or before the name; None when there
    is none. What only looks like one stays in the name: ``SAS``, ``Tiffany & Co.``,
    ``The Boeing Company``.
    """
    whole = name = " ".join(plain(text[:_LONGEST].translate(_MARKS)).split()).strip(_EDGES)
    if not _has_name(name):
        return None
    forms: list[str] = []
    leading = 0
    while found := _split(name) or (_unquoted(name) if forms else None):
        if forms and found.form and not (found.leads or _is_inner(found.form)):
            break
        if forms and _is_of_the_name(found, whole, forms[-1]):
            break
        name = found.name
        if found.form:
            forms.insert(leading, found.form)
            leading += found.leads
        if len(forms) > _MOST_FORMS:
            return {"name": whole, "suffix": None}
    return {"name": name, "suffix": " ".join(forms) or None}


def _is_of_the_name(found: _Split, whole: str, form: str) -> bool:
    """Whether what looks like another form is a word of the name, and a comma says so."""
    if _key(form) not in _WITHOUT_COMPANY or not whole.startswith(found.name):
        return False
    return bool(_OF_THE_NAME.match(whole[len(found.name) :].lstrip()))


def _split(name: str) -> _Split | None:
    """Take one legal form off."""
    forms = _forms()
    return (
        (None if name.isascii() else _joined(name, forms))
        or _behind(name, forms)
        or _before(name, forms)
    )


def _joined(name: str, forms: _Forms) -> _Split | None:
    """Take off a form that stands at a name without a space, as in Chinese and Thai."""
    if not (name.endswith(forms.joined) or name.startswith(forms.joined)):
        return None
    for form in forms.joined:
        if name.endswith(form) and _has_name(rest := name.removesuffix(form).strip(_EDGES)):
            return _Split(rest, form, leads=False)
        if name.startswith(form) and _has_name(rest := name.removeprefix(form).strip(_EDGES)):
            return _Split(rest, form, leads=True)
    return None


def _behind(name: str, forms: _Forms) -> _Split | None:
    """Take off the longest form behind a name."""
    if found := _longest(name, forms):
        return found
    inserted = _IN_BRACKETS.search(name)
    if inserted is None or not (found := _longest(name[: inserted.start()], forms)):
        return None
    return found._replace(form=found.form + inserted[0]) if inserted["public"] else found


def _longest(name: str, forms: _Forms) -> _Split | None:
    words = list(_WORD.finditer(name))[1:][-_MOST_WORDS:]
    if not words or not _ends_one(words[-1][0], forms):
        return None
    keys = [_key(word[0]) for word in words]
    for first, word in enumerate(words):
        form = name[word.start() :]
        if "".join(keys[first:]) not in forms.keys and "/" not in form:
            continue
        rest = name[: word.start()].strip(_EDGES + "(")
        if "(" in rest.rpartition(")")[2]:  # Google (Alphabet Inc.): the form is another's
            continue
        if form[0] not in "&+" and _is_form(form, forms) and _has_name(rest):
            if _belongs(rest, form):
                return None
            if _key(rest) in _LEADING or _OF_THE_NAME.match(form):
                continue
            if _AND.search(rest):  # Smith & Co. Ltd
                continue
            return _Split(rest, name[len(rest) :].strip(_EDGES), leads=False)
    return None


def _ends_one(word: str, forms: _Forms) -> bool:
    """Whether a form ends with a word, or with what stands in it behind a point or a stroke."""
    if _key(word) in forms.last or len(word) == 1:  # G M B H
        return True
    parts = _LAST.split(word.rstrip(".")) if "." in word or "/" in word else ()
    return len(parts) > 1 and _key(parts[-1]) in forms.last


def _before(name: str, forms: _Forms) -> _Split | None:
    """Take off a form before a name, as Russian and Indonesian companies have it."""
    if name[-1] in _QUOTES and (quoted := _QUOTED.fullmatch(name)):  # JSC "ER-Telecom Holding"
        first, rest = quoted[1].strip(_EDGES), quoted[2].strip(_EDGES)
        if _is_form(first, forms) and _has_name(rest):
            return _Split(rest, first, leads=True)
    first, _, rest = name.partition(" ")
    first, rest = first.rstrip(_EDGES), rest.strip(_EDGES)
    known = not first.isascii() or _key(first) in _LEADING
    if known and _is_form(first, forms) and _has_name(rest):
        return _Split(rest, first, leads=True)
    return None


def _is_inner(form: str) -> bool:
    """Whether a form may stand before another one."""
    return not form.isascii() or any(
        _key(part) in _INNER for part in re.split(r"[\s/(]+", form)
    )


def _has_name(text: str) -> bool:
    return any(map(str.isalnum, text))


def _belongs(rest: str, form: str) -> bool:
    """Tell whether a form is part of the name: ``Tiffany & Co.``, ``The Boeing Company``."""
    word, before = _key(form), rest.casefold()
    if before == "the" or (word == "company" and before.startswith("the ")):
        return True
    return word in _CO and bool(_AND.search(rest))


def _is_form(text: str, forms: _Forms) -> bool:
    """Tell whether all of a text is a legal form, or two with a stroke: ``SA/NV``."""
    return _is_one(text, forms) or (
        "/" in text and all(_is_one(part, forms) for part in text.split("/"))
    )


def _is_one(text: str, forms: _Forms) -> bool:
    key = _key(text)
    if key not in forms.keys:
        return False
    if len(key) > _SHORT or "." in text.rstrip("."):
        return True
    letters = _LETTERS_ONLY.sub("", text)
    return (
        letters in forms.short
        or letters[1:] != letters[1:].lower()
        or not _VOWELS.intersection(key)
    )


def _key(text: str) -> str:
    return _LETTERS_ONLY.sub("", text).casefold()


def _with_bare(keys: Iterable[str]) -> frozenset[str]:
    """The keys, and without accents those that are long enough to be no other word."""
    found = set(keys)
    for key in [key for key in found if len(key) > _SHORT and not key.isascii()]:
        marked = unicodedata.normalize("NFKD", key.translate(_STROKES))
        found.add("".join(letter for letter in marked if not unicodedata.combining(letter)))
    return frozenset(found)


def _unquoted(name: str) -> _Split | None:
    """Take the quotes off a name that has a form, as Russian companies have them."""
    if name[0] not in _QUOTES or name[-1] not in _QUOTES:
        return None
    inner = name.strip(_QUOTES + _EDGES)
    if not _has_name(inner) or not set(_QUOTES).isdisjoint(inner):
        return None
    return _Split(inner, "", leads=False)


@cache
def _forms() -> _Forms:
    """Return the table that ``tools/legal_forms.py`` makes."""
    lines = files(__package__).joinpath("legal_forms.txt").read_text("utf-8").splitlines()
    written = [_LETTERS_ONLY.sub("", line) for line in lines]
    joined = {line for line in lines if line.strip("(")[0] >= _FIRST_JOINED}
    keys = _with_bare(map(_key, lines))
    return _Forms(
        keys=keys,
        last=keys | _with_bare(_key(re.split(r"[\s,/]+", line)[-1]) for line in lines),
        short=frozenset(form for form in written if len(form) <= _SHORT),
        joined=tuple(sorted(joined, key=len, reverse=True)),
    )
