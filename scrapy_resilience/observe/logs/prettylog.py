"""A log record as people read it on a terminal: short lines, colours, whose request it is."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from scrapy_resilience.core.masking import printable
from scrapy_resilience.observe.logs.jsonlog import extra_of, message_of, traceback_of
from scrapy_resilience.observe.logs.log_context import current

__all__ = ["PrettyFormatter"]

_COLOURS: Final = {"DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}
_DIM: Final = 2
_SHOWN: Final = 8
"""Digits of an id: enough to find it by."""


class PrettyFormatter(logging.Formatter):
    """Local time, level, message, extra fields, logger and the first digits of the trace id."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        context = current()
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = self._in(_COLOURS.get(record.levelname, 0), f"{record.levelname:<8}")
        extra = " ".join(f"{name}={each}" for name, each in extra_of(record, context).items())
        trace_id = "" if context is None else str(context.values()[0] or "")[:_SHOWN]
        told = _lines(message_of(record))
        where = self._in(_DIM, " ".join(filter(None, (_lines(extra), record.name, trace_id))))
        text = f"{moment:%H:%M:%S}.{int(record.msecs):03d} {level} {told}  {where}"
        trace = traceback_of(record)
        return f"{text}\n{_lines(trace)}" if trace else text

    def _in(self, colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours and text else text


def _lines(text: str) -> str:
    """*text* without what a terminal obeys; the lines of a message stay lines."""
    return "\n".join(map(printable, text.split("\n")))
