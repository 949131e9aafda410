"""Crawls the shop, kills the crawl twice with SIGKILL, goes on, and counts: ``./run example``.

Exit code 1 when an item is lost, or there twice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from example.spiders.shop import ShopSpider

from scrapy_resilience.testing import RunningSite, running_site

PAGES = 200
KILLS = 2
JOB, FEED, LOG = Path("crawls/shop"), Path("items/shop.jsonl"), Path("shop.log")
REVIEW = Path("items/shop-review.jsonl")


def main() -> int:
    shutil.rmtree(JOB, ignore_errors=True)
    for path in (FEED, REVIEW, LOG):
        path.unlink(missing_ok=True)
    config = ShopSpider(pages=str(PAGES)).address.config
    with running_site(config) as site:
        command = [
            *(sys.executable, "-m", "scrapy", "crawl", "shop", "--logfile", str(LOG)),
            *("-a", f"site=http://127.0.0.1:{site.port}", "-a", f"pages={PAGES}"),
            *("-s", "RESILIENCE_CHECKPOINT_INTERVAL=1"),
        ]
        items = len(site.expected_items())
        print(f"{items} items in {config.hosts} shops of {PAGES} pages; the log is {LOG}\n")
        targets = [items * (kill + 1) // (KILLS + 1) for kill in range(KILLS)]
        kills = sum(run(command, until=target) for target in targets)
        run(command)
        return count(site, kills)


def run(command: list[str], until: int | None = None) -> bool:
    """Whether the crawl was killed: as soon as the feed has *until* lines."""
    with subprocess.Popen(command) as process:  # noqa: S603 - this very Python
        while process.poll() is None and (until is None or lines() < until):
            time.sleep(0.02)
        killed = process.poll() is None
        if killed:
            process.kill()
    ended = "killed with SIGKILL" if killed else f"ended with exit code {process.returncode}"
    print(f"scrapy crawl shop: {ended}, {lines()} items in the feed", flush=True)
    return killed


def lines() -> int:
    return FEED.read_bytes().count(b"\n") if FEED.exists() else 0


def count(site: RunningSite, kills: int) -> int:
    """Compare the feed with what the shops have."""
    wanted = Counter(item["sku"] for item in site.expected_items())
    found = Counter(json.loads(line)["sku"] for line in FEED.read_text("utf-8").splitlines())
    lost, twice = (wanted - found).total(), (found - wanted).total()
    pages = site.config.hosts * site.config.pages
    print(f"\n{'pages':>8}{'items':>8}{'kills':>8}{'lost':>8}{'twice':>8}")
    print(f"{pages:>8}{found.total():>8}{kills:>8}{lost:>8}{twice:>8}\n")
    print(f"In example_project: {FEED}, {REVIEW} (doubtful items), {LOG}")
    return int(lost + twice > 0)


if __name__ == "__main__":
    sys.exit(main())
