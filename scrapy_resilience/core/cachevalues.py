"""Values of a cache as bytes, and back: what comes back is what went in, or nothing does.

In memory
    A value that nobody can change is kept as it is, a dict or list of such values is copied,
    any other one is kept as its bytes: who gets it gets a copy of his own, and the same from
    memory as from a server.

JSON
    Only what comes back *equal* and of the same types is taken: a tuple would be a list, a date
    a text, and a call that is answered by the cache would give something else than one that is
    not.

Pickle
    Reading one can run any code. So it is written and read only where it was asked for, and
    leaves the process only with a signature: a keyed BLAKE2b of the key of the entry and all
    its bytes.

On a server
    ``C1 52 31``, a letter for what it is, a letter for what was done to it, 16 bytes of a
    signature where there is a secret, and the bytes. An entry of another kind, without the
    signature that is wanted, or damaged is as good as none: :exc:`UnreadableError`.
"""

from __future__ import annotations

import pickle
from hashlib import blake2b
from hmac import compare_digest
from math import isfinite
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import zstandard

from scrapy_resilience.core.cachekeys import is_text

__all__ = ["Codec", "Failure", "Packed", "Serializer", "UnreadableError", "UnstorableError"]

Serializer: TypeAlias = Literal["json", "pickle"]

_HEAD: Final = b"\xc1R1"
"""No text begins so, and no JSON; the number is that of this format."""
_MAC: Final = 16
_PLAIN, _FLAT, _JSON, _PICKLE, _FAILURE = "v", "c", "j", "p", "e"
_AS_IT_IS, _COMPRESSED = b"-", b"z"
_LARGEST: Final = 16 * 2**20
"""Bytes of a value."""
_MOST: Final = 2**63
_OVERHEAD: Final = 200
"""Bytes that an entry takes beside its key and value, about."""
_NO_JSON: Final = (TypeError, ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError)
"""What a value raises that is no JSON, or is nested too deeply."""
_PLAIN_TYPES: Final = frozenset({type(None), bool, int, float})
_SCALARS: Final = _PLAIN_TYPES | {str}
_FLAT_TYPES: Final = frozenset({dict, list})
_FEW: Final = 30
"""Values that are copied more quickly than they are read."""
_EACH: Final = 100
"""Bytes that each of them takes, about."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class UnstorableError(TypeError):
    """A value can't be kept; says why."""


class UnreadableError(ValueError):
    """An entry is of another version, kind or key, or is damaged."""


class Failure(NamedTuple):
    """What a function has raised: its class, and what that was made of."""

    place: str
    arguments: list[Any]


_decode_failure: Final = msgspec.json.Decoder(Failure).decode


class Packed(NamedTuple):
    """A value that is kept."""

    kind: str
    data: Any
    """The value itself, or its bytes."""
    size: int


class Codec:
    """Packs values with *serializer*; a *secret* signs what leaves the process."""

    def __init__(
        self, serializer: Serializer = "json", secret: str = "", compress_from: int = 1024
    ) -> None:
        self._pickles = serializer == "pickle"
        self._key = blake2b(secret.encode(), person=b"cache").digest() if secret else b""
        self._compress_from = compress_from

    # --- in memory ---

    def pack(self, value: Any) -> Packed:
        """Raises :exc:`UnstorableError`."""
        kind = type(value)
        if kind is str and is_text(value):
            return _checked(Packed(_PLAIN, value, _OVERHEAD + len(value)))
        if self._pickles:
            return _checked(_pickled(value))
        if kind in _PLAIN_TYPES and _is_small(value):
            return Packed(_PLAIN, value, _OVERHEAD)
        data = _as_json(value)
        if kind in _FLAT_TYPES and len(value) <= _FEW:
            copy = _decode(data)
            if _is_flat(copy):
                size = _OVERHEAD + _EACH * len(copy) + len(data)
                return _checked(Packed(_FLAT, copy, size))
        return _checked(Packed(_JSON, data, _OVERHEAD + len(data)))

    @staticmethod
    def pack_failure(failure: Failure) -> Packed:
        """Raises :exc:`UnstorableError` for one whose arguments are not JSON."""
        data = _as_json([failure.place, failure.arguments])
        return _checked(Packed(_FAILURE, data, _OVERHEAD + len(data)))

    @staticmethod
    def unpack(packed: Packed) -> Any:
        """The value, or a :class:`Failure`."""
        kind, data, _ = packed
        if kind == _PLAIN:
            return data
        if kind == _FLAT:
            return data.copy()
        if kind == _JSON:
            return _decode(data)
        if kind == _PICKLE:
            return pickle.loads(data)  # noqa: S301 - this process has made it, or signed it
        return _decode_failure(data)

    # --- on a server ---

    def to_wire(self, key: str, packed: Packed) -> bytes:
        kind = packed.kind
        data: bytes = packed.data
        if kind in {_PLAIN, _FLAT}:
            kind = self._kind
            data = pickle.dumps(data, 4) if self._pickles else _encode(data)
        how = _AS_IT_IS
        if self._compress_from and len(data) > self._compress_from:
            smaller = zstandard.compress(data, 3)
            if len(smaller) < len(data):
                how, data = _COMPRESSED, smaller
        head = _HEAD + kind.encode() + how
        return b"".join((head, self._sign(key, head, data), data))

    def from_wire(self, key: str, raw: bytes) -> Any:
        """The value, or a :class:`Failure`; raises :exc:`UnreadableError`."""
        start = len(_HEAD)
        head, rest = raw[: start + 2], raw[start + 2 :]
        kind, how = head[start : start + 1].decode("latin-1"), head[start + 1 :]
        if not head.startswith(_HEAD) or kind not in {self._kind, _FAILURE}:
            raise UnreadableError
        if self._key:
            mac, rest = rest[:_MAC], rest[_MAC:]
            if not compare_digest(mac, self._sign(key, head, rest)):
                raise UnreadableError
        try:
            data = _expanded(how, rest)
            return self.unpack(Packed(kind, data, len(data)))
        except Exception as error:  # of a class that is another one now, for example
            raise UnreadableError(str(error)) from error

    @property
    def _kind(self) -> str:
        return _PICKLE if self._pickles else _JSON

    def _sign(self, key: str, head: bytes, data: bytes) -> bytes:
        if not self._key:
            return b""
        name = key.encode("utf-8", "surrogatepass")
        mac = blake2b(len(name).to_bytes(4, "big") + name, digest_size=_MAC, key=self._key)
        mac.update(head)
        mac.update(data)
        return mac.digest()


def _is_small(value: Any) -> bool:
    """Whether JSON has it: no NaN, and no integer of more than 64 bits."""
    if isinstance(value, float):
        return isfinite(value)
    return value is None or -_MOST < value < _MOST


def _is_flat(value: dict[str, Any] | list[Any]) -> bool:
    """Whether all in it can be changed by nobody."""
    parts = value.values() if isinstance(value, dict) else value
    return all(type(each) in _SCALARS for each in parts)


def _checked(packed: Packed) -> Packed:
    if packed.size > _LARGEST:
        raise UnstorableError(f"it takes {packed.size:,} bytes, and {_LARGEST:,} are allowed")
    return packed


def _pickled(value: Any) -> Packed:
    try:
        data = pickle.dumps(value, 4)
    except Exception as error:  # whatever __reduce__ of the user's raises
        raise UnstorableError(f"it can't be pickled: {error}") from error
    return Packed(_PICKLE, data, _OVERHEAD + len(data))


def _as_json(value: Any) -> bytes:
    """Raises :exc:`UnstorableError` for what would not come back as it is."""
    try:
        data = _encode(value)
        if _is_same(value, _decode(data)):
            return data
    except _NO_JSON:
        pass
    raise UnstorableError(f"{_odd_part(value)} does not come back from JSON as it is")


def _odd_part(value: Any, path: str = "it", depth: int = 0) -> str:
    """Names the part that JSON does not give back."""
    parts: list[tuple[str, Any]] = []
    if type(value) is dict:
        for name in value:
            if type(name) is not str:
                return f"{path}, a dict with the key {name!r:.50},"
        parts = [(f"{path}[{name!r:.50}]", each) for name, each in value.items()]
    elif type(value) is list:
        parts = [(f"{path}[{number}]", each) for number, each in enumerate(value)]
    if depth < 20:  # noqa: PLR2004 - what is deeper is named as a whole
        for name, each in parts:
            if not _comes_back(each):
                return _odd_part(each, name, depth + 1)
    return f"{path}, a {type(value).__name__},"


def _comes_back(value: Any) -> bool:
    try:
        return _is_same(value, _decode(_encode(value)))
    except _NO_JSON:
        return False


def _is_same(value: Any, back: Any) -> bool:
    """Whether *back*, which was read from JSON, is equal, and of the same types all through."""
    kind = type(value)
    if kind is not type(back):
        return False
    if kind is list:
        return len(value) == len(back) and all(map(_is_same, value, back))
    if kind is dict:
        return len(value) == len(back) and all(
            type(name) is str and name in back and _is_same(each, back[name])
            for name, each in value.items()
        )
    return bool(value == back)


def _expanded(how: bytes, data: bytes) -> bytes:
    if how == _AS_IT_IS:
        return data
    if how != _COMPRESSED or not 0 <= zstandard.frame_content_size(data) <= _LARGEST:
        raise UnreadableError  # a small one may claim to be huge
    return zstandard.ZstdDecompressor().decompress(data)
