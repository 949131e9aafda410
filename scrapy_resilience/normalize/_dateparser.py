"""What dateparser is asked: few languages, short texts, and nothing that it only guesses.

Its answers don't depend on the time of the fetch, so they are remembered.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from scrapy_resilience.normalize._common import library
from scrapy_resilience.normalize._day import FIRST, LAST, Day, Hints, is_split
from scrapy_resilience.normalize._distance import Distance, measured, written_distance

__all__ = ["absolute_day", "distance"]

_LABEL = re.compile(
    r"^(?:(?:[^\W\d_]+ ){0,3}[^\W\d_]+: ?"
    r"|(?:\w*publi\w*|[a-z]+ed|bearbeitet|aktualisiert|geändert|modifié\w*|édité\w*|ajouté\w*"
    r"|editad[oa]|modificad[oa]|actualizad[oa]|atualizad[oa]|modificat[oa]|aggiornat[oa]"
    r"|bewerkt|bijgewerkt|geplaatst|redigera[dt]|uppdatera[dt]|redigeret|opdateret|oppdatert"
    r"|edytowan[oey]|zmodyfikowan[oey]|zaktualizowan[oey]|upraveno|aktualizováno|muokattu"
    r"|päivitetty|szerkesztve|frissítve|изменен[ао]?|изменён|отредактирован[ао]?|обновлен[ао]?"
    r"|обновлён|добавлен[ао]?|змінено|оновлено|düzenlendi|güncellendi) )",
    re.IGNORECASE,
)
_LATIN = ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "tr")
_SCRIPTS = (
    ("[\u3040-\u30ff\u4e00-\u9fff]", ("ja", "zh")),
    ("[\uac00-\ud7af]", ("ko",)),
    ("[\u0400-\u04ff]", ("ru", "uk", "bg")),
    ("[\u0370-\u03ff]", ("el",)),
    ("[\u0590-\u05ff]", ("he",)),
    ("[\u0600-\u06ff]", ("ar", "fa")),
    ("[\u0900-\u097f]", ("hi",)),
    ("[\u0e00-\u0e7f]", ("th",)),
)


def _languages(text: str) -> tuple[str, ...]:
    """The languages to try where no hint names any: each costs time and memory."""
    if not text.isascii():
        for script, languages in _SCRIPTS:
            if re.search(script, text):
                return languages
    return _LATIN


_MAX_LENGTH = 64
_BASE = datetime(2001, 3, 15, 12)  # noqa: DTZ001 - no day is taken from it
_SPAN = re.compile(r"(?:\d+ ?[^\W\d_\u2e80-\uffff]+\.?,? ?)+")
"""Two days, but neither ago nor to come; Chinese and its like have the word attached."""
_RANGE = re.compile(r"\d ?[-–—~] ?\d|^ ?[-–—−] ?\d")
"""1-3 days ago, and a sign before a distance that has its direction."""
_EITHER_WAY = {"कल", "परसों"}
"""Yesterday or tomorrow, by the verb of the sentence."""
_NAMES = re.compile(r"^[^$€£¥₹%@]*[^\W\d_]{2}[^$€£¥₹%@]*$")


@lru_cache(32)
def _parser(languages: tuple[str, ...]) -> Any:
    settings = {
        "PARSERS": ["absolute-time"],
        "RELATIVE_BASE": _BASE,  # not the machine's clock
        "REQUIRE_PARTS": ["day", "month", "year"],
        "TIMEZONE": "UTC",
    }
    parser = library("dateparser.date").DateDataParser
    return parser(languages=list(languages), settings=settings)


# --- distances -------------------------------------------------------------------------


_QUANTITY = re.compile(
    r"(\d+(?:[.,]\d+)?) (second|minute|hour|day|week|fortnight|month|year|decade|century)s?"
)
_NOW = ("0", "second")
"""What dateparser makes of the Romanian word for *ago* as well."""
_DIRECTION = re.compile(r"\b(?:ago|in)\b")


def distance(text: str, hints: Hints) -> Distance | None:
    """How far back a relative date is, in any language that dateparser knows."""
    for each in dict.fromkeys((text, _LABEL.sub("", text))):  # "pred" is no label
        if _may_be_far(each) and (found := written_distance(each, hints.languages)):
            return found
    return _distance(each, hints.languages or _languages(each)) if _may_be_far(each) else None


def _may_be_far(text: str) -> bool:
    if len(text) > _MAX_LENGTH or text in _EITHER_WAY:
        return False
    return not (_SPAN.fullmatch(text) or _RANGE.search(text))


@lru_cache(4096)
def _distance(text: str, languages: tuple[str, ...]) -> Distance | None:
    """What dateparser makes of *text* in English; it adds days before months, so we count."""
    settings = library("dateparser.conf").settings
    text = library("dateparser.date").sanitize_date(text)
    for locale in _locales(languages):
        if locale.is_applicable(text, settings=settings):
            english = locale.translate(text, settings=settings)
            directions = _DIRECTION.findall(english)
            quantities = _QUANTITY.findall(english)
            left = _DIRECTION.sub("", _QUANTITY.sub("", english))
            if len(directions) == 1 and quantities and not left.strip(" ,"):
                quantities = [one for one in quantities if one != _NOW] or quantities
                return measured(quantities, ahead=directions == ["in"])
    return None


@lru_cache(32)
def _locales(languages: tuple[str, ...]) -> tuple[Any, ...]:
    loader = library("dateparser.languages.loader").LocaleDataLoader()
    return tuple(loader.get_locales(languages=list(languages)))


# --- days ------------------------------------------------------------------------------


@lru_cache(4096)
def _absolute(text: str, languages: tuple[str, ...]) -> date | None:
    found = _parser(languages).get_date_data(text).date_obj
    return found.date() if found and not found.tzinfo else None


def absolute_day(text: str, hints: Hints) -> Day | None:
    """What dateparser takes for a day whose numbers stand in the text."""
    text = _LABEL.sub("", text)
    numbers = re.findall(r"\d+", text)
    if len(text) > _MAX_LENGTH or len(numbers) != 2 or not _NAMES.search(text):
        return None
    if not hints.languages and is_split(text):
        return None
    day = _absolute(text, hints.languages or _languages(text))
    if day is None or not FIRST <= day.year <= LAST or str(day.year) not in numbers:
        return None
    return Day(day) if {str(day.day), f"{day.day:02}"} & {*numbers} else None
