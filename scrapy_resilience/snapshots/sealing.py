"""The file of a snapshot: what is in it, and how any damage to it shows.

::

    magic, length of the header, header (JSON, readable without the key)
    length, chunk     details (JSON)
    length, chunk …   the database and the job's files, one after the other, compressed
    0
    SHA-256 of all before, written last

The chunks are encrypted when there is a key. Reading gives what was written, or an error.
"""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from hmac import compare_digest
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import zstandard
from cryptography.exceptions import InvalidTag

from scrapy_resilience.exceptions import SnapshotError
from scrapy_resilience.snapshots.cipher import Cipher, Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

__all__ = ["MAX_DETAILS", "Reader", "blocks", "blocks_of", "write"]

_MAGIC: Final = b"\x89RSNAP\r\n"
_FORMAT: Final = 1
_LENGTH: Final = struct.Struct(">I")
_CHUNK: Final = 1 << 20
MAX_DETAILS: Final = 1 << 20
"""Bytes that the details may have as JSON."""
_MAX_FRAME: Final = 2 * _CHUNK
_MAX_HEADER: Final = 1 << 16
_LEVEL: Final = 3
_MAX_WINDOW: Final = 1 << 23
"""Bytes of memory that decompression may ask for; the level that is written asks for 2 MB."""
_ZSTD: Final = "zstd"


def write(
    target: IO[bytes],
    header: dict[str, Any],
    details: dict[str, Any],
    source: Iterable[bytes],
    *,
    key: str = "",
    compress: bool = True,
) -> dict[str, Any]:
    """Write a snapshot of all bytes of *source* to *target*; returns the whole header."""
    cipher = Cipher.new(key) if key else Plain()
    full = {
        **header,
        "format": _FORMAT,
        "compression": _ZSTD if compress else None,
        "encryption": cipher.parameters,
    }
    raw = json.dumps(full).encode()
    digest = sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    lead = _MAGIC + _LENGTH.pack(len(raw)) + raw
    put(lead)
    cipher.bind(lead)
    body = _compressed(source) if compress else source
    for chunk, last in _with_last(chain([json.dumps(details).encode()], body)):
        sealed = cipher.seal(chunk, last=last)
        put(_LENGTH.pack(len(sealed)) + sealed)
    put(_LENGTH.pack(0))
    target.write(digest.digest())
    return full


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """The first *size* bytes of a file. Raises :exc:`SnapshotError` when it is shorter."""
    with path.open("rb") as file:
        yield from blocks_of(file, size)


def blocks_of(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The same of a file that is open, and may be gone from its folder."""
    while size:
        block = file.read(min(size, _CHUNK))
        if not block:
            raise SnapshotError(f"{file.name} is too short, no snapshot is made of it")
        size -= len(block)
        yield block


def _compressed(source: Iterable[bytes]) -> Iterator[bytes]:
    chunker = zstandard.ZstdCompressor(level=_LEVEL).chunker(chunk_size=_CHUNK)
    for block in source:
        yield from chunker.compress(block)
    yield from chunker.finish()  # type: ignore[no-untyped-call]


def _with_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    waiting = None
    for chunk in chunks:
        if waiting is not None:
            yield waiting, False
        waiting = chunk
    if waiting is not None:
        yield waiting, True


def _pour(chunks: Iterable[bytes], files: Iterable[tuple[IO[bytes], int]]) -> None:
    """Fill each file to its size, in turn. Raises :exc:`ValueError` when it does not fit."""
    rest = iter(files)
    file, room = next(rest)
    for chunk in chunks:
        left = memoryview(chunk)
        while left:
            while not room:
                file, room = _next_file(rest)
            written = file.write(left[:room])
            left, room = left[written:], room - written
    if room or any(size for _, size in rest):
        raise ValueError("too short")


def _next_file(files: Iterator[tuple[IO[bytes], int]]) -> tuple[IO[bytes], int]:
    for found in files:
        return found
    raise ValueError("too long")


class _Stream:
    """Chunks, as a file that can be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int) -> bytes:
        while not self._left:
            if (chunk := next(self._chunks, None)) is None:
                return b""
            self._left = chunk
        data, self._left = self._left[:size], self._left[size:]
        return data


class Reader:
    """Reads a snapshot from its first byte on; *name* is what errors call it.

    Making one reads the header. Raises :exc:`SnapshotError` for a file that is none.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._digest = sha256()
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise SnapshotError(f"{name} is not a snapshot of scrapy_resilience")
        self._digest.update(_MAGIC)
        (length,) = _LENGTH.unpack(prefix := self._read(_LENGTH.size))
        raw = self._read(length, at_most=_MAX_HEADER)
        self._lead = _MAGIC + prefix + raw
        try:
            self.header: dict[str, Any] = dict(json.loads(raw))
        except (ValueError, TypeError, RecursionError):
            self._damaged()
        if self.header.get("format") != _FORMAT:
            raise SnapshotError(
                f"the snapshot {name} has format {self.header.get('format')}, this version "
                f"reads {_FORMAT}: use the version of scrapy_resilience that wrote it"
            )

    def check(self) -> None:
        """Read all, without the key. Raises :exc:`SnapshotError` when anything is wrong."""
        for _ in self._frames():
            pass

    def details(self, key: str) -> dict[str, Any]:
        """Read no further than the details."""
        frames = self._frames()
        first = next(frames, b"")
        frames.close()
        try:
            return dict(json.loads(self._cipher(key).open(first, last=False)))
        except (ValueError, TypeError, RecursionError, InvalidTag):
            self._damaged()

    def read(
        self,
        key: str,
        targets: Callable[[dict[str, Any]], Iterable[tuple[IO[bytes], int]]],
    ) -> dict[str, Any]:
        """Write everything, or raise an error; returns the details.

        *targets* gives, for the details, the files to write and their sizes, in order.
        """
        cipher = self._cipher(key)
        opened = (cipher.open(frame, last=last) for frame, last in _with_last(self._frames()))
        try:
            details = dict(json.loads(next(opened, b"")))
            _pour(self._decompressed(opened), targets(details))
        except (ValueError, TypeError, RecursionError, InvalidTag, zstandard.ZstdError):
            self._damaged()
        return details

    def _decompressed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """In blocks: some bytes can stand for gigabytes, of which too many are none written."""
        if self.header.get("compression") != _ZSTD:
            return chunks
        source: Any = _Stream(chunks)
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        reader = unpacker.stream_reader(source, read_across_frames=True)
        return iter(lambda: reader.read(_CHUNK), b"")

    def _cipher(self, key: str) -> Cipher | Plain:
        parameters = self.header.get("encryption")
        cipher = Plain() if parameters is None else Cipher.of(parameters, key, self._name)
        cipher.bind(self._lead)
        return cipher

    def _frames(self) -> Generator[bytes, None, None]:
        """Each chunk as it stands; after the last one, whether the digest is right."""
        while length := _LENGTH.unpack(self._read(_LENGTH.size))[0]:
            yield self._read(length, at_most=_MAX_FRAME)
        found = self._digest.digest()
        if not compare_digest(self._file.read(len(found) + 1), found):
            self._damaged()

    def _read(self, length: int, *, at_most: int = _CHUNK) -> bytes:
        if length > at_most:
            self._damaged()
        data = self._file.read(length)
        if len(data) != length:
            raise SnapshotError(f"the snapshot {self._name} is torn: its end is missing")
        self._digest.update(data)
        return data

    def _damaged(self) -> NoReturn:
        raise SnapshotError(f"the snapshot {self._name} is damaged: it is not what was written")
