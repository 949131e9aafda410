"""Crawls a tree of HTML pages: a folder on this machine, or a web site."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from posixpath import splitext
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urlsplit

from scrapy.http import HtmlResponse

from example.local import LocalSpider
from scrapy_resilience.testing import running_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.http import Response


class SiteSpider(LocalSpider):
    """Describes each page that links lead to, without leaving the host.

    Arguments: ``root``, a folder or a URL; ``port`` on which a folder is served.
    """

    name = "site"

    def __init__(self, root: str = "", port: str = "18610", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not root:
            raise ValueError("Say what to crawl: -a root=FOLDER or -a root=URL")
        self.port = int(port)
        self.folder = None if "://" in root else Path(root)
        local = f"http://127.0.0.1:{self.port}/index.html"
        self.start_urls = [local if self.folder else root]

    def server(self) -> AbstractContextManager[object]:
        if self.folder is None:
            return nullcontext()
        return running_folder(self.folder, port=self.port)

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        if not isinstance(response, HtmlResponse):
            return
        links = _page_links(response)
        headings = response.css("h1, h2, h3").xpath("normalize-space()")
        yield {
            "url": response.url,
            "title": response.css("title::text").get(default="").strip(),
            "headings": headings.getall(),
            "link_count": len(links),
            "links": links,
        }
        yield from response.follow_all(links)


def _page_links(response: HtmlResponse) -> list[str]:
    hrefs = response.css("a::attr(href), area::attr(href)").getall()
    urls = (urldefrag(response.urljoin(href.strip())).url for href in hrefs)
    return [url for url in dict.fromkeys(urls) if _is_page_of(response.url, url)]


def _is_page_of(here: str, url: str) -> bool:
    parts = urlsplit(url)
    same_host = parts[:2] == urlsplit(here)[:2]
    return same_host and splitext(parts.path)[1].lower() in ("", ".html", ".htm")
