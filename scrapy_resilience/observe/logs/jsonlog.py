"""A log record as one line of JSON, whatever the record holds."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from msgspec.json import Encoder
from pythonjsonlogger.core import BaseJsonFormatter

from scrapy_resilience.observe.logs.log_context import FIELDS, current
from scrapy_resilience.observe.logs.plain_values import LONGEST, plain_value, text_of

if TYPE_CHECKING:
    from scrapy_resilience.observe.logs.log_context import LogContext

__all__ = ["JsonFormatter", "extra_of", "message_of", "traceback_of"]

_NO_CONTEXT: Final = (None,) * len(FIELDS)
_MOST: Final = 8 * LONGEST
"""Characters behind a message: of what is longer, only the names are there."""
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


_PLACE: Final = ("level", "logger_name", "module", "function_name", "line_number")
_KEYS: Final = frozenset({"timestamp", *_PLACE, *_OF_THE_RECORD, "message"})
_NO_REQUEST: Final = ",".join(f'"{name}":null' for name in FIELDS)
_MOST_PLACES: Final = 1_000
_MOST_SPIDERS: Final = 100
_MILLISECONDS: Final = [f".{min(number, 999):03d}Z" for number in range(1_001)]


class JsonFormatter(BaseJsonFormatter):
    """Keys ``timestamp`` to ``message`` in each line, then extra fields and ``exception``.

    Times are UTC, with milliseconds and a Z. With *ascii_only* everything else is escaped.

    A line is put together of pieces. Those that stay the same, for a place in the code or for
    a request, are kept as they are written.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._escaped = _NOT_ASCII if ascii_only else _RISKY
        self._second = (-1, "")
        self._places: dict[tuple[Any, ...], str] = {}
        self._spiders: dict[str, str] = {}
        self._encode = Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._line(record)
        except Exception as error:  # noqa: BLE001 - whatever was logged
            return self._poor_line(record, error)

    def _line(self, record: logging.LogRecord) -> str:
        context = current()
        place = record.levelname, record.name, record.module, record.funcName, record.lineno
        where = self._places.get(place) or self._keep(place)
        begin = f'{{"timestamp":"{self._time(record)}",{where}'
        message = self._json(message_of(record))
        attributes = vars(record)
        more = len(attributes) - _STANDARD
        spider = ""
        if more:
            if "spider" in attributes:  # of Scrapy's own lines: often nothing else
                spider = self._spider(attributes["spider"])
                more -= 1
            # of a plain formatter that came before
            more -= ("message" in attributes) + ("asctime" in attributes)
        if (
            more
            or record.exc_info
            or record.exc_text
            or record.stack_info
            or type(record.msg) is dict
            or (context is not None and context.told)
        ):
            about, behind = self._rest(record, context)
            return f'{begin},{about},"message":{message}{spider}{behind}}}'
        about = _NO_REQUEST if context is None else context.written or self._write(context)
        return f'{begin},{about},"duration_ms":null,"message":{message}{spider}}}'

    def _json(self, value: Any) -> str:
        encoded = self._encode(value)
        if encoded.isascii() and b"\x7f" not in encoded:
            return encoded.decode("ascii")
        return self._escaped.sub(_escape, encoded.decode())

    def _keep(self, place: tuple[Any, ...]) -> str:
        if len(self._places) >= _MOST_PLACES:  # somebody makes them up
            self._places.clear()
        names = (plain_value(each) for each in place)
        written = self._json(dict(zip(_PLACE, names, strict=True)))[1:-1]
        self._places[place] = written
        return written

    def _spider(self, spider: Any) -> str:
        name = str(getattr(spider, "name", spider))
        found = self._spiders.get(name)
        if found is None:
            found = f',"spider":{self._json(text_of(name))}'
            if len(self._spiders) < _MOST_SPIDERS:
                self._spiders[name] = found
        return found

    def _write(self, context: LogContext) -> str:
        found = dict(zip(FIELDS, context.values(), strict=True))
        context.written = _NOT_ASCII.sub(_escape, self._json(found)[1:-1])  # for all formatters
        return context.written

    def _rest(self, record: logging.LogRecord, context: LogContext | None) -> tuple[str, str]:
        """What is told of the request, and what stands behind the message."""
        values = _NO_CONTEXT if context is None else context.values()
        about: dict[str, Any] = {**dict(zip(FIELDS, values, strict=True)), "duration_ms": None}
        behind = {}
        for name, value in extra_of(record, context).items():
            if name in about:
                about[name] = value
            else:
                behind[f"extra_{name}" if name in _KEYS else name] = value
        if (told := traceback_of(record)) is not None:
            behind["exception"] = told
        if record.stack_info:
            behind["stack_info"] = text_of(record.stack_info)
        written = self._json(behind)[1:-1]
        if len(written) > _MOST:
            written = self._json({"left_out": [name[:100] for name in islice(behind, 100)]})[
                1:-1
            ]
        return self._json(about)[1:-1], written and f",{written}"

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        known, text = self._second
        if second != known:
            moment = datetime.fromtimestamp(second, timezone.utc)
            text = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second, text
        return text + _MILLISECONDS[int(record.msecs)]

    def _poor_line(self, record: logging.LogRecord, error: Exception) -> str:
        """Of a record that is no good record."""
        told = f"A record that can't be written ({type(error).__name__}): "
        keys = ("timestamp", *_PLACE, *FIELDS, "duration_ms", "message")
        found: dict[str, Any] = dict.fromkeys(keys)
        found["timestamp"] = datetime.fromtimestamp(0, timezone.utc).isoformat()
        found["level"], found["logger_name"] = map(plain_value, (record.levelname, record.name))
        found["message"] = told + str(plain_value(record.msg))
        return self._json(found)


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
