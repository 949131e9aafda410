"""Which requests are under way, where each counts, what it has put out, and when it is done.

A download slot counts a request from its hand-out until it has left the downloader. One that
bypasses the scheduler counts too, and one whose slot a middleware changes counts where it went.
Scrapy's own slots can't be asked: they count a request as transferring only some turns of the
loop after it was started.

A request is done when the engine is through with it and every request that it put out is
durable or done: one that lives in memory only keeps its parent open, because only the
parent's second run can make it again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.frontier.handed_out import HandedOutRequest, content_key
from scrapy_resilience.frontier.store import Letter

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterable, Mapping

    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Changes, Row

__all__ = ["InFlightRequests"]


_FINGERPRINT: Final = "fingerprint/"


def _fingerprint_name(fingerprint: bytes) -> str:
    return _FINGERPRINT + fingerprint.hex()


def _child_name(parent: HandedOutRequest, key: int) -> str:
    """As short for the thousandth generation as for the first."""
    name = content_key(parent.origin.encode(), key.to_bytes(8, "big", signed=True))
    return f"memory/{name:x}"


def _none() -> None:
    return None


class _Volatile(NamedTuple):
    """A request that lives in memory only, and what becomes durable when it is done."""

    origin: str
    parent: HandedOutRequest | None
    key: int
    fingerprint: bytes | None
    from_start: bool
    replaces: bool


class InFlightRequests:
    """Requests are opaque here: any hashable object, the same one at hand-out and end."""

    def __init__(
        self,
        frontier: Frontier,
        records: Mapping[str, bytes],
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        last_letter: int = 0,
    ) -> None:
        self.under_way: dict[Hashable, HandedOutRequest] = {}
        self._bypassing: dict[Hashable, str] = {}
        self.frozen = False
        """Nothing counts as done any more; what is put out is recorded all the same."""
        self._frontier = frontier
        self._records = dict(records)
        self._by_fingerprint = any(name.startswith(_FINGERPRINT) for name in records)
        self._encode = encode
        self._decode = decode
        self._volatile: dict[int, _Volatile] = {}
        self.open_starts = 0
        """Requests of ``start()`` that live in memory only, and are not done."""
        self._open: set[HandedOutRequest] = set()  # finished, with children in memory
        self._forget: list[str] = []
        self._starts: Counter[int] = Counter()
        self._repeating: set[HandedOutRequest] = set()  # have a record of an earlier run
        self._handed_on: dict[str, bytes] = {}
        self._letters: list[Letter] = []  # for the next commit
        self._last_letter = last_letter

    def handed_out(
        self,
        request: Hashable,
        row: Row,
        fingerprint: Callable[[], bytes | None] = _none,
        *,
        lane: str | None = None,
        slot: str | None = None,
    ) -> None:
        """*fingerprint* gives that of a request that was filtered by it.

        The frontier counts a request of *lane* at *slot* already.
        """
        volatile = self._volatile.get(row.number)
        origin = volatile.origin if volatile else str(row.number)
        if self._by_fingerprint and volatile is None:
            origin = self._earlier_origin(fingerprint()) or origin
        record = self._records.pop(origin, None)
        producer = HandedOutRequest(
            origin, row, None if record is None else self._decode(record)
        )
        if record is not None:
            self._repeating.add(producer)
        if volatile is not None and volatile.replaces and volatile.parent is not None:
            producer.go_on_from(volatile.parent)
        producer.lane, producer.slot = lane, slot
        self.under_way[request] = producer

    def _earlier_origin(self, fingerprint: bytes | None) -> str | None:
        """The name that a request had in the last run, when it lived in memory there."""
        name = _fingerprint_name(fingerprint) if fingerprint is not None else None
        return name if name in self._records else None

    def add_volatile(
        self,
        row: Row,
        key: int,
        fingerprint: bytes | None,
        *,
        parent: HandedOutRequest | None = None,
        from_start: bool = False,
        replaces: bool = False,
    ) -> None:
        """A request was pushed that lives in memory only.

        *replaces*: it stands for its parent, as a second try does.
        """
        if parent is not None:
            parent.open_children += 1
        self.open_starts += from_start
        if fingerprint is not None:  # the next run may find it on another page first
            origin = _fingerprint_name(fingerprint)
        elif parent is not None:
            origin = parent.origin if replaces else _child_name(parent, key)
        elif from_start:
            self._starts[key] += 1
            origin = f"start/{key:x}.{self._starts[key]}"
        else:
            origin = ""  # nobody makes it again
        replaces = replaces and fingerprint is None
        self._volatile[row.number] = _Volatile(
            origin, parent, key, fingerprint, from_start, replaces
        )

    def give_up(
        self,
        request: Hashable,
        about: bytes,
        encode: Callable[[Any], bytes | None],
        *,
        anew: bool = False,
    ) -> bool:
        """Write a dead letter in the commit in which *request* is done.

        The first one of a request counts. *encode* gives the bytes of one that lives in memory
        only. *anew*: a replay repeats what it has put out.

        Returns False for a request that is not under way, unless nothing counts any more.
        """
        producer = self.under_way.get(request)
        if producer is not None and not self.frozen:  # else the next run tries it again
            data = producer.row.data
            stored = data if isinstance(data, bytes) else encode(request)
            producer.give_up(Letter(0, stored, about), anew=anew)
        return producer is not None or self.frozen

    def only_items(self, ordinals: Iterable[int]) -> bytes:
        """The record of a request that runs again for these items only."""
        return self._encode([[], [], sorted(ordinals)])

    def number(self, letters: Iterable[Letter]) -> list[Letter]:
        """Letters that come later than others of their commit."""
        numbered = []
        for letter in letters:
            self._last_letter += 1
            numbered.append(letter._replace(number=self._last_letter))
        return numbered

    def add_letter(self, letter: Letter) -> None:
        """Write a dead letter with the next commit."""
        self._letters.append(letter)

    @property
    def repeats(self) -> bool:
        """Whether any request under way has put out something in an earlier run."""
        return bool(self._repeating)

    def hand_on(self, producer: HandedOutRequest | None, row: Row) -> None:
        """A stored request stands for another, as a second try does: it repeats nothing."""
        if producer is not None and producer in self._repeating:
            name = str(row.number)
            self._records[name] = self._handed_on[name] = self._encode(producer.record())

    def reached(self, request: Hashable, slot: str) -> None:
        """A request has reached the downloader, in *slot*."""
        found = self.under_way.get(request)
        if found is None:
            if request not in self._bypassing:
                self._bypassing[request] = slot
                self._frontier.occupy(slot)
            return
        lane, found.lane = found.lane, None
        if found.slot == slot:
            return
        if lane is not None:
            self._frontier.reroute(lane, slot)  # the next ones will go there too
        if found.slot is not None:
            self._frontier.vacate(found.slot)
        found.slot = slot
        self._frontier.occupy(slot)

    def left(self, request: Hashable) -> None:
        """A request has left the downloader, or has ended before it."""
        slots = [self._bypassing.pop(request, None)]
        if (found := self.under_way.get(request)) is not None:
            slots.append(found.slot)
            found.slot = found.lane = None
        for slot in slots:
            if slot is not None:
                self._frontier.vacate(slot)

    def vacate(self, downloading: Container[Hashable]) -> bool:
        """Free the slots of what is not *downloading*; whether there was any.

        Some requests end before the downloader, as cached ones do, and nobody says so.
        """
        counted = (each for each, found in self.under_way.items() if found.slot is not None)
        gone = [each for each in (*counted, *self._bypassing) if each not in downloading]
        for request in gone:
            self.left(request)
        return bool(gone)

    def collect(self, busy: Container[Hashable]) -> int:
        """Close what is under way here but not in *busy*. Returns how many are done.

        What somebody still downloads for itself goes on to count.
        """
        if self.frozen:
            return 0
        done = 0
        for request in [each for each in self.under_way if each not in busy]:
            found = self.under_way.pop(request)
            if found.slot is not None:
                self._bypassing[request] = found.slot
            done += self._finish(found)
        return done

    def ended(self, busy: Container[Hashable]) -> int:
        """How many :meth:`collect` would find done, children in memory not waited for."""
        if self.frozen:
            return 0
        return sum(
            each not in busy and not found.open_children
            for each, found in self.under_way.items()
        )

    def freeze(self) -> None:
        """What is under way now stays so for the next run, however it ends in this one."""
        self.frozen = True

    def _finish(self, producer: HandedOutRequest) -> int:
        producer.finished = True
        if producer.open_children:
            self._open.add(producer)
            return 0
        return self._close(producer)

    def _close(self, producer: HandedOutRequest) -> int:
        """Returns how many are done with it: a chain of parents may be thousands long."""
        done, current = 0, producer
        while True:
            done += 1
            self._open.discard(current)
            self._repeating.discard(current)
            if current.recorded:
                self._forget.append(current.origin)
            self._frontier.done(current.row)
            if current.letter is not None:
                self._letters.append(self._with_record(current, current.letter))
            volatile = self._volatile.pop(current.row.number, None)
            parent = None if volatile is None else self._settle(volatile)
            if parent is None or not parent.done:
                return done
            current = parent

    def _with_record(self, producer: HandedOutRequest, letter: Letter) -> Letter:
        if producer.puts_out_again:
            return letter
        return letter._replace(record=self._encode(producer.record()))

    def _settle(self, volatile: _Volatile) -> HandedOutRequest | None:
        """A request in memory is done: what was waiting for that becomes durable."""
        if volatile.fingerprint is not None:
            self._frontier.settle(volatile.fingerprint)
        self.open_starts -= volatile.from_start
        if volatile.from_start:
            self._frontier.note_start(volatile.key)
        if volatile.parent is not None:
            volatile.parent.put_out(volatile.key)
            volatile.parent.open_children -= 1
        return volatile.parent

    def contribute(self, changes: Changes) -> None:
        """Record what unfinished requests have put out, and dead letters, in a commit."""
        changes.outputs.update(self._handed_on)
        self._handed_on = {}
        for origin in self._forget:
            changes.outputs[origin] = None
        self._forget = []
        for producer in (*self.under_way.values(), *self._open):
            if producer.dirty and producer.origin:
                changes.outputs[producer.origin] = self._encode(producer.record())
        changes.letters += self.number(self._letters)
        self._letters = []
