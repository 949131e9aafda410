"""Prometheus' text format and OpenMetrics: what a line is made of."""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import clipped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "OPENMETRICS", "TEXT", "content_type", "head", "labels_text", "number_text",
    "wants_openmetrics",
]  # fmt: skip

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus' format."""
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LONGEST: Final = 200
"""Characters of a label's value."""


def wants_openmetrics(accept: str) -> bool:
    """Whether a client that sends this ``Accept`` header asks for OpenMetrics."""
    return "application/openmetrics-text" in accept.lower()


def content_type(*, openmetrics: bool) -> str:
    """The ``Content-Type`` of a text."""
    return OPENMETRICS if openmetrics else TEXT


def head(name: str, kind: str, meaning: str, *, openmetrics: bool) -> str:
    """What stands above the lines of a metric."""
    text = meaning.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        name = name.removesuffix({"counter": "_total", "info": "_info"}.get(kind, ""))
        text = text.replace('"', '\\"')
    else:
        kind = {"info": "gauge", "unknown": "untyped"}.get(kind, kind)
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def labels_text(labels: Mapping[str, str], mark: str = "") -> str:
    """Labels between their braces; *mark* is put behind each value."""
    return ",".join(f'{name}="{_escaped(value, mark)}"' for name, value in labels.items())


def _escaped(value: Any, mark: str) -> str:
    """Bounded, without what a terminal obeys, and without secrets."""
    text = clipped(str(value), _LONGEST) + mark
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number_text(value: float) -> str:
    """A number as both formats write it."""
    if type(value) is int:
        return str(value)
    if not isfinite(value):
        return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(value + 0)  # of a bool, too
