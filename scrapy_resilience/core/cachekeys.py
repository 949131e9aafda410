"""The key of a call, made of the arguments: the same in all processes, and for no others.

Arguments are bound to the function's parameters first, with defaults filled in, so it does not
matter how they were given. Then they are written as JSON. Scalars are themselves; whatever else
there is becomes an object of one field whose name says what it is, so no two values of
different types look alike: ``1``, ``1.0``, ``True`` and ``"1"`` are four keys.

An object of a class of the user's is a key only if its class says what it stands for, with an
attribute or method ``__cache_key__``, or is a dataclass. That holds for ``self``, too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import types
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.core.masking import clipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["CallKey", "is_text", "place_of"]

_encode: Final = msgspec.json.Encoder().encode
_LONGEST: Final = 200
"""Characters of a key that is written out; of a longer one there is a digest."""
_DEEPEST: Final = 50
_MOST: Final = 2**63
_EMPTY: Final = inspect.Parameter.empty
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def place_of(value: Any) -> str:
    """Where a class or a function is defined: ``module.name``."""
    return f"{value.__module__}.{value.__qualname__}"


class CallKey:
    """Makes the keys of calls of *function*.

    *ignore* has names of parameters that are no part of it. Raises :exc:`TypeError` for a name
    that the function does not have.
    """

    def __init__(self, function: Callable[..., Any], ignore: Iterable[str] = ()) -> None:
        self._signature = inspect.signature(function)
        self._name = getattr(function, "__qualname__", repr(function))
        parameters = self._signature.parameters
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        if unknown := ignored - set(parameters):
            raise TypeError(f"ignore={sorted(unknown)}: {self._name}() has no such argument")
        self._ignored = ignored
        self._simple = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        }
        """Names and defaults, where there are no parameters of other kinds."""
        if len(self._simple) < len(parameters):
            self._simple = {}
        self._names = [*self._simple]
        self._is_simple = len(self._simple) == len(parameters)

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Raises :exc:`TypeError` as the function would, and for what can't be a key."""
        is_quick = self._is_simple and not kwargs and not self._ignored
        if is_quick and len(args) == len(self._names):
            for value in args:  # most calls: nothing to bind, and nothing to rewrite
                kind = type(value)
                if kind is not str and (kind is not int or not -_MOST < value < _MOST):
                    break
            else:
                try:
                    text = _encode(args).decode()
                except UnicodeError:
                    return self._key(self._bind(args, kwargs))
                return text if len(text) <= _LONGEST else _short(text)
        return self._key(self._bind(args, kwargs))

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if self._simple and len(args) <= len(self._names):
            bound = {**self._simple, **dict(zip(self._names, args, strict=False)), **kwargs}
            twice = any(name in kwargs for name in self._names[: len(args)])
            missing = any(value is _EMPTY for value in bound.values())
            if not (twice or missing) and len(bound) == len(self._names):
                return bound
        found = self._signature.bind(*args, **kwargs)
        found.apply_defaults()
        return found.arguments

    def _key(self, bound: dict[str, Any]) -> str:
        values = []
        for name, value in bound.items():
            if name not in self._ignored:
                try:
                    values.append(_canonical(value, 0))
                except _NoKeyError as error:
                    raise TypeError(self._refusal(name, error)) from None
        return _short(_encode(values).decode())

    def _refusal(self, name: str, error: _NoKeyError) -> str:
        return (
            f"{self._name}(): no key can be made of the argument {name}: {error}. Give what it "
            f"depends on instead, leave it out with ignore=[{name!r}], or give its class a "
            "method __cache_key__()"
        )


class _NoKeyError(Exception):
    """Says what there is no key of."""


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return blake2b(text.encode(), digest_size=20).hexdigest()


def _canonical(value: Any, depth: int) -> Any:
    """What JSON can hold, and is the same for equal values of one type only."""
    kind = type(value)
    if kind is str:
        return value if is_text(value) else {"text": _bytes(value)}
    if kind in _PLAIN:
        small = kind is not int or -_MOST < value < _MOST
        return value if small else {"int": hex(value)}
    if kind is float:
        return value if isfinite(value) else {"float": repr(value)}
    if depth >= _DEEPEST:
        raise _NoKeyError("it is nested too deeply, or contains itself")
    write = _WRITERS.get(kind)
    if write is not None:
        return {kind.__name__: write(value, depth + 1)}
    return _object(value, kind, depth + 1)


def is_text(value: str) -> bool:
    """Half a pair of surrogates is none."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeError:
        return False
    return True


def _bytes(value: str) -> str:
    return value.encode("utf-8", "surrogatepass").hex()


def _each(values: Iterable[Any], depth: int) -> list[Any]:
    return [_canonical(value, depth) for value in values]


def _pairs(value: Mapping[Any, Any], depth: int) -> list[Any]:
    """In the order of the keys as they are written: that of a dict says nothing."""
    pairs = [[_canonical(each, depth) for each in pair] for pair in value.items()]
    return sorted(pairs, key=lambda pair: _encode(pair[0]))


def _members(value: Iterable[Any], depth: int) -> list[Any]:
    return sorted(_each(value, depth), key=_encode)


_WRITERS: Final[Mapping[type, Callable[[Any, int], Any]]] = {
    list: _each,
    tuple: _each,
    dict: _pairs,
    set: _members,
    frozenset: _members,
    bytes: lambda value, _: value.hex(),
    bytearray: lambda value, _: value.hex(),
    Decimal: lambda value, _: str(value),
    complex: lambda value, _: repr(value),
    dt.timedelta: lambda value, _: [value.days, value.seconds, value.microseconds],
    dt.datetime: lambda value, _: [value.isoformat(), value.fold],
    dt.date: lambda value, _: value.isoformat(),
    dt.time: lambda value, _: [value.isoformat(), value.fold],
}


def _object(value: Any, kind: type, depth: int) -> Any:
    """What a class of somebody's says of it."""
    if isinstance(value, (type, types.FunctionType)):
        return {"defined": _named(value)}
    if (own := getattr(value, "__cache_key__", None)) is not None:
        said = own() if callable(own) else own
        return {"object": [_named(kind), _canonical(said, depth)]}
    if isinstance(value, Enum):
        name: Any = value.name  # flags that are several, or none, may not have one
        return {
            "enum": [_named(kind), _canonical(value.value, depth) if name is None else name]
        }
    if isinstance(value, str):  # such as what lxml gives
        return _canonical(str.__str__(value), depth)
    if (path := getattr(value, "__fspath__", None)) is not None:
        return {"path": _canonical(path(), depth)}
    return {"object": [_named(kind), _fields(value, kind, depth)]}


def _fields(value: Any, kind: type, depth: int) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return _pairs(fields, depth)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _each(value, depth)
    if place_of(kind) == "uuid.UUID":
        return value.hex
    raise _NoKeyError(f"it is, or has, a {clipped(place_of(kind), _LONGEST)}")


def _named(value: Any) -> str:
    """Raises for what has no name of its own."""
    place = place_of(value)
    if "<" in place:
        raise _NoKeyError(f"{place} is made while the program runs, and may be several")
    return place
