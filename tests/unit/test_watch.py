"""What makes an emergency snapshot: errors that Scrapy catches and only logs."""

from __future__ import annotations

import pytest
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.settings import Settings

from scrapy_resilience._scrapy.watching import watch_handlers, watch_scheduler


class Broken:
    """A scheduler that has a bad moment."""

    def next_request(self):
        """Fail."""
        raise LookupError("broken")

    def enqueue_request(self, request):
        """Take it."""
        return request


def crawler_of(spider):
    """Return a crawler whose spider has a handler that raises."""
    crawler = Crawler(Spider, Settings({"LOG_ENABLED": False}))
    crawler.spider = spider

    def raising():
        raise LookupError("broken")

    crawler.raising = raising  # the dispatcher holds it weakly
    crawler.signals.connect(raising, signals.spider_idle)
    return crawler


def test_an_error_of_the_scheduler_is_seen_and_goes_on():
    """The engine gets the error as before; what works is left alone."""
    scheduler, seen = Broken(), []
    watch_scheduler(scheduler, seen.append)

    with pytest.raises(LookupError) as caught:
        scheduler.next_request()

    assert seen == [caught.value]
    assert scheduler.enqueue_request("request") == "request"


def test_an_error_of_a_signal_handler_is_seen_until_it_is_undone():
    """Scrapy logs it, and that is where it is seen."""
    crawler, seen = crawler_of(Spider("a")), []
    undo = watch_handlers(crawler, seen.append)

    crawler.signals.send_catch_log(signals.spider_idle, spider=crawler.spider)
    undo()
    crawler.signals.send_catch_log(signals.spider_idle, spider=crawler.spider)

    assert [type(error) for error in seen] == [LookupError]


def test_errors_of_another_crawl_are_not_seen():
    """Two crawls in a process have their own emergencies."""
    ours, other, seen = crawler_of(Spider("a")), crawler_of(Spider("b")), []
    undo = watch_handlers(ours, seen.append)

    other.signals.send_catch_log(signals.spider_idle, spider=other.spider)
    undo()

    assert seen == []
