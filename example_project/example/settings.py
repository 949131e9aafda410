BOT_NAME = "example"

SPIDER_MODULES = ["example.spiders"]
NEWSPIDER_MODULE = "example.spiders"

ADDONS = {"scrapy_resilience.ResilienceAddon": 500}

JOBDIR = "crawls/%(spider)s"

FEEDS = {"items/%(name)s.jsonl": {"format": "jsonlines", "overwrite": False}}
FEED_EXPORT_ENCODING = "utf-8"

ROBOTSTXT_OBEY = True
DOWNLOAD_TIMEOUT = 15
TELNETCONSOLE_ENABLED = False

# Only for this example: the shop's host names end in .test and mean this machine.
TWISTED_DNS_RESOLVER = "scrapy_resilience.testing.LoopbackResolver"
