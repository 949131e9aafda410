"""The barrier: for some milliseconds, no new response reaches the spider."""

from __future__ import annotations

import asyncio

__all__ = ["Barrier"]


class Barrier:
    """Up while a commit waits for the callbacks under way to end."""

    def __init__(self) -> None:
        self.up = False
        self._lifted: asyncio.Future[None] | None = None

    def rise(self) -> None:
        self.up = True

    def lift(self) -> None:
        self.up = False
        if self._lifted is not None:
            self._lifted.set_result(None)
            self._lifted = None

    async def wait(self) -> None:
        """Return once the barrier is down."""
        while self.up:
            if self._lifted is None:
                self._lifted = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._lifted)
