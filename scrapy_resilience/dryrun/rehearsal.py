"""A dry run under way: what its crawl would have been, and who is told of what it brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy_resilience._scrapy.of_crawlers import OfCrawlers
from scrapy_resilience._scrapy.running_command import arguments_of
from scrapy_resilience.commands.tables import tell
from scrapy_resilience.dryrun.flag import set_dry_run
from scrapy_resilience.dryrun.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from scrapy_resilience.dryrun.harmless_components import Skipped
    from scrapy_resilience.dryrun.result import Result
    from scrapy_resilience.settings import Config

__all__ = ["Rehearsal", "begin", "rehearsal_of", "tell_result", "tell_to"]


@dataclass
class Rehearsal:
    """Of one crawler."""

    settings: BaseSettings
    """As the crawl would have them, with all that writes."""
    config: Config
    arguments: Mapping[str, Any]
    """Of the spider."""
    skipped: list[Skipped] = field(default_factory=list)
    writes: Writes = field(default_factory=Writes)


_rehearsals = OfCrawlers["Rehearsal"]("rehearsal")
_listeners = OfCrawlers["Callable[[Result], None]"]("dry_result")


def begin(crawler: Crawler, settings: BaseSettings, config: Config) -> Rehearsal:
    """From now on what is written is seen."""
    set_dry_run()
    _rehearsals[crawler] = Rehearsal(settings, config, arguments_of(crawler))
    return _rehearsals[crawler]


def rehearsal_of(crawler: Crawler) -> Rehearsal | None:
    """That of a crawler; None where it is no dry run."""
    return _rehearsals.get(crawler)


def tell_to(crawler: Crawler, function: Callable[[Result], None]) -> None:
    """Have *function* called with the result: else it is printed."""
    _listeners[crawler] = function


def tell_result(crawler: Crawler, result: Result) -> None:
    """The dry run is over."""
    if crawler in _listeners:
        _listeners[crawler](result)
    else:
        tell(result.text())
