"""The Endpoint extension: metrics, health and a live page over HTTP while the crawl runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from scrapy import signals
from scrapy.exceptions import NotConfigured

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.checkpoint.parts import Part
from scrapy_resilience.core.access import Access, port_range
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.files.address import forget_address, write_address
from scrapy_resilience.jobs.crawl_job import job_of
from scrapy_resilience.observe.metrics.exporter import exporter_of
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_checks import check_endpoint

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from scrapy_resilience.observe.endpoint.server import Server
    from scrapy_resilience.observe.record.samples import Evidence
    from scrapy_resilience.observe.view import View

__all__ = ["Endpoint"]

logger = get_logger(__name__)

_PATIENCE: Final = 2.0
"""Seconds that a name may take to become an address."""


class Endpoint(Part):
    """Serves what is seen of the crawl, or says once why it can't: the crawl goes on."""

    def __init__(self, crawler: Crawler) -> None:
        self.config = config = Config.from_settings(crawler.settings)
        self._ports = port_range(config.http_port)
        self._source = _Source(crawler)
        self._metrics = exporter_of(crawler).answer
        self._server: Server | None = None
        self._job = job_of(crawler)
        self._starting: asyncio.Future[None] | None = None
        self.url: str | None = None
        """By which this machine reaches it; None while there is none."""
        if self._job is not None:
            self._job.parts.append(self)
        crawler.signals.connect(self._started, signals.engine_started)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not (config.http_enabled and config.observe_enabled):
            raise NotConfigured
        try:
            check_endpoint(config)
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise
        return cls(crawler)

    def _started(self) -> None:
        """Nobody waits for it: the engine starts when all who hear of that are done."""
        self._starting = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        try:
            self.url = await asyncio.wait_for(self._listen(), _PATIENCE)
        except Exception as error:  # noqa: BLE001 - of whatever kind: the crawl goes on
            logger.warning(
                "The endpoint can't listen on %s (%r): the crawl goes on without it",
                self.config.http_host or "all addresses",
                error,
            )
        if self.url is None:
            return
        if self._job is not None:
            try:
                write_address(self._job.path, self.url)
            except OSError as error:
                logger.warning("Commands won't find the endpoint: %s", error)

    async def _listen(self) -> str | None:
        from scrapy_resilience.observe.endpoint.server import Server  # noqa: PLC0415 - loads aiohttp.web

        config = self.config
        access = Access(config.http_token, (*config.http_allowed_hosts, config.http_host))
        self._server = Server(self._source, access, self._metrics)
        url = await self._server.listen(self.config.http_host, self._ports)
        if url is None:
            logger.warning(
                "All ports of RESILIENCE_HTTP_PORT (%s) are taken: the crawl goes on without "
                "metrics, health and page",
                _shown(self._ports),
            )
            return None
        taken = self._ports[: self._ports.index(_port(url))] if self._ports[0] else range(0)
        logger.info(
            "Metrics, health and a live page: %s%s",
            url,
            f" (taken: {_shown(taken)})" if taken else "",
        )
        return url

    async def ended(self) -> None:
        """The job is locked still: the file is ours."""
        if self._job is not None:
            forget_address(self._job.path)

    async def _stopped(self) -> None:
        if self._starting is not None:
            await self._starting
        if self._server is not None:
            self._source.observer.renew()  # the last one that clients see
            await self._server.close()
        self.url = None


class _Source:
    """The observer, as the server asks it."""

    def __init__(self, crawler: Crawler) -> None:
        self.observer = observer_of(crawler)

    def view(self, *, history: bool = False) -> View:
        return self.observer.view(history=history)

    async def refresh_health(self, wait: float) -> None:
        if self.observer.health is not None:
            await self.observer.health.refresh(wait)

    def evidence(self, number: int) -> Evidence | None:
        sample = self.observer.errors.sample(number)
        return None if sample is None else sample.evidence


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].rstrip("/"))


def _shown(ports: range) -> str:
    return str(ports[0]) if len(ports) == 1 else f"{ports[0]} to {ports[-1]}"
