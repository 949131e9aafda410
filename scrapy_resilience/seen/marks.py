"""What is written down of a page that was seen."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, NamedTuple

from scrapy_resilience.core.masking import mask

__all__ = [
    "DIGEST", "Batch", "Entry", "Mark", "Validators", "digests", "ident_of_key",
    "ident_of_page", "kept_url",
]  # fmt: skip

DIGEST: Final = 6
"""Bytes of the hash of an item: of 10**9 items that have changed, one passes for unchanged with
a chance of 0.0004 %."""
_LONGEST: Final = 2_000
"""Characters of a URL or key that are kept."""


class Entry(NamedTuple):
    """A page, as a store knows it."""

    at: int
    """When it was seen, in seconds since 1970."""
    period: int | None
    """As in :mod:`scrapy_resilience.core.revisit`."""
    content: bytes
    """The hashes of its items, one behind the other."""


class Validators(NamedTuple):
    """What a server has said of the state of a page: the values of two headers."""

    etag: bytes | None
    modified: bytes | None


class Mark(NamedTuple):
    """That a page was seen. All that a store is to know of it."""

    ident: int
    at: int
    period: int | None
    content: bytes
    page: int | None = None
    """By which its validators are known: the page itself, where *ident* is that of a key."""
    etag: bytes | None = None
    modified: bytes | None = None
    keeps: bool = False
    """Whether the validators stay as they are."""
    url: str | None = None


class Batch(NamedTuple):
    """The marks that a commit of a job has made durable; 0 without a job."""

    number: int
    marks: list[Mark]

    def plain(self) -> list[Any]:
        return [self.number, [list(mark) for mark in self.marks]]

    @classmethod
    def of(cls, plain: list[Any]) -> Batch:
        number, marks = plain
        return cls(int(number), [Mark(*mark) for mark in marks])


def ident_of_page(fingerprint: bytes) -> int:
    """64 bits that stand for a request.

    Of 10 million pages in a store, a new one has the number of another with a chance of
    10**7 / 2**64, one in 2 * 10**12.
    """
    return _ident(b"page:", fingerprint)


def ident_of_key(key: Any) -> int:
    """Likewise, for a key of the user's."""
    return _ident(b"key:", str(key).encode("utf-8", "surrogatepass"))


def _ident(kind: bytes, value: bytes) -> int:
    return int.from_bytes(blake2b(kind + value, digest_size=8).digest(), "big", signed=True)


def digests(content: bytes) -> frozenset[bytes]:
    """The hashes of items that *content* is made of."""
    return frozenset(
        content[start : start + DIGEST] for start in range(0, len(content), DIGEST)
    )


def kept_url(text: str) -> str:
    """A URL or key as it is kept: for people, and without secrets."""
    return mask(text)[:_LONGEST].encode("utf-8", "replace").decode()
