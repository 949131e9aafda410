"""What takes part in a run of a job, and the phases in which it is asked.

==============  ===========================================================================
opened          the scheduler is open, and no feed is yet
contribute      a commit is being sealed: what is given now is in it, in one step with the
                requests; where this fails, nothing is sealed
prepare         it is sealed: what comes back is awaited before it is written, and again
                while that fails; it may give dead letters, which are in the commit
prepared        that has succeeded, and what was given is among the changes
written         it is durable, and may be relied upon
closing         awaited before the last commit, when all feeds are stored
ended           awaited after the last commit, while the job is still locked
closed          the job may be run by somebody else
==============  ===========================================================================

The second to the fifth come with each commit. In each phase the parts are asked one after
the other, in the order of :attr:`.Job.parts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrapy_resilience.frontier.store import Changes, Letter

__all__ = ["Part", "Prepared"]

Prepared = Callable[[], Awaitable["Sequence[Letter] | None"]]


class Part:
    """Has nothing to do in any phase; see the head of this module."""

    def opened(self, scheduler: Any) -> None:
        """Our scheduler, which has all else that a part may need."""

    def contribute(self, changes: Changes) -> None:
        """Add to *changes*' ``outputs``, ``state``, ``letters`` and ``syncs``."""

    def prepare(self) -> Prepared | None:
        return None

    def prepared(self, changes: Changes, letters: Sequence[Letter]) -> None:
        """*letters* are what came later than all else."""

    def written(self) -> Awaitable[None] | None:
        return None

    async def closing(self) -> None: ...

    async def ended(self) -> None: ...

    def closed(self) -> None: ...
