"""Room for what callbacks put out: they wait while nothing can be written, as the engine does.

One callback may put out millions of requests or items, and all of them would be in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scrapy_resilience._scrapy.canceller import Canceller
    from scrapy_resilience.checkpoint.commit import Committer
    from scrapy_resilience.gates.waits_in_process import WaitsInProcess

__all__ = ["Room"]

_LOOK: Final = 0.2
"""Seconds between two looks at whether there is still something to wait for."""


class Room:
    """A cut by *canceller* ends the waiting, and so does a stop: that one has its deadline."""

    def __init__(
        self, committer: Committer, canceller: Canceller, waits: WaitsInProcess
    ) -> None:
        self._committer = committer
        self._canceller = canceller
        self._waits = waits

    async def wait(self) -> bool:
        """Wait for room. False when nothing will be written any more."""
        if self._committer.intake.up:
            await self._canceller.quietly(self._lifted())
        return not self._committer.abandoned

    async def _lifted(self) -> None:
        committer = self._committer
        while committer.intake.up and not (committer.abandoned or self._waits.stopping):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(committer.intake.wait(), _LOOK)
