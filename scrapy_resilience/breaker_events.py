"""What circuit breakers outside of a crawl tell, and to whom."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy_resilience._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from scrapy_resilience.core.breaker import Event, State

    Listener = Callable[["BreakerEvent"], object]

__all__ = ["BreakerEvent", "EventKind", "Listeners"]

logger = get_logger(__name__)


class EventKind(Enum):
    """What a listener is told of."""

    TRANSITION = "transition"
    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class BreakerEvent(NamedTuple):
    """One event of a :class:`CircuitBreaker`.

    :param kind: what happened
    :param breaker: the breaker's name
    :param duration: the seconds that the call took; 0.0 when there was none
    :param error: what the call has raised, None when nothing
    :param old: the state before a transition, else None
    :param new: the state after it, else None
    :param reason: the cause of a transition, such as ``failure rate`` or ``reset``, else empty
    """

    kind: EventKind
    breaker: str
    duration: float = 0.0
    error: BaseException | None = None
    old: State | None = None
    new: State | None = None
    reason: str = ""


class Listeners:
    """Those who are told what one breaker does: after the fact, and without its *lock*."""

    def __init__(self, breaker: str, lock: RLock) -> None:
        self._breaker = breaker
        self._lock = lock
        self._listeners: tuple[Listener, ...] = ()
        self._transitions: list[BreakerEvent] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener*, too; returns what ends that."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def remove() -> None:
            with self._lock:
                self._listeners = tuple(
                    other for other in self._listeners if other is not listener
                )

        return remove

    def note(self, old: State, new: State, reason: Event) -> None:
        """Keep a transition until the lock is free."""
        event = BreakerEvent(EventKind.TRANSITION, self._breaker, old=old, new=new)
        self._transitions.append(event._replace(reason=reason.value))

    def tell(self, kind: EventKind | None = None, **details: Any) -> None:
        """Tell the transitions that were noted, after an event of that kind, if any."""
        if not (self._listeners or self._transitions):
            return
        with self._lock:
            transitions, self._transitions = self._transitions, []
        if kind is not None:
            transitions.insert(0, BreakerEvent(kind, self._breaker, **details))
        for event in transitions:
            for listener in self._listeners:
                self._call(listener, event)

    def _call(self, listener: Listener, event: BreakerEvent) -> None:
        try:
            listener(event)
        except Exception:
            logger.exception("A listener of circuit breaker %r failed", self._breaker)
