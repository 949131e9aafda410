"""A crawl that is refused before it begins: there is no event loop to wait for, and no job."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING
from uuid import uuid4

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import on_refusal
from scrapy_resilience.core.masking import clipped
from scrapy_resilience.core.notices import Notice
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.notify.channels import channels_of
from scrapy_resilience.guard.notify.senders import sender_of

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from scrapy_resilience.exceptions import ResilienceError
    from scrapy_resilience.guard.notify.channels import Channel
    from scrapy_resilience.settings import Config

__all__ = ["tell_refusals"]

logger = get_logger(__name__)

_KIND = "refused"
_SEVERITY = "error"
_LONGEST = 300


def tell_refusals(crawler: Crawler, config: Config) -> None:
    """Have it told when the crawl is refused, as far as the settings can be read."""
    try:
        channels = channels_of(config)
    except ConfigurationError:
        return  # that is what it will be refused for
    wanted = [each for each in channels if each.rule.wants(_KIND, _SEVERITY)]
    spider = str(getattr(crawler.spidercls, "name", None) or "")
    if not wanted:
        return

    def refused(error: ResilienceError) -> None:
        notice = Notice(
            id=uuid4().hex, time=_clock.wall(), kind=_KIND, severity=_SEVERITY, spider=spider,
            texts=[f"The crawl does not begin: {clipped(str(error), _LONGEST)}"],
        )  # fmt: skip
        for channel in wanted:
            # not a daemon: the process, which has nothing else to do, waits for it
            Thread(
                target=_send, args=(channel, notice, config), name="resilience-notify"
            ).start()

    on_refusal(crawler, refused)


def _send(channel: Channel, notice: Notice, config: Config) -> None:
    sender = sender_of(channel, config.notify_secret)
    try:
        outcome = sender.send_blocking(notice, config.notify_timeout)
        problem = outcome.problem
    except Exception as error:  # noqa: BLE001 - it may tell of a URL: no traceback
        problem = type(error).__name__
    if problem:
        logger.warning("The channel %s is not told of that: %s", channel.name, problem)
