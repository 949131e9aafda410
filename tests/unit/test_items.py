"""How many items of a response are in the pipelines at once, corrected while the crawl runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy.settings import Settings

from scrapy_resilience.checkpoint.items import OutputTracker

FAST, SLOW = 0.1, 0.2


class Crawl:
    """As much of a crawl as an item on its way through the pipelines meets."""

    def __init__(self, clock, priority="addon"):
        self._clock = clock
        settings = Settings()
        settings.set("CONCURRENT_ITEMS", 8, priority=priority)
        self.scraper = SimpleNamespace(concurrent_items=8)
        self.tracker = OutputTracker(
            SimpleNamespace(settings=settings, engine=SimpleNamespace(scraper=self.scraper)),
            SimpleNamespace(under_way={}),
            lambda _: None,
        )

    def items(self, *seconds):
        """Send an item through pipelines that take so long; return the number of workers."""

        async def process(item, **_):
            self._clock.advance(item)

        for each in seconds:
            with pytest.raises(StopIteration):  # nothing in it waits
                self.tracker.item(process, each, None).send(None)
        return self.scraper.concurrent_items


def test_five_slow_items_in_a_row_restore_scrapys_number(fake_clock):
    """Pipelines that turn out to wait get as many workers as without the add-on."""
    crawl = Crawl(fake_clock)

    assert [crawl.items(SLOW) for _ in range(6)] == [8, 8, 8, 8, 100, 100]


def test_a_fast_item_begins_the_row_anew(fake_clock):
    """A slow item now and then is no sign of pipelines that wait."""
    crawl = Crawl(fake_clock)

    assert crawl.items(*[*[SLOW] * 4, FAST] * 5) == 8
    assert crawl.items(*[SLOW] * 5) == 100


def test_a_restored_number_is_left_alone(fake_clock):
    """The correction is made once: what is set later stays."""
    crawl = Crawl(fake_clock)
    crawl.items(*[SLOW] * 5)
    crawl.scraper.concurrent_items = 3

    assert crawl.items(*[SLOW] * 10) == 3


@pytest.mark.parametrize("priority", ["project", "spider", "cmdline"])
def test_the_users_number_is_not_corrected(fake_clock, priority):
    """A CONCURRENT_ITEMS that the user has set stays, however slow the pipelines are."""
    assert Crawl(fake_clock, priority).items(*[SLOW] * 20) == 8


def test_scrapys_own_number_needs_no_correction(fake_clock):
    """Where the add-on has not lowered it, nothing is set."""
    assert Crawl(fake_clock, "default").items(*[SLOW] * 20) == 8
