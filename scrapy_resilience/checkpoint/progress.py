"""What a store says of its job: who it belongs to and how far it got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.checkpoint.jobmeta import JobMeta
from scrapy_resilience.checkpoint.layout import TOTALS
from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.snapshots.store import About

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RUNNING", "about"]

RUNNING: Final = OWN + "running_seconds"
"""Seconds that the job has run, over all runs."""
_FAILED: Final = ("retry/max_reached", "spider_exceptions/count")
_FEED: Final = OWN + "feed/"
_values: Final = ValueCodec(allow_pickle=False)


def about(state: Mapping[str, bytes]) -> About:
    """What a snapshot tells of the moment that it holds."""
    meta = JobMeta.of(state)
    totals = _load(state, TOTALS) or {}
    done, pending = meta.done, meta.pending
    return About(
        spider=str(meta.spider),
        job=meta.ident,
        progress={
            "total": done + pending,
            "completed": done,
            "failed": sum(totals.get(name, 0) for name in _FAILED),
            "items": meta.items,
            "running_seconds": round(_load(state, RUNNING) or 0.0, 1),
        },
        reason=meta.reason,
        files=_spools(state),
    )


def _spools(state: Mapping[str, bytes]) -> dict[str, int]:
    """Items that wait in the JOBDIR for their feed to be produced, up to the commit.

    A spool that no commit has seen may not be there yet.
    """
    feeds = (_load(state, name) or {} for name in state if name.startswith(_FEED))
    return {
        feed["path"]: feed["offset"] for feed in feeds if feed.get("spooled") and feed["offset"]
    }


def _load(state: Mapping[str, bytes], name: str) -> Any:
    try:
        return _values.decode(state[name]) if name in state else None
    except CheckpointError:  # a user's stat that only a pickle can hold
        return None
