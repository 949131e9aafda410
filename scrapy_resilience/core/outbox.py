"""The outbox: notices that wait to be sent, to which channel, and when.

::

    event ── wanted by no rule, or told just before ──► forgotten
      │
      ├── one of its kind waits, and nobody has begun to send it ──► joins it
      │
      └── a new notice ──► waits for its group to be complete (group seconds)
                           ──► waits for each of its channels: for the limit of messages an
                               hour, and after a failure for the channel's next try
                           ──► sent ──► forgotten when all of its channels have it

Each channel sends one at a time, the most severe first. A channel that fails is left alone
for longer each time; what a receiver refuses for good is dropped.

A *vague* channel does not say whom it has reached when it fails: each try may have brought the
notice to somebody. So a try counts as one of the messages of an hour, the notice comes behind
those that were tried less often, and is given up after some tries.

*now* is an argument, in seconds since 1970: what is here outlives the process.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.core.backoff import RetryPolicy
from scrapy_resilience.core.notices import Notice, rank
from scrapy_resilience.core.ratelimit import Rate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from scrapy_resilience.core.notices import Rule

__all__ = ["KEPT", "MOST", "Channel", "Next", "Outbox", "fold"]

MOST: Final = 1000
"""Notices that wait; beyond, the oldest of the least severe ones is dropped."""
KEPT: Final = 7 * 86_400.0
"""Seconds after which a notice is too old to be sent."""
_LONGEST_WAIT: Final = 3600.0
"""Seconds that a receiver may ask for."""
_RETRIES: Final = RetryPolicy(1, 1.0, 2.0, 300.0, 0.5)
_VAGUE_RETRIES: Final = RetryPolicy(12, 1.0, 4.0, 2400.0, 0.5)
"""Of a notice: some four hours together."""
_HOUR: Final = 3600.0
_KNOWN: Final = 1000
"""Kinds and domains of which it is known what was told last."""
_DONE_KEPT: Final = 20


class Next(NamedTuple):
    """What a channel has to do."""

    notice: Notice | None = None
    """To be sent now."""
    at: float | None = None
    """Else when there will be one, if nothing happens before; None: there is none."""


@dataclass(eq=False)
class Channel:
    """Where notices go, and how that went."""

    rule: Rule
    buckets: dict[bool, TokenBucket]
    """Of messages an hour; urgent ones have one of their own."""
    retry_at: float = 0.0
    failures: int = 0
    """In a row."""
    sent: int = 0
    problem: str = ""
    """Why the last try has failed; empty when it has not."""
    begun: set[str] = field(default_factory=set)
    """Ids of what may have got there."""
    is_vague: bool = False
    retries: dict[str, float] = field(default_factory=dict)
    """When a vague one is asked to take a notice again, by its id."""

    def forget(self, ident: str) -> None:
        """That notice is none of its any more."""
        self.begun.discard(ident)
        self.retries.pop(ident, None)


class Outbox:
    """Notices of one crawl.

    *new_id* gives ids that nobody has given before; *random*, numbers from 0 to 1. *about* is
    what each notice says of the crawl: ``spider``, ``job`` and ``run``. *vague* has the names
    of vague channels.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        new_id: Callable[[], str],
        random: Callable[[], float],
        about: Mapping[str, Any] | None = None,
        per_hour: int = 10,
        group: float = 5.0,
        repeat_after: float = 3600.0,
        most: int = MOST,
        vague: Collection[str] = (),
    ) -> None:
        rate = Rate(per_hour / _HOUR, per_hour)
        self.channels = {
            name: Channel(
                rule,
                {urgent: TokenBucket(rate, 0.0) for urgent in (False, True)},
                is_vague=name in vague,
            )
            for name, rule in rules.items()
        }
        self.notices: dict[str, Notice] = {}
        """That wait, by id."""
        self.dropped = 0
        """That were not sent and never will be."""
        self._new_id = new_id
        self._random = random
        self._about = dict(about or {})
        self._group = group
        self._repeat_after = repeat_after
        self._most = most
        self._open: dict[tuple[str, str], str] = {}
        self._told: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._changed: dict[str, Notice] = {}
        self._is_flushed = False

    # --- what comes in ---

    def event(
        self, kind: str, text: str, severity: str, domain: str, now: float
    ) -> Notice | None:
        """Something has happened: the notice that tells it, where it is a new one."""
        names = self._names(kind, severity)
        if not names or self._is_repeated(kind, text, domain, now):
            return None
        notice = self.notices.get(self._open.get((kind, severity), ""))
        if notice is not None and not self._is_begun(notice):
            notice.join(text, domain, now)
            self._mark(notice)
            return None
        notice = self._notice(kind, severity, now, names, texts=[text], domain=domain)
        notice.due = now + self._group
        self._add(notice)
        self._open[kind, severity] = notice.id
        return notice

    def tell(self, kind: str, text: str, severity: str, now: float, **more: Any) -> None:
        """A notice of its own, with nothing to wait for; *more* are fields of it."""
        if names := self._names(kind, severity):
            self._add(self._notice(kind, severity, now, names, texts=[text], **more))

    def flush(self) -> None:
        """Nothing else comes: no notice waits for others of its kind."""
        self._is_flushed = True

    def _names(self, kind: str, severity: str) -> list[str]:
        channels = self.channels.items()
        return [name for name, channel in channels if channel.rule.wants(kind, severity)]

    def _is_repeated(self, kind: str, text: str, domain: str, now: float) -> bool:
        """Whether this was the last that was told of it, not long ago."""
        last, at = self._told.pop((kind, domain), ("", 0.0))
        repeated = last == text and 0 <= now - at < self._repeat_after
        self._told[kind, domain] = (last, at) if repeated else (text, now)
        if len(self._told) > _KNOWN:
            self._told.popitem(last=False)
        return repeated

    def _is_begun(self, notice: Notice) -> bool:
        tried = any(notice.id in channel.begun for channel in self.channels.values())
        return bool(notice.sent) or tried

    def _notice(
        self, kind: str, severity: str, now: float, names: list[str], **more: Any
    ) -> Notice:
        about: dict[str, Any] = {
            "id": self._new_id(),
            "time": now,
            "kind": kind,
            "severity": severity,
        }
        return Notice(**about, left=names, **self._about, **more)

    def _add(self, notice: Notice) -> None:
        self._keep(notice)
        self._mark(notice)

    def _keep(self, notice: Notice) -> None:
        while len(self.notices) >= self._most:
            waiting = self.notices.values()
            self._drop(min(waiting, key=lambda each: (rank(each.severity), each.time)))
        self.notices[notice.id] = notice

    def _drop(self, notice: Notice) -> None:
        self.dropped += 1
        notice.left = []
        self._settle(notice)

    # --- what goes out ---

    def next(self, name: str, now: float) -> Next:
        """What the channel *name* has to do, which sends nothing else meanwhile."""
        channel = self.channels[name]
        earliest: float | None = None
        for notice in self._waiting(name):
            bucket = channel.buckets[notice.is_urgent]
            due = 0.0 if self._is_flushed else _within(notice.due, now, self._group)
            retry_at = max(channel.retry_at, channel.retries.get(notice.id, 0.0))
            retry_at = _within(retry_at, now, _LONGEST_WAIT)
            at = max(due, retry_at, bucket.ready_at(now))
            if at <= now:
                channel.begun.add(notice.id)
                return Next(notice)
            earliest = at if earliest is None else min(at, earliest)
        return Next(at=earliest)

    def _waiting(self, name: str) -> list[Notice]:
        """In the order in which they go to that channel."""
        return sorted(
            (each for each in self.notices.values() if name in each.left),
            key=lambda each: (each.tries.get(name, 0), -rank(each.severity), each.time),
        )

    def sent(self, name: str, notice: Notice, now: float) -> None:
        """The channel has it."""
        channel = self.channels[name]
        channel.sent += 1
        channel.failures, channel.retry_at, channel.problem = 0, 0.0, ""
        channel.buckets[notice.is_urgent].take(now)
        notice.sent[name] = now
        self._leave(name, notice)

    def failed(
        self,
        name: str,
        notice: Notice,
        now: float,
        problem: str,
        *,
        rejected: bool = False,
        retry_after: float | None = None,
        begun: bool = True,
    ) -> None:
        """It did not get there, or nobody knows.

        :param rejected: it never will
        :param begun: it may have got to somebody
        """
        channel = self.channels[name]
        channel.problem = problem
        if not rejected:
            channel.failures += 1
            if channel.is_vague and begun:
                self._tried(name, notice, now)
            else:
                delay = _RETRIES.delay(channel.failures, self._random)
                wanted = min(retry_after or 0.0, _LONGEST_WAIT)
                channel.retry_at = now + max(delay, wanted)
        is_enough = notice.tries.get(name, 0) >= _VAGUE_RETRIES.attempts
        if rejected or is_enough or now - notice.time > KEPT:
            self.dropped += 1
            self._leave(name, notice)

    def _tried(self, name: str, notice: Notice, now: float) -> None:
        """Somebody whom that channel reaches may have it."""
        channel = self.channels[name]
        tries = notice.tries[name] = notice.tries.get(name, 0) + 1
        channel.buckets[notice.is_urgent].take(now)
        channel.retries[notice.id] = now + _VAGUE_RETRIES.delay(tries, self._random)
        channel.retry_at = 0.0
        self._mark(notice)

    def _leave(self, name: str, notice: Notice) -> None:
        self.channels[name].forget(notice.id)
        if name in notice.left:  # it may have been dropped meanwhile
            notice.left.remove(name)
        self._settle(notice)

    def _settle(self, notice: Notice) -> None:
        """Forget it when no channel waits for it."""
        self._mark(notice)
        if not notice.left:
            self.notices.pop(notice.id, None)
            for channel in self.channels.values():
                channel.forget(notice.id)

    def waiting(self, name: str | None = None) -> int:
        """Notices that were not sent, to that channel or to all that they are for."""
        each = self.notices.values()
        return sum(1 for notice in each if name is None or name in notice.left)

    # --- what outlives the process ---

    def _mark(self, notice: Notice) -> None:
        self._changed[notice.id] = notice
        while len(self._changed) > 2 * self._most:  # nobody asks for them
            del self._changed[next(iter(self._changed))]

    def changed(self) -> Notice | None:
        """One that is new or different since it was last asked for."""
        if not self._changed:
            return None
        return self._changed.pop(next(iter(self._changed)))

    def restore(self, notices: Iterable[Notice], now: float) -> None:
        """Go on with those of earlier runs, of each of which the last version counts."""
        latest = {notice.id: notice for notice in notices}
        sent = [
            (at, name, notice.is_urgent)
            for notice in latest.values()
            for name, at in notice.sent.items()
            if name in self.channels and now - _HOUR <= at <= now
        ]
        for at, name, urgent in sorted(sent):
            self.channels[name].buckets[urgent].take(at)
        for notice in latest.values():
            self._restore(notice, now)

    def _restore(self, notice: Notice, now: float) -> None:
        if not notice.left:
            return
        left = [name for name in notice.left if name in self.channels]
        if now - notice.time > KEPT or not left:
            self._drop(notice)
            return
        notice.left = left
        notice.due = min(notice.due, now)
        self._keep(notice)


def _within(at: float, now: float, seconds: float) -> float:
    """*at*, but never when that is further off than it can be: the clock was set back."""
    return at if at <= now + seconds else 0.0


def fold(entries: list[tuple[int, Notice]]) -> list[tuple[int, Notice]]:
    """What is kept of (commit, notice) pairs: the last versions, and few that were sent."""
    latest = {notice.id: (commit, notice) for commit, notice in entries}
    done = [key for key, (_, notice) in latest.items() if not notice.left]
    for key in done[:-_DONE_KEPT]:
        del latest[key]
    return sorted(latest.values(), key=lambda entry: entry[0])
