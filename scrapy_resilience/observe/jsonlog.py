"""A log record as one line of JSON, whatever the record holds."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Encoder
from pythonjsonlogger.core import BaseJsonFormatter

from scrapy_resilience.observe.log_context import FIELDS, current
from scrapy_resilience.observe.plain_values import LONGEST, plain_value, text_of

if TYPE_CHECKING:
    from scrapy_resilience.observe.log_context import LogContext

__all__ = ["JsonFormatter", "extra_of", "message_of", "traceback_of"]

_NO_CONTEXT: Final = (None,) * len(FIELDS)
_MOST_BYTES: Final = 8 * LONGEST
"""Of a line: extra fields that make it longer are left out."""
_STANDARD: Final = len(vars(logging.makeLogRecord({})))
_RESERVED: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "spider", "crawler"}
_OF_THE_RECORD: Final = {*FIELDS, "duration_ms"}
"""Keys that a record may set for itself, by ``extra=``."""
_RISKY: Final = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
"""What a terminal obeys or a reader does not see. JSON itself escapes what is below a space."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7e]")


class _Line(Struct):
    """The keys of each line, in their order."""

    timestamp: str
    level: str
    logger_name: str
    module: str
    function_name: str | None
    line_number: int
    trace_id: Any
    request_id: Any
    user_id: Any
    component: Any
    url: Any
    duration_ms: Any
    message: str
    spider: str | UnsetType = UNSET
    exception: str | UnsetType = UNSET
    stack_info: str | UnsetType = UNSET


_ALWAYS: Final = _Line.__struct_fields__[: -len(_Line.__struct_defaults__)]
_KEYS: Final = frozenset(_Line.__struct_fields__)


class JsonFormatter(BaseJsonFormatter):
    """Keys ``timestamp`` to ``message`` in each line, then extra fields and ``exception``.

    Times are UTC, with milliseconds and a Z. With *ascii_only* everything else is escaped.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._escaped = _NOT_ASCII if ascii_only else _RISKY
        self._second = (-1, "")
        self._spider_name: tuple[Any, str] = (None, "")
        self._encode = Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        try:
            line = self._line(record)
        except Exception as error:  # noqa: BLE001 - whatever was logged
            line = self._poor_line(record, error)
        if line.isascii() and b"\x7f" not in line:
            return line.decode("ascii")
        return self._escaped.sub(_escape, line.decode())

    def _line(self, record: logging.LogRecord) -> bytes:
        context = current()
        trace_id, request_id, user_id, component, url = (
            _NO_CONTEXT if context is None else context.values()
        )
        line = _Line(
            self._time(record),
            record.levelname,
            record.name,
            record.module,
            record.funcName,
            record.lineno,
            trace_id,
            request_id,
            user_id,
            component,
            url,
            None,
            message_of(record),
        )
        if record.exc_info or record.exc_text:
            line.exception = traceback_of(record) or UNSET
        if record.stack_info:
            line.stack_info = text_of(record.stack_info)
        attributes = vars(record)
        more = len(attributes) - _STANDARD
        if more and "spider" in attributes:  # of Scrapy's own lines: often nothing else
            line.spider = self._spider(attributes["spider"])
            more -= 1
        if more or type(record.msg) is dict or (context is not None and context.told):
            return self._with_extra(line, extra_of(record, context))
        return self._encode(line)

    def _spider(self, spider: Any) -> str:
        name = getattr(spider, "name", None)
        if name is not self._spider_name[0]:
            self._spider_name = name, text_of(str(name))
        return self._spider_name[1]

    def _with_extra(self, line: _Line, extra: dict[str, Any]) -> bytes:
        """What sets a key of the line goes into it, the rest behind it."""
        for name in _KEYS.intersection(extra):
            if name in _OF_THE_RECORD:
                setattr(line, name, extra.pop(name))
            else:
                extra[f"extra_{name}"] = extra.pop(name)
        encoded = self._encode(line)
        if not extra:
            return encoded
        more = self._encode(extra)
        if len(encoded) + len(more) > _MOST_BYTES:
            more = self._encode({"left_out": [name[:100] for name in islice(extra, 100)]})
        return b"%b,%b" % (encoded[:-1], more[1:])

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        known, text = self._second
        if second != known:
            moment = datetime.fromtimestamp(second, timezone.utc)
            text = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second, text
        return f"{text}.{int(record.msecs):03d}Z"

    def _poor_line(self, record: logging.LogRecord, error: Exception) -> bytes:
        """Of a record that is no good record."""
        told = f"A record that can't be written ({type(error).__name__}): "
        found = {
            "timestamp": datetime.fromtimestamp(0, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger_name": record.name,
            "message": told + str(plain_value(record.msg)),
        }
        return self._encode({**dict.fromkeys(_ALWAYS), **plain_value(found)})


def message_of(record: logging.LogRecord) -> str:
    """What the record says, masked and bounded; empty where it is a table."""
    if isinstance(record.msg, dict):
        return ""
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments of the user's
        text = f"{plain_value(record.msg)} (its arguments: {type(error).__name__})"
    return text_of(text)


def extra_of(record: logging.LogRecord, context: LogContext | None) -> dict[str, Any]:
    """What was logged beside the message, and what *context* has, as plain data."""
    found: dict[str, Any] = {}
    if context is not None and context.told:
        found.update(context.extra())
    if isinstance(record.msg, dict):
        found.update((str(plain_value(name)), each) for name, each in record.msg.items())
    attributes = vars(record)
    if len(attributes) > _STANDARD:
        for name in islice(attributes, _STANDARD, None):
            if name not in _RESERVED and not str(name).startswith("_"):
                found[str(name)] = attributes[name]
    return {text_of(name): plain_value(value, name) for name, value in found.items()}


def traceback_of(record: logging.LogRecord) -> str | None:
    """What was raised, and where; None where nothing was."""
    if not (record.exc_info and record.exc_info[0]):
        return text_of(record.exc_text) if record.exc_text else None
    return text_of(record.exc_text or _plain.formatException(record.exc_info))


_plain: Final = logging.Formatter()


def _escape(found: re.Match[str]) -> str:
    """As JSON writes it: above 65,535 in two halves."""
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
