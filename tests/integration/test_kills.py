"""kill -9 at random moments: each item is in each feed exactly once."""

from __future__ import annotations

import signal

import pytest
from crawls import SHOP, check_same

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_five_kills(crawl):
    """After five kills JSON Lines and CSV hold every item once, with redirects and retries."""
    job = crawl(SHOP)

    run = job.survive(kills=5, commits=1, at_least=3)

    job.check_items()
    assert run.stats["resilience/resumed"] == 1


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_crashes_of_the_interpreter(crawl, number):
    """A process that ends by a fault of C code leaves a job that loses and repeats nothing."""
    job = crawl(SHOP, spawn=True)  # as a user has it, from the first import on

    assert job.run_until(number=number).code == -number
    job.finish()

    job.check_items()


def test_signals_of_items(crawl):
    """Each item is signalled at least once, over all runs."""
    job = crawl(
        """
        import scrapy
        from shop import Base
        class Shop(Base):
            @classmethod
            def from_crawler(cls, crawler, *args, **kwargs):
                self = super().from_crawler(crawler, *args, **kwargs)
                crawler.signals.connect(self.scraped, scrapy.signals.item_scraped)
                return self
            def scraped(self, item):
                with open("signalled", "a") as file:
                    print(item["sku"], file=file)
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items()
    signalled = job.path("signalled").read_text().split()
    assert set(signalled) == {item["sku"] for item in job.site.expected_items()}


def test_kills_at_any_moment_of_a_process(crawl):
    """Kills while a process starts, opens the job or ends lose nothing and repeat nothing."""
    job = crawl(SHOP, RESILIENCE_CHECKPOINT_INTERVAL=0.03)

    for _ in range(3):
        run = job.run_until(commits=0, spread=1)
        if run.code == 0:
            break
    else:
        job.finish()

    job.check_items()


SLOW = """
    import asyncio
    from shop import Base
    class Shop(Base): pass
    class Slow:
        async def process_item(self, item):
            await asyncio.sleep(0.6 if item["sku"].endswith("1") else 0.3)
            return item
"""


def test_slow_pipelines(crawl):
    """With slow pipelines commits are unaligned, and items still come once."""
    job = crawl(
        SLOW,
        ITEM_PIPELINES={"spider.Slow": 300},
        DOWNLOAD_DELAY=0.02,
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.05,
    )

    for items in (10, 60):
        job.run_until(
            until=lambda n=items: (job.state() or {}).get("items", 0) >= n, spread=0.4
        )
    run = job.finish()

    job.check_items()
    stats = run.stats
    assert stats["resilience/total/resilience/checkpoint/unaligned"] > 3
    assert stats["resilience/total/resilience/suppressed/items"] > 0


def test_pipelines_that_end_in_another_order(crawl):
    """Items of one page that are written in a random order are suppressed one by one."""
    job = crawl(
        """
        import asyncio, random
        from shop import Base
        class Shop(Base): pass
        class Shuffle:
            async def process_item(self, item):
                await asyncio.sleep(random.uniform(0, 0.4))
                return item
        """,
        ITEM_PIPELINES={"spider.Shuffle": 300},
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.01,
    )

    job.survive(kills=2, commits=4, spread=0.3)

    job.check_items()


def test_callbacks_that_download(crawl):
    """Callbacks that await download_async() neither stop commits nor lose or repeat items."""
    job = crawl(
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
        """
    )

    run = job.survive(kills=2, commits=2)

    job.check_items()
    stats = run.stats
    assert stats.get("resilience/checkpoint/unaligned", 0) <= 1, stats


def test_callbacks_that_download_their_own_request(plain_crawl):
    """A callback that downloads its own request again is not done while it still runs."""
    job = plain_crawl(
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
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.02,
    )

    job.survive(kills=2, commits=3)

    job.check_items()


def test_lambdas(crawl):
    """Requests with lambdas and closures as callbacks lose nothing and repeat nothing."""
    job = crawl(
        """
        from shop import Base, number
        class Shop(Base):
            def parse(self, response):
                yield from self.products(response)
                def closure(response):
                    yield from self.parse(response)
                callback = (lambda r: self.parse(r), closure, self.parse)[number(response) % 3]
                yield from self.links(response, callback=callback)
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items()


def test_lambdas_everywhere(crawl):
    """A crawl of lambdas alone, start() included, writes each item once."""
    job = crawl(
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
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items()


@pytest.mark.parametrize("kind", ["visit", "lambda r: self.visit(r)"])
def test_children_that_are_not_filtered(plain_crawl, kind):
    """dont_filter children of a parent under way at an unaligned commit come once."""
    callback = kind if "lambda" in kind else f"self.{kind}"
    job = plain_crawl(
        f"""
        import asyncio, scrapy
        from shop import Base, number
        class Shop(Base):
            async def parse(self, response):
                for turn in range(20):
                    for twin in range(2):
                        yield response.follow(
                            f"/page/{{turn + 1}}", callback={callback}, dont_filter=True,
                            meta=dict(twin=twin, turn=turn),
                        )
                    yield dict(sku=f"{{response.url}} {{turn}}")
                    await asyncio.sleep(0.05)
            def visit(self, response):
                yield dict(sku=f"{{response.url}} child {{response.meta['twin']}}")
        """,
        RESILIENCE_CHECKPOINT_ALIGN_TIMEOUT=0.01,
        RESILIENCE_CHECKPOINT_INTERVAL=0.05,
    )

    job.survive(kills=2, commits=4)

    urls = job.site.start_urls()
    expected = [f"{url} {turn}" for url in urls for turn in range(20)]
    expected += [
        f"{url}page/{turn + 1} child {twin}"
        for url in urls
        for turn in range(20)
        for twin in range(2)
    ]
    job.check_items([{"sku": sku} for sku in expected])


def test_errbacks(plain_crawl):
    """Items and requests that errbacks put out come once."""
    job = plain_crawl(
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
        """
    )

    job.survive(kills=2, commits=1)

    urls = job.site.start_urls()
    failed = [f"failed {url}missing/{n}" for url in urls for n in range(30)]
    found = [f"found {url}page/{n}?x" for url in urls for n in range(1, 30)]
    found_first = job.items()
    assert not [item for item in found_first if item["sku"].endswith("page/0?x")]
    job.check_items([{"sku": sku} for sku in failed + found])


def test_odd_meta(plain_crawl):
    """Tuples, sets, bytes, integer keys and items in meta and cb_kwargs come back exactly."""
    job = plain_crawl(
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
        """
    )

    run = job.survive(kills=2, commits=1)

    assert "scheduler/unserializable" not in run.stats
    urls = job.site.start_urls()
    missing = {"page/?n=0"}  # a 404 of the site
    found = [f"page/{n or ''}?n={n}" for n in range(40)]
    job.check_items(
        [{"sku": url + path} for url in urls for path in found if path not in missing]
    )


def test_forms_and_unicode(plain_crawl):
    """POST forms, bodies of any bytes and unicode URLs are sent again as they were."""
    job = plain_crawl(
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
        """
    )

    job.survive(kills=2, commits=1)

    skus = []
    for url in job.site.start_urls():
        for n in range(30):
            skus += [
                f"POST {url} {f'n={n}&%C3%BC=%E2%82%AC'.encode().hex()}",
                f"POST {url} {bytes([n, 0, 255, 10]).hex()}",
                f"GET {url}?q=%C3%A4%E2%82%AC%F0%9F%98%80%20{n} ",
            ]
    job.check_items([{"sku": sku} for sku in skus])


def test_subclasses_of_request(plain_crawl):
    """JsonRequest, FormRequest and a spider's own Request class come back as such."""
    job = plain_crawl(
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
        """
    )

    job.survive(kills=2, commits=1)

    skus = []
    for url in job.site.start_urls():
        for n in range(40):
            skus += [f"JsonRequest {url}?json={n} None", f"Mine {url}?mine={n} ({n},)"]
    job.check_items([{"sku": sku} for sku in skus])


def test_items_of_one_page_that_are_alike(plain_crawl):
    """A page that puts out the same item twice has it in the feed twice."""
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base):
            def parse(self, response):
                for product in self.products(response):
                    yield product
                    yield product
                yield from self.links(response)
        """
    )

    job.survive(kills=2, commits=1)

    job.check_items(job.site.expected_items() * 2)


def test_items_of_every_kind(plain_crawl):
    """Scrapy items, dataclasses and attrs objects are written once under kills."""
    job = plain_crawl(
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
        """
    )

    job.survive(kills=2, commits=2)

    job.check_items()


def test_images(plain_crawl, image_server):
    """With ImagesPipeline every item comes once, with its images on disk, and commits align."""
    pytest.importorskip("PIL")
    job = plain_crawl(
        """
        from shop import Base
        class Shop(Base):
            def products(self, response):
                for item in super().products(response):
                    url = self.settings["IMAGE_SERVER"] + item["sku"]
                    images = [url + "-a.png", url + "-b.png"]  # Scrapy takes 0.1 s each
                    yield {**item, "image_urls": [] if item["page"] % 6 else images}
        """,
        IMAGE_SERVER=image_server,
        IMAGES_STORE="images",
        ITEM_PIPELINES={"scrapy.pipelines.images.ImagesPipeline": 1},
    )

    run = job.survive(kills=2, commits=2)

    job.check_items()
    for item in job.items():
        paths = [image["path"] for image in item["images"]]
        assert len(paths) == (0 if item["page"] % 6 else 2)
        assert all(job.path(f"images/{path}").is_file() for path in paths)
    # A barrier that held the images back as well would align none.
    commits = run.stats["resilience/total/resilience/checkpoint/commits"]
    assert run.stats["resilience/total/resilience/checkpoint/aligned"] >= commits / 4


def test_requests_that_a_middleware_replaces(plain_crawl):
    """A request that a middleware turns into another one is done once that one is."""
    job = plain_crawl(
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
        DOWNLOADER_MIDDLEWARES={"spider.Again": 600},
    )

    job.survive(kills=2, commits=3)

    check_same(
        [(item["host"], item["page"], item["sku"]) for item in job.items()],
        [(item["host"], item["page"], item["sku"]) for item in job.site.expected_items()],
    )
