"""An entry of the HTTP cache as bytes, and back: nothing in it is code, or loads any.

A byte for the format, the time at which it was stored, and what ``Response.to_dict()`` gives
as MessagePack, compressed and with a checksum.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

import zstandard
from scrapy.http import Response

from scrapy_resilience.frontier.codec import UnserializableError, ValueCodec, loaded_object

__all__ = ["Codec", "Entry", "EntryError"]

_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">Bd")
_LEVEL: Final = 1
"""A page is compressed in the event loop: 0.1 ms for 26 KB, half of what 3 takes."""
_BESIDE_BODY: Final = 1 << 20
"""Bytes that an entry may have beside the body of its page."""


class EntryError(ValueError):
    """A response can't be an entry, or an entry can't be read; the text says why."""


class Entry(NamedTuple):
    """A page in a store: *stored* is in seconds since 1970."""

    key: bytes
    stored: float
    data: bytes


class Codec:
    """*most*: bytes that a body may have, as ``DOWNLOAD_MAXSIZE`` says; 0 for any number."""

    def __init__(self, most: int = 0) -> None:
        self._most = most and most + _BESIDE_BODY
        self._values = ValueCodec(allow_pickle=False)
        self._packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._unpacker = zstandard.ZstdDecompressor()

    def encode(self, response: Response, stored: float) -> bytes:
        """Raises :exc:`EntryError` for a response that plain data can't give back."""
        plain = response.to_dict()
        path = plain.get("_class")
        if path is not None and loaded_object(path) is not type(response):
            raise EntryError(f"its class {path} is not at the top of a module")
        if plain.get("ip_address") is not None:
            plain["ip_address"] = str(plain["ip_address"])
        try:
            packed = self._values.encode(plain)
        except UnserializableError as error:
            kind = type(response).__qualname__
            raise EntryError(
                f"its {kind} holds what is not plain data: let to_dict() put text, numbers, "
                "lists or dicts in its place"
            ) from error
        return _HEAD.pack(_FORMAT, stored) + self._packer.compress(packed)

    def decode(self, data: bytes) -> tuple[Response, float]:
        """The response, and when it was stored. Raises :exc:`EntryError`."""
        try:
            form, stored = _HEAD.unpack_from(data)
            if form == _FORMAT:
                return self._response(memoryview(data)[_HEAD.size :]), stored
        except EntryError:
            raise
        except Exception as error:  # of bytes that nobody has encoded
            raise EntryError("it is damaged") from error
        raise EntryError("another version of scrapy_resilience has stored it")

    def _response(self, packed: memoryview) -> Response:
        if 0 < self._most < zstandard.frame_content_size(packed):
            raise EntryError("it is larger than DOWNLOAD_MAXSIZE allows")
        plain = self._values.decode(self._unpacker.decompress(packed))
        path = plain.get("_class")
        cls = Response if path is None else loaded_object(path)
        if not (isinstance(cls, type) and issubclass(cls, Response)):
            raise EntryError(f"the project has not loaded its class {path}")
        if plain.get("ip_address") is not None:
            plain["ip_address"] = ip_address(plain["ip_address"])
        return cls.from_dict(plain)
