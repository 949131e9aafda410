"""The pages that a crawl of a folder must find, found without Scrapy, HTTP or lxml."""

from __future__ import annotations

import mimetypes
from html.parser import HTMLParser
from posixpath import splitext
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["walk_folder"]

_ORIGIN = "http://folder.test"


class _Links(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.base = url
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href is None:
            return
        if tag == "base":
            self.base = urljoin(self.base, href)
        elif tag in ("a", "area"):
            self.hrefs.append(href.strip())


def walk_folder(root: Path, start: str = "/index.html") -> set[str]:
    """The paths, such as ``/library/os.html``, of the pages linked from ``start`` on.

    Follows ``a`` and ``area`` links to paths that end in ``/``, ``.html``, ``.htm`` or
    have no suffix. Paths are unquoted; fragments and queries make no page of their own.
    Only HTML files that ``running_folder`` serves are pages.
    """
    root = root.resolve()
    found: set[str] = set()
    waiting = [start]
    while waiting:
        path = _with_index(waiting.pop())
        if path in found or not _is_page(root, path):
            continue
        found.add(path)
        waiting.extend(_linked_paths(root, path))
    return found


def _with_index(path: str) -> str:
    return f"{path}index.html" if path.endswith("/") else path


def _is_page(root: Path, path: str) -> bool:
    file = (root / path.lstrip("/")).resolve()
    return (
        file.is_file()
        and file.is_relative_to(root)
        and mimetypes.guess_type(file.name)[0] == "text/html"
    )


def _linked_paths(root: Path, path: str) -> list[str]:
    parser = _Links(_ORIGIN + path)
    parser.feed((root / path.lstrip("/")).read_text("utf-8", errors="replace"))
    targets = (urlsplit(urljoin(parser.base, href)) for href in parser.hrefs)
    return [unquote(target.path) or "/" for target in targets if _is_followed(target)]


def _is_followed(target: SplitResult) -> bool:
    here = f"{target.scheme}://{target.netloc}" == _ORIGIN
    return here and splitext(target.path)[1].lower() in ("", ".html", ".htm")
