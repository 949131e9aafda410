import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scrapy_resilience.testing import SiteConfig, running_site

SPIDER = Path(__file__).parent / "shop_spider.py"


@pytest.fixture(scope="module")
def site():
    with running_site(SiteConfig(hosts=1, pages=200, latency=0.02, redirects=0.2)) as running:
        yield running


def crawl(folder, site, requests=None):
    """Run the spider; kill it with SIGKILL after that many requests."""
    resolver = "TWISTED_DNS_RESOLVER=scrapy_resilience.testing.LoopbackResolver"
    command = [sys.executable, "-m", "scrapy", "runspider", SPIDER, "-s", resolver]
    command += ["-a", f"site={site.url('h0.test')}"]
    before = site.stats()["total"]["requests"]
    with subprocess.Popen(command, cwd=folder) as process:
        while process.poll() is None:
            if requests and site.stats()["total"]["requests"] - before >= requests:
                process.kill()
            time.sleep(0.02)
    return process.returncode


def test_every_item_once(tmp_path, site):
    """Three kills, then a run to the end."""
    for _ in range(3):
        assert crawl(tmp_path, site, requests=30) == -signal.SIGKILL
    assert crawl(tmp_path, site) == 0

    items = [json.loads(line) for line in (tmp_path / "items.jsonl").open()]

    expected = [item["sku"] for item in site.expected_items("h0.test")]
    assert sorted(item["sku"] for item in items) == sorted(expected)
