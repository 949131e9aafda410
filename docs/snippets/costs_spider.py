"""A spider that asks a language model, and pays for it."""

import scrapy

from scrapy_resilience.cost import check_limits, track, tracking


class CostsSpider(scrapy.Spider):
    """Summarises pages, as long as there is money for it."""

    name = "costs"
    custom_settings = {
        "ADDONS": {"scrapy_resilience.ResilienceAddon": 500},
        "JOBDIR": "crawls/costs",
        "RESILIENCE_PRICES": {"requests": 0.0001, "gpu_seconds": 0.002},
        "RESILIENCE_BUDGETS": [
            {"resource": "usd", "limit": 5, "per": "day"},
            {"resource": "requests", "limit": 1000, "per": "hour", "domain": "*"},
            {"resource": "llm_tokens", "limit": 100_000, "per": "hour", "action": "warn"},
        ],
    }

    async def start(self):
        """Begin with one page."""
        yield scrapy.Request(self.site)

    def parse(self, response):
        """Yield a summary of the page."""
        text = " ".join(response.css("main ::text").getall())
        summary = None
        if not check_limits():
            with tracking("gpu_seconds", domain="h0.test"):
                summary, tokens = summarise(text)
            track("llm_tokens", tokens, domain="h0.test")
        yield {"url": response.url, "summary": summary}


def summarise(text: str) -> tuple[str, int]:
    """Stands for a model."""
    return text[:40], len(text.split())
