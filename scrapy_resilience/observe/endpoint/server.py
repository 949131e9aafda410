"""The endpoint of a crawl: one HTTP server within its event loop.

It must not harm the crawl: the work for one answer is bounded and shared by all who ask at the
same time, no body is read, a client that reads slowly is left, and what fails is one line in
the log. It only tells: there is nothing that a request could change.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.access import url_of
from scrapy_resilience.observe.endpoint.answers import Answer, Answers, Asked, Metrics, Source
from scrapy_resilience.observe.endpoint.assets import POLICY
from scrapy_resilience.observe.endpoint.changes import Changes
from scrapy_resilience.observe.endpoint.connections import Connections

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from scrapy_resilience.core.access import Access

__all__ = ["Server"]

logger = get_logger(__name__)

_STREAMS: Final = 50
"""Clients of ``/events`` at a time."""
_KINDS: Final = 50
"""Of errors that are logged."""
_EACH: Final = 1.0
"""Seconds between two updates of ``/events``."""
_BEAT: Final = 15.0
"""Seconds after which a comment says that there is nothing new."""
_SLOW: Final = 10.0
"""Seconds in which a client has to read an update."""
_MANY: Final = 50
"""Answers a second: who asks for more waits for one of the next."""
_LEAVE: Final = 0.4
"""Seconds that answers under way get at the end."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "scrapy_resilience",
}
_REFUSALS: Final[dict[int, tuple[str, dict[str, str]]]] = {
    400: ("send one Host header", {}),
    401: ("send the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}),
    404: ("nothing is here", {}),
    405: ("use GET", {"Allow": "GET, HEAD"}),
    413: ("no body is read", {"Connection": "close"}),
    421: ("RESILIENCE_HTTP_ALLOWED_HOSTS does not name this host", {}),
    500: ("this could not be answered: see the log of the crawl", {}),
    503: ("too many clients", {"Retry-After": "10"}),
}


class Server:
    """Serves *source* to whom *access* lets in.

    :param metrics: makes the metrics of a view
    """

    def __init__(self, source: Source, access: Access, metrics: Metrics | None = None) -> None:
        self._source = source
        self._access = access
        self._answers = Answers(source, metrics)
        self._changes = Changes()
        self._taken = -_EACH
        self._streams = 0
        self._line = asyncio.Lock()
        self._second, self._answered = 0.0, 0
        self._closing = asyncio.Event()
        self._told: set[str] = set()
        self._web = web.Server(
            self._handle,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=20.0,
            lingering_time=0.0,
            logger=_aiohttp_logger(),
            tcp_keepalive=False,
        )
        self._connections = Connections(self._web)
        self._listening: asyncio.Server | None = None

    async def listen(self, host: str, ports: Iterable[int]) -> str | None:
        """The URL by which this machine reaches it, on the first port that is free.

        None where none is. Raises :exc:`OSError` for another reason not to listen.
        """
        for port in ports:
            if await self._bind(host, port):
                assert self._listening is not None
                return url_of(host, self._listening.sockets[0].getsockname()[1])
        return None

    async def _bind(self, host: str, port: int) -> bool:
        """Whether the port was free."""
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._connections, host or None, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    async def close(self) -> None:
        """End within half a second, whoever reads."""
        self._taken = -_EACH  # those who read are told of the end
        self._closing.set()
        if self._listening is not None:
            self._listening.close()
        await self._connections.close(_LEAVE)

    # --- requests ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._connections.active(request.protocol)
        if request.path != "/health/live":
            await self._turn()
        try:
            refused = self._refusal(request)
            if refused:
                return _refuse(refused)
            if request.path == "/events":
                return await self._stream(request)
            return await self._answer(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the crawl goes on
            self._tell(request.path, error)
            return _refuse(500)

    async def _turn(self) -> None:
        """However often clients ask, the crawl has nearly all of the time."""
        async with self._line:  # in the order in which they have asked
            left = self._second + 1 - _clock.monotonic()
            if left > 0 and self._answered >= _MANY:
                await self._pause(left)
                left = 0
            if left <= 0:
                self._second, self._answered = _clock.monotonic(), 0
            self._answered += 1

    def _refusal(self, request: web.BaseRequest) -> int:
        """The status of what is refused; 0 for what may be answered."""
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return 405
        if request.can_read_body:
            return 413
        hosts = request.headers.getall(hdrs.HOST, [""])
        if len(hosts) > 1:
            return 400
        if self._access.knows_token(request.headers.get(hdrs.AUTHORIZATION, "")):
            return 0
        if not self._access.knows_host(hosts[0]):
            return 421
        return 401 if self._access.token and not self._answers.is_open(request.path) else 0

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        found = await self._answers.answer(
            Asked(
                request.path,
                request.headers.get(hdrs.ACCEPT, ""),
                history=request.query.get("history") == "1",
            )
        )
        return _refuse(404) if found is None else _response(found)

    def _tell(self, path: str, error: Exception) -> None:
        """One line for each kind of error."""
        what = f"{path} {type(error).__name__}"
        if what not in self._told and len(self._told) < _KINDS:
            self._told.add(what)
            logger.error("The endpoint can't answer %s: %r", path, error)

    # --- events ---

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._streams >= _STREAMS:
            return _refuse(503)
        response = web.StreamResponse(
            headers={**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"}
        )
        self._streams += 1
        try:
            await response.prepare(request)
            if request.method == hdrs.METH_GET:
                await self._send_updates(request, response)
        except asyncio.TimeoutError:  # it reads too slowly
            self._connections.leave(request.protocol)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the stream ends, the crawl goes on
            self._tell(request.path, error)
        finally:
            self._streams -= 1
        return response

    async def _send_updates(
        self, request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        """Until the crawl ends: what has changed, each second."""
        known, sent = 0, _clock.monotonic()
        await response.write(b"retry: 2000\n\n")
        last = False
        while not last:
            last = self._closing.is_set()
            now = _clock.monotonic()
            if now - self._taken >= _EACH:
                self._taken = now
                self._changes.take(self._source.view())
            news = self._changes.since(known)
            message = b"event: status\ndata: %b\n\n" % news if news else b": nothing new\n\n"
            if news or now - sent >= _BEAT:
                await asyncio.wait_for(response.write(message), _SLOW)
                self._connections.active(request.protocol)
                known, sent = self._changes.version, now
            await self._pause(self._taken + _EACH - now)

    async def _pause(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


def _response(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers={**_HEADERS, **answer.headers, "Content-Type": answer.kind},
    )


def _refuse(status: int) -> web.Response:
    text, headers = _REFUSALS[status]
    response = _response(
        Answer(f"{text}\n".encode(), "text/plain; charset=utf-8", status, headers)
    )
    if "Connection" in headers:
        response.force_close()
    return response


def _aiohttp_logger() -> logging.Logger:
    found = get_logger(f"{__name__}.aiohttp")
    found.addFilter(_is_no_refusal)
    return found


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """What a client sent that is not HTTP is no error of the crawl."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
