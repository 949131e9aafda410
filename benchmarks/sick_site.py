"""A site of sick hosts on 127.0.0.1, in a process of its own; of each crawl a new one.

``python -m benchmarks.sick_site '{"seed": 1, "latency": 0.03, "kinds": {…}}'`` prints its
ports. It answers ``/p/N`` on every host whose kind it has, told apart by the Host header,
also as a proxy would be asked; nothing listens on ``refused``, and the statistics have a
port of their own as the site's is closed during an outage that refuses.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.hosts import CUT, OK, Host, Kind, kind_name
from scrapy_resilience.testing._child import run_until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

_ADDRESS = "127.0.0.1"
_END = b"\r\n\r\n"
_STOP_TIMEOUT = 5.0


class SickSite:
    """The server."""

    def __init__(self, seed: int, latency: float, kinds: Mapping[str, Kind]) -> None:
        self.seed, self.latency, self.kinds = seed, latency, kinds
        self.hosts: dict[str, Host] = {}
        self.connections: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Listen, again on the port that it had before."""
        # Requests of many connections come at once after an outage.
        self.server = await asyncio.start_server(
            self._connected, _ADDRESS, self.port, backlog=1024
        )
        self.port = self.server.sockets[0].getsockname()[1]

    def stats(self) -> dict[str, Any]:
        """Host by host, with when the outage began."""
        return {
            name: {
                "requests": host.requests,
                "pages": host.pages,
                "last": host.last,
                "outage": host.outage,
            }
            for name, host in self.hosts.items()
        }

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections.add(writer)
        try:
            # cancelled at the end: asyncio would print that for each connection
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._answer(await reader.readuntil(_END), reader, writer):
                    await writer.drain()
        finally:
            self.connections.discard(writer)
            writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer a request; False ends the connection."""
        line, *headers = head.decode("latin-1").split("\r\n")
        name = next(h[5:] for h in headers if h.lower().startswith("host:"))
        host = self._host(name.strip().partition(":")[0])
        page = int(line.split()[1].rpartition("/")[2])
        status = host.status(page, time.time())
        if host.kind.silent:
            await reader.read()  # until the client leaves
            return False
        if host.kind.refused and host.is_down(time.time()):
            self._refuse(host.kind.outage)
            return False
        await asyncio.sleep(self.latency)
        if status == CUT:
            return False
        writer.write(_response(host.kind, page, status))
        if status == OK:
            host.sent(time.time())
        return True

    def _host(self, name: str) -> Host:
        if name not in self.hosts:
            self.hosts[name] = Host(self.kinds[kind_name(name)], self.seed, name)
        return self.hosts[name]

    def _refuse(self, seconds: float) -> None:
        """Close the port and all connections for a while, as a server that crashes."""
        if not self.server.is_serving():
            return
        self.server.close()
        for writer in self.connections:
            writer.transport.abort()
        task = asyncio.ensure_future(self._listen_again(seconds))
        self._tasks.add(task)

    async def _listen_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()


def _response(kind: Kind, page: int, status: int) -> bytes:
    link = f'<a href="/p/{page + 1}">next</a>' if page + 1 < kind.chain else ""
    body = f"<!DOCTYPE html><title>{page}</title><h1>Page {page}</h1>{link}\n"
    headers = ["Content-Type: text/html; charset=utf-8", f"Content-Length: {len(body)}"]
    if status != OK and kind.retry_after:
        headers.append(f"Retry-After: {kind.retry_after}")
    return "\r\n".join((f"HTTP/1.1 {status} Any", *headers, "", body)).encode()


@asynccontextmanager
async def _serving(site: SickSite) -> AsyncIterator[dict[str, int]]:
    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(_END)
        body = json.dumps(site.stats())
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    control = await asyncio.start_server(tell, _ADDRESS, 0)
    await site.listen()
    with socket.socket() as refused:
        refused.bind((_ADDRESS, 0))  # taken, so that nobody else listens there
        yield {
            "port": site.port,
            "refused": refused.getsockname()[1],
            "control": control.sockets[0].getsockname()[1],
        }
    control.close()
    site.server.close()


@dataclass(frozen=True)
class RunningSickSite:
    """The site in another process."""

    port: int
    refused: int
    control: int

    def stats(self) -> dict[str, dict[str, Any]]:
        """What has been asked."""
        connection = http.client.HTTPConnection(_ADDRESS, self.control, timeout=10)
        try:
            connection.request("GET", "/")
            found: dict[str, dict[str, Any]] = json.load(connection.getresponse())
        finally:
            connection.close()
        return found


@contextmanager
def running_sick_site(
    seed: int, latency: float, kinds: Mapping[str, Kind]
) -> Iterator[RunningSickSite]:
    """Run a site while the context lasts."""
    table = {name: asdict(kind) for name, kind in kinds.items()}
    config = json.dumps({"seed": seed, "latency": latency, "kinds": table})
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sick_site", config],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield RunningSickSite(**json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve until stopped."""
    config = json.loads(sys.argv[1])
    config["kinds"] = {name: Kind(**kind) for name, kind in config["kinds"].items()}
    run_until_stopped(lambda: _serving(SickSite(**config)))


if __name__ == "__main__":
    main()
