"""Who may ask the endpoint of a crawl, and where it listens."""

from __future__ import annotations

import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

import msgspec

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["Access", "check_listening", "is_loopback", "port_range", "url_of"]

_LAST_PORT: Final = 65_535
_ENDS: Final = 2


class Access(msgspec.Struct, frozen=True):
    """What a request must show.

    :param token: empty where none is asked for
    :param hosts: names of this machine by which it may be asked, beside ``localhost``
    """

    token: str
    hosts: Collection[str] = ()

    def knows_token(self, authorization: str) -> bool:
        """Whether the header ``Authorization`` has the token, as a bearer token."""
        scheme, _, value = authorization.strip().partition(" ")
        given = value.strip().encode("utf-8", "surrogateescape")
        same = hmac.compare_digest(given, self.token.encode())
        return same and bool(self.token) and scheme.lower() == "bearer"

    def knows_host(self, host: str) -> bool:
        """Whether the header ``Host`` names this machine: an address, or a name that is known.

        A page of another site that has its own name lead here (DNS rebinding) sends that name.
        Without the header it is no browser.
        """
        if not host.strip():
            return True
        name = _without_port(host.strip().lower()).rstrip(".")
        known = {"localhost", *(each.lower().rstrip(".") for each in self.hosts)}
        return (
            (name in known and name != "")
            or name.endswith(".localhost")
            or _address(name) is not None
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; of a name that is not known."""
    if host == "localhost":
        return True
    address = _address(host)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped is not None and bool(mapped.is_loopback)


def port_range(values: Sequence[int]) -> range:
    """The ports that are tried, in turn. Raises :exc:`ConfigurationError`."""
    first, last = (values[0], values[-1]) if len(values) in {1, _ENDS} else (1, 0)
    single = len(values) == 1
    if not (0 if single else 1) <= first <= last <= _LAST_PORT:
        raise ConfigurationError(
            f"RESILIENCE_HTTP_PORT={list(values)}: use a port, or the first and the last one "
            f"of a range, from 1 to {_LAST_PORT}; 0 alone is for any."
        )
    return range(first, last + 1)


def check_listening(host: str, token: str, *, insecure: bool) -> None:
    """Raises :exc:`ConfigurationError` where everybody on the network could look."""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(
            "RESILIENCE_HTTP_TOKEN: use printable ASCII characters, without spaces: a header "
            "has to hold it."
        )
    if not (is_loopback(host) or token or insecure):
        raise ConfigurationError(
            f"RESILIENCE_HTTP_HOST={host!r} would show the crawl to whoever can reach this "
            "machine: set RESILIENCE_HTTP_TOKEN, in the environment, or use 127.0.0.1. If "
            "nobody else can reach it, set RESILIENCE_HTTP_INSECURE=True."
        )


def url_of(host: str, port: int) -> str:
    """The URL by which this machine itself reaches what listens on *host*."""
    address = _address(host)
    if host == "" or (address is not None and address.is_unspecified):
        host = "::1" if address is not None and address.version == 6 else "127.0.0.1"  # noqa: PLR2004
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
