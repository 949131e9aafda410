"""Whether there is a terminal to write lines to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["shows_lines"]


def shows_lines(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether *stream* is a terminal on which lines can be taken back, and rich is there."""
    if stream is None or environ.get("TERM", "dumb" if os.name == "posix" else "") == "dumb":
        return False
    try:
        if not stream.isatty():
            return False
    except (AttributeError, ValueError):  # closed, or no stream at all
        return False
    from importlib.util import find_spec  # noqa: PLC0415 - only where there is a terminal

    return find_spec("rich") is not None
