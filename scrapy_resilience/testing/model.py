"""Which hosts and pages the fault site has, what they sell and how they are linked.

Pure: every choice is a hash of (seed, host, page), so the items that a full crawl must
find are known without crawling. The pages of a host form a tree: the children of page
``n`` are ``n * fanout + 1 … n * fanout + fanout``, as far as they exist; page 0 is
``/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BANNED",
    "ERROR",
    "FAULTY_HOSTS",
    "LOOP",
    "OUTAGE",
    "REFUSED",
    "RETRY_AFTER_KINDS",
    "SILENT",
    "SLOW",
    "THROTTLED",
    "TRUNCATED",
    "SiteConfig",
    "back_links",
    "children",
    "digest",
    "expected_items",
    "fails_first",
    "healthy_hosts",
    "is_healthy",
    "is_redirected",
    "link_path",
    "numbered",
    "page_number",
    "page_path",
    "products",
    "redirect_target",
]

RETRY_AFTER_KINDS = ("seconds", "date", "absurd", "garbage", "none")

SILENT = "silent.test"
SLOW = "slow.test"
ERROR = "error.test"
THROTTLED = "throttled.test"
OUTAGE = "outage.test"
BANNED = "banned.test"
LOOP = "loop.test"
TRUNCATED = "truncated.test"
REFUSED = "refused.test"
FAULTY_HOSTS = (
    SILENT,
    SLOW,
    ERROR,
    THROTTLED,
    OUTAGE,
    BANNED,
    LOOP,
    TRUNCATED,
    REFUSED,
)

_BACK_LINKS = 3


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The whole of what decides the answers of a fault site; durations are in seconds.

    ``pages`` counts the pages of each host. ``redirects`` and ``first_try_503`` are
    shares of the pages of the healthy hosts: those that links reach through a redirect,
    and those whose first request is answered with a 503.
    """

    hosts: int = 4
    pages: int = 50
    fanout: int = 4
    items: int = 2
    latency: float = 0.0
    redirects: float = 0.0
    first_try_503: float = 0.0
    cookies: bool = False
    seed: int = 0
    slow: float = 3.0
    throttle_requests: int = 10
    throttle_period: float = 1.0
    throttle_window: float = 2.0
    retry_after: str = "seconds"
    outage: float = 5.0
    ban_after: int = 20
    ban_window: float = 5.0
    ban_gzip: bool = False

    def __post_init__(self) -> None:
        if self.pages < 1 or self.fanout < 1:
            raise ValueError("pages and fanout must be at least 1")
        if not (0 <= self.redirects <= 1 and 0 <= self.first_try_503 <= 1):
            raise ValueError("redirects and first_try_503 are shares from 0 to 1")
        if self.retry_after not in RETRY_AFTER_KINDS:
            raise ValueError(f"retry_after must be one of {', '.join(RETRY_AFTER_KINDS)}")


def digest(config: SiteConfig, *key: object) -> int:
    """A 64-bit number that depends on the seed and the key alone."""
    text = "\0".join(map(str, (config.seed, *key)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _chosen(config: SiteConfig, share: float, *key: object) -> bool:
    return share > 0 and digest(config, *key) < share * 2**64


def healthy_hosts(config: SiteConfig) -> list[str]:
    """``h0.test … h{n-1}.test``: the hosts that serve all their pages."""
    return [f"h{number}.test" for number in range(config.hosts)]


def is_healthy(config: SiteConfig, host: str) -> bool:
    """Whether the host is one of ``healthy_hosts``."""
    number = host[1:-5]
    return number.isdecimal() and int(number) < config.hosts and host == f"h{int(number)}.test"


def page_path(page: int) -> str:
    """The one path that serves a page."""
    return f"/page/{page}" if page else "/"


def numbered(path: str, prefix: str) -> int | None:
    """The number after the prefix, or None where the path has another form."""
    number = path.removeprefix(prefix)
    if number == path or not (number.isascii() and number.isdecimal()) or number[0] == "0":
        return None
    return int(number)


def page_number(config: SiteConfig, path: str) -> int | None:
    """The page that a path serves; None for a path that serves none."""
    page = 0 if path == "/" else numbered(path, "/page/")
    return page if page is not None and page < config.pages else None


def redirect_target(config: SiteConfig, path: str) -> int | None:
    """The page that a ``/r/N`` path redirects to; None for any other path."""
    page = numbered(path, "/r/")
    return page if page is not None and page < config.pages else None


def is_redirected(config: SiteConfig, host: str, page: int) -> bool:
    """Whether links to the page lead through ``/r/N``."""
    return (
        page > 0
        and is_healthy(config, host)
        and _chosen(config, config.redirects, "redirect", host, page)
    )


def fails_first(config: SiteConfig, host: str, page: int) -> bool:
    """Whether the first request of the page is answered with a 503."""
    return is_healthy(config, host) and _chosen(config, config.first_try_503, "503", host, page)


def link_path(config: SiteConfig, host: str, page: int) -> str:
    """The path that links to the page carry."""
    return f"/r/{page}" if is_redirected(config, host, page) else page_path(page)


def children(config: SiteConfig, page: int) -> range:
    """The pages directly below a page."""
    first = page * config.fanout + 1
    return range(first, max(first, min(first + config.fanout, config.pages)))


def back_links(config: SiteConfig, host: str, page: int) -> list[int]:
    """Earlier pages that a page links to once more."""
    picks = (
        digest(config, "back", host, page, turn) % page for turn in range(_BACK_LINKS) if page
    )
    return sorted(set(picks))


def products(config: SiteConfig, host: str, page: int) -> list[dict[str, str | int]]:
    """The items of a page, in page order; a ``sku`` is unique in the whole site."""
    return [_product(config, host, page, place) for place in range(config.items)]


_ADJECTIVES = ("Small", "Heavy", "Quiet", "Folding", "Oak", "Steel", "Linen", "Bright")
_NOUNS = (
    "Lamp",
    "Chair",
    "Kettle",
    "Shelf",
    "Basket",
    "Clock",
    "Blanket",
    "Desk & Drawer",
)


def _product(config: SiteConfig, host: str, page: int, place: int) -> dict[str, str | int]:
    number = digest(config, "product", host, page, place)
    adjective, noun = _ADJECTIVES[number % 8], _NOUNS[number // 8 % 8]
    return {
        "host": host,
        "page": page,
        "sku": f"{host.removesuffix('.test').upper()}-{page:05}-{place}",
        "name": f"{adjective} {noun} {number // 64 % 900 + 100}",
        "price": f"{number // 2**20 % 500}.{number // 2**40 % 100:02}",
    }


def expected_items(config: SiteConfig, *hosts: str) -> list[dict[str, str | int]]:
    """The items of a full crawl of these hosts; of all healthy ones by default."""
    return list(_items(config, hosts or healthy_hosts(config)))


def _items(
    config: SiteConfig, hosts: tuple[str, ...] | list[str]
) -> Iterator[dict[str, str | int]]:
    for host in hosts:
        for page in range(config.pages):
            yield from products(config, host, page)
