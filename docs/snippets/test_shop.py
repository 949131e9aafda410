import json
import subprocess
import sys
from pathlib import Path

import pytest

from scrapy_resilience.testing import SiteConfig, running_site

SPIDER = Path(__file__).parent / "shop_spider.py"


@pytest.fixture(scope="module")
def site():
    with running_site(SiteConfig(hosts=1, pages=150, latency=0.02, redirects=0.2)) as running:
        yield running


def crawl(folder, site, seconds=None):
    """Run the spider; kill it with SIGKILL after that many seconds."""
    resolver = "TWISTED_DNS_RESOLVER=scrapy_resilience.testing.LoopbackResolver"
    command = [sys.executable, "-m", "scrapy", "runspider", SPIDER, "-s", resolver]
    command += ["-a", f"site={site.url('h0.test')}"]
    try:
        subprocess.run(command, cwd=folder, timeout=seconds, check=True)
    except subprocess.TimeoutExpired:  # run() has killed it
        return False
    return True


def test_every_item_once(tmp_path, site):
    """Three kills, then a run to the end."""
    for _ in range(3):
        if crawl(tmp_path, site, seconds=2):
            break
    else:
        assert crawl(tmp_path, site)

    items = [json.loads(line) for line in (tmp_path / "items.jsonl").open()]

    expected = [item["sku"] for item in site.expected_items("h0.test")]
    assert sorted(item["sku"] for item in items) == sorted(expected)
