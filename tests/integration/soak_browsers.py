"""Browsers, renderers and the crawl itself are killed at random, and a browser hangs."""

from __future__ import annotations

import random
import shutil
import signal
import time
from threading import Event, Thread

import pytest
from browsing import PAGES, BrowserCrawl, odd_site
from soaking import LIMIT, finish

CRASHES = (signal.SIGKILL, signal.SIGABRT, signal.SIGTERM)


class Attacks:
    """Kills something of a crawl's browser now and then."""

    def __init__(self, crawl, rng):
        self.crawl, self.rng = crawl, rng
        self.count = 0
        self._over = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        crawl = self.crawl
        acts = [*[crawl.kill_renderer] * 5, *[crawl.kill_browser] * 3, crawl.stop_browser]
        while not self._over.wait(self.rng.uniform(0.3, 3)):
            self.rng.choice(acts)()
            self.count += 1


@pytest.mark.parametrize("kind", ["page", "forgotten"])
def test_browser_kills(tmp_path, rng, record_property, kind):
    """Each page comes once, pages are never more than may be, and no process is left."""
    pytest.importorskip("scrapy_playwright")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    forgotten = {"playwright_include_page": True}
    with odd_site() as site:
        urls = [site.url("127.0.0.1", f"/{kind}/{number}") for number in range(120)]
        crawl = BrowserCrawl(
            tmp_path,
            urls,
            META={"/forgotten": forgotten},
            DOWNLOAD_TIMEOUT=20,
            RETRY_TIMES=50,
            RESILIENCE_BROWSER_MAX_CRASHES=50,
            RESILIENCE_BROWSER_CONTEXT_PAGES=rng.choice([1, 5, 100]),
            RESILIENCE_SHUTDOWN_TIMEOUT=rng.choice([1, 10]),
        )
        kills = 0
        with Attacks(crawl, random.Random(rng.random())) as attacks:
            for _ in range(rng.randint(2, 5)):
                with crawl.process() as process:
                    end = time.monotonic() + rng.uniform(2, 12)
                    while process.poll() is None and time.monotonic() < end:
                        time.sleep(0.05)
                    if process.poll() is None:
                        process.send_signal(rng.choice(CRASHES))
                        kills += 1
                    crawl.ended(process, LIMIT)
        finish(crawl)
        record_property("kills", kills + attacks.count)

    crawl.check_pages()
    most = crawl.last().stats.get("playwright/page_count/max_concurrent", 0)
    assert most <= PAGES
    crawl.check_none_left()
