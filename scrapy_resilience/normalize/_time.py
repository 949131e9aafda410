"""The time of day in a text, with its zone and the word for the part of the day.

A word beside a time is one for a part of the day, one that all languages have beside times,
or left to the date. What may be a part of the day and can't be told makes the whole text
unreadable: a time that is twelve hours wrong looks as good as any other.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.normalize._common import plain
from scrapy_resilience.normalize._day import known_word
from scrapy_resilience.normalize._zones import ZONE, is_zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Clock", "clock_of", "day_part_key", "find_clock", "is_span"]


class Clock(NamedTuple):
    """A time of day, the name of its zone, and the text without them."""

    time: dt.time
    zone: str | None
    rest: str


# --- hours and minutes -----------------------------------------------------------------

_MAY_HAVE: Final = re.compile(
    r"\d[:h.]\d|\d ?(?:[hч시時时点點]|hod|godz|Uhr|[aApP]\.? ?[mM]\b)"
)
_START: Final = r"(?<![\d.:/])(\d{1,2})"
_FORMS: Final = (
    re.compile(rf"{_START}[:h](\d\d)(?::(\d\d)(?:[.,](\d{{1,9}}))?)?(?!\d)"),
    re.compile(  # 3시 30분, 21時, 21 h 05 min 43 s
        rf"{_START} ?(?:[시時时点點](?![간間间])|(?:h|ч|hod|godz)\b\.?(?= ?\d))"
        r"(?: ?(\d{1,2}|半) ?(?:[분分]|(?:min|мин|m|м)\b\.?|$)"
        r"(?: ?(\d{1,2}) ?(?:[초秒]|(?:se[ck]|s|сек|с)\b\.?))?)?"
    ),
    re.compile(  # 29.02.2020 13.12, kl. 9.05
        r"(?:(?<=\d{4})|(?<=\d-\d\d)|\b(?:klo?|klokken|klockan|um|kell|pukul|ob|ore|saat)\.?)[\s,]{1,3}"
        r"(\d{1,2})\.(\d\d)(?:\.(\d\d))?(?![\d.])"
    ),
    re.compile(rf"{_START}(?:\.(\d\d))?(?= ?(?:[aApP]\.? ?[mM]|Uhr)\b)"),
    re.compile(  # 15/01/2024 18h, à 18 h
        r"(?:(?<=\d{4})|(?<=\d-\d\d)|\b(?:at|à|às))[\s,]{1,3}(\d{1,2})() ?[hH](?=\s*$)"
    ),
)


_NOON_WORD: Final = re.compile(r"(?<=\d),?(?: at)? noon$", re.IGNORECASE)


def find_clock(text: str, languages: Sequence[str]) -> Clock | None:
    """The time of a text in plain form; ``None`` when it has none.

    Raises ValueError for a time that no clock shows, and one that may be another.
    """
    if not _MAY_HAVE.search(text):
        noon = _NOON_WORD.search(text)
        return noon and Clock(dt.time(_NOON), None, text[: noon.start()])
    found = next((found for form in _FORMS if (found := form.search(text))), None)
    if found is None:
        return None
    before = text[: found.start(1)].rstrip(" @")
    before, after, part = _without_part(before, text[found.end() :], languages)
    seconds = found.re.groups > 2 and found[3] is not None
    zone, after = _without_zone(after, found[0], seconds=seconds)
    before = before.rstrip(" ,-").removesuffix("T")
    if before[-2:-1] == " " and before[-1] in _PREPOSITIONS:
        before = before[:-2]
    rest = f"{before} {after}".strip(" ,-|·•")
    if part is None and _HALVES_LEFT.search(rest):
        raise ValueError(text)
    hour, minute, *others = found.groups()
    minute = "30" if minute == "半" else minute
    return Clock(clock_of(_hour(int(hour), part), minute, *others), zone, rest)


_HALVES_LEFT: Final = re.compile(r"(?<!\w)(?:p\.? ?|a\. ?)m(?!\w)", re.IGNORECASE)


def clock_of(
    hour: str | int,
    minute: str | None = None,
    second: str | None = None,
    fraction: str | None = None,
) -> dt.time:
    """The time of day; raises ValueError for one that no clock shows."""
    micro = int((fraction or "0").ljust(6, "0")[:6])
    return dt.time(int(hour), int(minute or 0), int(second or 0), micro)


# --- the part of the day ---------------------------------------------------------------


class _Part(NamedTuple):
    """A word for a part of the day, and the hours that it stands for, as bits."""

    key: str
    hours: int


_AM, _PM = 0xFFF, 0xFFF000
_ENGLISH: Final = {"am": _AM, "pm": _PM}
_SINGLE: Final = {"早": 0xFF0, "晨": 0xFF0, "朝": 0xFF0, "晚": 0xFE0000, "夜": 0xFC001F}
"""Single signs that the CLDR has in longer words only."""
_HALF: Final = re.compile(r" ?([ap])\.? ?m\b\.?", re.IGNORECASE)
_NOON: Final = 12
_EAST_ASIA: Final = "\u2e80"
_MARKS: Final = re.compile(r"[\s.'’‘ʼ/-]+")
_WORD: Final = r"[^\s\d,:/()|·•\-–—][^\s\d,:()|·•–—]*"
_WORDS_BEHIND: Final = re.compile(rf"[ (]{{0,2}}({_WORD}(?: {_WORD}){{0,3}})")
_WORDS_BEFORE: Final = re.compile(rf"((?:{_WORD} ){{0,3}}{_WORD})[ (]{{0,2}}$")
_MORE_WORDS: Final = frozenset(
    "uhr h hr hrs hs uur ч час часов год г hod hodin godz óra ore ora น klo kl klokken klockan"
    " klock klukkan um at à às las alle ga o'clock kell ob pukul jam saat".split()
)
_PREPOSITIONS: Final = frozenset("aàouvwkвуо")


def day_part_key(words: str) -> str:
    """Words for a part of the day as they are looked up: ``pm`` for ``p. m.``."""
    return _MARKS.sub("", plain(words).casefold())


def _without_part(
    before: str, after: str, languages: Sequence[str]
) -> tuple[str, str, _Part | None]:
    """The text around a time without the words for the part of the day, and their hours."""
    part: _Part | None = None
    if english := _HALF.match(after):
        part = _Part("am", _AM) if english[1] in "aA" else _Part("pm", _PM)
        return _before_of(before, after[english.end() :], part, languages)
    neutral = False
    if after and (word := _first_word(after)) and _is_neutral(word, languages):
        after = after[after.index(word) + len(word) :].removeprefix(".")
        neutral = True
    if after and (behind := _WORDS_BEHIND.match(after)):
        for words in _beginnings(behind[1]):
            if found := _part(words, languages, sure=not neutral):
                part, after = found, after[behind.start(1) + len(words) :].removeprefix(")")
                break
    return _before_of(before, after, part, languages)


def _before_of(
    before: str, after: str, part: _Part | None, languages: Sequence[str]
) -> tuple[str, str, _Part | None]:
    """The same for the words before a time."""
    before = _without_neutral(before, languages)
    in_front = None if before.rstrip(" ,")[-1:].isdigit() else _WORDS_BEFORE.search(before)
    if in_front:
        for words in _ends(in_front[1]):
            if _is_preposition(words, languages):
                break
            if found := _part(words, languages, sure=True):
                if part and part.hours != found.hours:
                    raise ValueError(words)
                part, before = found, before[: in_front.end(1) - len(words)]
                break
    return before, after, part


def _first_word(text: str) -> str:
    found = _WORDS_BEHIND.match(text)
    return found[1].split(" ", 1)[0].rstrip(".") if found else ""


def _without_neutral(before: str, languages: Sequence[str]) -> str:
    bare = before.rstrip(" ")
    word = bare.rpartition(" ")[2]
    if not _is_neutral(word.rstrip("."), languages):
        return before
    bare = bare[: -len(word)].rstrip(" ")
    return bare[:-1] if bare.endswith((" a", " à")) else bare  # a las


def _is_neutral(word: str, languages: Sequence[str]) -> bool:
    """Whether a word stands beside any time: ``Uhr``, ``kl.``."""
    key = word.casefold()
    if key in _MORE_WORDS:
        return not any(key in _table()["parts"].get(language, ()) for language in languages)
    return key in _table()["words"] and key not in _everywhere()


def _is_preposition(word: str, languages: Sequence[str]) -> bool:
    """Whether a letter before a time is ``at``, as in Slavic languages."""
    return word in _PREPOSITIONS and not any(
        word in _table()["parts"].get(language, ()) for language in languages
    )


def _beginnings(words: str) -> Iterator[str]:
    """What may be the words for a part of the day, the longest first."""
    ends = [at for at in range(1, len(words)) if words[at] in " /-"]
    yield words
    for end in reversed(ends):
        yield words[:end]
    if words[0] >= _EAST_ASIA:
        yield from (words[:end] for end in range(min(len(words) - 1, 4), 0, -1))


def _ends(words: str) -> Iterator[str]:
    yield words
    for start in (at + 1 for at in range(len(words)) if words[at] == " "):
        yield words[start:]
    if words[-1] >= _EAST_ASIA:
        yield from (words[-length:] for length in range(min(len(words) - 1, 4), 0, -1))


def _part(words: str, languages: Sequence[str], *, sure: bool) -> _Part | None:
    """What words say about the hour; raises ValueError where they may say nothing as well.

    Not *sure* are words behind another: ``9:05 Uhr am 15. Januar``.
    """
    key = day_part_key(words)
    for language in languages:
        if (hours := _table()["parts"].get(language, {}).get(key)) is not None:
            return _Part(key, hours)
    if key in _ENGLISH and sure:
        return _Part(key, _ENGLISH[key])
    hours = _everywhere().get(key) or _SINGLE.get(key)
    if hours is None or is_zone(words):
        return None
    if known_word(words.rstrip(".")):
        if not sure:
            return None
        raise ValueError(words)
    return _Part(key, hours)


def _hour(hour: int, part: _Part | None) -> int:
    """The hour of 24; raises ValueError where the part of the day does not settle it."""
    if part is None:
        return hour
    key, hours = part
    if hour > _NOON:
        can_be = set() if key in _ENGLISH else {hour}
    elif hour or key[0] >= _EAST_ASIA:
        can_be = {hour % 12, hour % 12 + 12}
    else:
        can_be = {0}
    fitting = [one for one in can_be if hours >> one & 1]
    if len(fitting) != 1:
        raise ValueError(hour)
    return fitting[0]


@cache
def _table() -> dict[str, Any]:
    """The table that ``tools/day_parts.py`` makes."""
    text = files(__package__).joinpath("day_parts.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    table["words"] = frozenset(table["words"])
    return table


@cache
def _everywhere() -> dict[str, int]:
    """The hours that a word stands for in any language."""
    found: dict[str, int] = {}
    for words in _table()["parts"].values():
        for key, hours in words.items():
            found[key] = found.get(key, 0) | hours
    return found


# --- the zone --------------------------------------------------------------------------

_ZONE: Final = re.compile(
    rf"[ .]{{0,2}}(?P<zone>{ZONE}|\((?:{ZONE})\))(?!\w)(?: ?\([A-Za-z ]+\))?"
)
_HOURS: Final = re.compile(r" ?([+-]\d\d)(?![\d:])")
"""``+02`` behind seconds; elsewhere it may be the hour of another time."""
_LETTERS: Final = re.compile(r" ([A-Z]{3,4})(?!\w)(?: ?\([A-Za-z ]+\))?")
"""``CDT (CDT)`` behind an offset, as mail has it."""


def _without_zone(after: str, time: str, *, seconds: bool) -> tuple[str | None, str]:
    """The zone behind a time, and what is left; raises ValueError for a second time."""
    found = (_HOURS.match(after) if seconds else None) or _ZONE.match(after)
    if found is None:
        return None, after
    name = found[1]
    if name.isalpha() and known_word(name):  # 10:30 JAN 15 2024
        return None, after
    if is_span(time, name, attached=after.startswith("-")) and not seconds:
        raise ValueError(after)
    after = after[found.end() :]
    letters = None if name.isalpha() else _LETTERS.match(after)
    if letters and is_zone(letters[1]):
        after = after[letters.end() :]
    return name.strip("()"), after


def is_span(time: str, zone: str, *, attached: bool) -> bool:
    """Whether what looks like a zone is the end of a time: ``9:00-10:00``.

    Of what is attached, as times of a timetable are, any; else a later one.
    """
    if zone[0] != "-" or ":" not in zone:
        return False
    return attached or f"{zone[1:]:0>5}" > f"{time:0>5}"
