"""What a job keeps of the gates, and when it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock
from scrapy_resilience.checkpoint.state import GATES

if TYPE_CHECKING:
    from scrapy_resilience.core.gates import Gates
    from scrapy_resilience.gates.asking import Asking

__all__ = ["SavedGates"]

_COMMIT_WITHIN: Final = 0.1
"""Seconds after which a hold is written down: it must survive a kill."""


class SavedGates:
    """Takes part in commits from :meth:`attach` to :meth:`close`."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._scheduler: Asking | None = None
        self._timer: Any = None

    def attach(self, scheduler: Asking) -> None:
        """Take up what the job has; without one, nothing is kept."""
        self._scheduler = scheduler
        if scheduler.job is not None:
            scheduler.job.state.register_map(GATES, self._changed, self._restore)

    def commit_soon(self) -> None:
        """What has changed can't wait for the next commit."""
        if self._scheduler is not None and self._timer is None:
            self._timer = _clock.call_later(_COMMIT_WITHIN, self._commit)

    def _commit(self) -> None:
        self._timer = None
        if self._scheduler is not None:
            self._scheduler.commit_soon()

    def _changed(self) -> dict[str, Any]:
        return self._gates.changed(_clock.monotonic(), _clock.wall())

    def _restore(self, saved: dict[str, Any]) -> None:
        self._gates.restore(saved, _clock.monotonic(), _clock.wall())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._scheduler = None
