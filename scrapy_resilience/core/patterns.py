"""Patterns of users, searched in text that strangers wrote.

What bounds them is time: a pattern may backtrack for ever on a text that was made for it,
and no look at the pattern alone tells. So texts are cut to a length, and each search to
:data:`PATIENCE` by the ``regex`` library; a search that takes longer has found nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.failures import FAILURE_CLASSES, ORDER
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PATIENCE", "Patterns"]

PATIENCE: Final = 0.05
"""Seconds that one search may take."""

_LONGEST: Final = 1_000


class Patterns:
    """Failure classes and the regular expressions that tell them, in order of judgement.

    *found* maps classes to one expression or a list of them; case is ignored. *setting*
    is named in a :exc:`ConfigurationError`.
    """

    def __init__(self, found: Mapping[str, Any], setting: str) -> None:
        for name in found:
            if name not in FAILURE_CLASSES:
                raise ConfigurationError(
                    f"{setting}: {name!r} is not a failure class: use one of "
                    f"{', '.join(FAILURE_CLASSES)}."
                )
        self._compiled = [
            (name, _compile(text, setting))
            for name in ORDER
            for text in _listed(found.get(name, ()), setting)
        ]

    def __bool__(self) -> bool:
        return bool(self._compiled)

    def find(self, text: str) -> tuple[str, str] | None:
        """The first class that matches, and the pattern that did."""
        for name, pattern in self._compiled:
            if _matches(pattern, text):
                return name, pattern.pattern
        return None


def _matches(pattern: Any, text: str) -> bool:
    try:
        return pattern.search(text, timeout=PATIENCE, concurrent=False) is not None
    except TimeoutError:
        return False


def _listed(value: Any, setting: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) for t in texts):
        raise ConfigurationError(f"{setting}: {value!r}: use a list of patterns.")
    return tuple(texts)


def _compile(text: str, setting: str) -> Any:
    if not text or len(text) > _LONGEST:
        raise ConfigurationError(
            f"{setting}: {text[:40]!r}: use a pattern of 1 to {_LONGEST} characters."
        )
    import regex  # noqa: PLC0415 - few have patterns, and it takes long

    try:
        return regex.compile(text, regex.IGNORECASE | regex.VERSION0)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise ConfigurationError(
            f"{setting}: {text!r} is not a regular expression: {error}."
        ) from None
