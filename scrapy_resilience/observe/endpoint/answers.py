"""What the endpoint answers to a path: bytes, made of the view of the crawl and nothing else.

An answer is made at most once for each view, however many ask: the view itself is made again
after 0.2 s at the earliest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from scrapy_resilience.observe.endpoint.assets import ASSETS, PAGE, asset

if TYPE_CHECKING:
    from scrapy_resilience.observe.record.samples import Evidence
    from scrapy_resilience.observe.view import Component, Health, View

__all__ = ["Answer", "Answers", "Asked", "Metrics", "Source", "health_json"]

JSON: Final = "application/json"
_HEALTH_JSON: Final = "application/health+json"
_OPEN_METRICS: Final = "application/openmetrics-text"
_EVIDENCE: Final = re.compile(r"/errors/(\d{1,9})\.json", re.ASCII)
_WAIT: Final = 0.5
"""Seconds that an answer waits for health checks: a probe's time-out may be a second."""
_encode: Final = msgspec.json.Encoder().encode
_PASS: Final = {"healthy": "pass", "degraded": "warn", "unhealthy": "fail"}


class Source(Protocol):
    """What is asked: the observer of a crawl."""

    def view(self, *, history: bool = False) -> View:
        """The crawl now."""

    async def refresh_health(self, wait: float) -> None:
        """Run the health checks that are due, for so many seconds at most."""

    def evidence(self, number: int) -> Evidence | None:
        """What is kept of the browser with a group of errors. It reads a file."""


class Answer(msgspec.Struct, frozen=True):
    """What is sent."""

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: dict[str, str] = {}


class Asked(NamedTuple):
    """What is asked for."""

    path: str
    accept: str = ""
    """The header Accept."""
    history: bool = False


Make: TypeAlias = Callable[[Asked], "Awaitable[Answer]"]
Metrics: TypeAlias = Callable[["View", str], "tuple[bytes, str]"]
"""Makes the metrics of a view for a header Accept: the text and its content type."""


class Answers:
    """All paths but ``/events``."""

    def __init__(self, source: Source, metrics: Metrics | None = None) -> None:
        self._source = source
        self._made: dict[str, tuple[View, Answer]] = {}
        self._paths: dict[str, Make] = {
            "/health": self._health,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/status.json": self._status,
        }
        if metrics is not None:
            self._paths["/metrics"] = partial(self._metrics, metrics)

    async def answer(self, asked: Asked) -> Answer | None:
        """None for a path that is not known."""
        make = self._paths.get(asked.path)
        if make is None and (found := _EVIDENCE.fullmatch(asked.path)) is not None:
            return await self._evidence(int(found[1]))
        return _assets().get(asked.path) if make is None else await make(asked)

    def is_open(self, path: str) -> bool:
        """Whether no token is asked for: probes have none, and the page asks for it itself."""
        return path in {"/health/live", "/health/ready"} or path in _assets()

    async def _status(self, asked: Asked) -> Answer:
        view = self._source.view(history=asked.history)
        return self._once(f"status {asked.history}", view, lambda: Answer(_encode(view)))

    async def _metrics(self, metrics: Metrics, asked: Asked) -> Answer:
        view = self._source.view()
        what = f"metrics {_OPEN_METRICS in asked.accept}"
        return self._once(what, view, lambda: Answer(*metrics(view, asked.accept)))

    async def _live(self, asked: Asked) -> Answer:
        """The process and its event loop are alive: this is an answer."""
        return _told("healthy", asked, fine=True)

    async def _ready(self, asked: Asked) -> Answer:
        health = await self._look()
        status = health.status if health.ready else "unhealthy"
        return _told(status, asked, fine=health.ready)

    async def _health(self, asked: Asked) -> Answer:
        health = await self._look()
        code = 503 if health.status == "unhealthy" else 200
        if _HEALTH_JSON in asked.accept:
            return Answer(health_json(health, self._source.view()), _HEALTH_JSON, code)
        return Answer(_encode(health), status=code)

    async def _look(self) -> Health:
        await self._source.refresh_health(_WAIT)
        return self._source.view().health

    async def _evidence(self, number: int) -> Answer | None:
        found = await asyncio.to_thread(self._source.evidence, number)
        return None if found is None else Answer(_encode(found))

    def _once(self, what: str, view: View, make: Callable[[], Answer]) -> Answer:
        known = self._made.get(what)
        if known is None or known[0] is not view:
            known = self._made[what] = view, make()
        return known[1]


def _told(status: str, asked: Asked, *, fine: bool) -> Answer:
    """A word, and no more: who asks has shown no token."""
    code = 200 if fine else 503
    if _HEALTH_JSON in asked.accept:
        return Answer(_encode({"status": _PASS.get(status, "pass")}), _HEALTH_JSON, code)
    return Answer(_encode({"status": status}), status=code)


def health_json(health: Health, view: View) -> bytes:
    """In the form of ``application/health+json`` (draft-inadarei-api-health-check)."""
    return _encode(
        {
            "status": _PASS.get(health.status, "pass"),
            "serviceId": view.job.ident,
            "description": view.job.sentence,
            "checks": {each.name: [_check(each)] for each in health.components},
        }
    )


def _check(component: Component) -> dict[str, Any]:
    """It has no word for what is not known: that is no reason to warn."""
    found = {"status": _PASS.get(component.status, "pass"), "output": component.detail}
    if component.checked is not None:
        at = datetime.fromtimestamp(component.checked, timezone.utc)
        found["time"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return found


# --- the page ---


@cache
def _assets() -> dict[str, Answer]:
    """The files of the live page, by path: read once, and no other is ever served."""
    found = {f"/{name}": Answer(asset(name), kind) for name, kind in ASSETS.items()}
    return {"/": found[f"/{PAGE}"], **found}
