"""The day that a text names, in numbers or with the name of a month, in many languages."""

from __future__ import annotations

import re
from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from scrapy_resilience.normalize._common import chain, cldr
from scrapy_resilience.normalize._date_words import WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "FIRST",
    "LAST",
    "Day",
    "Hints",
    "hints_of",
    "is_split",
    "known_word",
    "named_day",
    "only_words",
    "other_day",
    "read_day",
    "with_digits",
]


class Day(NamedTuple):
    """A day, and whether the text may mean another."""

    day: date
    ambiguous: bool = False


class Hints(NamedTuple):
    """What is known besides the text: the order of numbers, and the languages of words."""

    order: str | None
    languages: tuple[str, ...]
    locale_order: str | None


@lru_cache(256)
def hints_of(locale: str | None, languages: tuple[str, ...], order: str | None) -> Hints:
    """The hints of `normalize_date`, as this module needs them."""
    names = chain(locale) if locale else ()
    own = None
    for name in names:
        own = cldr()["locales"][name].get("order", own or "YMD")
    return Hints(order, languages or names[:1], own)


# --- words -----------------------------------------------------------------------------

_LETTERS = r"[^\s\d.,،:/()\-–—|·•]+"
_WORD = re.compile(rf"{_LETTERS}(?:\.{_LETTERS})*")
_DIGITS = re.compile(r"\d+")


@cache
def _others() -> frozenset[str]:
    return frozenset(cldr()["words"]) | WORDS


def known_word(word: str) -> bool:
    """Whether dates have this word: a month, a weekday, or one between them."""
    word = word.casefold()
    return word in _others() or word in cldr()["months"]


def _month(word: str, languages: Sequence[str]) -> int | None:
    table = cldr()
    month: int | None = table["months"].get(word)
    for language in languages if month is None else ():
        month = month or table["months_of"].get(language, {}).get(word)
    return month


@cache
def _split() -> frozenset[str]:
    return frozenset(word for names in cldr()["months_of"].values() for word in names)


def is_split(text: str) -> bool:
    """Whether a word is one month in one language, and another in the next."""
    return not _split().isdisjoint(_WORD.findall(text.casefold()))


# --- the forms -------------------------------------------------------------------------

_NAMED = re.compile(
    r"(?:([^\W\d_]{2,})[.,]{0,2} )?"
    r"(?:([^\W\d_]{3,})\.? (\d{1,2}),? (\d{4})|(\d{1,2})\.? ([^\W\d_]{3,})\.?,? (\d{4}))"
)
_NUMERIC = re.compile(r"(\d{1,4})(\. ?|[/\- ])(\d{1,2})\2(\d{1,4})(\.?)")
_SPACED = re.compile(r"(?:19|20)\d\d [01]\d [0-3]\d")
_ELIDED = re.compile(r"(?<!\w)['’](?=\d\d(?!\d))")
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)")
_WEEK = re.compile(r"(\d{4})-?W(\d\d)-?([1-7])")
_CJK = re.compile(
    r"(\d{4}|\d{2}|(令和|平成)(?:\d{1,2}|元))[年년] ?(\d{1,2})[月월] ?(\d{1,2})[日号일]?"
)
_CJK_REST = re.compile(
    r"[\s()]*(?:(?:星期|周|週|礼拜)?[月火水木金土日一二三四五六天](?:曜日?)?|[월화수목금토일]요일)?[\s()]*"
)
_VIETNAMESE = re.compile(r"(\d{1,2}) (?:tháng|thg) (\d{1,2}),? (\d{4})")
_ERAS = {"令和": 2018, "平成": 1988}
FIRST, LAST = 1583, 2199
"""Years outside are those of another calendar, or no years."""

_BUDDHIST = 543
_THAI = re.compile("[\u0e00-\u0e7f]")


_NUMERALS = str.maketrans("〇零一二三四五六七八九", "00123456789")
_WRITTEN_OUT = re.compile(r"[〇零一二三四五六七八九十]+(?=[年月日])")
_BEFORE_SIGNS = re.compile(r"(?<=\d) (?=[年月日号時时点點分])")


def with_digits(text: str) -> str:
    """``二〇一四年十月四日`` with digits, and no spaces before its signs."""
    return _BEFORE_SIGNS.sub("", _WRITTEN_OUT.sub(_digits, text))


def _digits(found: re.Match[str]) -> str:
    tens, ten, ones = found[0].translate(_NUMERALS).partition("十")
    return str(int(tens or 1) * 10 + int(ones or 0)) if ten else tens


def named_day(text: str, hints: Hints) -> Day | None:
    """The day of "Jan 15, 2024" and "Monday, 15 January 2024", in any language."""
    found = _NAMED.fullmatch(text)
    if found:
        weekday, *parts = found.groups()
        name, day, year = parts[:3] if parts[0] else (parts[4], parts[3], parts[5])
        month = _month(name.lower(), hints.languages)
        if month and int(year) <= LAST and (not weekday or weekday.lower() in _others()):
            return _day(year, month, day)
    return None


def read_day(text: str, hints: Hints) -> Day | None:
    """The day of a text without a time, in plain form (`plain`)."""
    return named_day(text, hints) or other_day(text, hints)


def other_day(text: str, hints: Hints) -> Day | None:
    """The day of a text for which `named_day` has none."""
    return _numeric(text, hints) or _other(text) or _worded(text, hints)


def _day(year: str | int, month: str | int, day: str | int) -> Day | None:
    year = _full(year) if isinstance(year, str) else year
    try:
        return Day(date(year, int(month), int(day))) if FIRST <= year <= LAST else None
    except ValueError:
        return None


def _full(year: str) -> int:
    """The year with its century: 69 is 1969, as POSIX has it; 2567 is 2024 in Thailand."""
    number = int(year)
    if len(year) == 2:
        return number + (1900 if number >= 69 else 2000)
    return number if len(year) == 4 else 0


def _numeric(text: str, hints: Hints) -> Day | None:
    found = _NUMERIC.search(text)
    if found is None or (found[2] == " " and not _may_be_spaced(text, hints)):
        return None
    if not only_words(f"{text[: found.start()]} {text[found.end() :]}", hints):
        return None
    one, sign, two, three, dot = found.groups()
    as_in_korea = sign == ". " and dot and len(one) == 2 and len(three) < 3
    if len(one) == 4 or (as_in_korea and not hints.order):
        return _ordered((one, two, three), "YMD")
    if len(one) > 2 or len(three) not in {2, 4}:
        return None
    if hints.locale_order and _is_thai(hints) and len(three) == 4 and int(three) > LAST:
        three = str(int(three) - _BUDDHIST)
    parts = one, two, three
    if len(three) == 2 and (hints.order or hints.locale_order) == "YMD":
        return _ordered(parts, "YMD")
    return _either(parts, sign.strip(), hints)


def _may_be_spaced(text: str, hints: Hints) -> bool:
    """Whether three numbers with spaces may be a date; without a hint they are any three."""
    return bool(hints.order or (hints.locale_order and _SPACED.fullmatch(text)))


def _is_thai(hints: Hints) -> bool:
    return "th" in hints.languages


def _either(parts: tuple[str, str, str], sign: str, hints: Hints) -> Day | None:
    """Day or month first: as the hints say, else as usual with this sign, if both can be."""
    months, days = _ordered(parts, "MDY"), _ordered(parts, "DMY")
    order = hints.order or hints.locale_order
    if order in {"MDY", "DMY"}:
        best, other = (months, days) if order == "MDY" else (days, months)
        contradicts = best is None and other is not None and len(parts[2]) == 2
        return other._replace(ambiguous=True) if other and contradicts else best or other
    found = months if sign == "/" else days
    found = found or months or days
    if found is None:
        return None
    others = {months, days} if sign != "." else set()
    if len(parts[2]) == 2:
        others.add(_ordered(parts, "YMD"))
    return found._replace(ambiguous=bool(others - {None, found}))


def _ordered(parts: tuple[str, str, str], order: str) -> Day | None:
    named = dict(zip(order, parts, strict=True))
    return _day(named["Y"], named["M"], named["D"])


def _other(text: str) -> Day | None:
    """The forms of machines, and those of China, Japan, Korea and Vietnam."""
    if found := _BASIC.fullmatch(text):
        return _day(*found.groups())
    if found := _WEEK.fullmatch(text):
        return _week_day(*map(int, found.groups()))
    if found := _VIETNAMESE.search(text):
        return _day(found[3], found[2], found[1])
    found = _CJK.search(text)
    if found is None or not _CJK_REST.fullmatch(text[: found.start()] + text[found.end() :]):
        return None
    year, era, month, day = found.groups()
    return _day(_year_of(era, year) if era else year, month, day)


def _year_of(era: str, text: str) -> int:
    """The year of an era of Japan; its first one has a sign of its own."""
    count = text.removeprefix(era)
    return _ERAS[era] + (1 if count == "元" else int(count))


def _week_day(year: int, week: int, day: int) -> Day | None:
    try:
        return Day(date.fromisocalendar(year, week, day))
    except ValueError:
        return None


def only_words(text: str, hints: Hints) -> bool:
    """Whether all that stands beside a date belongs to dates."""
    if not text.strip():
        return True
    words = _WORD.findall(text.casefold())
    return not _DIGITS.search(text) and all(
        word in _others() or _month(word, hints.languages) for word in words
    )


def _worded(text: str, hints: Hints) -> Day | None:
    """One name of a month, two numbers, and no word that dates don't have."""
    text = _ELIDED.sub("", text)
    numbers = _DIGITS.findall(text)
    if len(numbers) != 2:
        return None
    words = _WORD.findall(text.casefold())
    others = _others()
    months = {}
    for word in words:
        if month := _month(word, hints.languages):
            months[word] = month
        elif word not in others:
            return None
    if len(set(months.values())) > 1:  # "mar." is a Tuesday too
        months = {word: month for word, month in months.items() if word not in others}
    if len(set(months.values())) != 1:
        return None
    (month,) = set(months.values())
    first, second = numbers
    leads = len(second) == 2 and (hints.order or hints.locale_order) == "YMD"
    year, day = (first, second) if len(first) == 4 or leads else (second, first)
    if len(day) > 2 or len(year) not in {2, 4}:
        return None
    if _THAI.search(text):
        return _thai_day(year, month, day)
    return _day(year, month, day)


def _thai_day(year: str, month: int, day: str) -> Day | None:
    """A year of Thailand's calendar or of ours; of two digits, the one that is nearer."""
    if len(year) == 2 and int(year) >= 43:
        found = _day(2500 + int(year) - _BUDDHIST, month, day)
        return found and found._replace(ambiguous=True)
    return _day(int(year) - _BUDDHIST if int(year) > LAST else year, month, day)
