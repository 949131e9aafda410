"""What browser contexts have of logins, by name: cookies and storage, kept in the checkpoint.

A commit writes those that have changed since the last one; the next run begins its contexts
with them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.jobs.crawl_job import job_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["Logins", "State"]

State = dict[str, Any]
"""What Playwright calls a storage state: ``cookies`` and ``origins``."""
_NAME: Final = "browser_logins"
_REMEMBERED: Final = 1000
"""Contexts."""
_LARGEST: Final = 262_144
"""Bytes of one; where there are more, the storage is left out."""


class _Saved(msgspec.Struct):
    cookies: list[dict[str, Any]]
    origins: list[dict[str, Any]]


class Logins:
    """Of one crawl; *kept*: whether they are in the checkpoint, where there is one."""

    def __init__(self, crawler: Crawler, *, kept: bool) -> None:
        self._known: OrderedDict[str, State] = OrderedDict()
        self._changed: set[str] = set()
        job = job_of(crawler) if kept else None
        self.are_kept = job is not None
        """Whether they are in the checkpoint."""
        if job is not None:
            job.state.register_map(OWN + _NAME, self._save_changed, self._restore)

    def of(self, name: str) -> State | None:
        """That of the context of this name, as far as it is known."""
        return self._known.get(name)

    def note(self, name: str, state: State) -> None:
        """It is so now."""
        if not self.are_kept:
            return
        if state.get("origins") and len(msgspec.json.encode(state)) > _LARGEST:
            state = {**state, "origins": []}
        if self._known.get(name) != state:
            self._known[name] = state
            self._changed.add(name)
        self._known.move_to_end(name)
        if len(self._known) > _REMEMBERED:
            self.forget(next(iter(self._known)))

    def forget(self, name: str) -> None:
        """A context was closed by its user, who does not want it back."""
        if self._known.pop(name, None) is not None:
            self._changed.add(name)

    # --- the checkpoint ---

    def _save_changed(self) -> dict[str, State | None]:
        changed, self._changed = self._changed, set()
        return {name: self._known.get(name) for name in changed}

    def _restore(self, saved: dict[Any, Any]) -> None:
        found = msgspec.convert(saved, dict[str, _Saved | None])
        for name, state in found.items():
            if state is not None:
                self._known[name] = {"cookies": state.cookies, "origins": state.origins}
