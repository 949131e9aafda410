"""Where a fault site is, and what a crawl of it must find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import model

if TYPE_CHECKING:
    from .model import SiteConfig

__all__ = ["SiteAddress"]


class SiteAddress:
    """A site that listens on ``port``; nothing listens on ``refused_port``."""

    def __init__(self, config: SiteConfig, port: int, refused_port: int) -> None:
        self.config = config
        self.port = port
        self.refused_port = refused_port

    def url(self, host: str, path: str = "/") -> str:
        """The URL of a path; ``refused.test`` gets the port that refuses."""
        port = self.refused_port if host == model.REFUSED else self.port
        return f"http://{host}:{port}{path}"

    def start_urls(self, *hosts: str) -> list[str]:
        """The front pages of these hosts; of all healthy hosts by default."""
        return [self.url(host) for host in hosts or model.healthy_hosts(self.config)]

    def page_urls(self, host: str) -> list[str]:
        """The URLs of all pages of a host, for hosts whose links cannot be read."""
        return [self.url(host, model.page_path(page)) for page in range(self.config.pages)]

    def expected_items(self, *hosts: str) -> list[dict[str, str | int]]:
        """The items of a full crawl of these hosts; of all healthy ones by default."""
        return model.expected_items(self.config, *hosts)
