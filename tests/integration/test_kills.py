"""kill -9 at random moments: each item is in each feed exactly once."""

from __future__ import annotations

import signal

import pytest
from crawls import SHOP, check_same
from mixes import (
    ALIKE,
    DOWNLOADS,
    DOWNLOADS_ITSELF,
    ERRBACKS,
    FORMS,
    IMAGES,
    KINDS,
    LAMBDAS,
    LAMBDAS_ALONE,
    NOT_FILTERED,
    NOT_FILTERED_LAMBDAS,
    ODD_META,
    REPLACED,
    SHUFFLED,
    SLOW,
    SUBCLASSES,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_five_kills(crawl):
    """After five kills JSON Lines and CSV hold every item once, with redirects and retries."""
    job = crawl(SHOP)

    run = job.survive(kills=5, commits=1, at_least=3)

    job.check_items()
    assert run.stats["resilience/resumed"] == 1


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_crashes_of_the_interpreter(crawl, number):
    """A process that ends by a fault of C code leaves a job that loses and repeats nothing."""
    job = crawl(SHOP, spawn=True)  # as a user has it, from the first import on

    assert job.run_until(number=number).code == -number
    job.finish()

    job.check_items()


def test_signals_of_items(crawl):
    """Each item is signalled at least once, over all runs."""
    job = crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.scraped, scrapy.signals.item_scraped)
                return self
            def scraped(self, item):
                with open("signalled", "a") as file:
                    print(item["sku"], file=file)
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items()
    signalled = job.path("signalled").read_text().split()
    assert set(signalled) == {item["sku"] for item in job.site.expected_items()}


def test_kills_at_any_moment_of_a_process(crawl):
    """Kills while a process starts, opens the job or ends lose nothing and repeat nothing."""
    job = crawl(SHOP, RESILIENCE_CHECKPOINT_INTERVAL=0.03)

    for _ in range(3):
        run = job.run_until(commits=0, spread=1)
        if run.code == 0:
            break
    else:
        job.finish()

    job.check_items()


def test_slow_pipelines(crawl):
    """With pipelines that take 1.5 s commits are unaligned, and items still come once."""
    job = crawl(SLOW.source, **SLOW.settings)

    for items in (10, 60):
        job.run_until(
            until=lambda n=items: (job.state() or {}).get("items", 0) >= n, spread=0.4
        )
    run = job.finish()

    job.check_items()
    stats = run.stats
    assert stats["resilience/total/resilience/checkpoint/unaligned"] > 3
    assert stats["resilience/total/resilience/suppressed/items"] > 0


def test_pipelines_that_end_in_another_order(crawl):
    """Items of one page that are written in a random order are suppressed one by one."""
    job = crawl(SHUFFLED.source, **SHUFFLED.settings)

    job.survive(kills=2, commits=4, spread=0.3)

    job.check_items()


def test_callbacks_that_download(crawl):
    """Callbacks that await download_async() neither stop commits nor lose or repeat items."""
    job = crawl(DOWNLOADS.source)

    run = job.survive(kills=2, commits=2)

    job.check_items()
    stats = run.stats
    assert stats.get("resilience/checkpoint/unaligned", 0) <= 1, stats


def test_callbacks_that_download_their_own_request(plain_crawl):
    """A callback that downloads its own request again is not done while it still runs."""
    job = plain_crawl(DOWNLOADS_ITSELF.source, **DOWNLOADS_ITSELF.settings)

    job.survive(kills=2, commits=3)

    job.check_items()


def test_lambdas(crawl):
    """Requests with lambdas and closures as callbacks lose nothing and repeat nothing."""
    job = crawl(LAMBDAS.source)

    job.survive(kills=2, commits=2)

    job.check_items()


def test_lambdas_everywhere(crawl):
    """A crawl of lambdas alone, start() included, writes each item once."""
    job = crawl(LAMBDAS_ALONE.source)

    job.survive(kills=2, commits=2)

    job.check_items()


@pytest.mark.parametrize("mix", [NOT_FILTERED, NOT_FILTERED_LAMBDAS], ids=["visit", "lambda"])
def test_children_that_are_not_filtered(plain_crawl, mix):
    """dont_filter children of a parent under way at an unaligned commit come once."""
    job = plain_crawl(mix.source, **mix.settings)

    job.survive(kills=2, commits=4)

    job.check_items(mix.expected(job.site))


def test_errbacks(plain_crawl):
    """Items and requests that errbacks put out come once."""
    job = plain_crawl(ERRBACKS.source)

    job.survive(kills=2, commits=1)

    job.check_items(ERRBACKS.expected(job.site))


def test_odd_meta(plain_crawl):
    """Tuples, sets, bytes, integer keys and items in meta and cb_kwargs come back exactly."""
    job = plain_crawl(ODD_META.source)

    run = job.survive(kills=2, commits=1)

    assert "scheduler/unserializable" not in run.stats
    job.check_items(ODD_META.expected(job.site))


def test_forms_and_unicode(plain_crawl):
    """POST forms, bodies of any bytes and unicode URLs are sent again as they were."""
    job = plain_crawl(FORMS.source)

    job.survive(kills=2, commits=1)

    job.check_items(FORMS.expected(job.site))


def test_subclasses_of_request(plain_crawl):
    """JsonRequest, FormRequest and a spider's own Request class come back as such."""
    job = plain_crawl(SUBCLASSES.source)

    job.survive(kills=2, commits=1)

    job.check_items(SUBCLASSES.expected(job.site))


def test_items_of_one_page_that_are_alike(plain_crawl):
    """A page that puts out the same item twice has it in the feed twice."""
    job = plain_crawl(ALIKE.source)

    job.survive(kills=2, commits=1)

    job.check_items(ALIKE.expected(job.site))


def test_items_of_every_kind(plain_crawl):
    """Scrapy items, dataclasses and attrs objects are written once under kills."""
    job = plain_crawl(KINDS.source)

    job.survive(kills=2, commits=2)

    job.check_items()


def test_images(plain_crawl, image_server):
    """With ImagesPipeline every item comes once, with its images on disk, and commits align."""
    pytest.importorskip("PIL")
    job = plain_crawl(IMAGES.source, IMAGE_SERVER=image_server, **IMAGES.settings)

    run = job.survive(kills=2, commits=2)

    job.check_items()
    for item in job.items():
        paths = [image["path"] for image in item["images"]]
        assert len(paths) == (0 if item["page"] % 6 else 2)
        assert all(job.path(f"images/{path}").is_file() for path in paths)
    # A barrier that held the images back as well would align none.
    commits = run.stats["resilience/total/resilience/checkpoint/commits"]
    assert run.stats["resilience/total/resilience/checkpoint/aligned"] >= commits / 4


def test_requests_that_a_middleware_replaces(plain_crawl):
    """A request that a middleware turns into another one is done once that one is."""
    job = plain_crawl(REPLACED.source, **REPLACED.settings)

    job.survive(kills=2, commits=3)

    check_same(
        [(item["host"], item["page"], item["sku"]) for item in job.items()],
        [(item["host"], item["page"], item["sku"]) for item in job.site.expected_items()],
    )
