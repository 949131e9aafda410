"""Scrapy's cookies, kept in the checkpoint."""

from __future__ import annotations

from http.cookiejar import Cookie
from typing import TYPE_CHECKING, Any

from scrapy.downloadermiddlewares.cookies import CookiesMiddleware

from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.components import refuse_both
from scrapy_resilience.jobs.crawl_job import job_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

__all__ = ["DurableCookiesMiddleware"]


class DurableCookiesMiddleware(CookiesMiddleware):
    """A commit writes the jars that changed since the last one, a resume brings all back."""

    def __init__(self, debug: bool = False) -> None:  # noqa: FBT001, FBT002 - as Scrapy's
        super().__init__(debug)
        self._changed: set[Any] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        self = super().from_crawler(crawler)
        refuse_both(crawler, "DOWNLOADER_MIDDLEWARES", cls, CookiesMiddleware)
        job = job_of(crawler)
        if job is not None:
            job.state.register_map(OWN + "cookies", self._save_changed, self._restore)
        return self

    def process_request(self, request: Request, spider: Any = None) -> Any:
        if request.cookies:
            self._changed.add(request.meta.get("cookiejar"))
        return super().process_request(request)

    def process_response(self, request: Request, response: Response, spider: Any = None) -> Any:
        if b"Set-Cookie" in response.headers:
            self._changed.add(request.meta.get("cookiejar"))
        return super().process_response(request, response)

    def _save_changed(self) -> dict[Any, list[dict[str, Any]]]:
        changed, self._changed = self._changed, set()
        return {
            key: [_as_dict(cookie) for cookie in self.jars[key]]
            for key in changed
            if key in self.jars
        }

    def _restore(self, saved: dict[Any, list[dict[str, Any]]]) -> None:
        for key, cookies in saved.items():
            for cookie in cookies:
                self.jars[key].set_cookie(Cookie(**cookie))


def _as_dict(cookie: Cookie) -> dict[str, Any]:
    found = dict(vars(cookie))
    found["rest"] = found.pop("_rest")
    return found
