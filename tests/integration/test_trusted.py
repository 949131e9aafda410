"""The settings that the README shows for values to trust, on ordinary sites."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from web import serving

pytestmark = pytest.mark.integration

README = Path(__file__).resolve().parents[2] / "README.md"
PAGES = 60
SPIDER = """
    import scrapy

    class Shop(scrapy.Spider):
        name = "shop"

        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)

        def parse(self, response):
            if response.headers["Content-Type"] == b"application/json":
                yield {**response.json(), "sku": response.url}
            else:
                yield {
                    "sku": response.url,
                    "name": response.css("h1::text").get(),
                    "price": response.css(".price::text").get(),
                    "published": response.css("time::text").get(),
                }
"""


def shop(number, rng):
    """A page with JSON-LD, of some size."""
    price, name = rng.randrange(300, 90_000) / 100, f"Oak Chair {number}"
    data = {
        "@type": "Product",
        "name": name,
        "offers": {"price": price, "priceCurrency": "EUR"},
    }
    story = {"@type": "NewsArticle", "datePublished": f"2024-01-{number % 28 + 1:02}T23:30:00Z"}
    shown = f"{price:,.2f}".translate(str.maketrans(",.", ".,"))
    return (
        f'<script type="application/ld+json">{json.dumps([data, story])}</script>'
        f"<h1>{name}</h1>"
        f'<b class="price">{shown} €</b><time>{number % 28 + 1}. Januar 2024</time>'
        + "<p>Made by hand in a small workshop.</p>"
        * rng.randint(50, 600)
    )


def small(number, rng):
    """A page of some hundred characters, without structured data."""
    return (
        f'<h1>Mug {number}</h1><b class="price">{rng.randrange(300, 9000) / 100} €</b>'
        f"<time>{number % 28 + 1}.01.2024</time>" + "<p>A mug.</p>" * rng.randint(5, 40)
    )


def api(number, rng):
    """An answer of less than a hundred characters."""
    row = {"name": f"Mug {number}", "price": rng.randrange(300, 9000) / 100}
    return json.dumps({**row, "published": f"2024-01-{number % 28 + 1:02}"})


SITES = {"shop.test": shop, "small.test": small, "api.test": api}


def answer(host, path, _count):
    """The same page each time."""
    number = int(path.strip("/"))
    body = SITES[host](number, random.Random(f"{host}{number}")).encode()
    kind = "application/json" if host == "api.test" else "text/html; charset=utf-8"
    return 200, {"Content-Type": kind}, body


def readme_settings():
    """The block of settings under "Values to trust"."""
    section = README.read_text("utf-8").partition("## Values to trust")[2]
    found = {}
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], found)  # noqa: S102
    return {name: value for name, value in found.items() if name.isupper()}


@pytest.mark.parametrize("host", SITES)
def test_ordinary_sites(tmp_path, rng, host):
    """Of a correct spider's items 99 in 100 are trusted, and all typed, after a kill too."""
    from crawls import Crawl, check_same  # noqa: PLC0415 - beside this file

    with serving(answer) as web:
        urls = web.urls(host, PAGES)
        job = Crawl(tmp_path, SPIDER, rng=rng, **readme_settings(), URLS=urls)
        job.survive(kills=1, commits=1)

    trusted, review = job.items(), job.items("review.jsonl")
    check_same([item["sku"] for item in trusted + review], urls)
    print(f"{host}: {len(trusted)} of {PAGES} items are trusted")  # noqa: T201 - for -rP
    assert len(trusted) >= 0.99 * PAGES, review[:3]
    for item in trusted:
        assert {"amount", "currency", "raw"} <= item["price"].keys()
        assert item["published"]["iso"].startswith("2024-01-")
        assert item["confidence"]["warnings"] == []
    assert all(item["confidence"]["warnings"] for item in review)


def test_the_usual_length_survives(tmp_path, rng):
    """What was usual before a kill is so after it: an error page is not trusted then."""
    from crawls import Crawl  # noqa: PLC0415 - beside this file

    def with_error(host, path, count):
        if path == "/last":
            return 200, {"Content-Type": "text/html"}, b"<h1>Sorry</h1>"
        return answer(host, path, count)

    with serving(with_error) as web:
        urls = web.urls("small.test", PAGES)
        job = Crawl(tmp_path, SPIDER, rng=rng, **readme_settings(), URLS=urls)
        job.finish()
        job.configure(URLS=[web.url("small.test", "/last")], RESILIENCE_RERUN_START=True)
        job.finish()

    (doubtful,) = job.items("review.jsonl")
    assert doubtful["name"] == "Sorry"
    assert "usual are" in doubtful["confidence"]["warnings"][-1]
    assert 0.8 < job.state("resilience.totals")["resilience/confidence/mean"] < 1
