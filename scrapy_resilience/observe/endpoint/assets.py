"""The files of the live page, as the endpoint serves them and the report holds them.

They hold no data of a crawl, so they are served without a token; the page asks for one where
``status.json`` wants it. Nothing in them is of another host.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["ASSETS", "PAGE", "POLICY", "asset"]

PAGE: Final = "index.html"
ASSETS: Final = {
    PAGE: "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "uplot/uPlot.min.css": "text/css; charset=utf-8",
    "uplot/LICENSE": "text/plain; charset=utf-8",
    **dict.fromkeys(
        (
            "uplot/uPlot.iife.min.js", "format.js", "dom.js", "charts.js", "overview.js",
            "domains.js", "evidence.js", "details.js", "guards.js", "browsers.js", "limits.js",
            "face.js", "page.js", "report.js",
        ),
        "text/javascript; charset=utf-8",
    ),
}  # fmt: skip
"""The content type of each, by the path under which it is served, below that of the page."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The Content-Security-Policy of the page: no script or style in it, none from elsewhere."""


@cache
def asset(name: str) -> bytes:
    """The content of one of :data:`ASSETS`. Raises :exc:`KeyError` for any other name."""
    if name not in ASSETS:
        raise KeyError(name)
    return (
        files("scrapy_resilience.observe.endpoint")
        .joinpath("page", *name.split("/"))
        .read_bytes()
    )
