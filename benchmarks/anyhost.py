"""A server that plays any host: each GET is answered with the name of the host, at once.

It closes each connection: a client with 1,024 file handles could not keep one for each of
20,000 hosts. ``python -m benchmarks.anyhost`` prints its port and serves until its stdin
ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.crawls import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = "<!DOCTYPE html><title>A host</title><h1>{}</h1>" + "<p>Nothing else here.</p>" * 20


@contextmanager
def running_anyhost() -> Iterator[int]:
    """Run the server while the context lasts; its port."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = (line.partition(": ") for line in head.split("\r\n"))
        host = next(value for name, _, value in lines if name.lower() == "host")
        body = _PAGE.format(host.partition(":")[0])
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
