"""The HTML of the fault site: shop pages of some 2 to 6 kB, and a captcha."""

from __future__ import annotations

from html import escape

from .model import (
    SiteConfig,
    back_links,
    children,
    digest,
    link_path,
    page_path,
    products,
)

__all__ = ["CAPTCHA", "shop_page"]

_SENTENCES = (
    "Made in a small workshop and checked by hand before it leaves the house.",
    "The surface is oiled twice, so that water pearls off and colours stay warm.",
    "Spare parts are kept in stock for ten years after the last one is sold.",
    "Delivered flat in recycled cardboard, put together in a quarter of an hour.",
    "Wipe with a damp cloth; strong cleaners leave marks that do not go away.",
    "Many customers order a second one within the year, often in another colour.",
    "Not suited for use in the open in winter unless covered against frost.",
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="description" content="{title}: household goods, sent within two days.">
<link rel="canonical" href="{path}">
<style>
body {{ font: 16px/1.5 sans-serif; margin: 0 auto; max-width: 60em; }}
nav li {{ display: inline; }}
</style>
</head>
<body>
<header><p class="brand">{host}</p>
<form action="/search" method="get">
<input name="q" type="search"><button>Find</button>
</form>
</header>
<main data-page="{page}">
<h1>{title}</h1>
<p class="intro">{intro}</p>
<ul class="products">
{products}
</ul>
</main>
<nav class="below"><h2>More shelves</h2>
<ul>
{below}
</ul></nav>
<nav class="seen"><h2>Seen before</h2>
<ul>
{seen}
</ul></nav>
<footer>
<p>{host} keeps shop since 1987. Prices include tax; delivery goes by weight.</p>
</footer>
</body>
</html>
"""

_PRODUCT = """<li class="product" data-sku="{sku}">
<h3 class="name">{name}</h3>
<p class="price">EUR <span class="amount">{price}</span></p>
<p class="about">{about}</p>
<button type="button" name="add" value="{sku}">Add to basket</button>
</li>"""

CAPTCHA = b"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Are you human?</title></head>
<body>
<h1>Please verify that you are a human</h1>
<p>We noticed unusual traffic from your network. Solve the captcha to go on.</p>
<form action="/verify" method="post">
<div class="g-recaptcha" data-sitekey="none"></div>
</form>
</body>
</html>
"""


def _filler(config: SiteConfig, most: int, *key: object) -> str:
    number = digest(config, "filler", *key)
    picks = (number >> (4 * turn) for turn in range(2 + number % most))
    return " ".join(_SENTENCES[pick % len(_SENTENCES)] for pick in picks)


def _links(config: SiteConfig, host: str, pages: range | list[int]) -> str:
    line = '<li><a href="{}">Shelf {}</a></li>'
    return "\n".join(line.format(link_path(config, host, page), page) for page in pages)


def _products(config: SiteConfig, host: str, page: int) -> str:
    return "\n".join(
        _PRODUCT.format(
            sku=item["sku"],
            name=escape(str(item["name"])),
            price=item["price"],
            about=_filler(config, 8, item["sku"]),
        )
        for item in products(config, host, page)
    )


def shop_page(config: SiteConfig, host: str, page: int) -> bytes:
    """Render one page: its items, links to its children and back to earlier pages."""
    return _PAGE.format(
        title=f"Shelf {page} of {host}",
        host=host,
        path=page_path(page),
        page=page,
        intro=_filler(config, 12, "intro", host, page),
        products=_products(config, host, page),
        below=_links(config, host, children(config, page)),
        seen=_links(config, host, back_links(config, host, page)),
    ).encode()
