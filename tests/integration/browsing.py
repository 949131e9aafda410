"""Crawls with scrapy-playwright of a site that browsers have trouble with."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from crawls import Crawl, wait_until
from web import serving

from scrapy_resilience.browsers import processes
from scrapy_resilience.jobs.jobmeta import JobMeta

HANDLER = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"
SPIDER = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield self.ask(url)
        def ask(self, url):
            meta = {} if "/plain" in url else {"playwright": True}
            for part, more in self.settings.getdict("META").items():
                if part in url:
                    meta.update(more)
            failed = None if "/missing" in url else self.failed
            return scrapy.Request(url, self.parse, errback=failed, meta=meta)
        async def parse(self, response):
            item = dict(sku=response.url, flags=response.flags,
                        text=" ".join(response.css("body ::text").getall()))
            page = response.meta.get("playwright_page")
            if "/broken" in response.url:
                raise ValueError("no price")
            if "/handed/" in response.url:
                await page.evaluate("window.name = 'kept'")
                again = self.ask(response.url.replace("/handed/", "/handed-on/"))
                again.meta["playwright_page"] = page
                yield again
            if "/handed-on/" in response.url:
                item["name"] = await page.evaluate("window.name")
                await page.close()
            yield item
        def failed(self, failure):
            self.logger.info("FAILED %s %r", failure.request.url, failure.value)
"""
"""``META`` adds to the meta of requests, by a part of their URLs."""
PAGES = 4
"""Of a context at a time."""
LATE = {"download_timeout": 3, "max_retry_times": 0}
OPTIONS = {
    "executable_path": shutil.which("chromium"),
    "args": ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"],
}
_MEMORY = (
    "<script>document.write(document.cookie, ' ', localStorage.getItem('k'));"
    "localStorage.setItem('k', 'stored')</script>"
)
_ODD = {
    "/loop": "<script>while (true);</script>",
    "/dialogs": "<script>while (true) alert(1);</script>",
    "/popups": "<script>setInterval(() => open('/page'), 300)</script>popups",
    "/broken": "<script>console.error('wrong: http://me:hidden@x.test/?token=hidden');"
    "console.log('fine'); undefined.price</script>"
    "<h1>Shop</h1><input type=password value=hidden>",
    "/memory": _MEMORY,
    "/hang": _MEMORY,
}


class OddSite:
    """An answer for :func:`web.serving`: pages, and what is wrong with some."""

    def __init__(self):
        self.over = Event()
        self.hanging = 0

    def __call__(self, host, path, count):
        html = {"Content-Type": "text/html"}
        if host == "down.test":
            return 503, html, b"<p>down"
        if host == "banned.test":
            html["cf-mitigated"] = "challenge"
            return 403, html, b"<title>Just a moment...</title><h1>Wait"
        if host == "busy.test" and count == 2:
            return 429, {**html, "Retry-After": "1"}, b"<p>too many"
        if path.startswith("/hang"):
            self.hanging += 1
            self.over.wait(120)
        if path == "/download":
            return 200, {"Content-Disposition": "attachment; filename=a.bin"}, b"x" * 1000
        if path == "/login":
            return 200, {**html, "Set-Cookie": "login=yes"}, b"<p>hello"
        kind = f"/{path.split('/')[1]}"
        body = _ODD.get(kind, f"<script>document.write('js {path}')</script>")
        status = 404 if kind == "/missing" else 200
        return status, html, f"<html><body>{body}".encode()


@contextmanager
def odd_site():
    """The site, which runs; hanging answers end with it."""
    odd = OddSite()
    with serving(odd) as site:
        site.odd = odd
        try:
            yield site
        finally:
            odd.over.set()


class BrowserCrawl(Crawl):
    """A project whose pages come from the browser, but for those below ``/plain``."""

    def __init__(self, folder, urls, source=SPIDER, **settings):
        defaults = {
            "URLS": urls,
            "DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER},
            "PLAYWRIGHT_LAUNCH_OPTIONS": OPTIONS,
            "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": PAGES,
            "FEEDS": {"items.jsonl": {"format": "jsonlines"}},
            "CONCURRENT_REQUESTS": 16,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
            "DOWNLOAD_TIMEOUT": 30,
            "META": dict.fromkeys(("/hang", "/loop", "/dialogs"), LATE),
            "COOKIES_ENABLED": False,
        }
        super().__init__(folder, source, **{**defaults, **settings})

    def processes(self):
        """Those of browsers that work for the job, but for the crawl itself."""
        meta = self.state()
        if meta is None:
            return []
        mark = processes.job_mark(JobMeta(**meta).ident, self.job)
        return processes.marked(processes.JOB, mark)

    def check_none_left(self):
        """No process of the job is there any more; the last ones may be about to end."""
        wait_until(lambda: not self.processes(), 20)

    def stop_browser(self):
        """Freeze the browser: it hangs, whatever it is asked."""
        for pid in processes.leaders(self.processes()):
            os.kill(pid, signal.SIGSTOP)

    def kill_browser(self):
        """Kill it."""
        for pid in processes.leaders(self.processes()):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def kill_renderer(self):
        """Kill a process that shows a page. Whether there was one."""
        groups = set(processes.leaders(self.processes()))
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError, ValueError):
                command = (path / "cmdline").read_bytes()
                group = int((path / "stat").read_bytes().rpartition(b")")[2].split()[2])
                shows_page = b"--type=renderer" in command and b"top-chrome" not in command
                if group in groups and shows_page:
                    os.kill(int(path.name), signal.SIGKILL)
                    return True
        return False

    def done(self):
        """How many items are in the feed now."""
        path = self.path("items.jsonl")
        return path.read_bytes().count(b"\n") if path.exists() else 0
