"""Beside Spidermon and under scrapyd, the real packages."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from crawls import BUSY, PAGES, TIME_LIMIT, Crawl, wait_until
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from web import serving

pytestmark = pytest.mark.integration

# --- Spidermon --------------------------------------------------------------------------

MONITORS = """
    from spidermon import Monitor, MonitorSuite, monitors
    from spidermon.contrib.actions.reports.files import CreateFileReport
    from spidermon.contrib.scrapy.monitors import FinishReasonMonitor, ItemCountMonitor
    from spidermon.core.actions import Action
    from pathlib import Path

    class Tell(Action):
        def run_action(self):
            failed = [str(each) for each in self.result.monitors_failed_results]
            passed = [str(each) for each in self.result.monitors_passed_results]
            items = self.data.stats["item_scraped_count"]
            with Path("told.txt").open("a") as file:
                print(items, len(failed), len(passed), file=file)

    @monitors.name("All runs")
    class Totals(Monitor):
        @monitors.name("Items of all runs")
        def test_items(self):
            wanted = self.data.crawler.settings.getint("WANTED")
            total = self.data.stats["resilience/total/item_scraped_count"]
            self.assertGreaterEqual(total, wanted)

    class Suite(MonitorSuite):
        monitors = [Totals, ItemCountMonitor, FinishReasonMonitor]
        monitors_finished_actions = [Tell]
"""
SPIDERMON = {
    "SPIDERMON_ENABLED": True,
    "SPIDERMON_SPIDER_CLOSE_MONITORS": ("monitors.Suite",),
    "SPIDERMON_VALIDATION_SCHEMAS": ["schema.json"],
    "SPIDERMON_MIN_ITEMS": 1,
    "SPIDERMON_EXPECTED_FINISH_REASONS": ["finished"],
    "EXTENSIONS": {"spidermon.contrib.scrapy.extensions.Spidermon": 500},
    "ITEM_PIPELINES": {"spidermon.contrib.scrapy.pipelines.ItemValidationPipeline": 800},
}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "type": "object",
    "properties": {"sku": {"type": "string"}},
    "required": ["sku", "name"],
}


def monitored(folder, urls, **settings):
    """A crawl that Spidermon watches."""
    crawl = Crawl(folder, PAGES, URLS=urls, **{**BUSY, **SPIDERMON, **settings})
    crawl.write("monitors.py", "\n".join(line[4:] for line in MONITORS.splitlines()))
    crawl.write("schema.json", json.dumps(SCHEMA))
    return crawl


def test_monitors_of_spidermon(tmp_path):
    """They run at the close, see its stats, and those of all runs; its own are exported."""
    with serving(lambda *_: 200) as web:
        crawl = monitored(
            tmp_path, web.urls("a.test", 9), WANTED=9, RESILIENCE_METRICS_TEXTFILE="a.prom"
        )
        run = crawl.finish()

    assert crawl.path("told.txt").read_text() == "9 0 3\n"
    assert run.stats["spidermon/validation/items"] == 9
    assert run.stats["spidermon/validation/items/errors"] == 9  # name is missing
    crawl.check_pages()
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(crawl.path("a.prom").read_text())
        for sample in family.samples
    }
    assert found["scrapy_spidermon_validation_items_total"] == 9


def test_monitors_after_a_kill(tmp_path, rng):
    """The run that finishes a job has items of all runs for a monitor that asks for them."""
    with serving(lambda *_: 200) as web:
        crawl = monitored(tmp_path, web.urls("a.test", 80), WANTED=80, DOWNLOAD_DELAY=0.02)
        crawl.rng = rng
        crawl.survive(kills=1)

    items, failed, passed = map(int, crawl.path("told.txt").read_text().split())
    assert items < 80
    assert (failed, passed) == (0, 3)
    crawl.check_pages()


# --- scrapyd -----------------------------------------------------------------------------

CONFIG = """
[scrapyd]
bind_address = 127.0.0.1
http_port = {port}
poll_interval = 0.2
max_proc = 2
"""


class Scrapyd:
    """A real scrapyd in the folder of a project."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, **values):
        """Ask it; None while nobody answers."""
        try:
            with urlopen(f"{self.url}/{path}.json?{urlencode(values)}", timeout=10) as answer:  # noqa: S310 - of this test
                return json.load(answer)
        except URLError:
            return None

    def post(self, path, **values):
        """Have it do something."""
        data = urlencode({"project": "default", **values}).encode()
        with urlopen(f"{self.url}/{path}.json", data, timeout=10) as answer:  # noqa: S310 - of this test
            return json.load(answer)

    def ended(self, job):
        """Whether a job is among the finished ones."""
        found = self.get("listjobs", project="default")
        return job in [each["id"] for each in found["finished"]]


@pytest.fixture
def scrapyd(tmp_path):
    """One that ends with the test, as do its jobs."""
    pytest.importorskip("pkg_resources", reason="scrapyd 1.6 needs setuptools below 81")
    port = free_port()
    (tmp_path / "scrapyd.conf").write_text(CONFIG.format(port=port))
    command = [
        sys.executable,
        "-c",
        "from scrapyd.__main__ import main; main()",
        "-n",
        "--pidfile=",
    ]
    with (tmp_path / "scrapyd.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            server = Scrapyd(port)
            wait_until(lambda: process.poll() is not None or server.get("daemonstatus"))
            assert process.poll() is None, (tmp_path / "scrapyd.log").read_text()
            yield server
        finally:
            process.terminate()
            process.wait(TIME_LIMIT)


@pytest.mark.slow
def test_under_scrapyd(tmp_path, request):
    """A job that is cancelled keeps everything, and the next one goes on with it."""
    with serving(lambda *_: 200) as web:
        crawl = Crawl(
            tmp_path, PAGES, URLS=web.urls("a.test", 60), DOWNLOAD_DELAY=0.05,
            **{**BUSY, "CONCURRENT_REQUESTS": 1},
        )  # fmt: skip
        scrapyd = request.getfixturevalue("scrapyd")
        first = scrapyd.post("schedule", spider="shop")["jobid"]
        wait_until(lambda: crawl.commits() >= 2)
        scrapyd.post("cancel", job=first)
        wait_until(lambda: scrapyd.ended(first))
        assert 0 < len(crawl.items()) < 60
        second = scrapyd.post("schedule", spider="shop")["jobid"]
        wait_until(lambda: scrapyd.ended(second))

    crawl.check_pages()
    log = next((tmp_path / "logs").rglob(f"{second}.log")).read_text()
    assert "Spider closed (finished)" in log
    assert "Metrics, health and a live page: http://127.0.0.1:" in log
