"""The fault site: an aiohttp server on 127.0.0.1 that plays a host by the Host header.

``python -m scrapy_resilience.testing.site --port 0 --pages 500`` runs it as a process.
``GET /__site__/stats`` and ``POST /__site__/reset`` work on every host, uncounted.
"""

from __future__ import annotations

import asyncio
import socket
import time
from argparse import ArgumentParser
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from ._child import run_until_stopped
from .address import SiteAddress
from .answers import Answer, Delivery
from .arguments import add_site_arguments, site_config
from .counters import SiteCounters, SiteStats
from .faults import SiteModel
from .model import SiteConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typing_extensions import Self

__all__ = ["FaultSite", "main"]

_ADDRESS = "127.0.0.1"
_CONTROL = "/__site__/"
_MISSING_BYTES = 1000


class FaultSite(SiteAddress):
    """The site inside the running event loop, as an async context manager.

    The ports are known once the context is entered; the system chooses those of 0.
    """

    def __init__(
        self, config: SiteConfig | None = None, *, port: int = 0, refused_port: int = 0
    ) -> None:
        super().__init__(config or SiteConfig(), port, refused_port)
        self._model = SiteModel(self.config)
        self._counters = SiteCounters()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.refused_port = self._reserve(stack)
            self.port = await self._listen(stack)
            self._running = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._running.aclose()

    def stats(self) -> SiteStats:
        """What has been asked since the start or the last reset."""
        return self._counters.stats()

    def reset(self) -> None:
        """Forget all requests: counters, first tries, gates and outages start anew."""
        self._counters.reset()
        self._model.reset()

    def _reserve(self, stack: AsyncExitStack) -> int:
        refused = stack.enter_context(socket.socket())
        try:
            refused.bind((_ADDRESS, self.refused_port))
        except OSError as error:
            raise OSError(error.errno, f"port {self.refused_port}: {error.strerror}") from error
        port: int = refused.getsockname()[1]
        return port

    async def _listen(self, stack: AsyncExitStack) -> int:
        self._model.warm_up()
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        # 0 would mean no limit, and silent.test never finishes by itself.
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, _ADDRESS, self.port, backlog=1024)
        await site.start()
        return int(runner.addresses[0][1])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(_CONTROL):
            return self._control(request.method, path.removeprefix(_CONTROL))
        host = request.host.partition(":")[0].lower()
        outcome = "gone"
        self._counters.begin(host)
        try:
            answer = self._model.answer(host, path, time.time())
            response = await self._deliver(answer, request)
            self._set_session(host, request, response)
            outcome = answer.outcome
        finally:
            self._counters.end(host, path, outcome)
        return response

    def _control(self, method: str, command: str) -> web.Response:
        if (method, command) == ("GET", "stats"):
            return web.json_response(self.stats())
        if (method, command) == ("POST", "reset"):
            self.reset()
            return web.json_response({})
        return web.Response(status=404)

    async def _deliver(self, answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
        if answer.delivery is Delivery.NEVER:
            await asyncio.get_running_loop().create_future()
        if delay := self.config.latency + answer.delay:
            await asyncio.sleep(delay)
        if answer.delivery is Delivery.CUT:
            return await _cut(answer, request)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def _set_session(
        self, host: str, request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        wanted = self.config.cookies and not response.prepared
        if wanted and "session" not in request.cookies:
            response.set_cookie("session", self._counters.new_session(host))


async def _cut(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) + _MISSING_BYTES
    await response.prepare(request)
    await response.write(answer.body)
    if request.transport is not None:
        request.transport.close()
    return response


def main() -> None:
    """Serve until stopped; prints the ports as one line of JSON."""
    parser = ArgumentParser(
        prog="python -m scrapy_resilience.testing.site", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--refused-port", type=int, default=0)
    add_site_arguments(parser)
    arguments = parser.parse_args()
    try:
        config = site_config(arguments)
    except ValueError as error:
        parser.error(str(error))

    @asynccontextmanager
    async def serve() -> AsyncIterator[dict[str, int]]:
        ports = {"port": arguments.port, "refused_port": arguments.refused_port}
        async with FaultSite(config, **ports) as site:
            yield {"port": site.port, "refused_port": site.refused_port}

    run_until_stopped(serve)


if __name__ == "__main__":
    main()
