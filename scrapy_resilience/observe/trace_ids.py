"""One id for each request, by which everything about it is found again.

It follows the request through retries, redirects, resumes, callbacks and items, and stands in
logs, traces, dead letters and error groups. It has the form of a trace id of W3C's Trace
Context: 32 hexadecimal digits. A request of a job gets the same one after a kill, because it
is made of the job and of what tells the request from all others in it.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from scrapy_resilience.names import (
    META_REQUEST_ID,
    META_TRACE_ID,
    OF_A_PAGE,
    OF_A_TRY,
)

if TYPE_CHECKING:
    from scrapy import Request

    from scrapy_resilience._scrapy.hooks import Hooks

__all__ = ["TraceIds", "forget_page", "give_ids", "give_trace_id", "trace_id_of"]

_BYTES: Final = 16
_FORM: Final = re.compile(r"[0-9a-f]{32}")


def trace_id_of(request: Request | None) -> str:
    """The id of a request that was sent; empty for any other, and for what is no such id."""
    found = request.meta.get(META_TRACE_ID) if request is not None else None
    return found if isinstance(found, str) and _FORM.fullmatch(found) else ""


def give_trace_id(request: Request, seed: bytes = b"") -> str:
    """The id of *request*, made of *seed* where it has none yet, at random without one."""
    found = trace_id_of(request)
    if not found:
        digest = blake2b(seed, digest_size=_BYTES).digest() if seed else os.urandom(_BYTES)
        found = request.meta[META_TRACE_ID] = digest.hex()
    return found


def forget_page(request: Request, page: Request) -> None:
    """A request that a callback has made with the meta of its page is not that page.

    The page's own request is: it is sent again. None of them is a retry.
    """
    if OF_A_PAGE.isdisjoint(request.meta):  # nearly always
        return
    for key in OF_A_TRY:
        request.meta.pop(key, None)
    found = trace_id_of(request)
    if found and request is not page and found == trace_id_of(page):
        for key in (META_TRACE_ID, META_REQUEST_ID):
            request.meta.pop(key, None)


def give_ids(hooks: Hooks) -> None:
    """Have an id for each request that the engine of *hooks* sends, with any scheduler."""
    hooks.identify, hooks.put_out = give_trace_id, forget_page


class TraceIds:
    """The ids of the requests that a scheduler hands out.

    *job* names the job; without one, no other crawl has the same ids. *by_content*: whether the
    filter of duplicates lets each method, URL and body pass once. Such a request is known by
    them in every run, even when its number was lost at a kill because no commit had it; any
    other one is known by its number, too.
    """

    def __init__(self, job: str = "", *, by_content: bool = False) -> None:
        self._seed = job.encode() or os.urandom(_BYTES)
        self._by_content = by_content

    def give(self, request: Request, number: int) -> None:
        """*number* is that of the request's row in the frontier."""
        if trace_id_of(request):
            return
        told = f"{request.method} {request.url}"
        if request.dont_filter or not self._by_content:
            told = f"{number} {told}"
        give_trace_id(request, b"\n".join((self._seed, told.encode(), request.body)))
