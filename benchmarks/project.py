"""Scrapy settings of every crawl here, stock's and ours; the rest is on its command line."""

import os

from scrapy_resilience.testing import ScaledClock, use_clock

if _scale := os.environ.get("BENCH_CLOCK"):
    use_clock(ScaledClock(*map(float, _scale.split(","))))

SPIDER_MODULES = [
    "benchmarks.spiders",
    "benchmarks.memory_spiders",
    "benchmarks.sql_spiders",
]
EXTENSIONS = {"benchmarks.child.Report": 0, "benchmarks.child.InFlight": 0}
DOWNLOADER_MIDDLEWARES = {
    "benchmarks.child.Proxies": 740,
    "benchmarks.child.LocalAnswers": 950,
}
TWISTED_DNS_RESOLVER = "scrapy_resilience.testing.LoopbackResolver"
TELNETCONSOLE_ENABLED = False
LOG_LEVEL = "INFO"
LOG_FILE = "crawl.log"
