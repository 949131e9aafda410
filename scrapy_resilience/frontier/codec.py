"""Requests and plain values as bytes, and back, exactly.

Plain data (None, numbers, text, bytes, lists, dicts with any plain keys, tuples, sets,
dates, decimals, Scrapy items) is written as MessagePack with extension types; nothing
of it can run code when it is read. Anything else is pickled, where that is allowed.
"""

from __future__ import annotations

import datetime as dt
import pickle
import sys
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgpack
from scrapy import Item, Request
from scrapy.http.request import NO_CALLBACK

from scrapy_resilience.exceptions import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider

__all__ = [
    "PICKLE_PROTOCOL",
    "IncompleteError",
    "RequestCodec",
    "UnserializableError",
    "ValueCodec",
    "edit_request",
    "loaded_object",
]


class UnserializableError(ValueError):
    """A value has no form as bytes; the text says which and why."""


class IncompleteError(UnserializableError):
    """A request would come out of its bytes as another one."""


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

PICKLE_PROTOCOL: Final = 5
_MAX_DEPTH: Final = 40
_OPTIONS: Final[dict[str, Any]] = {"strict_types": True, "unicode_errors": "surrogatepass"}


class ValueCodec:
    """Bytes of any plain value, and of any picklable one when *allow_pickle* is set."""

    def __init__(self, *, allow_pickle: bool = True) -> None:
        self.allow_pickle = allow_pickle
        self._depth = 0
        # Making a packer costs as much as packing a request; one packs no value inside of
        # another, so nested ones get their own.
        self._packer = msgpack.Packer(default=self._dump, **_OPTIONS)

    def encode(self, value: Any) -> bytes:
        """Raises :exc:`UnserializableError`."""
        try:
            packed: bytes = self._packer.pack(value)
        except UnserializableError:
            raise
        except (ValueError, OverflowError, RecursionError, TypeError) as error:
            # a cycle, a dict nested too deep, a number beyond 64 bits
            return self._pack(self._pickled(value, error))
        return packed

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
        packed: bytes = msgpack.packb(value, default=self._dump, **_OPTIONS)
        return packed

    def _dump(self, value: Any) -> msgpack.ExtType:
        kind: Any = type(value)
        if kind in {set, frozenset}:  # in an order on which all processes agree
            return self._nested(_PLAIN[kind][0], sorted(value, key=self._pack))
        if kind in _PLAIN and _is_exact(value):
            code, plain = _PLAIN[kind]
            return self._nested(code, plain(value))
        if isinstance(value, Item) and _is_plain_item(value) and (path := _path(kind)):
            return self._nested(_ITEM, [path, {name: value[name] for name in value}])
        return self._pickled(value)

    def _nested(self, code: int, plain: Any) -> msgpack.ExtType:
        self._enter(ValueError)
        try:
            return msgpack.ExtType(code, self._pack(plain))
        finally:
            self._depth -= 1

    def _enter(self, error: type[Exception]) -> None:
        """Each extension within an extension takes its share of the C stack."""
        if self._depth >= _MAX_DEPTH:
            raise error("the value is nested too deep")
        self._depth += 1

    def _pickled(self, value: Any, error: Exception | None = None) -> msgpack.ExtType:
        if not self.allow_pickle:
            raise UnserializableError(
                f"{type(value).__qualname__} has no plain form, and RESILIENCE_ALLOW_PICKLE is "
                "off: put plain values in its place (text, numbers, dates, lists, dicts), or "
                "set that to True"
            ) from error
        try:
            return msgpack.ExtType(_PICKLE, self._dumps(value))
        except Exception as problem:  # pickle raises whatever __reduce__ raises
            raise UnserializableError(f"{type(value).__qualname__}: {problem}") from problem

    def _dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, PICKLE_PROTOCOL)

    def _load(self, code: int, data: bytes) -> Any:
        if code == _PICKLE:
            if not self.allow_pickle:
                raise CheckpointError(
                    "the job holds pickled values and RESILIENCE_ALLOW_PICKLE is off: set it "
                    "to True, as it was when they were stored, or start anew"
                )
            return pickle.loads(data)  # noqa: S301 - our own 0600 file, checked by Job
        self._enter(CheckpointError)
        try:
            plain = self.decode(data)
        finally:
            self._depth -= 1
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
    return (value.tzinfo is None or value.tzinfo is dt.timezone.utc) and not value.fold


def _is_plain_item(item: Item) -> bool:
    """Whether it is what its fields hold, and nothing else."""
    return type(item).__init__ is Item.__init__ and vars(item).keys() == {"_values"}


@cache
def _path(cls: Any) -> str | None:
    """Where another process finds a class; None for one that is not at a module's top."""
    path = f"{cls.__module__}.{cls.__qualname__}"
    return path if loaded_object(path) is cls else None


def loaded_object(path: str) -> Any:
    """What a module that was imported has at its top: data never makes us import one."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), "__dict__", {}).get(name)


def _load_class(path: Any, base: type) -> Any:
    """The class at *path*, which must be a *base*: the file can't name other code to run."""
    cls = path if isinstance(path, type) else loaded_object(str(path))
    if cls is None:
        raise CheckpointError(
            f"the job holds a {path}, which the project has not loaded: import it where the "
            "spider is defined"
        )
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
        self._remade: set[type[Request]] = set()

    def encode(self, request: Request) -> bytes:
        data: dict[str, Any] = {"url": request.url}
        if type(request) is Request:
            for name, default in _DEFAULTS.items():
                value = getattr(request, name)
                if value and value != default:
                    data[name] = value
        else:  # another class may have other attributes, and other defaults
            data.update(_attributes(request))
            cls: Any = type(request)
            data["_class"] = _path(cls) or cls
        if "headers" in data:
            data["headers"] = dict(data["headers"])
        for name in _CALLBACKS:
            value = getattr(request, name)
            if value is not None:
                data[name] = self._name(value)
        encoded = self._values.encode(data)
        if type(request) is not Request:
            self._check(request, encoded)
        return encoded

    def _check(self, request: Request, encoded: bytes) -> None:
        """Raises :exc:`IncompleteError` when the bytes lack what an instance has besides.

        What a constructor makes of the attributes is there again, and is not lacking.
        """
        cls = type(request)
        own = _own_attributes(request)
        if not own and cls in self._remade:
            return
        try:
            remade = _own_attributes(self.decode(encoded))
        except CheckpointError as error:
            raise IncompleteError(
                f"{cls.__qualname__} can't be made of its `attributes`: {error}"
            ) from error
        self._remade.add(cls)
        for name, value in own.items():
            if name not in remade or not _is_same(value, remade[name]):
                raise IncompleteError(
                    f"{cls.__qualname__}.{name} is lost when a request is stored: take "
                    f"{name!r} as an argument of __init__ and add it to `attributes`"
                )

    def decode(self, data: bytes) -> Request:
        kwargs = self._values.decode(data)
        try:
            cls = _load_class(kwargs.pop("_class"), Request) if "_class" in kwargs else Request
            for name in _CALLBACKS:
                if name in kwargs:
                    kwargs[name] = self._method(kwargs[name], kwargs["url"])
            request: Request = cls(**kwargs)
        except CheckpointError:
            raise
        except Exception as error:  # whatever a constructor does with wrong arguments
            raise CheckpointError(f"a stored request can't be made: {error!r}") from error
        return request

    def _name(self, function: Any) -> str:
        if function is NO_CALLBACK:
            return _NO_CALLBACK
        plain = getattr(function, "__func__", None)
        if plain is None or function.__self__ is not self._spider:
            raise UnserializableError(f"{function!r} is not a method of the spider")
        if plain not in self._names:
            self._names[plain] = self._find(plain)
        return self._names[plain]

    def _find(self, plain: Any) -> str:
        """The attribute that holds a method; a ``__private`` one has another name."""
        for cls in type(self._spider).__mro__:
            for name, value in vars(cls).items():
                if value is plain and getattr(self._spider, name).__func__ is plain:
                    return name
        raise UnserializableError(f"{plain!r} is not an attribute of the spider")

    def _method(self, name: Any, url: str) -> Any:
        if name == _NO_CALLBACK:
            return NO_CALLBACK
        name = str(name)
        own = (vars(cls) for cls in type(self._spider).__mro__)
        plain = next((names[name] for names in own if name in names), None)
        # Neither a getter nor __getattr__ runs because a name is stored.
        method: Any = getattr(self._spider, name, None) if callable(plain) else None
        if method is None or getattr(method, "__func__", None) is not plain:
            raise CheckpointError(
                f"the job holds a request for {url} whose callback {name!r} is not a method of "
                f"spider {self._spider.name!r} any more: add it, or start anew"
            )
        return method


def _attributes(request: Request) -> dict[str, Any]:
    names = (name for name in request.attributes if name not in _CALLBACKS)
    try:
        return {name: getattr(request, name) for name in names}
    except AttributeError as error:
        raise IncompleteError(
            f"{type(request).__qualname__}.attributes names what it has not: {error}"
        ) from error


def _own_attributes(request: Request) -> dict[str, Any]:
    """What an instance of a subclass has besides its class's ``attributes``."""
    found = dict(getattr(request, "__dict__", {}))
    for cls in type(request).__mro__:
        if cls is Request:
            break
        slots = vars(cls).get("__slots__", ())
        slots = (slots,) if isinstance(slots, str) else slots
        found.update((name, getattr(request, name)) for name in slots if hasattr(request, name))
    known = request.attributes
    return {name: found[name] for name in found if name.removeprefix("_") not in known}


def _is_same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - arrays and the like compare as they please
        return False


def edit_request(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bytes of a request after *change* of its attributes.

    Values that are not plain stay as they are: nothing of the user's is imported or unpickled.
    Raises :exc:`CheckpointError` for bytes of which that is not possible.
    """
    try:
        plain = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as error:
        raise CheckpointError(f"a stored value can't be read: {error!r}") from error
    if not isinstance(plain, dict):
        raise CheckpointError("a stored request is pickled as a whole")
    shape: dict[str, Any] = {"url": None, "priority": 0, "meta": {}}
    for name, default in shape.items():
        value = plain.get(name, default)
        if not isinstance(value, str if default is None else type(default)):
            raise CheckpointError(f"a stored request has {value!r} as its {name}")
    change(plain)
    edited: bytes = msgpack.packb(plain, **_OPTIONS)
    return edited
