"""The spiders: each is the same for stock Scrapy and for ours."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zlib import crc32

import msgspec
from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import TextResponse

from scrapy_resilience import ResilientScheduler
from scrapy_resilience._scrapy.engine import under_way
from scrapy_resilience.extensions.snapshots import Snapshots
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.observe.observer import observer_of
from scrapy_resilience.signals import breaker_changed
from scrapy_resilience.testing import SiteAddress, SiteConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from scrapy.core.engine import ExecutionEngine
    from scrapy.http import Response
    from typing_extensions import Self


def text_of(response: Response) -> TextResponse:
    """The response, which must be text."""
    assert isinstance(response, TextResponse)
    return response


# --- the fault site --------------------------------------------------------------


class Shop(Spider):
    """Follows all links of the fault site, and yields all products."""

    name = "shop"

    def __init__(self, port: str, hosts: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = SiteAddress(SiteConfig(hosts=int(hosts)), int(port), 0).start_urls()

    async def start(self) -> AsyncIterator[Any]:
        # Filtered, as links lead back to the front pages.
        for url in self.start_urls:
            yield Request(url)

    def parse(self, response: Response, **_: Any) -> Any:
        return self.outputs(text_of(response))

    def outputs(self, response: TextResponse) -> Iterator[Any]:
        """The items of a page, then its links."""
        yield from self.items(response)
        yield from response.follow_all(css="nav a")

    def items(self, response: TextResponse) -> Iterator[dict[str, Any]]:
        """The items of a page."""
        page = response.css("main::attr(data-page)").get()
        for product in response.css("li.product"):
            yield {
                "host": urlsplit(response.url).hostname,
                "page": page,
                "sku": product.attrib["data-sku"],
                "name": product.css(".name::text").get(),
                "price": product.css(".amount::text").get(),
            }


class Awaiting(Shop):
    """Each callback awaits a download of its own before it yields."""

    name = "awaiting"

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        assert self.crawler.engine is not None
        again = Request(response.url + "?again=1")
        second = await self.crawler.engine.download_async(again)
        for output in self.outputs(text_of(second)):
            yield output


class Pictures(Shop):
    """Each item has a picture of its own for ImagesPipeline."""

    name = "pictures"

    def items(self, response: TextResponse) -> Iterator[dict[str, Any]]:
        for item in super().items(response):
            yield {**item, "image_urls": [f"http://local.test/{item['sku']}.png"]}


class Columns(Shop):
    """Some items have a column more, some one less."""

    name = "columns"

    def items(self, response: TextResponse) -> Iterator[dict[str, Any]]:
        for item in super().items(response):
            if int(item["page"]) % 3 == 1:
                item["colour"] = "teal"
            if int(item["page"]) % 3 == 2:  # noqa: PLR2004
                del item["price"]
            yield item


class Everything(Shop):
    """All that a checkpoint has to cope with at once, chosen by the URL of a link.

    Requests that live in memory, that wait, and callbacks that await a download;
    ``spider.state`` has every page. *sick* are more start URLs, of hosts that fail.
    """

    name = "everything"

    def __init__(self, *args: str, sick: str = "", **kwargs: str) -> None:
        super().__init__(*args, **kwargs)
        self.start_urls += sick.split()

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        answer = text_of(response)
        if _share(answer.url) in range(70, 80):
            assert self.crawler.engine is not None
            again = Request(answer.url + "?again=1")
            answer = text_of(await self.crawler.engine.download_async(again))
        pages = self.state.setdefault("pages", set())
        pages.add((urlsplit(answer.url).hostname, answer.css("main::attr(data-page)").get()))
        for item in self.items(answer):
            yield item
        for link in answer.css("nav a"):
            yield self.follow(answer, answer.urljoin(link.attrib["href"]))

    def follow(self, response: TextResponse, url: str) -> Request:
        """A request for a link: of the same kind in each run."""
        share = _share(url)
        if share < 10:  # noqa: PLR2004
            return response.follow(url, lambda found: self.parse(found))  # noqa: PLW0108 - it can't be stored
        if share < 20:  # noqa: PLR2004
            return response.follow(url, self.parse, meta={"resilience_delay": 0.1})
        return response.follow(url, self.parse, priority=share % 3)

    def closed(self, reason: str) -> None:
        assert self.crawler.stats is not None
        pages = len(self.state.get("pages", ()))
        self.crawler.stats.set_value("bench/pages", pages)


def _share(url: str) -> int:
    """0 to 99, the same in each process."""
    return crc32(urlsplit(url).path.encode()) % 100


# --- start() ---------------------------------------------------------------------


class Numbers(Spider):
    """Start requests for the pages 0 … n - 1 of local hosts, in order."""

    name = "numbers"

    def __init__(self, count: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = int(count)

    async def start(self) -> AsyncIterator[Any]:
        for number in range(self.count):
            yield Request(local_url(number))

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        yield {"url": response.url}


def local_url(number: int) -> str:
    """The URL of a page that LocalAnswers answers; 100 hosts in turn."""
    return f"http://local{number % 100}.test/{number}"


class Unordered(Numbers):
    """The same from a set: in another order in each process."""

    name = "unordered"

    async def start(self) -> AsyncIterator[Any]:
        for url in {local_url(number) for number in range(self.count)}:
            yield Request(url)


class Growing(Numbers):
    """The same from a file that grows while the crawl runs, up to the line END."""

    name = "growing"

    async def start(self) -> AsyncIterator[Any]:
        with Path("queue.txt").open(encoding="utf-8") as queue:  # noqa: ASYNC230 - it is local
            line = ""
            while line != "END\n":
                line += queue.readline()
                if not line.endswith("\n"):
                    await asyncio.sleep(0.01)
                elif line != "END\n":
                    yield Request(line.strip())
                    line = ""


class Unfiltered(Numbers):
    """Even pages filtered, and asked for twice; odd ones unfiltered, and asked for twice."""

    name = "unfiltered"

    async def start(self) -> AsyncIterator[Any]:
        for number in range(self.count):
            for _ in range(2):
                yield Request(local_url(number), dont_filter=bool(number % 2))


class Domains(Spider):
    """One page of each of many domains; one callback queues them all at once."""

    name = "domains"

    def __init__(self, port: str, hosts: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.port, self.hosts = int(port), int(hosts)

    async def start(self) -> AsyncIterator[Any]:
        yield Request(f"http://seed.test:{self.port}/", callback=self.parse_seed)

    def parse_seed(self, _: Response) -> Iterator[Any]:
        for number in range(self.hosts):
            yield Request(f"http://d{number}.test:{self.port}/")

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        yield {"host": text_of(response).css("h1::text").get()}


# --- the scheduler alone ---------------------------------------------------------

_BATCH = 20
_MEASURE_MEMORY = 500
_LONG_ENOUGH = 2.0
_TICK = 0.001


class Frontier(Spider):
    """Drives the crawl's own scheduler while the engine pauses; no network.

    ``fill`` enqueues requests, round robin over the hosts; ``drain`` dequeues all of
    them; ``pops`` fills and dequeues some. The figures become stats, ``bench/…``.
    """

    name = "frontier"

    def __init__(self, phase: str, hosts: str, requests: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.born = time.perf_counter()
        self.phase = phase
        self.run: Callable[[], Any] = getattr(self, phase)
        self.hosts, self.requests = int(hosts), int(requests)
        self.seen = bytearray(self.requests)

    async def start(self) -> AsyncIterator[Any]:
        self.put("open_seconds", time.perf_counter() - self.born)
        nothing: list[Request] = []
        for request in nothing:  # start() must be an async generator
            yield request
        assert self.crawler.engine is not None
        self.engine: ExecutionEngine = self.crawler.engine
        self.engine.pause()
        scheduler: Any = self.engine.scheduler
        self.scheduler = scheduler
        async with Ticker() as ticker:
            try:
                await self.run()
            except Exception as error:
                self.logger.exception("Not measured")
                raise CloseSpider("failed") from error  # the engine pauses: nobody else ends it
        self.put("stall_max", ticker.longest)
        raise CloseSpider("measured")

    def put(self, name: str, value: float) -> None:
        """Make a figure known."""
        assert self.crawler.stats is not None
        self.crawler.stats.set_value(f"bench/{name}", value)

    def batch(self, first: int) -> list[Request]:
        """The next requests, made outside of the time that counts."""
        numbers = range(first, min(first + _BATCH, self.requests))
        return [
            Request(f"http://h{number % self.hosts}.test/item/{number}") for number in numbers
        ]

    async def fill(self) -> None:
        """Enqueue all, and wait until they are on disk where they ever are."""
        gc.collect()
        memory = peak = resident_bytes()
        spent, enqueue = 0.0, self.scheduler.enqueue_request
        for first in range(0, self.requests, _BATCH):
            requests = self.batch(first)
            started = time.perf_counter()
            for request in requests:
                enqueue(request)
            spent += time.perf_counter() - started
            if first // _BATCH % _MEASURE_MEMORY == 0:
                peak = max(peak, resident_bytes())
            await asyncio.sleep(0)
        spent += await self.commit()
        self.put("enqueue_us", spent / self.requests * 1e6)
        self.put("memory_bytes", max(peak, resident_bytes()) - memory)
        self.put("duplicates_taken", sum(enqueue(request) for request in self.batch(0)))

    async def commit(self) -> float:
        """Seconds until everything is durable; stock has no such moment."""
        started = time.perf_counter()
        # isinstance() says yes for each scheduler: Scrapy's base class compares methods.
        if ResilientScheduler in type(self.scheduler).__mro__:
            await self.scheduler.committer.commit()
        return time.perf_counter() - started

    async def drain(self) -> None:
        """Dequeue all."""
        spent = released = 0.0
        while self.scheduler.has_pending_requests():
            popping, releasing = self.pop(_BATCH)
            spent += popping
            released += releasing
            await asyncio.sleep(0)
        self.put("dequeue_us", spent / max(self.requests, 1) * 1e6)
        self.put("release_us", released / max(self.requests, 1) * 1e6)
        self.put("popped_once", self.seen.count(1))

    async def pops(self) -> None:
        """Fill, then dequeue for some seconds."""
        await self.fill()
        spent, popped = 0.0, 0
        while spent < _LONG_ENOUGH and popped < self.requests // 2:
            spent += self.pop(_BATCH)[0]
            popped += _BATCH
            await asyncio.sleep(0)
        self.put("dequeue_us", spent / popped * 1e6)
        self.put("popped_once", self.seen.count(1))
        self.put("popped", popped)

    def pop(self, count: int) -> tuple[float, float]:
        """Dequeue some, and send what the engine sends when a request has been answered.

        The seconds that each of the two took.
        """
        started = time.perf_counter()
        popped = [self.scheduler.next_request() for _ in range(count)]
        between = time.perf_counter()
        requests = [request for request in popped if request is not None]
        for request in requests:
            self.crawler.signals.send_catch_log(
                signals.request_left_downloader, request=request, spider=self
            )
        ended = time.perf_counter()
        for request in requests:
            number = int(request.url.rpartition("/")[2])
            self.seen[number] = min(self.seen[number] + 1, 2)
        return between - started, ended - between


class Beside(Frontier):
    """A crawl of many pending requests, with and without a snapshot beside it.

    ``fill`` makes the job; ``watch`` crawls it, and takes turns: some seconds without a
    snapshot, then one snapshot. The turns become the stat ``bench/turns``.
    """

    name = "beside"

    def __init__(self, *args: str, rounds: str = "0", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rounds = int(rounds)
        self.pages = 0

    def batch(self, first: int) -> list[Request]:
        numbers = range(first, min(first + _BATCH, self.requests))
        return [Request(local_url(number)) for number in numbers]

    async def start(self) -> AsyncIterator[Any]:
        if self.phase == "fill":
            async for output in super().start():
                yield output
        await self.watch()
        raise CloseSpider("measured")

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        self.pages += 1
        yield {"url": response.url}

    async def watch(self) -> None:
        """Take turns; each one without a snapshot is about as long as one with it."""
        snapshots = self.crawler.get_extension(Snapshots)
        assert snapshots is not None
        await self.turn(asyncio.sleep(_LONG_ENOUGH))  # to warm up
        seconds, turns = 0.0, []
        for _ in range(self.rounds):
            turns.append(await self.turn(asyncio.sleep(max(seconds, _LONG_ENOUGH))))
            turns.append(await self.turn(snapshots.create_checkpoint()))
            seconds = turns[-1]["seconds"]
        turns.append(await self.turn(asyncio.sleep(max(seconds, _LONG_ENOUGH))))
        assert self.crawler.stats is not None
        self.crawler.stats.set_value("bench/turns", turns)

    async def turn(self, something: Awaitable[Any]) -> dict[str, float]:
        """What the crawl did while *something* was awaited."""
        pages, started = self.pages, time.perf_counter()
        async with Ticker() as ticker:
            await something
        seconds = time.perf_counter() - started
        rate = (self.pages - pages) / seconds
        return {"seconds": seconds, "rate": rate, "stall": ticker.longest}


class Ticker:
    """The longest time for which the event loop kept a task waiting that sleeps 1 ms."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - _TICK)
            last = now


def resident_bytes() -> int:
    """What the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def kept_bytes() -> int:
    """The same without garbage, and what was freed: Python and the C library hold it back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident_bytes()


# --- gates -----------------------------------------------------------------------


class Redirected(Shop):
    """Looks, at every 100th page, at what the gates keep and at the memory."""

    name = "redirected"

    def __init__(self, *args: str, pages: str, **kwargs: str) -> None:
        super().__init__(*args, **kwargs)
        self.pages = int(pages)
        self.seen = 0

    def parse(self, response: Response, **_: Any) -> Any:
        self.seen += 1
        if self.seen % 100 == 0:
            self.look()
        return super().parse(response)

    def look(self) -> None:
        stats: Any = self.crawler.stats
        keeper = gatekeeper_of(self.crawler)
        tickets = set(keeper._tickets)  # noqa: SLF001 - what is kept is the question
        stats.max_value("bench/strays", len(tickets - under_way(self.crawler.engine)))
        if self.seen == self.pages // 10:
            self.memory = kept_bytes()
        elif self.seen % (self.pages // 10) == 0:
            stats.set_value("bench/memory_growth", kept_bytes() - self.memory)


def listed_urls(port: int, hosts: str) -> Iterator[str]:
    """What :class:`Listed` asks for."""
    site = SiteAddress(SiteConfig(), port, 0)
    for part in hosts.split(","):
        host, _, pages = part.partition(":")
        yield from (site.url(host, f"/page/{page + 1}") for page in range(int(pages)))


class Listed(Spider):
    """Some pages of each of many hosts, in the order in which the hosts are listed.

    The stats have when the last item of each host came, in seconds after the start.
    """

    name = "listed"

    def __init__(self, port: str, hosts: str, **kwargs: Any) -> None:
        """*hosts* are names and numbers of pages: ``h0.test:100,silent.test:10``."""
        super().__init__(**kwargs)
        self.urls = list(listed_urls(int(port), hosts))

    async def start(self) -> AsyncIterator[Any]:
        self.began = time.monotonic()
        for url in self.urls:
            yield Request(url)

    def parse(self, response: Response, **_: Any) -> Iterator[dict[str, str]]:
        assert self.crawler.stats is not None
        key = f"bench/last_item/{urlsplit(response.url).hostname}"
        self.crawler.stats.set_value(key, time.monotonic() - self.began)
        yield {"url": response.url}


class Spending(Listed):
    """Each tenth callback downloads something for itself, past the scheduler."""

    name = "spending"

    async def parse(self, response: Response, **_: Any) -> Any:  # type: ignore[override]
        asked = response.meta.get("redirect_urls", [response.url])[0]
        if int(asked.rpartition("/")[2]) % 10 == 0:
            beside = Request(response.urljoin("/beside"), dont_filter=True)
            await self.crawler.engine.download_async(beside)
        yield {"url": asked}


_LOOKS = 500


class Busy(Listed):
    """Each callback computes for *busy* seconds; the stats have why the crawl was no faster."""

    name = "busy"

    def __init__(
        self, *args: str, busy: str = "0", look_after: str = "0", **kwargs: str
    ) -> None:
        super().__init__(*args, **kwargs)
        self.busy = float(busy)
        self.look_after = float(look_after)
        self.more = 0.0
        """Seconds for which callbacks did not compute, because others had the processor."""
        self.opened_at = 0.0

    async def start(self) -> AsyncIterator[Any]:
        self.used = time.thread_time()
        self.crawler.signals.connect(self.breaker_changed, breaker_changed)
        if self.look_after:
            asyncio.get_running_loop().call_later(self.look_after, self.look)
        async for request in super().start():
            yield request

    def look(self) -> None:
        """What a sample costs now."""
        accountant = observer_of(self.crawler).accounting
        assert accountant is not None
        took = []
        for _ in range(_LOOKS):
            began = time.perf_counter()
            accountant.sample()
            took.append(time.perf_counter() - began)
        stats: Any = self.crawler.stats
        stats.set_value("bench/sample_seconds", median(took))
        stats.set_value("bench/sample_seconds_max", max(took))

    def parse(self, response: Response, **options: Any) -> Iterator[dict[str, str]]:
        began, used = time.perf_counter(), time.thread_time()
        while (computed := time.thread_time() - used) < self.busy:
            pass
        self.more += time.perf_counter() - began - computed
        yield from super().parse(response, **options)

    def breaker_changed(self, new: str) -> None:
        if new == "open" and not self.opened_at:
            self.opened_at = time.monotonic()

    def closed(self, reason: str) -> None:
        stats: Any = self.crawler.stats
        now = time.monotonic()
        accounting = observer_of(self.crawler).view().accounting
        stats.set_value("bench/why", msgspec.to_builtins(accounting))
        stats.set_value("bench/seconds", now - self.began)
        stats.set_value("bench/computing", time.thread_time() - self.used + self.more)
        stats.set_value("bench/breaker_open", now - self.opened_at)


class Pages(Spider):
    """The URLs of a file, in its order, and what they link to; an item a page."""

    name = "pages"

    def __init__(self, file: str, handled: str = "", **kwargs: Any) -> None:
        """*handled* is a status that is an answer too."""
        super().__init__(**kwargs)
        self.file = Path(file)
        if handled:
            self.handle_httpstatus_list = [int(handled)]

    async def start(self) -> AsyncIterator[Any]:
        for url in self.file.read_text(encoding="utf-8").split():
            yield Request(url)

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        yield {"url": response.url}
        yield from text_of(response).follow_all(css="a")


# --- browsers --------------------------------------------------------------------


class Browsed(Spider):
    """Pages of the browser, and plain ones; each is noted in a file when it is there."""

    name = "browsed"

    def __init__(self, site: str, pages: str, hangs: str = "0", plain: str = "0") -> None:
        super().__init__()
        self.site = site
        self.pages, self.every, self.plain = int(pages), int(hangs), int(plain)

    async def start(self) -> AsyncIterator[Any]:
        for number in range(max(self.pages, self.plain)):
            if number < self.pages:
                hangs = self.every and number % self.every == self.every - 1
                path = f"hang/{number}" if hangs else f"page/{number}"
                yield Request(f"{self.site}{path}", meta={"playwright": True})
            if number < self.plain:
                yield Request(f"{self.site}plain/{number}")

    def parse(self, response: Response, **_: Any) -> Any:
        with Path("done").open("a", encoding="ascii") as file:
            file.write(f"{time.time()} {response.url}\n")
        yield {"url": response.url}


class Blocking(Shop):
    """One callback blocks the loop for some seconds."""

    name = "blocking"

    def __init__(self, port: str, seconds: str, **kwargs: Any) -> None:
        super().__init__(port, "1", **kwargs)
        self.seconds = float(seconds)

    def parse(self, response: Response, **_: Any) -> Any:
        if self.seconds:
            self.logger.info("blocking begins")
            self.block()
        return super().parse(response)

    def block(self) -> None:
        """What a call to a database does that does not answer."""
        seconds, self.seconds = self.seconds, 0.0
        time.sleep(seconds)


class Nightly(Spider):
    """The products of the shops of :mod:`benchmarks.nightly_site`."""

    name = "nightly"

    def __init__(self, port: str, hosts: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = [f"http://h{host}.test:{port}/" for host in range(int(hosts))]

    def parse(self, response: Response, **_: Any) -> Any:
        yield from text_of(response).follow_all(css="a", callback=self.parse_product)

    def parse_product(self, response: Response) -> Any:
        url = urlsplit(response.url)
        price = text_of(response).css("p::text").get()
        yield {"host": url.hostname, "sku": int(url.path.rpartition("/")[2]), "price": price}
