"""Shop pages of known truth, and items of which some have a wrong field on purpose.

Of the pages six in ten have JSON-LD, as shops do. What can go wrong with a selector is drawn
from what research on shops found: a neighbour's price, the text of a button, a rating, a price
from the running text, the title of a banner, and an error page that is taken for a product.
"""

from __future__ import annotations

import json
import random

from scrapy import Request
from scrapy.http import HtmlResponse

from scrapy_resilience.selectors import Registry

__all__ = ["planted"]

SELECTORS = Registry(None).register(
    "planted",
    {
        "title": ["css:h1", "css:.banner"],
        "price": {"selectors": ["css:.price", r"regex:([$]\d+\.\d\d)"], "type": "price"},
    },
)
WRONG = ("neighbour", "button", "rating", "running text", "banner", "error page")
_WORDS = "oak lamp linen chair brass kettle wool rug steel mug folding clock paper tray".split()


def _page(rng, fault, *, structured):
    title, price = " ".join(rng.sample(_WORDS, 3)).title(), f"{rng.uniform(5, 900):.2f}"
    shown = {
        "neighbour": f"${float(price) * rng.uniform(1.1, 3):.2f}",
        "button": rng.choice(["Add to cart", "In stock", "Sold out", "Compare"]),
        "rating": f"{rng.uniform(3, 5):.1f} out of 5 stars",
    }.get(fault, f"${price}")
    if fault == "error page":
        return "<title>Sorry</title><h1>We will be right back</h1><p>Was $9.99", 503
    ld = {"@type": "Product", "name": title, "offers": {"price": price, "priceCurrency": "USD"}}
    parts = [f"<p>Delivery from ${rng.uniform(2, 9):.2f}, gift cards too.</p>"]
    parts += [f'<script type="application/ld+json">{json.dumps(ld)}</script>'] * structured
    parts += ['<p class="banner">Summer sale</p>']
    parts += [f"<h1>{title}</h1>"] * (fault != "banner")
    parts += [f'<b class="price">{shown}</b>'] * (fault != "running text")
    parts += ["<p>Made by hand in a small workshop.</p>"] * rng.randint(40, 900)
    return "\n".join(parts), 200


def planted(count, seed):
    """Yield (item, response, is right): two of five are wrong."""
    rng = random.Random(seed)
    for number in range(count):
        fault = rng.choice(WRONG) if rng.random() < 0.4 else None
        body, status = _page(rng, fault, structured=rng.random() < 0.6)
        request = Request(f"https://shop.test/{number}")
        request.meta["download_latency"] = rng.lognormvariate(-1, 0.7)
        response = HtmlResponse(request.url, status, body=body.encode(), request=request)
        yield dict(SELECTORS.extract(response)), response, fault
