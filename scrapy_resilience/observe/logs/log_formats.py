"""In which format a handler writes: JSON, or short lines for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

__all__ = ["json_for", "pretty_for"]


def json_for(handler: logging.Handler) -> logging.Formatter:
    """Lines of JSON that *handler* can encode."""
    from scrapy_resilience.observe.logs.jsonlog import JsonFormatter  # noqa: PLC0415 - with JSON

    stream = getattr(handler, "stream", None)
    found = getattr(handler, "encoding", None) or getattr(stream, "encoding", None) or "utf-8"
    return JsonFormatter(ascii_only=str(found).lower().replace("-", "") != "utf8")


def pretty_for(handler: logging.Handler, *, anywhere: bool = False) -> logging.Formatter | None:
    """None for what is no terminal, unless *anywhere*: a file is for programs."""
    from scrapy_resilience.observe.logs.prettylog import PrettyFormatter  # noqa: PLC0415 - for it

    terminal = _is_terminal(getattr(handler, "stream", None))
    if not (terminal or anywhere):
        return None
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return PrettyFormatter(colours=terminal and not plain)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False
