"""Scrapy settings of every crawl here, stock's and ours; the rest is on its command line."""

SPIDER_MODULES = ["benchmarks.spiders"]
EXTENSIONS = {"benchmarks.child.Report": 0, "benchmarks.child.InFlight": 0}
DOWNLOADER_MIDDLEWARES = {
    "benchmarks.child.Proxies": 740,
    "benchmarks.child.LocalAnswers": 950,
}
TWISTED_DNS_RESOLVER = "scrapy_resilience.testing.LoopbackResolver"
TELNETCONSOLE_ENABLED = False
LOG_LEVEL = "INFO"
LOG_FILE = "crawl.log"
