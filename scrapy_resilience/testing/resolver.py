"""A resolver that keeps test host names on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LoopbackResolver", "is_local"]


def is_local(name: str) -> bool:
    """Whether a name means this machine: ``localhost`` and all below ``.test``."""
    name = name.rstrip(".").lower()
    return name == "localhost" or name.endswith(".test")


class LoopbackResolver(CachingThreadedResolver):
    """Answers 127.0.0.1 for ``localhost`` and ``*.test``, else as its parent does.

    For the ``TWISTED_DNS_RESOLVER`` setting. Scrapy reads it from the project and the
    command line; a spider's ``custom_settings`` or an add-on come too late.

    Download handlers that do not use Twisted, such as the aiohttp one of reactorless
    mode, resolve names by themselves and take no resolver from a setting. There, start
    Scrapy with ``http_proxy=http://127.0.0.1:PORT`` in the environment: the fault site
    also answers requests in the form that is sent to a proxy.
    """

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:  # noqa: N802 - Twisted's name
        """The IPv4 address of a name."""
        if is_local(name):
            return succeed("127.0.0.1")
        return super().getHostByName(name, timeout)
