"""Spiders that are killed: what each puts out, and the items that it must bring home."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crawls import SHOP

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Mix:
    """The source of a spider, the settings that make it hard, and its items on a site.

    ``faults``: it also does with redirects and with 503s at first tries.
    """

    source: str
    settings: dict[str, Any] = field(default_factory=dict)
    faults: bool = False
    expected: Callable[[Any], list[dict[str, Any]]] = lambda site: site.expected_items()


def _skus(skus):
    return [{"sku": sku} for sku in skus]


REDIRECTS = Mix(SHOP, faults=True)

SLOW = Mix(
    """
    import asyncio
    from shop import Base
    class Shop(Base): pass
    class Slow:
        async def process_item(self, item):
            await asyncio.sleep(0.6 if item["sku"].endswith("1") else 0.3)
            return item
    """,
    faults=True,
    settings={
        "ITEM_PIPELINES": {"spider.Slow": 300},
        "DOWNLOAD_DELAY": 0.02,
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0.05,
    },
)

SHUFFLED = Mix(
    """
    import asyncio, random
    from shop import Base
    class Shop(Base): pass
    class Shuffle:
        async def process_item(self, item):
            await asyncio.sleep(random.uniform(0, 0.4))
            return item
    """,
    faults=True,
    settings={
        "ITEM_PIPELINES": {"spider.Shuffle": 300},
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0.01,
    },
)

DOWNLOADS = Mix(
    """
    import scrapy
    from shop import Base, number
    class Shop(Base):
        async def parse(self, response):
            again = scrapy.Request(response.url + "?again")
            other = await self.crawler.engine.download_async(again)
            assert number(other) == number(response) or other.status == 503
            for output in super().parse(response):
                yield output
    """,
    faults=True,
)

DOWNLOADS_ITSELF = Mix(
    """
    import asyncio
    from shop import Base
    class Shop(Base):
        async def parse(self, response):
            await self.crawler.engine.download_async(response.request)
            await asyncio.sleep(0.15)
            for output in super().parse(response):
                yield output
    """,
    settings={
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0.02,
    },
)

LAMBDAS = Mix(
    """
    from shop import Base, number
    class Shop(Base):
        def parse(self, response):
            yield from self.products(response)
            def closure(response):
                yield from self.parse(response)
            callback = (lambda r: self.parse(r), closure, self.parse)[number(response) % 3]
            yield from self.links(response, callback=callback)
    """,
    faults=True,
)

LAMBDAS_ALONE = Mix(
    """
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            for url in self.start_urls:
                yield scrapy.Request(url, callback=lambda r: self.visit(r))
        def visit(self, response):
            yield from self.products(response)
            yield from self.links(response, callback=lambda r: self.visit(r))
    """,
    faults=True,
)


def _not_filtered_items(site):
    urls = site.start_urls()
    skus = [f"{url} {turn}" for url in urls for turn in range(20)]
    skus += [
        f"{url}page/{turn + 1} child {twin}"
        for url in urls
        for turn in range(20)
        for twin in range(2)
    ]
    return _skus(skus)


NOT_FILTERED = Mix(
    """
    import asyncio, scrapy
    from shop import Base, number
    class Shop(Base):
        async def parse(self, response):
            for turn in range(20):
                for twin in range(2):
                    yield response.follow(
                        f"/page/{turn + 1}", callback=self.visit, dont_filter=True,
                        meta=dict(twin=twin, turn=turn),
                    )
                yield dict(sku=f"{response.url} {turn}")
                await asyncio.sleep(0.05)
        def visit(self, response):
            yield dict(sku=f"{response.url} child {response.meta['twin']}")
    """,
    settings={
        "RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT": 0.01,
        "RESILIENCE_CHECKPOINT_INTERVAL": 0.05,
    },
    expected=_not_filtered_items,
)
NOT_FILTERED_LAMBDAS = replace(
    NOT_FILTERED,
    source=NOT_FILTERED.source.replace(
        "callback=self.visit", "callback=lambda r: self.visit(r)"
    ),
)


def _errback_items(site):
    urls = site.start_urls()
    failed = [f"failed {url}missing/{n}" for url in urls for n in range(30)]
    found = [f"found {url}page/{n}?x" for url in urls for n in range(1, 30)]
    return _skus(failed + found)  # page/0 is a 404 of the site


ERRBACKS = Mix(
    """
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            for url in self.start_urls:
                for n in range(30):
                    yield scrapy.Request(f"{url}missing/{n}", errback=self.failed)
        def failed(self, failure):
            n = failure.value.response.url.rpartition("/")[2]
            yield dict(sku="failed " + failure.request.url)
            yield failure.value.response.follow(f"/page/{n}?x", callback=self.found)
        def found(self, response):
            yield dict(sku="found " + response.url)
    """,
    expected=_errback_items,
)


def _odd_meta_items(site):
    paths = [f"page/{n or ''}?n={n}" for n in range(1, 40)]  # page/ is a 404 of the site
    return _skus(url + path for url in site.start_urls() for path in paths)


ODD_META = Mix(
    r"""
    import datetime, decimal, scrapy
    from shop import Base
    class Thing(scrapy.Item):
        sku = scrapy.Field()
        parts = scrapy.Field()
    def odd(n):
        return {
            "tuple": (n, (n, [n])), "set": {n, "x"}, "frozen": frozenset([n]),
            "bytes": b"\xff\x00%d" % n, 7: n, (1, 2): "tuple key", None: "none key",
            "item": Thing(sku=str(n), parts=[Thing(sku="part")]), "big": 2**80 + n,
            "when": datetime.datetime(2026, 1, 1, n % 24), "price": decimal.Decimal("1.10"),
            "nested": {"deep": {1: {2: (3,)}}}, "text": "\udcff ä€😀", "float": n / 3,
            "bool": True,
        }
    class Shop(Base):
        async def start(self):
            for url in self.start_urls:
                for n in range(40):
                    yield scrapy.Request(
                        f"{url}page/{n or ''}?n={n}", meta={"odd": odd(n)},
                        cb_kwargs={"more": odd(n)}, headers={"X": ["a", "b"]},
                        flags=["one"], priority=n % 3, cookies={"c": "1"},
                    )
        def parse(self, response, more):
            n = int(response.url.rpartition("=")[2])
            for found in (response.meta["odd"], more):
                assert found == odd(n), found
                assert repr(list(map(type, found.values()))) == repr(
                    list(map(type, odd(n).values()))), found
            request = response.request
            assert request.headers.getlist("X") == [b"a", b"b"], request.headers
            assert request.flags == ["one"] and request.priority == n % 3
            yield dict(sku=response.url)
    """,
    expected=_odd_meta_items,
)


def _form_items(site):
    skus = []
    for url in site.start_urls():
        for n in range(30):
            skus += [
                f"POST {url} {f'n={n}&%C3%BC=%E2%82%AC'.encode().hex()}",
                f"POST {url} {bytes([n, 0, 255, 10]).hex()}",
                f"GET {url}?q=%C3%A4%E2%82%AC%F0%9F%98%80%20{n} ",
            ]
    return _skus(skus)


FORMS = Mix(
    r"""
    import scrapy
    from shop import Base
    class Shop(Base):
        async def start(self):
            for url in self.start_urls:
                for n in range(30):
                    yield scrapy.FormRequest(url, formdata={"n": str(n), "ü": "€"})
                    body = bytes([n, 0, 255, 10])
                    yield scrapy.Request(url, method="POST", body=body)
                    yield scrapy.Request(f"{url}?q=ä€😀 {n}", encoding="utf-8")
        def parse(self, response):
            request = response.request
            yield dict(sku=f"{request.method} {request.url} {request.body.hex()}")
    """,
    expected=_form_items,
)


def _subclass_items(site):
    skus = []
    for url in site.start_urls():
        for n in range(40):
            skus += [f"JsonRequest {url}?json={n} None", f"Mine {url}?mine={n} ({n},)"]
    return _skus(skus)


SUBCLASSES = Mix(
    """
    import scrapy
    from scrapy.http import JsonRequest
    from shop import Base
    class Mine(scrapy.Request):
        attributes = (*scrapy.Request.attributes, "extra")
        def __init__(self, *args, extra=None, **kwargs):
            self.extra = extra
            super().__init__(*args, **kwargs)
    class Shop(Base):
        async def start(self):
            for url in self.start_urls:
                for n in range(40):
                    yield JsonRequest(f"{url}?json={n}", data={"n": n})
                    yield Mine(f"{url}?mine={n}", extra=(n,))
        def parse(self, response):
            request = response.request
            extra = getattr(request, "extra", None)
            yield dict(sku=f"{type(request).__name__} {request.url} {extra}")
    """,
    expected=_subclass_items,
)

ALIKE = Mix(
    """
    from shop import Base
    class Shop(Base):
        def parse(self, response):
            for product in self.products(response):
                yield product
                yield product
            yield from self.links(response)
    """,
    expected=lambda site: site.expected_items() * 2,
)

KINDS = Mix(
    """
    import attrs, dataclasses, scrapy
    from shop import Base
    class Plain(scrapy.Item):
        sku = scrapy.Field()
    @dataclasses.dataclass
    class Data:
        sku: str
    @attrs.define
    class Attrs:
        sku: str
    class Shop(Base):
        def parse(self, response):
            for n, product in enumerate(self.products(response)):
                kind = (Plain, Data, Attrs)[(product["page"] + n) % 3]
                yield kind(sku=product["sku"])
            yield from self.links(response)
    """,
)

IMAGES = Mix(
    """
    from shop import Base
    class Shop(Base):
        def products(self, response):
            for item in super().products(response):
                url = self.settings["IMAGE_SERVER"] + item["sku"]
                images = [url + "-a.png", url + "-b.png"]  # Scrapy takes 0.1 s each
                yield {**item, "image_urls": [] if item["page"] % 6 else images}
    """,
    settings={
        "IMAGES_STORE": "images",
        "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1},
    },
)

REPLACED = Mix(
    """
    import scrapy
    from shop import Base
    class Again:
        def process_response(self, request, response):
            turn = request.meta.get("turn", 0)
            if turn < 2:
                return request.replace(
                    url=response.urljoin(f"?turn={turn}"), dont_filter=True,
                    meta={**request.meta, "turn": turn + 1},
                )
            return response
    class Shop(Base): pass
    """,
    settings={
        "DOWNLOADER_MIDDLEWARES": {"spider.Again": 600},
    },
)

MIXES = {
    name.lower().replace("_", "-"): mix
    for name, mix in list(globals().items())
    if isinstance(mix, Mix)
}
"""All of them, by name."""
