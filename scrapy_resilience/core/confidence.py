"""How far an item can be trusted, from what is known of its page and its extraction.

Each known input is a factor from 0 to 1, and the confidence their weighted mean. What is not
known is left out, and the weights of the rest grow to make up for it: an item is not
distrusted for what nobody measured. The scores of the methods of extraction follow the
precision of prices that was measured on shop pages: microdata 0.94 and JSON-LD 0.88,
heuristics by CSS 0.75, the first pattern in the text 0.46; sources that disagree 0.54.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WEIGHTS", "Confidence", "ConfidenceCalculator"]

WEIGHTS: Final[Mapping[str, float]] = {
    "content_length": 0.25,
    "source_count": 0.20,
    "extraction": 0.20,
    "response_quality": 0.15,
    "structured_data": 0.10,
    "speed": 0.10,
}
"""The factors and their shares."""

METHODS: Final[Mapping[str, float]] = {"structured": 0.9, "semantic": 0.75, "raw": 0.45}

_HIGH: Final = 0.8
_MEDIUM: Final = 0.5
_SHORT, _LONG = 100, 10_000
"""Characters: up to the first a page is an error or a wall, from the second on a page."""
_ENOUGH, _LITTLE = 1 / 2, 1 / 20
"""Shares of the usual length: up to the second a page is an error, from the first on a page."""
_QUICK, _SLOW = 1.0, 10.0
"""Seconds: up to the first an answer is quick, from the second on the server is in trouble."""
_LOW: Final = 0.5
"""The score below which an unusual length is warned of."""
_BY_COUNT: Final = (0.0, 0.5, 0.8, 1.0)
"""The score of no, one, two, and three or more sources."""
_WEAK: Final[Mapping[str, str]] = {
    "content_length": "the page is short",
    "source_count": "few sources say so",
    "extraction": "a pattern in the text has found it",
    "response_quality": "the answer is partial",
    "structured_data": "the page has no structured data",
    "speed": "the answer was slow",
}
"""What is said of a low score where nothing else is."""
_NO_CONTENT: Final = frozenset({204, 205})
_PARTIAL: Final = frozenset({203, 206})
_NOT_MODIFIED: Final = 304

_Scored = tuple["float | None", "str | None"]
"""The score, None if unknown, and what to warn of."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """What a `ConfidenceCalculator` has found."""

    overall: float
    """From 0 to 1; 0 when nothing is known."""
    extraction_quality: str
    """``high`` from 0.8 on, ``medium`` from 0.5 on, else ``low``."""
    source_count: int
    """Different sources."""
    factors: dict[str, float]
    """The score of each factor that is known, from 0 to 1."""
    warnings: list[str]
    """What speaks against the item, in plain words."""

    def reasons(self, minimum: float) -> list[str]:
        """Why it is below *minimum*: the warnings, or without any, the factors below it."""
        return list(self.warnings) or [
            _WEAK[name] for name, score in self.factors.items() if score < minimum
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it as types that every feed can write."""
        return {
            "overall": self.overall,
            "extraction_quality": self.extraction_quality,
            "source_count": self.source_count,
            "factors": dict(self.factors),
            "warnings": list(self.warnings),
        }


class ConfidenceCalculator:
    """Weigh what is known of an item.

    *weights* replaces the shares of some factors: ``{"speed": 0}`` leaves speed out. They
    need not add up to 1. The factors and their shares are ``content_length`` 0.25,
    ``source_count`` 0.2, ``extraction`` 0.2, ``response_quality`` 0.15, ``structured_data``
    0.1 and ``speed`` 0.1. `ConfigurationError` for a factor that does not exist and for
    weights that are not weights.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = _checked({**WEIGHTS, **(weights or {})})

    def calculate(
        self,
        *,
        content: str | bytes | None = None,
        sources: Mapping[str, object] | Iterable[str] | None = None,
        extraction_method: str | None = None,
        response_time: float | None = None,
        status: int | None = None,
        structured_data: object = None,
        usual_length: float | None = None,
        usual_response_time: float | None = None,
    ) -> Confidence:
        """Return the `Confidence`; None, of any argument, is not known and left out.

        *content* is the text of the page, *sources* the names of what the values come from,
        or a mapping of them to what each says, so that they can agree or not.
        *extraction_method* is ``structured``, ``semantic`` or ``raw``, *response_time* in
        seconds, *status* that of HTTP, and *structured_data* what the page has of it, or
        whether it has any.

        *usual_length* and *usual_response_time* are what most pages of the site reach, and
        don't exceed: a page is then judged by these and not by what pages have elsewhere.
        """
        names = None if sources is None else _named(sources)
        scored: dict[str, _Scored] = {
            "content_length": _content_length(content, usual_length),
            "source_count": (None, None) if names is None else _source_count(names),
            "extraction": _extraction(extraction_method),
            "response_quality": _response_quality(status),
            "structured_data": _structured_data(structured_data),
            "speed": _speed(response_time, usual_response_time),
        }
        return self._weigh(scored, len(names or ()))

    def _weigh(self, scored: Mapping[str, _Scored], source_count: int) -> Confidence:
        factors = {name: score for name, (score, _) in scored.items() if score is not None}
        warnings = [warning for _, warning in scored.values() if warning]
        overall = self._mean(factors)
        if overall is None:
            warnings.append("nothing is known of it")
        return Confidence(
            overall=overall or 0.0,
            extraction_quality=_quality(overall or 0.0),
            source_count=source_count,
            factors=factors,
            warnings=warnings,
        )

    def _mean(self, factors: Mapping[str, float]) -> float | None:
        """Return the mean by the weights of those that are there, None if they have none."""
        total = weighted = 0.0
        for name, score in factors.items():
            weight = self._weights[name]
            total += weight
            weighted += weight * score
        return round(min(weighted / total, 1.0), 4) if total else None


def _checked(weights: dict[str, float]) -> dict[str, float]:
    if unknown := sorted(map(str, set(weights) - set(WEIGHTS))):
        raise ConfigurationError(
            f"no such factor of confidence: {', '.join(unknown)}."
            f" There are: {', '.join(WEIGHTS)}"
        )
    if not all(_is_amount(weight) for weight in weights.values()) or not any(weights.values()):
        raise ConfigurationError(
            f"weights of confidence must be numbers of 0 or more, and not all 0: {weights}"
        )
    return weights


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )


def _quality(overall: float) -> str:
    if overall >= _HIGH:
        return "high"
    return "medium" if overall >= _MEDIUM else "low"


def _content_length(content: str | bytes | None, usual: float | None) -> _Scored:
    """Score by the logarithm: ten times as much is a step, twice as much is not."""
    if content is None:
        return None, None
    length = 0 if content.isspace() else len(content)
    if not (length and usual and _is_amount(usual)):
        score = _between(length, _SHORT, _LONG)
        return score, None if score else f"the page has {length} characters"
    score = _between(length, usual * _LITTLE, usual * _ENOUGH)
    if score >= _LOW:
        return score, None
    return score, f"the page has {length} characters, usual are {usual:.0f} and more"


def _between(length: int, short: float, long: float) -> float:
    if length <= short:
        return 0.0
    return min(math.log(length / short) / math.log(long / short), 1.0)


def _named(sources: Mapping[str, object] | Iterable[str]) -> dict[str, object]:
    """Return each source once, with what it says."""
    if isinstance(sources, Mapping):
        return dict(sources)
    return dict.fromkeys([sources] if isinstance(sources, str) else sources)


def _source_count(sources: Mapping[str, object]) -> _Scored:
    """Score by the number of sources that say the same, and their share."""
    if not sources:
        return 0.0, "no source"
    said: dict[str, int] = {}  # a Counter takes three times as long to make
    for value in map(repr, sources.values()):
        said[value] = said.get(value, 0) + 1
    agree = max(said.values())
    score = _BY_COUNT[min(agree, len(_BY_COUNT) - 1)] * agree / len(sources)
    return score, "the sources disagree" if len(said) > 1 else None


def _extraction(method: str | None) -> _Scored:
    if method is None:
        return None, None
    score = METHODS.get(method)
    return score, None if score else f"unknown method of extraction: {method}"


def _response_quality(status: int | None) -> _Scored:
    if status is None:
        return None, None
    if status in _NO_CONTENT or not (200 <= status < 300 or status == _NOT_MODIFIED):  # noqa: PLR2004
        return 0.0, f"the status is {status}"
    return (0.7 if status in _PARTIAL else 1.0), None


def _structured_data(data: object) -> _Scored:
    if data is None:
        return None, None
    return float(bool(len(data) if isinstance(data, Sized) else data)), None


def _speed(seconds: float | None, usual: float | None) -> _Scored:
    if seconds is None or not _is_amount(seconds):
        return None, None
    times = max(usual, 1.0) if usual and _is_amount(usual) else 1.0
    score = min(max((_SLOW * times - seconds) / ((_SLOW - _QUICK) * times), 0.0), 1.0)
    return score, None if score else f"the answer took {seconds:.1f} s"
