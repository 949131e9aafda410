"""The outbox in the journal of a job: what was not sent outlives the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock
from scrapy_resilience.core.notices import Notice
from scrapy_resilience.core.outbox import fold

if TYPE_CHECKING:
    from scrapy_resilience.core.outbox import Outbox
    from scrapy_resilience.observe.record.journal import Journal

__all__ = ["keep"]

_KIND: Final = "notice"
_ROOM: Final = 6_000
"""Bytes of a commit that notices have for themselves: the largest one fits."""


def keep(outbox: Outbox, journal: Journal) -> None:
    """Go on with what earlier runs have left, and keep what changes, from commit to commit."""

    def restore(notices: list[Notice]) -> None:
        outbox.restore(notices, _clock.wall())

    journal.register(_KIND, Notice, outbox.changed, restore, fold, room=_ROOM)
