"""Requests and plain values as bytes, and back, exactly.

Plain data (None, numbers, text, bytes, lists, dicts with any plain keys, tuples, sets,
dates, decimals, Scrapy items) is written as MessagePack with extension types; nothing
of it can run code when it is read. Anything else is pickled, where that is allowed.
"""

from __future__ import annotations

import datetime as dt
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgpack
from scrapy import Item, Request
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider

__all__ = ["RequestCodec", "UnserializableError", "ValueCodec"]


class UnserializableError(ValueError):
    """A value has no form as bytes; the text says which and why."""


_TUPLE: Final = 1
_SET: Final = 2
_FROZENSET: Final = 3
_BIGINT: Final = 4
_DATETIME: Final = 5
_DATE: Final = 6
_TIMEDELTA: Final = 7
_DECIMAL: Final = 8
_ITEM: Final = 9
_PICKLE: Final = 127

_PICKLE_PROTOCOL: Final = 5


class ValueCodec:
    """Bytes of any plain value, and of any picklable one when *allow_pickle* is set."""

    def __init__(self, *, allow_pickle: bool = True) -> None:
        self.allow_pickle = allow_pickle

    def encode(self, value: Any) -> bytes:
        """Raises :exc:`UnserializableError`."""
        try:
            return self._pack(value)
        except UnserializableError:
            raise
        except (ValueError, OverflowError, RecursionError, TypeError) as error:
            # a cycle, a dict nested too deep, a number beyond 64 bits
            return self._pack(self._pickled(value, error))

    def decode(self, data: bytes) -> Any:
        """Raises :exc:`CheckpointError` for bytes that this codec did not write."""
        try:
            return msgpack.unpackb(
                data, ext_hook=self._load, strict_map_key=False, unicode_errors="surrogatepass"
            )
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(f"a stored value can't be read: {error!r}") from error

    def _pack(self, value: Any) -> bytes:
        packed: bytes = msgpack.packb(
            value, default=self._dump, strict_types=True, unicode_errors="surrogatepass"
        )
        return packed

    def _dump(self, value: Any) -> msgpack.ExtType:
        kind = type(value)
        if kind in _PLAIN and _is_exact(value):
            code, plain = _PLAIN[kind]
            return msgpack.ExtType(code, self._pack(plain(value)))
        if isinstance(value, Item) and kind.__init__ is Item.__init__:
            fields = {name: value[name] for name in value}
            return msgpack.ExtType(_ITEM, self._pack([_path(kind), fields]))
        return self._pickled(value)

    def _pickled(self, value: Any, error: Exception | None = None) -> msgpack.ExtType:
        if not self.allow_pickle:
            raise UnserializableError(
                f"{type(value).__qualname__} has no plain form, RESILIENCE_ALLOW_PICKLE is off"
            ) from error
        try:
            return msgpack.ExtType(_PICKLE, pickle.dumps(value, _PICKLE_PROTOCOL))
        except Exception as problem:  # pickle raises whatever __reduce__ raises
            raise UnserializableError(f"{type(value).__qualname__}: {problem}") from problem

    def _load(self, code: int, data: bytes) -> Any:
        if code == _PICKLE:
            if not self.allow_pickle:
                raise CheckpointError(
                    "the job holds pickled values and RESILIENCE_ALLOW_PICKLE is off"
                )
            return pickle.loads(data)  # noqa: S301 - our own 0600 file, checked by Job
        plain = self.decode(data)
        if code == _ITEM:
            path, fields = plain
            return _load_class(path, Item)(fields)
        return _UNPLAIN[code](plain)


_PLAIN: Final[dict[type, tuple[int, Callable[[Any], Any]]]] = {
    tuple: (_TUPLE, list),
    set: (_SET, list),
    frozenset: (_FROZENSET, list),
    int: (_BIGINT, str),
    dt.datetime: (_DATETIME, dt.datetime.isoformat),
    dt.date: (_DATE, dt.date.isoformat),
    dt.timedelta: (_TIMEDELTA, lambda v: [v.days, v.seconds, v.microseconds]),
    Decimal: (_DECIMAL, str),
}

_UNPLAIN: Final[dict[int, Callable[[Any], Any]]] = {
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
    _BIGINT: int,
    _DATETIME: dt.datetime.fromisoformat,
    _DATE: dt.date.fromisoformat,
    _TIMEDELTA: lambda v: dt.timedelta(*v),
    _DECIMAL: Decimal,
}


def _is_exact(value: Any) -> bool:
    """Whether the plain form gives the value back: a zone's name or a fold would be lost."""
    if type(value) is not dt.datetime:
        return True
    return value.tzinfo in (None, dt.timezone.utc) and not value.fold


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _load_class(path: str, base: type) -> Any:
    """The class at *path*, which must be a *base*: the file can't name other code to run."""
    try:
        cls = load_object(path)
    except (ImportError, NameError, ValueError) as error:
        raise CheckpointError(
            f"the job holds a {path}, which can't be imported: {error}"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise CheckpointError(f"the job holds a {path}, which is no {base.__name__}")
    return cls


# What a request has when nobody set it: left out of the bytes.
_DEFAULTS: Final[dict[str, Any]] = {
    "method": "GET",
    "headers": {},
    "body": b"",
    "cookies": {},
    "meta": {},
    "encoding": "utf-8",
    "priority": 0,
    "dont_filter": False,
    "flags": [],
    "cb_kwargs": {},
}
_CALLBACKS: Final = ("callback", "errback")
_NO_CALLBACK: Final = "NO_CALLBACK"


class RequestCodec:
    """Bytes of a request of *spider*; callbacks are stored by their method's name.

    ``encode`` raises :exc:`UnserializableError` (a lambda, a callback of another object, a
    value that can't be pickled); ``decode`` raises :exc:`CheckpointError` (a method or
    class that the code no longer has).
    """

    def __init__(self, spider: Spider, values: ValueCodec) -> None:
        self._spider = spider
        self._values = values
        self._names: dict[Any, str] = {}

    def encode(self, request: Request) -> bytes:
        data: dict[str, Any] = {"url": request.url}
        for name in request.attributes:
            if name == "url":
                continue
            value = getattr(request, name)
            if name in _CALLBACKS:
                if value is not None:
                    data[name] = self._name(value)
            elif name not in _DEFAULTS or value != _DEFAULTS[name]:
                data[name] = dict(value) if name == "headers" else value
        if type(request) is not Request:
            data["_class"] = _path(type(request))
        return self._values.encode(data)

    def decode(self, data: bytes) -> Request:
        kwargs = self._values.decode(data)
        if not isinstance(kwargs, dict):
            raise CheckpointError("a stored request is no request")
        cls = _load_class(kwargs.pop("_class"), Request) if "_class" in kwargs else Request
        for name in _CALLBACKS:
            if name in kwargs:
                kwargs[name] = self._method(kwargs[name], kwargs["url"])
        request: Request = cls(**kwargs)
        return request

    def _name(self, function: Any) -> str:
        if function is NO_CALLBACK:
            return _NO_CALLBACK
        if getattr(function, "__self__", None) is not self._spider:
            raise UnserializableError(f"{function!r} is not a method of the spider")
        plain = function.__func__
        if plain not in self._names:
            self._names[plain] = self._find(plain)
        return self._names[plain]

    def _find(self, plain: Any) -> str:
        """The attribute that holds a method; a ``__private`` one has another name."""
        for name in (plain.__name__, *dir(type(self._spider))):
            if getattr(getattr(self._spider, name, None), "__func__", None) is plain:
                return str(name)
        raise UnserializableError(f"{plain!r} is not an attribute of the spider")

    def _method(self, name: str, url: str) -> Any:
        if name == _NO_CALLBACK:
            return NO_CALLBACK
        try:
            return getattr(self._spider, name)
        except AttributeError:
            raise CheckpointError(
                f"the job holds a request for {url} whose callback {name!r} is not a method of "
                f"spider {self._spider.name!r} any more: add it, or start anew"
            ) from None
