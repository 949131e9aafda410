"""What a store says of its job: who it belongs to and how far it got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from scrapy_resilience.checkpoint.state import OWN, TOTALS
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.feeds.records import STATE
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.snapshots.about import About

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RUNNING", "about"]

RUNNING: Final = OWN + "running_seconds"
"""Seconds that the job has run, over all runs."""
_FAILED: Final = ("retry/max_reached", "spider_exceptions/count")
_values: Final = ValueCodec(allow_pickle=False)
T = TypeVar("T")


def about(state: Mapping[str, bytes]) -> About:
    """What a snapshot tells of the moment that it holds."""
    meta = JobMeta.of(state)
    totals = _load(state, TOTALS, dict[str, Any], {})
    done, pending = meta.done, meta.pending
    return About(
        spider=str(meta.spider),
        job=meta.ident,
        progress={
            "total": done + pending,
            "completed": done,
            "failed": sum(_count(totals.get(name)) for name in _FAILED),
            "items": meta.items,
            "running_seconds": round(_load(state, RUNNING, float, 0.0), 1),
        },
        reason=meta.reason,
        files=_spools(state),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


class _Feed(msgspec.Struct):
    path: str = ""
    spooled: bool = False
    offset: int | None = None


def _spools(state: Mapping[str, bytes]) -> dict[str, int]:
    """Items that wait in the JOBDIR for their feed to be produced, up to the commit.

    A spool that no commit has seen may not be there yet.
    """
    feeds = (_load(state, name, _Feed, _Feed()) for name in state if name.startswith(STATE))
    return {feed.path: feed.offset for feed in feeds if feed.spooled and feed.offset}


def _load(state: Mapping[str, bytes], name: str, kind: type[T], default: T) -> T:
    """The *default* where there is nothing, and where it is of no use."""
    try:
        return msgspec.convert(_values.decode(state[name]), kind) if name in state else default
    except (CheckpointError, msgspec.ValidationError):
        return default  # such as a user's stat that only a pickle can hold
