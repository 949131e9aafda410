"""A failure that code of the user's has noticed, and what is kept of it: masked and bounded."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads it
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import msgspec

from scrapy_resilience.core.masking import clipped, lines, mask_value

__all__ = ["SEVERITIES", "FailureRecord", "Severity", "made"]

Severity: TypeAlias = Literal["info", "warning", "error"]
SEVERITIES: Final = ("info", "warning", "error")
_SHORT: Final = 100
"""Characters of a category and of the name of a value."""
_LONG: Final = 500
"""Characters of a message, a source and a value."""
_VALUES: Final = 20
_LONGEST: Final = 16_000
"""Characters of a stack trace."""


class FailureRecord(msgspec.Struct, frozen=True):
    """What was told of a failure, without its secrets."""

    time: float
    """Seconds since 1970."""
    severity: Severity
    category: str
    """What kind of failure it is: ``login``, ``quota`` …; of an exception its class."""
    source: str
    """Where it was noticed."""
    message: str
    context: Mapping[str, str] = {}
    """Twenty values at most, as texts."""
    stack_trace: str = ""

    @property
    def text(self) -> str:
        """The context and the stack trace, for a person."""
        told = [f"{name}: {value}" for name, value in self.context.items()]
        return "\n".join([*told, "", self.stack_trace] if told else [self.stack_trace])


def made(
    time: float,
    message: str,
    *,
    severity: Any,
    category: str,
    source: str,
    context: Mapping[str, Any],
    stack_trace: str,
) -> FailureRecord:
    """The record of what was told. Raises :exc:`ValueError` for an unknown severity."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity!r}: use one of {', '.join(SEVERITIES)}")
    values = {
        clipped(str(name), _SHORT): clipped(_text(mask_value(value, str(name))), _LONG)
        for name, value in islice(context.items(), _VALUES)
    }
    trace = stack_trace
    if len(trace) > _LONGEST:  # the innermost calls say most; a cut line could hide a secret
        trace = trace[-_LONGEST:].partition("\n")[2]
    return FailureRecord(
        time=time,
        severity=severity,
        category=clipped(category, _SHORT),
        source=clipped(source, _LONG),
        message=clipped(message, _LONG),
        context=values,
        stack_trace=lines(trace.rstrip("\n")),
    )


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - of a class of the user's
        return type(value).__name__
