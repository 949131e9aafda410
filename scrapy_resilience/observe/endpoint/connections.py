"""The connections of the endpoint: how many, and for how long one may say or read nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock

if TYPE_CHECKING:
    from aiohttp import web

    from scrapy_resilience._clock import Timer

__all__ = ["Connections"]

_MOST: Final = 128
"""Connections at a time: more are closed at once."""
_PATIENCE: Final = 20.0
"""Seconds for which one may do nothing: send no whole request, or read no answer."""
_LOOK: Final = 5.0


class Connections:
    """Makes the protocols of a server, and ends those that nothing comes of.

    A client that sends its request byte by byte, or reads an answer so, is as idle as one that
    does nothing: only a request that has come, or a message that was read, counts.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._since: dict[web.RequestHandler, float] = {}
        self._timer: Timer | None = None

    def __call__(self) -> asyncio.BaseProtocol:
        """For a new connection."""
        if self._timer is None:
            self._timer = _clock.call_later(_LOOK, self._look)
        if len(self._server.connections) >= _MOST:
            return _Refused()
        return self._server()

    def active(self, connection: web.RequestHandler) -> None:
        """Something has come of it just now."""
        self._since[connection] = _clock.monotonic()

    async def close(self, patience: float) -> None:
        """End all of them, in so many seconds, whatever they have still to send."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transports = [each.transport for each in self._server.connections]  # it forgets them
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._server.shutdown(patience / 2), patience)
        for each in transports:
            _abort(each)

    def leave(self, connection: web.RequestHandler) -> None:
        """It reads too slowly."""
        _abort(connection.transport)

    def _look(self) -> None:
        now, there = _clock.monotonic(), self._server.connections
        self._since = {each: self._since.get(each, now) for each in there}
        for each, since in self._since.items():
            if now - since > _PATIENCE:
                _abort(each.transport)
        self._timer = _clock.call_later(_LOOK, self._look) if there else None


def _abort(transport: asyncio.BaseTransport | None) -> None:
    """Without sending what waits."""
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _abort(transport)
