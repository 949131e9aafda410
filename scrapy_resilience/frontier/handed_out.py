"""What a callback has already put out, so that its second run repeats nothing.

A request that is done needs no second run. One whose callback was under way at a commit
runs again after a crash; what it had put out by then is recorded with the commit and
left out the second time: items by their ordinal, requests by what they ask for. The
same holds for ``start()``, which begins anew at each resume: its outputs may come in
another order and with new ones among them, so each is known by its content and not by
its place.

An item that was written, and that a sink has refused later, is a dead letter of its own: its
request runs again for this item only.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy_resilience.frontier.store import Letter, Row

__all__ = ["HandedOutRequest", "StartOutputs", "content_key"]


def content_key(*parts: bytes) -> int:
    """A 64-bit key of *parts*; two of a million collide with a chance of 3 in 10⁸."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True)


class StartOutputs:
    """The outputs of ``start()`` that earlier runs have done, each claimed once.

    A key that was recorded twice is claimed twice. 9 bytes a key.
    """

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self._keys = array("q", sorted(array("q", keys)))
        self._claimed = bytearray(len(self._keys))
        self._next: dict[int, int] = {}  # of keys that are there more than once

    def claim(self, key: int) -> bool:
        """Whether an earlier run has done one more output with this key."""
        place = self._next.get(key) or bisect_left(self._keys, key)
        if not self._holds(place, key) or self._claimed[place]:
            return False
        self._claimed[place] = 1
        if self._holds(place + 1, key):
            self._next[key] = place + 1
        return True

    def _holds(self, place: int, key: int) -> bool:
        return place < len(self._keys) and self._keys[place] == key


class HandedOutRequest:
    """A request under way: where it counts, and what items and requests come of it.

    *lane* is that of the frontier until the request has reached the downloader, *slot* the one
    that counts it until it has left. *origin* names it across runs. A request that lives in
    memory only is named by its fingerprint, or by its parent's origin and its own key: its
    parent runs again and makes it anew.
    """

    __slots__ = (
        "anew", "children", "dirty", "finished", "lane", "letter", "next_ordinal",
        "occurrences", "only", "open_children", "origin", "recorded", "row", "slot", "written",
    )  # fmt: skip

    def __init__(self, origin: str, row: Row, record: Any = None) -> None:
        written, children, *only = record or ((), ())
        self.origin = origin
        self.row = row
        self.lane: str | None = None
        self.slot: str | None = None
        self.written: set[int] = set(written)
        self.children: set[int] = set(children)
        self.only: set[int] | None = set(only[0]) if only else None
        """Ordinals of the items that it runs for; None for all."""
        self.next_ordinal = 0
        self.occurrences: Counter[int] = Counter()
        self.open_children = 0
        self.finished = False
        self.dirty = False
        self.recorded = record is not None
        self.letter: Letter | None = None
        self.anew = False

    def go_on_from(self, other: HandedOutRequest) -> None:
        """Stand for another request, with what it has put out in this run and the last."""
        self.written, self.children, self.only = other.written, other.children, other.only
        self.recorded = other.recorded

    # items

    def next_item(self) -> tuple[int, bool]:
        """The ordinal of the next item, and whether it was written before."""
        ordinal = self.next_ordinal
        self.next_ordinal += 1
        is_other = self.only is not None and ordinal not in self.only
        return ordinal, is_other or ordinal in self.written

    def item_written(self, ordinal: int) -> None:
        self.written.add(ordinal)
        self.dirty = True

    # requests

    def child(self, key: int) -> int:
        """The name of the next request with this key, the same in each run."""
        self.occurrences[key] += 1
        return content_key(key.to_bytes(8, "big", signed=True), b"%d" % self.occurrences[key])

    def has_put_out(self, child: int) -> bool:
        """Whether an earlier run has put out this request."""
        return self.only is not None or child in self.children

    def put_out(self, child: int) -> None:
        """This request is durable or done."""
        self.children.add(child)
        self.dirty = True

    # end

    def give_up(self, letter: Letter, *, anew: bool) -> None:
        """The first reason counts. *anew*: its second run repeats what it has put out."""
        if self.letter is None:
            self.letter, self.anew = letter, anew

    @property
    def puts_out_again(self) -> bool:
        """Whether a replay has nothing to leave out."""
        return self.only is None and (self.anew or not (self.written or self.children))

    @property
    def done(self) -> bool:
        return self.finished and not self.open_children

    def record(self) -> list[list[int]]:
        """What the next run needs: plain, for the codec."""
        self.dirty, self.recorded = False, True
        found = [sorted(self.written), sorted(self.children)]
        return found if self.only is None else [*found, sorted(self.only)]
