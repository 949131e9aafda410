"""The view of a job that runs in another process, asked for at its endpoint."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import msgspec

from scrapy_resilience.files.address import read_address
from scrapy_resilience.observe.view import View

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["live_view"]

_TIMEOUT: Final = 2.0
_LARGEST: Final = 20_000_000


class _NoRedirects(HTTPRedirectHandler):
    """A token goes where it was meant to, or nowhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_open: Final = build_opener(ProxyHandler({}), _NoRedirects).open


def live_view(path: Path, token: str = "", *, history: bool = False) -> View | None:
    """What the process says that runs the job in *path*.

    None when nobody runs it, it has no endpoint, or that does not answer within two seconds or
    wants another *token*.
    """
    url = read_address(path)
    if url is None:
        return None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with suppress(OSError, ValueError, HTTPException, msgspec.MsgspecError):
        asked = "status.json?history=1" if history else "status.json"
        request = Request(f"{url}{asked}", headers=headers)  # noqa: S310 - http only
        with _open(request, timeout=_TIMEOUT) as answer:
            return msgspec.json.decode(answer.read(_LARGEST), type=View)
    return None
