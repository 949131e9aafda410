"""Failures on purpose, to see what a project does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.exceptions import NotConfigured
from scrapy.http import Headers
from scrapy.responsetypes import responsetypes
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock, names
from scrapy_resilience._scrapy.refusals import Refusing
from scrapy_resilience.core.injection import Rule, rules_from
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

__all__ = ["FailureInjectionMiddleware", "injections"]


class FailureInjectionMiddleware(Refusing):
    """Next to the downloader, at order 1000; off where ``RESILIENCE_INJECT`` is empty."""

    def __init__(self, crawler: Crawler) -> None:
        self._rules = injections(Config.from_settings(crawler.settings))
        if not self._rules:
            raise NotConfigured
        self._stats: Any = crawler.stats

    async def process_request(self, request: Request) -> Response | None:
        attempt = request.meta.get("retry_times", 0)
        for rule, exception in self._rules:
            if rule.hits(request.url, attempt):
                self._stats.inc_value(names.STAT_INJECTED)
                if rule.delay is None:
                    return _fail(request, rule, exception)
                await _clock.sleep(rule.delay)
        return None


_SETTING = "RESILIENCE_INJECT"


def injections(config: Config) -> list[tuple[Rule, type[Exception] | None]]:
    """The rules of ``RESILIENCE_INJECT``, each with the exception that it names.

    Raises :exc:`~scrapy_resilience.exceptions.ConfigurationError` for a rule that is wrong.
    """
    return [
        (rule, _exception(rule, f"{_SETTING}[{number}]"))
        for number, rule in enumerate(rules_from(config.inject, _SETTING))
    ]


def _fail(request: Request, rule: Rule, exception: type[Exception] | None) -> Response:
    if exception is not None:
        raise exception(f"injected into {request.url}")
    assert rule.status is not None
    body = rule.body.encode()
    headers = Headers({"Content-Type": "text/html", **(rule.headers or {})})
    kind = responsetypes.from_args(headers=headers, url=request.url, body=body)
    return kind(request.url, status=rule.status, headers=headers, body=body)


def _exception(rule: Rule, where: str) -> type[Exception] | None:
    if rule.exception is None:
        return None
    try:
        found = load_object(rule.exception)
    except (ImportError, NameError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{where} exception={rule.exception!r}: {error}.") from None
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise ConfigurationError(
            f"{where} exception={rule.exception!r}: use the path of an exception."
        )
    return found
