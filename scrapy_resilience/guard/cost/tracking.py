"""Blocks that spend something: for as long as they run, or as much as they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from scrapy_resilience import _clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ["Tracking"]

_SECONDS: Final = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}


class Tracker(Protocol):
    """What counts."""

    def track(
        self,
        resource: str,
        amount: float = 1,
        *,
        domain: str | None = None,
        proxy: str | None = None,
    ) -> bool: ...

    def check(self, resource: str, amount: float = 0) -> None: ...

    def timed(self, tracking: Tracking, *, begins: bool) -> None: ...


class Tracking:
    """A context manager, ``async with`` too; a block that raises is counted as well.

    A resource whose name ends with ``_seconds``, ``_minutes`` or ``_hours`` is charged for the
    time of the block, up to the present one with each commit. Of any other one, what
    :meth:`add` is told.
    """

    def __init__(
        self,
        tracker: Callable[[], Tracker],
        resource: str,
        domain: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self._find = tracker
        self._resource = resource
        self._place = {"domain": domain, "proxy": proxy}
        self._unit = _SECONDS.get(resource.rpartition("_")[2], 0.0)
        self._since = 0.0

    def add(self, amount: float) -> bool:
        """Count so much more; returns what :meth:`CostTracker.track` does."""
        return self._tracker.track(self._resource, amount, **self._place)

    def __enter__(self) -> Self:
        self._tracker = self._find()
        self._tracker.check(self._resource)
        if self._unit:
            self._since = _clock.monotonic()
            self._tracker.timed(self, begins=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._unit:
            self._tracker.timed(self, begins=False)
            self.charge()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def charge(self) -> None:
        """Count the time since the last call."""
        now = _clock.monotonic()
        since, self._since = self._since, now
        self.add(max(now - since, 0.0) / self._unit)
