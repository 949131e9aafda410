"""One id for each request, by which everything about it is found again.

It follows the request through retries, redirects, resumes, callbacks and items, and stands in
logs, traces, dead letters and error groups. It has the form of a trace id of W3C's Trace
Context: 32 hexadecimal digits. A request of a job gets the same one after a kill, because it
is made of the job and of the number of the request's row.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from scrapy_resilience.names import META_TRACE_ID

if TYPE_CHECKING:
    from scrapy import Request

__all__ = ["give_trace_id", "trace_id_of"]

_BYTES: Final = 16


def trace_id_of(request: Request | None) -> str:
    """The id of a request that was sent; empty for any other."""
    found = request.meta.get(META_TRACE_ID, "") if request is not None else ""
    return found if isinstance(found, str) else ""


def give_trace_id(request: Request, seed: bytes = b"") -> str:
    """The id of *request*, made of *seed* where it has none yet, at random without one."""
    found = trace_id_of(request)
    if not found:
        digest = blake2b(seed, digest_size=_BYTES).digest() if seed else os.urandom(_BYTES)
        found = request.meta[META_TRACE_ID] = digest.hex()
    return found
