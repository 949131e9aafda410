"""Webhooks: a notice as JSON, or as Slack wants it, sent by POST.

A redirect is not followed, no cookie is kept, and of an answer nothing is read but its head
and what has come with it. The proxies of the environment (``HTTPS_PROXY``, ``NO_PROXY`` …)
are used, as they are by the crawl itself.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import scrapy_resilience
from scrapy_resilience import _clock
from scrapy_resilience.core.noticetexts import for_programs, for_slack
from scrapy_resilience.core.retryafter import retry_after
from scrapy_resilience.guard.notify.outcomes import SENT, Outcome
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

    from scrapy_resilience.core.notices import Notice

__all__ = ["Webhook"]

_REJECTED: Final = frozenset({400, 413, 422})
"""Statuses that are about the message, and not about the place or the moment."""
_WAITS: Final = frozenset({429, 503})
_FINE: Final = 2
_REDIRECT: Final = 3
"""First digits of statuses."""
_CHUNK: Final = 4096


class Webhook:
    """One address. *secret* signs what is sent, where it is not empty."""

    def __init__(self, url: str, *, slack: bool = False, secret: str = "") -> None:
        self._url = url
        self._make = for_slack if slack else for_programs
        self._secret = "" if slack else secret

    async def send(self, notice: Notice, seconds: float) -> Outcome:
        return await self._send(notice, seconds, threaded=True)

    def send_blocking(self, notice: Notice, seconds: float) -> Outcome:
        return asyncio.run(self._send(notice, seconds, threaded=False))

    async def _send(self, notice: Notice, seconds: float, *, threaded: bool) -> Outcome:
        import aiohttp  # noqa: PLC0415 - 0.1 s, for those who use it

        try:
            return await asyncio.wait_for(self._post(notice, threaded=threaded), seconds)
        except asyncio.TimeoutError:
            return Outcome(f"it has not answered within {seconds:.0f} s")
        except aiohttp.ClientConnectorError as error:
            return Outcome(f"it can't be reached ({_reason(error.os_error)})")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(f"it can't be reached ({_reason(error)})")

    async def _post(self, notice: Notice, *, threaded: bool) -> Outcome:
        import aiohttp  # noqa: PLC0415 - as above

        data = json.dumps(self._make(notice)).encode()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_resolver(threaded=threaded), force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        posting = session.post(
            self._url, data=data, headers=self._headers(notice, data),
            allow_redirects=False, proxy=_proxy(self._url),
        )  # fmt: skip
        async with session, posting as answer:
            with suppress(aiohttp.ClientError):
                await answer.content.read(_CHUNK)  # a close before that is a reset for some
            return _outcome(answer.status, answer.headers)

    def _headers(self, notice: Notice, data: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"scrapy-resilience/{scrapy_resilience.__version__}",
            "Idempotency-Key": notice.id,
            "X-Event-Id": notice.id,
        }
        if self._secret:
            digest = hmac.new(self._secret.encode(), data, "sha256").hexdigest()
            headers["X-Signature-256"] = f"sha256={digest}"
        return headers


def _outcome(status: int, headers: Any) -> Outcome:
    kind = status // 100
    if kind == _FINE:
        return SENT
    if kind == _REDIRECT:
        return Outcome(f"it redirects (HTTP {status}), which is not followed")
    wanted = retry_after(headers, _clock.wall()) if status in _WAITS else None
    return Outcome(f"it answers with HTTP {status}", status in _REJECTED, wanted)


def _reason(error: BaseException) -> str:
    """No message of an exception: some have the URL in them."""
    return getattr(error, "strerror", None) or type(error).__name__


def _proxy(url: str) -> str | None:
    """Of the environment; those of the user's ~/.netrc stay there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return None if proxy_bypass(host) else getproxies().get(parts.scheme)


async def _resolve(host: str, port: int, family: int, *, threaded: bool) -> list[Any]:
    """Addresses of a name, looked up in a thread that nobody waits for at the end."""
    look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
    if not threaded:
        return look()
    found, thread = in_thread(look, "resilience-resolve")
    try:
        return await found
    finally:
        let_go(thread)


def _resolver(*, threaded: bool) -> AbstractResolver:
    """Not aiohttp's own: its threads keep the process, and none can begin while Python ends."""
    from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: PLC0415 - as above

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await _resolve(host, port, family, threaded=threaded)
            return [
                ResolveResult(
                    hostname=host, host=str(address[0]), port=port, family=kind,
                    proto=proto, flags=socket.AI_NUMERICHOST,
                )
                for kind, _, proto, _, address in found
            ]  # fmt: skip

        async def close(self) -> None: ...

    return Resolver()
