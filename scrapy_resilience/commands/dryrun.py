"""``scrapy resilience dryrun``: the first requests of a crawl, of which nothing is written."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, Final

from scrapy.exceptions import UsageError
from scrapy.settings import SETTINGS_PRIORITIES

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import on_refusal
from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import message_of, shown
from scrapy_resilience.dryrun.rehearsal import tell_to
from scrapy_resilience.dryrun.result import Result
from scrapy_resilience.exceptions import ConfigurationError, ResilienceError
from scrapy_resilience.settings import PREFIX
from scrapy_resilience.settings_sources import apply_layers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from scrapy.crawler import Crawler, CrawlerProcessBase
    from scrapy.settings import BaseSettings

__all__ = ["dry_run", "prepare_dry_run"]

logger = get_logger(__name__)

_LIMIT: Final = 10
_SETTING: Final = f"{PREFIX}DRY_RUN"


def prepare_dry_run(settings: BaseSettings, opts: argparse.Namespace) -> None:
    """Before there is a crawler process: it opens the log."""
    limit = opts.limit
    if limit is None:
        limit = _layered(settings).get(_SETTING) or _LIMIT
    elif limit < 1:  # 0 is for a crawl
        raise UsageError(f"--limit {limit}: use a number of at least 1", print_help=False)
    settings.set(_SETTING, limit, "cmdline")
    settings.set("LOG_ENABLED", not opts.nolog, "cmdline")
    is_chosen = settings.getpriority("LOG_LEVEL") == SETTINGS_PRIORITIES["cmdline"]
    if not is_chosen:
        settings.set("LOG_LEVEL", "WARNING", "cmdline")


def _layered(settings: BaseSettings) -> BaseSettings:
    """With the environment and the file; one that is wrong is told of when the crawl begins."""
    copied = settings.copy()
    with suppress(ConfigurationError):
        apply_layers(copied)
    return copied


def dry_run(
    process: CrawlerProcessBase,
    spider: str,
    arguments: dict[str, Any],
    *,
    quietly: bool,
    is_dry: Callable[[BaseSettings], bool],
) -> Result:
    """Run it, and wait for it. *quietly*: what the spider prints goes to stderr.

    *is_dry*: whether settings make a dry run of it. Those of the spider may not, and it would
    be a real crawl.
    """
    try:
        crawler = process.create_crawler(spider)
    except KeyError:
        known = ", ".join(process.spider_loader.list()) or "none"
        text = f"there is no spider {spider!r}, but {known}"
        raise UsageError(text, print_help=False) from None
    if not (is_dry(crawler.settings) and crawler.settings.getint(_SETTING) > 0):
        raise ConfigurationError(
            f"the settings of {spider} leave out the add-on or {_SETTING}, so it would be a "
            "real crawl: remove ADDONS from its custom_settings"
        )
    results: list[Result] = []
    refusals: list[BaseException] = []
    tell_to(crawler, results.append)
    on_refusal(crawler, refusals.append)
    with redirect_stdout(sys.stderr) if quietly else nullcontext():
        begun: Any = process.crawl(crawler, **arguments)
        errors: list[Any] = []
        if not isinstance(begun, asyncio.Future):
            begun.addErrback(lambda failure: errors.append(failure.value))
        process.start()
    if isinstance(begun, asyncio.Future) and begun.done() and not begun.cancelled():
        errors += filter(None, [begun.exception()])
    return results[0] if results else _never_begun(crawler, [*refusals, *errors])


def _never_begun(crawler: Crawler, errors: list[BaseException]) -> Result:
    """What a crawl is refused for, or what its code has raised before it began."""
    result = Result(crawler.spidercls.name, int(crawler.settings[_SETTING] or 0))
    for error in errors[:1]:
        text = message_of(error) or type(error).__name__
        if not isinstance(error, ResilienceError):
            text = f"{type(error).__name__}: {text}"
            logger.error("The crawl can't begin", exc_info=error)
        result.findings.append(Finding("start", "problem", shown(text)))
    if not errors:
        result.findings.append(Finding("start", "problem", "the crawl did not begin"))
    return result
