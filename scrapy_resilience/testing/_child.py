"""The child's side of a server process, which never outlives its parent."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    Serve = Callable[[], AbstractAsyncContextManager[dict[str, int]]]

__all__ = ["run_until_stopped"]

_PARENT_CHECK = 0.5


def run_until_stopped(serve: Serve) -> None:
    """Serve until SIGTERM, SIGINT, the end of a piped stdin or the parent's death.

    A port that is taken is one line, and exit code 1.
    """
    try:
        asyncio.run(_serve(serve, os.getppid()))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"{error.strerror or error}: give another port, or 0 for any that is free")


async def _serve(serve: Serve, parent: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # Only a pipe has a parent at its other end; /dev/null is at its end from the start.
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        arguments = (loop, stop)
        threading.Thread(target=_await_stdin_end, args=arguments, daemon=True).start()
    async with serve() as announcement:
        sys.stdout.write(json.dumps(announcement) + "\n")
        sys.stdout.flush()
        while not stop.is_set() and os.getppid() == parent:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), _PARENT_CHECK)


def _await_stdin_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 1024):
        pass
    # A signal may have closed the loop in the meantime.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)
