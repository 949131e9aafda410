"""Phone numbers: ``normalize_phone("(555) 123-4567")``. The engine is phonenumbers."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.normalize._common import library, normalizer
from scrapy_resilience.normalize._regions import region_of

if TYPE_CHECKING:
    from types import ModuleType

    from phonenumbers import PhoneNumber

__all__ = ["normalize_phone", "region_of"]

_WORD: Final = 3
"""Letters of a word; fewer within a number are taken for nothing by phonenumbers."""

_LONGEST: Final = 120
"""Characters that are looked at: a number with its label and extension is shorter."""

_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\d+])(?<!\d[\s.-])(?:1[\s.-]?)?"
    r"(?:\([2-9]\d\d\)\s?\d{3}[\s.-]\d{4}|[2-9]\d\d([.-])\d{3}\1\d{4})(?!\d)"
    r"(?:[\s,;]*(?:#|x|ext(?:ension)?)[\s.:=]*\d{1,7})?"
    r"|(?<![\d+])1-8\d\d-(?=[\d-]*[A-Z])[A-Z\d-]{7,12}",
    re.IGNORECASE,
)
"""``(212) 555-0123``, ``1-800-FLOWERS``: hardly anybody else groups digits like this."""

_OTHER_THING: Final = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-/.])[01]?\d\1[0-3]?\d(?!\d)"  # 2024-01-15
    r"|(?<!\d)[0-3]?\d([-/.])[0-3]?\d\2(?:19|20)\d\d(?!\d)"  # 15.01.2024
    r"|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)"  # 192.168.100.200, but not 01.42.68.53.00
    r"|[$€£¥₹%]|\d(?:,\d{3})+(?!\d)|^\d*\.\d\d?$"
)
"""Dates, addresses of computers and amounts, which phonenumbers reads as numbers."""
_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])"
_DAYS: Final = re.compile(rf"(?<![\d.]){_DAY}(?:\.\d\d(?!\.?\d)|\.?\s?-\s?{_DAY}(?!\d))")
"""``15.01.24`` and ``15.01. - 17.02.``, where nobody writes numbers so."""
_MONTHS: Final = re.compile(r"(?<![\d/])(?:0?[1-9]|1[0-2])/(?:19|20)\d\d(?![\d/])")
"""``01/2024``."""
_ONE_TOO_MANY: Final = re.compile(r"\+1\s?1\d{10}(?!\d)")
"""An American number with a 1 that phonenumbers leaves out."""
_PAIRS: Final = "NC"
"""Where somebody does: New Caledonia."""
_ACCOUNT: Final = re.compile(r"\b[A-Z]{2}\d\d(?: ?[A-Z\d]{4}){3}")
"""An IBAN, as ``DE89 3704 0044 0532 0130 00``."""
_HOURS: Final = re.compile(r"(?<![\d:])\d{1,2}:\d\d(?![\d:])")
"""Times of a day, as they stand beside numbers: ``Mon-Fri 9:00-18:00``."""

_EXTENSION: Final = re.compile(
    r"(?<=\d)[\s,;.(-]{1,3}(?:local|loc|ramal|anexo|interno|int|poste|durchwahl|dw|app|apparat"
    r"|wew|вн|внутр|dahili|anknytning|lokal(?:nummer)?|lok|toestel|tst|linka|klapka|kl|mellék"
    r"|内線|내선|分机|分機|转|轉)\.?[\s:.]{0,2}(\d{1,6})(?!\d)\)?",
    re.IGNORECASE,
)
"""Words for an extension that phonenumbers lacks."""
_DIGIT: Final = re.compile(r"\d")
_SPELLED_OUT: Final = re.compile(r"([A-Z]{2,})\s?\((\d{2,})\)")
"""``TIPS (8477)``."""
_KEYS: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_CORE: Final = re.compile(r"[+\d].*\d|\d")
_WORDS_INSIDE: Final = re.compile(r"[^\W\d_]+")
_EXTENSION_WORD: Final = re.compile(
    r"e?xt(?:ensi[oó]n)?n?|x|доб(?:авочный)?|anexo|int|tel|fax|phone|mobile?|isub|phone-context",
    re.IGNORECASE,
)
_CUT_BEFORE: Final = re.compile(
    r"(?:\+[\d\s().-]*[^\W\d_]{1,2}\.?[\d\s().-]*|\d(?!h\b)[^\W\d_]{1,2}[^\w:]{0,3}|\d\W{0,3}[^\W\d_]{1,2})$"
)
_CUT_BEHIND: Final = re.compile(
    r"[^\W\d_]{1,2}\W{0,3}\d|\W{0,3}[^\W\d_]{1,2}\d"
    r"|\W{1,3}[a-z]{1,2}\W{1,3}\d(?:\W?\d){1,5}$"
)
"""Beside a number that is a part of one with letters in it: ``+353ks.123456789``."""

_NO_COUNTRY: Final = "001"
"""phonenumbers' region of numbers of the whole world, as +800."""

_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−－"), "-")


class _Number(NamedTuple):
    """A number that is possible, and the country where it is valid."""

    number: PhoneNumber
    country: str | None


@normalizer
def normalize_phone(
    text: str, *, region: str | None = None, domain: str | None = None
) -> dict[str, Any] | None:
    """Return ``e164``, ``valid``, ``extension``, ``country`` and ``raw``, or None.

    *region* is an ISO 3166 code such as ``"GB"``: whose national numbers these are. Without
    it the country of *domain* (``"shop.co.uk"`` or a URL) is taken; without both only
    numbers with their country's code, and those that are written as in North America.
    ``valid`` is False for a number of a possible length that nobody has, as all with 555 in
    a film. ``extension`` and ``country`` (ISO 3166) are None when they are not known.
    """
    line = text[:_LONGEST]
    if not line.isascii():
        line = line.translate(_DASHES)
    if not _DIGIT.search(line):
        return None
    letters = not line.isascii() or _has_letters(line)
    hint = region.strip().upper() if region else region_of(domain)
    if _is_other_thing(line, hint, letters=letters):
        return None
    if ":" in line:
        line = _HOURS.sub(" ", line)
    if letters:
        line = _SPELLED_OUT.sub(_without_digits, line) if "(" in line else line
        line = _EXTENSION.sub(r" ext. \1", line)
    phonenumbers = library("phonenumbers")
    found = _first_number(phonenumbers, line, hint, letters=letters)
    if found is None:
        return None
    number, country = found
    return {
        # what its format_number() makes of it, in half the time
        "e164": f"+{number.country_code}{phonenumbers.national_significant_number(number)}",
        "valid": country is not None,
        "extension": number.extension or None,
        "country": _country(phonenumbers, number, hint, country),
    }


def _is_other_thing(line: str, hint: str | None, *, letters: bool) -> bool:
    """Tell whether a line has a date, an amount, an account or an address of a computer."""
    if _OTHER_THING.search(line) or (letters and _ACCOUNT.search(line)):
        return True
    if "+" in line:
        return bool(_ONE_TOO_MANY.search(line))
    if "/" in line and _MONTHS.search(line):
        return True
    return "." in line and hint != _PAIRS and bool(_DAYS.search(line))


def _first_number(
    phonenumbers: ModuleType, line: str, hint: str | None, *, letters: bool
) -> _Number | None:
    """Return what all of *line* is, or else the first number in it."""
    if hint is None:
        if north_american := _NORTH_AMERICAN.search(line):
            line, hint = north_american[0], "US"
        elif line.startswith("00"):
            line = "+" + line.removeprefix("00")
    whole = _whole(phonenumbers, line, hint, letters=letters)
    if whole is not None and not (letters and _is_spelled(whole.number, line)):
        return _with_code(phonenumbers, line, hint, whole) if hint else whole
    found = phonenumbers.PhoneNumberMatcher(line, hint, leniency=phonenumbers.Leniency.POSSIBLE)
    numbers = [
        ((number.country is None, not each.raw_string.startswith("+")), number)
        for each in found
        if not _is_cut(line, each.start, each.end)
        and (number := _judged(phonenumbers, each.number))
    ]
    if whole is not None:
        numbers = [each for each in (*numbers, ((False, True), whole)) if each[1].country]
    # with its country's code it is not a postal code
    return min(numbers, key=itemgetter(0))[1] if numbers else None


def _with_code(
    phonenumbers: ModuleType, line: str, hint: str, whole: _Number
) -> _Number | None:
    """Return a national number, or what it is when it begins with the code of its country.

    That is a group of its own; where there are no groups, both are as likely, and it is None.
    """
    code = str(whole.number.country_code)
    if not (line.startswith(code) and str(whole.number.national_number).startswith(code)):
        return whole
    other = _whole(phonenumbers, f"+{line}", hint, letters=False)
    if other is None or other.country is None:
        return whole
    return None if line[len(code)].isdigit() else other


def _is_cut(line: str, start: int, end: int) -> bool:
    """Tell whether a number is a part of one with letters in it: ``+353ks.123456789``."""
    before = "" if line[start] == "+" else line[:start]
    return bool(
        (_DIGIT.search(before) and _CUT_BEFORE.search(before))
        or (end < len(line) and _CUT_BEHIND.match(line, end))
    )


def _without_digits(found: re.Match[str]) -> str:
    """Letters without the digits in brackets that are the same keys."""
    return found[1] if found[1].translate(_KEYS) == found[2] else found[0]


def _whole(
    phonenumbers: ModuleType, line: str, hint: str | None, *, letters: bool
) -> _Number | None:
    """Return what *line* is when nothing in it is left out."""
    try:
        number: PhoneNumber = phonenumbers.parse(line, hint)
    except phonenumbers.NumberParseException:
        return None
    if letters and _has_lost(number, line):
        return None
    return _judged(phonenumbers, number)


def _has_lost(number: PhoneNumber, line: str) -> bool:
    """Tell whether letters within a number were left out: ``+353ks.123456789``."""
    core = _CORE.search(line)
    words = _WORDS_INSIDE.findall(core[0]) if core else ()
    short = [len(word) for word in words if not _EXTENSION_WORD.fullmatch(word)]
    if not short or min(short) >= _WORD:
        return False
    return sum(short) < _WORD or not _is_spelled(number, line)


def _judged(phonenumbers: ModuleType, number: PhoneNumber) -> _Number | None:
    """Return a number that somebody has, or can be called from abroad.

    ``123-4567`` without an area can't; some that are given out are shorter than possible.
    """
    country = phonenumbers.region_code_for_number(number)
    if country and _is_valid(phonenumbers, number, country):
        return _Number(number, country)
    reason = phonenumbers.is_possible_number_with_reason(number)
    possible = reason == phonenumbers.ValidationResult.IS_POSSIBLE
    return _Number(number, None) if possible else None


def _is_spelled(number: PhoneNumber, line: str) -> bool:
    """Tell whether letters were taken for digits: ``1-800-FLOWERS``, or ``10115 Berlin``."""
    digits = len(str(number.national_number))
    if "+" in line:
        digits += len(str(number.country_code))
    return _has_letters(line) and sum(map(str.isdigit, line)) < digits


def _has_letters(line: str) -> bool:
    return line.upper() != line.lower()


def _is_valid(phonenumbers: ModuleType, number: PhoneNumber, country: str) -> bool:
    """Tell whether somebody in *country*, which region_code_for_number() has found, has it.

    Of countries that share a code (+1, +44) that function takes the one in which the number is
    valid, but for those that it knows by the first digits alone.
    """
    if len(phonenumbers.region_codes_for_country_code(number.country_code)) > 1:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
        if metadata is not None and metadata.leading_digits is None:
            return True
    return bool(phonenumbers.is_valid_number_for_region(number, country))


def _country(
    phonenumbers: ModuleType, number: PhoneNumber, hint: str | None, found: str | None
) -> str | None:
    """Return whose number it is; +1 and others are shared by several countries."""
    regions = phonenumbers.region_codes_for_country_code(number.country_code)
    region = found or (hint if hint in regions else None)
    if region is None and len(regions) == 1:
        region = regions[0]
    return None if region == _NO_COUNTRY else region
