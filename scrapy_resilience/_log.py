"""Loggers whose records show what others chose without its secrets, in one line.

A URL, a spider's name or the text of an error may come from a site or from a job that
somebody else wrote. What is logged goes to terminals.
"""

from __future__ import annotations

import logging
from numbers import Number
from typing import Any, Final

from scrapy_resilience.core.masking import lines, shown

__all__ = ["get_logger"]

_plain: Final = logging.Formatter()


def get_logger(name: str) -> logging.Logger:
    """The logger of a module."""
    logger = logging.getLogger(name)
    logger.addFilter(_clean)  # of no effect when it is there
    return logger


class _Shown:
    """Stands for an argument until it becomes text."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return shown(str(self.value))

    def __repr__(self) -> str:
        return shown(repr(self.value))


def _clean(record: logging.LogRecord) -> bool:
    if record.args and isinstance(record.args, tuple):
        record.args = tuple(
            arg if isinstance(arg, (Number, _Shown)) else _Shown(arg) for arg in record.args
        )
    elif not record.args:
        record.msg = shown(str(record.msg))
    if record.exc_info and record.exc_info[0] and not record.exc_text:
        record.exc_text = lines(_plain.formatException(record.exc_info))
    return True
