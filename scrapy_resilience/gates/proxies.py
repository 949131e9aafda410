"""Whose failure it is when a request goes through a proxy: the proxy's or the target's.

=====================================================  ========================================
what came                                              whose it is
=====================================================  ========================================
the proxy can't be reached: refused, unreachable, its  the proxy's
name can't be resolved; 407; no CONNECT tunnel
a timeout, a lost connection; a 502 to 504 that the     the proxy's, unless it is known to work
proxy says is its own; a tunnel refused with 502 to
504
any other response, one that was cut off too           the target's
a failure of our own machine, wrong code               nobody's
=====================================================  ========================================

The second row can be either's: a proxy that has no answer from a dead target looks like one
that is broken. So a proxy that has answered others, and whose breaker is closed, is believed;
else one dead target would take every proxy of a list with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from zlib import crc32

from scrapy.http import Response

from scrapy_resilience import names
from scrapy_resilience.core.failures import CONTENT, THROTTLED

if TYPE_CHECKING:
    from scrapy import Request

    from scrapy_resilience.core.failures import Verdict

__all__ = ["has_own_proxy", "is_failure_of_proxy", "mark_chosen", "proxy_of"]

_PROXY: Final = "proxy"
"""Scrapy's meta key."""
_PORTS: Final = {"http": 80, "https": 443}
_SOCKS: Final = 1080
_GATEWAY: Final = frozenset({502, 503, 504})
_TUNNEL_STATUS: Final = re.compile(r"'status': (\d{3})")


def has_own_proxy(request: Request) -> bool:
    """Whether a request that is handed out has a proxy that no middleware has chosen for it.

    A second try has the one that was chosen for the first, and so has what was redirected.
    """
    if not request.meta.get(_PROXY):
        return False
    return request.meta.get(names.META_CHOSEN_PROXY) != _checksum(request)


def mark_chosen(request: Request) -> None:
    """A middleware has chosen the proxy of *request*."""
    request.meta[names.META_CHOSEN_PROXY] = _checksum(request)


def _checksum(request: Request) -> int:
    """It may hold a password, which is in one place enough."""
    return crc32(str(request.meta[_PROXY]).encode("utf-8", "surrogatepass"))


def proxy_of(request: Request) -> str | None:
    """``host:port`` of the proxy that *request* goes through, None without one.

    Without credentials: a session in the user name of a gateway makes no other proxy of it.
    """
    proxy = request.meta.get(_PROXY)
    if not proxy:
        return None
    url = proxy.decode("latin-1") if isinstance(proxy, bytes) else str(proxy)
    if "://" not in url:
        url = f"http://{url.removeprefix('//')}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host:
        return url.rpartition("@")[2].rpartition("://")[2].strip("/").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port or _PORTS.get(parts.scheme, _SOCKS)}"


def is_failure_of_proxy(
    outcome: Response | BaseException, verdict: Verdict, *, proxy_works: bool
) -> bool:
    """Whether what came of a request through a proxy is the proxy's failure.

    *proxy_works*: it has answered in this crawl, and its breaker is closed.
    """
    if isinstance(outcome, Response):
        return _of_response(outcome, proxy_works=proxy_works)
    if verdict.ignored or verdict.failure_class in {None, CONTENT, THROTTLED}:
        return False
    if verdict.unsent:
        return not (proxy_works and _tunnel_status(outcome) in _GATEWAY)
    return verdict.counts_against_domain and not proxy_works


def _of_response(response: Response, *, proxy_works: bool) -> bool:
    if response.status == 407:  # noqa: PLR2004 - HTTP
        return True
    is_own = "Proxy-Status" in response.headers or "X-Squid-Error" in response.headers
    return is_own and response.status in _GATEWAY and not proxy_works


def _tunnel_status(error: BaseException) -> int | None:
    """What a proxy answered to CONNECT, as Scrapy's TunnelError tells it."""
    found = _TUNNEL_STATUS.search(str(error))
    return int(found[1]) if found and type(error).__name__ == "TunnelError" else None
