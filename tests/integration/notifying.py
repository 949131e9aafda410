"""Crawls that tell somebody, and what must be nowhere."""

from __future__ import annotations

from crawls import BUSY, PAGES, Crawl

SECRETS = ("s3cr3t-path", "t0ken123", "sign-s3cr3t-0123456789")
TELLING = """
    import scrapy
    from scrapy_resilience import signals
    from scrapy_resilience.gates.crawl_pauses import pauses_of
    from scrapy_resilience.notifications import notify

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            self.pauses = pauses_of(self.crawler)
            for kind, severity in self.settings.getdict("EVENTS").items():
                self.crawler.signals.send_catch_log(
                    signals.crawl_event, kind=kind, text=f"It is {kind} <!channel>",
                    severity=severity, domain="")
            self.pauses.pause("memory", "too much of it")
            self.pauses.resume("memory")
            for number in range(50):
                notify(self.crawler, f"note {number} https://me:hunter2@a.test/?token=hunter2")
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            yield dict(sku=response.url)
"""
GUARDS = {
    **dict.fromkeys(
        "blocked budget component cpu disk drift memory snapshot stall stuck".split(), "warning"
    ),
    "abort": "error",
    "commit": "error",
    "hold": "info",
    "mine": "error",
    "given_up": "error",
}
QUICK = {"RESILIENCE_NOTIFY_GROUP": 0.2, "RESILIENCE_NOTIFY_PER_HOUR": 1000}


def crawl_of(folder, web, hook, source=PAGES, pages=3, *, spawn=False, **settings):
    """A crawl that tells *hook*, a URL or several channels."""
    channels = hook if isinstance(hook, list) else [hook]
    return Crawl(
        folder, source, URLS=web.urls("a.test", pages), RESILIENCE_NOTIFY=channels,
        spawn=spawn, **{**BUSY, **QUICK, **settings},
    )  # fmt: skip


def check_no_secret(crawl, *secrets):
    """No log, report or file of the job has one."""
    for path in crawl.folder.rglob("*"):
        if path.is_file() and path.name != "settings.py" and "__pycache__" not in path.parts:
            data = path.read_bytes()
            assert [each for each in secrets or SECRETS if each.encode() in data] == [], path
