"""A barrier: whoever comes to it waits until it is lifted."""

from __future__ import annotations

import asyncio

__all__ = ["Barrier"]


class Barrier:
    """Up while somebody must wait.

    That of a job, for some milliseconds, while a commit waits for the callbacks under way to
    end; a committer's intake for as long as nothing can be written.
    """

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
