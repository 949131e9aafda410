"""What the add-on does with the settings of a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.misc import load_object

from scrapy_resilience.dryrun.feeds import use_dry_feeds
from scrapy_resilience.dryrun.harmless_components import leave_out, refuse_spider
from scrapy_resilience.dryrun.harmless_settings import make_quiet
from scrapy_resilience.dryrun.limit import limited
from scrapy_resilience.dryrun.rehearsal import begin
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.extensions.coverage import FieldCoverage
from scrapy_resilience.extensions.dryrun import DryRun, NothingLater
from scrapy_resilience.pipelines.confidence import ConfidencePipeline
from scrapy_resilience.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

__all__ = ["rehearse"]


def rehearse(
    crawler: Crawler,
    real: BaseSettings,
    settings: BaseSettings,
    config: Config,
    plug: Callable[[BaseSettings, Config], None],
) -> None:
    """All that would be refused is; then *settings* become those of a dry run.

    *real*, the same, become those of the crawl, by what the add-on does: *plug*.
    """
    if not config.enabled:
        raise ConfigurationError(
            "RESILIENCE_DRY_RUN does nothing, as RESILIENCE_ENABLED is off, so the crawl "
            "would be a real one: turn it on, or remove RESILIENCE_DRY_RUN."
        )
    refuse_spider(crawler.spidercls)
    plug(real, config)
    rehearsal = begin(crawler, real, config)
    named = config.dry_run_safe
    rehearsal.skipped += make_quiet(settings, config, named)
    plug(settings, Config.from_settings(settings))
    default = settings.setdefault_in_component_priority_dict
    default("ITEM_PIPELINES", ConfidencePipeline, 900)
    default("EXTENSIONS", FieldCoverage, 0)
    use_dry_feeds(settings)
    rehearsal.skipped += leave_out(settings, named)
    settings.set("SCHEDULER", limited(load_object(settings["SCHEDULER"])), "cmdline")
    default("EXTENSIONS", DryRun, 1000)
    default("EXTENSIONS", NothingLater, -(10**9))
