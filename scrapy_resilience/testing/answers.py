"""Single answers of the fault site, as values."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto

from .pages import CAPTCHA

__all__ = [
    "NOT_FOUND",
    "SILENCE",
    "UNAVAILABLE",
    "Answer",
    "Delivery",
    "captcha",
    "failure",
    "page",
    "redirect",
    "too_many",
]

_HTML = (("Content-Type", "text/html; charset=utf-8"),)


class Delivery(Enum):
    """How much of an answer reaches the client."""

    WHOLE = auto()
    CUT = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer.

    ``outcome`` is the name under which it is counted; ``delay`` comes on top of the
    latency of the site.
    """

    status: int
    outcome: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    delivery: Delivery = Delivery.WHOLE


def page(body: bytes) -> Answer:
    """Build the answer that carries a page."""
    return Answer(200, "200", body, _HTML)


def redirect(path: str) -> Answer:
    """Build a redirect to another path of the same host."""
    return Answer(302, "302", headers=(("Location", path),))


def failure(status: int, *headers: tuple[str, str]) -> Answer:
    """Build an error with a short HTML body."""
    body = f"<!DOCTYPE html><title>{status}</title><h1>Error {status}</h1>\n"
    return Answer(status, str(status), body.encode(), (*_HTML, *headers))


def too_many(kind: str, wait: float, now: float) -> Answer:
    """Build a 429 whose Retry-After is of one of ``model.RETRY_AFTER_KINDS``."""
    values = {
        "seconds": str(math.ceil(wait)),
        "date": formatdate(math.ceil(now + wait), usegmt=True),
        "absurd": "999999999",
        "garbage": "in a while",
    }
    return failure(429, *([("Retry-After", values[kind])] if kind in values else []))


def captcha(*, compressed: bool) -> Answer:
    """Build the page with status 200 that a banned visitor gets."""
    if not compressed:
        return Answer(200, "captcha", CAPTCHA, _HTML)
    headers = (*_HTML, ("Content-Encoding", "gzip"))
    return Answer(200, "captcha", gzip.compress(CAPTCHA, mtime=0), headers)


NOT_FOUND = failure(404)
UNAVAILABLE = failure(503)
SILENCE = Answer(200, "silent", delivery=Delivery.NEVER)
