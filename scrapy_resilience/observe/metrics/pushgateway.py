"""A push to a Prometheus Pushgateway, for a thread: it blocks."""

from __future__ import annotations

import base64
import socket
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.metrics.text_format import TEXT

__all__ = ["FAILURES", "group_url", "host_name", "push"]

FAILURES: Final = (OSError, HTTPException, ValueError)
"""What :func:`push` raises: the gateway does not answer, or not well."""


def host_name() -> str:
    """What this machine calls itself."""
    return socket.gethostname()


def group_url(url: str, groups: dict[str, str]) -> str:
    """Where metrics of a group are put. Raises :exc:`.ConfigurationError` for a wrong URL.

    :param groups: labels and their values; ``job`` is the first
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise ConfigurationError(
            "RESILIENCE_PUSHGATEWAY_URL is no address of a Pushgateway: use one such as "
            "http://127.0.0.1:9091."
        )
    path = "/".join(_part(name, value) for name, value in groups.items())
    return f"{url.rstrip('/')}/metrics/{path}"


def _part(name: str, value: str) -> str:
    """A value with a slash, or none at all, is put in base64."""
    if value and "/" not in value:
        return f"{name}/{quote(value, safe='')}"
    encoded = base64.urlsafe_b64encode(value.encode()).decode().rstrip("=") or "="
    return f"{name}@base64/{encoded}"


def push(url: str, text: bytes, timeout: float) -> None:
    """Replace the metrics of a group. Raises one of :data:`FAILURES`."""
    parts = urlsplit(url)
    headers = {"Content-Type": TEXT}
    if "@" in parts.netloc:
        user, _, host = parts.netloc.rpartition("@")
        token = base64.b64encode(unquote(user).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
        url = urlunsplit(parts._replace(netloc=host))
    request = Request(url, text, headers, method="PUT")  # noqa: S310 - the scheme was checked
    try:
        with _opener().open(request, timeout=timeout) as answer:
            answer.read(1)
    except HTTPError as error:
        with error:
            raise OSError(f"it answered with HTTP {error.code}") from None


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    for handler in (
        ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor,
        HTTPRedirectHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener
