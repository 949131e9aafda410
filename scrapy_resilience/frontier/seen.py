"""Most links are to new pages, or to the same few: neither needs a question to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scrapy_resilience.frontier.store import Store

__all__ = ["SeenFilter"]

_BITS: Final = 2**19
"""64 KB, to begin with."""
_MOST: Final = 2**25
"""4 MB: of a million fingerprints 6 in 100 new ones are taken for perhaps known."""
_GROWS: Final = 4
_FULL: Final = 64
"""Bits for each fingerprint; with fewer it grows."""
_PAGE: Final = 64
_MOST_MET: Final = 4096
"""Fingerprints, of some 100 bytes each."""


class SeenFilter:
    """A Bloom filter with one hash function: never wrong when it says that one is new.

    Asking the store costs some µs and lets go of Python's lock, which the thread that
    writes a commit then takes: the event loop would wait for it at each new page. What the
    store was found to hold is kept for a while: a site's pages have most links in common.

    The fingerprints that *store* holds at the start are learned a few at a time; until all
    are, each one may be known.
    """

    def __init__(self, store: Store, *, bits: int = _BITS, most: int = _MOST) -> None:
        self._store = store
        self._size = bits
        self._most = most
        self._bits = bytearray(bits // 8)
        self._room = bits // _FULL
        """Fingerprints until it grows; below 0 it does not any more."""
        self._learned: bytes | None = b""
        self._met: set[bytes] = set()
        """Some of those that *store* holds; it forgets none."""

    def add(self, fingerprint: bytes) -> None:
        self._room -= 1
        if not self._room:
            self._grow()
        place = hash(fingerprint) % self._size
        self._bits[place >> 3] |= 1 << (place & 7)

    def may_hold(self, fingerprint: bytes) -> bool:
        if self._learned is not None:
            return True
        place = hash(fingerprint) % self._size
        return bool(self._bits[place >> 3] >> (place & 7) & 1)

    def stored(self, fingerprint: bytes) -> bool:
        """Whether the store holds it."""
        if fingerprint in self._met:
            return True
        if not self._store.seen(fingerprint):
            return False
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met.add(fingerprint)
        return True

    def _grow(self) -> None:
        """Each bit is put in all places that a longer remainder may lead to."""
        before = self._size
        if before * _GROWS <= self._most:
            self._size *= _GROWS
            self._bits *= _GROWS
        self._room = (self._size - before) // _FULL or -1

    def learn(self) -> None:
        """Read some more of what the store held at the start."""
        if self._learned is None:
            return
        page = self._store.fingerprints(self._learned, _PAGE)
        for fingerprint in page:
            self.add(fingerprint)
        self._learned = page[-1] + b"\0" if len(page) == _PAGE else None
