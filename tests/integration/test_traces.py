"""Spans, as a receiver on loopback decodes them."""

from __future__ import annotations

import gzip
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from textwrap import dedent
from threading import Thread

import pytest
from crawls import BUSY, Crawl
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from web import serving

from scrapy_resilience.testing.model import page_path

pytestmark = pytest.mark.integration

SPIDER = """
    import asyncio, scrapy
    from scrapy_resilience.tracing import span, traced
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url, errback=self.failed)
        async def parse(self, response):
            with span("login", attempt=2, password="no"):
                await self.inner()
            yield dict(sku=response.url, trace=response.meta["resilience_trace_id"])
            if response.url.endswith("/broken"):
                raise ValueError("at https://u:secret@a.test/")
        @traced
        async def inner(self):
            await asyncio.sleep(0)
        def failed(self, failure):
            request = failure.request
            yield dict(sku=request.url, trace=request.meta["resilience_trace_id"])
"""


class Receiver:
    """Takes spans by OTLP over HTTP, and answers with *status*."""

    def __init__(self, status=200):
        self.spans = []
        self.resources = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if status == 200:
                    receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def take(self, message):
        for resource in message.resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def of(self, trace_id):
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


def values(attributes):
    """Return the attributes of a span as a dict."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes
    }


@contextmanager
def receiving(status=200):
    """A :class:`Receiver` that runs."""
    receiver = Receiver(status)
    thread = Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def crawl(folder, urls, receiver, **settings):
    """A crawl that is traced, each request of it."""
    traces = {
        "RESILIENCE_TRACES": "otlp",
        "RESILIENCE_TRACES_ENDPOINT": receiver.url,
        "RESILIENCE_TRACES_SAMPLED": 1,
    }
    return Crawl(folder, SPIDER, URLS=urls, **{**BUSY, **traces, **settings})


def test_a_page(tmp_path):
    """A trace has the request, its callback, the user's own spans and the item."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        job = crawl(tmp_path, [web.url("a.test", "/x?token=abc")], receiver)
        job.run("crawl", "shop").check_finished()

    [item] = job.items()
    spans = {span.name: span for span in receiver.of(item["trace"])}
    assert set(spans) == {"GET", "callback", "item", "login", "Shop.inner"}
    told = values(spans["GET"].attributes)
    assert told["http.request.method"] == "GET"
    assert told["http.response.status_code"] == 200
    assert told["server.address"] == "a.test"
    assert told["server.port"] == web.port
    assert "abc" not in told["url.full"]
    assert spans["GET"].kind == 3
    assert spans["GET"].parent_span_id == b""
    assert spans["callback"].parent_span_id == spans["GET"].span_id
    assert spans["item"].parent_span_id == spans["GET"].span_id
    assert spans["login"].parent_span_id == spans["callback"].span_id
    assert spans["Shop.inner"].parent_span_id == spans["login"].span_id
    assert values(spans["login"].attributes) == {"attempt": 2, "password": "***"}
    assert receiver.resources[0]["service.name"] == "scrapy"
    assert receiver.named("commit")


def test_tries_are_events(tmp_path):
    """A retry is in the span of its request, with why it was made."""
    with (
        serving(lambda _, __, count: 200 if count > 1 else 503) as web,
        receiving() as receiver,
    ):
        job = crawl(tmp_path, [web.url("a.test")], receiver)
        job.run("crawl", "shop").check_finished()

    [span] = receiver.named("GET")
    assert [event.name for event in span.events] == ["try", "failure", "try"]
    assert values(span.events[1].attributes) == {
        "error.type": "server_error", "reason": "HTTP 503",
    }  # fmt: skip
    assert values(span.attributes)["http.request.resend_count"] == 1
    assert values(span.attributes)["http.response.status_code"] == 200


def test_a_redirect(tmp_path):
    """It is the same trace, and only domains that are named learn of it."""

    def answer(host, *_):
        there = {"Location": web.url("b.test", "/new")}
        return (302, there) if host == "a.test" else 200

    with serving(answer) as web, receiving() as receiver:
        settings = {"RESILIENCE_TRACES_PROPAGATE": ["a.test"]}
        job = crawl(tmp_path, [web.url("a.test")], receiver, **settings)
        job.run("crawl", "shop").check_finished()

    [span] = receiver.named("GET")
    tries = [values(event.attributes)["url.full"] for event in span.events]
    assert [url.partition(".test")[0] for url in tries] == ["http://a", "http://b"]
    assert web.headers["a.test"]["Traceparent"] == (
        f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    )
    assert "Traceparent" not in web.headers["b.test"]


def test_errors(tmp_path):
    """A callback that raises and a request that is given up are errors, without secrets."""
    with serving(lambda _, path, __: 404 if path == "/gone" else 200) as web, \
            receiving() as receiver:  # fmt: skip
        urls = [web.url("a.test", "/gone"), web.url("a.test", "/broken")]
        job = crawl(tmp_path, urls, receiver)
        job.run("crawl", "shop")

    [broken] = [span for span in receiver.named("callback") if span.status.code == 2]
    assert "secret" not in broken.status.message
    [gone] = [span for span in receiver.named("GET") if span.status.code == 2]
    assert values(gone.attributes)["error.type"]
    [errback] = receiver.named("errback")
    assert errback.parent_span_id == gone.span_id


def test_a_failed_download(tmp_path):
    """It has one errback, whose items are in the trace."""
    with receiving() as receiver:
        job = crawl(tmp_path, ["http://127.0.0.1:9/"], receiver, RESILIENCE_RETRY_ENABLED=False)
        job.run("crawl", "shop")

    [item] = job.items()
    spans = receiver.of(item["trace"])
    assert sorted(span.name for span in spans) == ["GET", "errback", "item"]


def test_sampling(tmp_path):
    """A share of the traces is kept, each as a whole."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        settings = {"RESILIENCE_TRACES_SAMPLED": 0.5, "RESILIENCE_SNAPSHOT_ENABLED": True}
        job = crawl(tmp_path, web.urls("a.test", 60), receiver, **settings)
        run = job.run("crawl", "shop")

    traces = {item["trace"]: receiver.of(item["trace"]) for item in job.items()}
    kept = [spans for spans in traces.values() if spans]
    assert 10 < len(kept) < 50
    assert {len(spans) for spans in kept} == {5}
    assert run.stats["resilience/traces/lost"] == 0
    [snapshot] = receiver.named("snapshot")
    assert values(snapshot.attributes) == {"kind": "close"}
    assert snapshot.parent_span_id == b""
    commits = receiver.named("commit")
    assert not any(span.status.code for span in commits)
    last_page = max(span.end_time_unix_nano for spans in kept for span in spans)
    after = [span for span in commits if span.end_time_unix_nano > last_page]
    assert len(after) >= 2  # before the feeds are stored, and at the very end
    assert run.stats["resilience/traces/sent"] < len(receiver.spans)  # by when it was logged
    in_all = f"{len(receiver.spans)} spans were sent and 0 lost"
    assert f"With the last commits, {in_all}" in run.log


@pytest.mark.parametrize("status", [500, 400, None])
def test_a_receiver_that_does_not_take_them(tmp_path, status):
    """The crawl goes on, says so once, and ends."""
    with serving(lambda *_: 200) as web, receiving(status or 200) as receiver:
        if status is None:
            receiver.url = "http://127.0.0.1:9/v1/traces"
        job = crawl(tmp_path, web.urls("a.test", 5), receiver)
        run = job.run("crawl", "shop")

    run.check_finished()
    assert len(job.items()) == 5
    assert run.log.count("does not take spans") == 1
    assert "Traceback" not in run.log
    assert run.stats["resilience/traces/lost"] > 0


def test_off(tmp_path):
    """Nothing of OpenTelemetry is imported."""
    source = (
        SPIDER
        + """
        def closed(self, reason):
            import sys
            assert not any(name.startswith("opentelemetry") for name in sys.modules)
            self.logger.info("NOTHING IMPORTED")
    """
    )
    with serving(lambda *_: 200) as web:
        job = Crawl(tmp_path, source, URLS=web.urls("a.test", 1), **BUSY)
        run = job.run("crawl", "shop")

    run.check_finished()
    assert "NOTHING IMPORTED" in run.log


# --- whose spans they are -----------------------------------------------------------------

WAITING = """
import asyncio
class Waits:
    async def process_item(self, item):
        await asyncio.sleep(0.001)
        return item
"""
OVER = """
    import scrapy
    from scrapy_resilience.tracing import span
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            with span("over"):
                for number in range(20):
                    yield dict(sku=number)
            with span("after"):
                yield dict(sku=20)
"""


def test_a_span_over_outputs(tmp_path):
    """A callback that goes on in another task, as pipelines are seen to wait, loses nothing."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        job = crawl(tmp_path, [web.url("a.test")], receiver, ITEM_PIPELINES={"pipes.Waits": 1})
        job.write("spider.py", dedent(OVER))
        job.write("pipes.py", WAITING)
        run = job.run("crawl", "shop")

    run.check_finished()
    assert [item["sku"] for item in job.items()] == list(range(21))
    assert run.stats["resilience/concurrent_items"] == 100
    [callback], [over], [after] = map(receiver.named, ("callback", "over", "after"))
    assert over.parent_span_id == after.parent_span_id == callback.span_id
    assert len(receiver.named("item")) == 21


FAMILY = """
    import asyncio, scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        done = set()
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        async def parse(self, response):
            trace = response.meta["resilience_trace_id"]
            child = response.url + "/child"
            if "child" in response.url:
                yield dict(sku=response.url, trace=trace)
                self.done.add(response.url)
                raise ValueError(trace)
            self.crawler.engine.crawl(scrapy.Request(child))
            while child not in self.done:
                await asyncio.sleep(0.01)
            yield dict(sku=response.url, trace=trace)
"""


@pytest.mark.parametrize("ours", [True, False])
def test_sampled_beside_unsampled(tmp_path, ours):
    """A span has what its own request did, and nothing of those that others made meanwhile."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        settings = {
            "RESILIENCE_TRACES_SAMPLED": 0.5,
            "RESILIENCE_SCHEDULER_ENABLED": ours,
            "CONCURRENT_REQUESTS": 100,  # a child goes at once: its parent wakes the engine
            "CONCURRENT_REQUESTS_PER_DOMAIN": 100,
        }
        job = crawl(tmp_path, web.urls("a.test", 20), receiver, JOBDIR=None, **settings)
        job.write("spider.py", dedent(FAMILY))
        job.run("crawl", "shop")

    traces = {item["trace"]: item["sku"] for item in job.items()}
    assert len(traces) == 40
    kept = {trace: receiver.of(trace) for trace in traces if receiver.of(trace)}
    assert 5 < len(kept) < 35
    for trace, spans in kept.items():
        assert sorted(span.name for span in spans) == ["GET", "callback", "item"]
        failed = {span.status.message for span in spans} - {""}
        assert failed == ({trace} if "child" in traces[trace] else set())


@pytest.mark.parametrize("settings", [{}, {"RESILIENCE_DEADLETTERS_ENABLED": False}])
def test_with_another_scheduler(tmp_path, settings):
    """Each request has a trace, its own one also where it was made with the meta of a page."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        urls = web.urls("a.test", 3)
        job = crawl(
            tmp_path, urls, receiver, JOBDIR=None, RESILIENCE_SCHEDULER_ENABLED=False,
            ROBOTSTXT_OBEY=True, **settings,
        )  # fmt: skip
        job.write("spider.py", dedent(CHILDREN))
        job.run("crawl", "shop").check_finished()

    traces = [item["trace"] for item in job.items()]
    assert len(set(traces)) == len(traces) == 6
    for trace in traces:
        assert sorted(span.name for span in receiver.of(trace)) == ["GET", "callback", "item"]
    assert len(receiver.named("GET")) == 7


CHILDREN = """
    import scrapy
    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            for url in self.settings.getlist("URLS"):
                yield scrapy.Request(url)
        def parse(self, response):
            if "child" not in response.url:
                yield response.follow(response.url + "/child", meta=response.meta)
            yield dict(sku=response.url, trace=response.meta["resilience_trace_id"])
"""


@pytest.mark.parametrize(
    "settings", [{}, {"JOBDIR": None, "RESILIENCE_SCHEDULER_ENABLED": False}]
)
def test_downloads_that_nobody_calls_back(tmp_path, settings):
    """Their spans end with them: the robots.txt, what a callback downloads for itself."""
    source = """
        import scrapy
        class Shop(scrapy.Spider):
            name = "shop"
            async def start(self):
                for url in self.settings.getlist("URLS"):
                    yield scrapy.Request(url)
            async def parse(self, response):
                for path in ("/image", "/gone"):
                    request = scrapy.Request(response.urljoin(path))
                    await self.crawler.engine.download_async(request)
                yield dict(trace=response.meta["resilience_trace_id"])
    """
    with serving(lambda _, path, __: 404 if path == "/gone" else 200) as web, \
            receiving() as receiver:  # fmt: skip
        job = crawl(
            tmp_path, [web.url("a.test", "/x")], receiver, ROBOTSTXT_OBEY=True, **settings
        )
        job.write("spider.py", dedent(source))
        job.run("crawl", "shop").check_finished()

    [callback] = receiver.named("callback")
    ends = {
        values(span.attributes)["url.full"].rpartition("/")[2]: span.end_time_unix_nano
        for span in receiver.named("GET")
    }
    assert set(ends) == {"x", "image", "gone", "robots.txt"}
    assert ends["robots.txt"] <= ends["x"]
    assert ends["image"] <= ends["gone"] <= callback.end_time_unix_nano


# --- runs and crawls ----------------------------------------------------------------------


def test_kills(plain, tmp_path, rng):
    """A request that goes on after a kill is in the trace that it had before, or in none."""
    with receiving() as receiver:
        urls = [plain.url("h0.test", page_path(page)) for page in range(30)]
        settings = {"DOWNLOAD_DELAY": 0.05, "RESILIENCE_TRACES_SAMPLED": 0.5}
        job = crawl(tmp_path, urls, receiver, **{**settings, "CONCURRENT_REQUESTS": 4})
        job.begin(tmp_path, plain, rng)
        job.survive(kills=2, env={"OTEL_BSP_SCHEDULE_DELAY": "20"})

    traces = {item["sku"]: item["trace"] for item in job.items()}
    assert len(traces) == 30
    told = {}
    for span in receiver.named("GET"):
        told.setdefault(values(span.attributes)["url.full"], set()).add(span.trace_id.hex())
    assert 5 < len(told) < 25
    assert all(found == {traces[url]} for url, found in told.items())


TWO = """
    from scrapy.crawler import AsyncCrawlerProcess
    from scrapy.utils.project import get_project_settings
    from spider import Shop
    if __name__ == "__main__":
        process = AsyncCrawlerProcess(get_project_settings())
        for number, (urls, endpoint) in enumerate({sides}):
            settings = {{
                "URLS": urls, "RESILIENCE_TRACES_ENDPOINT": endpoint,
                "FEEDS": {{f"{{number}}.jsonl": {{"format": "jsonlines"}}}},
            }}
            class Other(Shop):
                custom_settings = settings
            process.crawl(Other)
        process.start()
"""


def test_two_crawls(tmp_path):
    """Each sends its own spans to its own receiver."""
    with serving(lambda *_: 200) as web, receiving() as one, receiving() as other:
        sides = [(web.urls("a.test", 5), one.url), (web.urls("b.test", 5), other.url)]
        job = crawl(tmp_path, [], one, JOBDIR=None, FEEDS={})
        job.write("script.py", dedent(TWO).format(sides=sides))
        job.run(sys.executable, "script.py").check_finished()

    for number, receiver in enumerate((one, other)):
        traces = {item["trace"] for item in job.items(f"{number}.jsonl")}
        assert {span.trace_id.hex() for span in receiver.spans} == traces
        assert len(receiver.spans) == 5 * 5


def test_a_commit_that_fails(tmp_path):
    """Its span is an error when the crawl ends without it."""
    source = (
        SPIDER
        + """
        def closed(self, reason):
            self.crawler.signals.connect(self.refuse, checkpoint_prepare)
        def refuse(self):
            raise OSError("full")
    """
    )
    source = "    from scrapy_resilience.signals import checkpoint_prepare" + source
    with serving(lambda *_: 200) as web, receiving() as receiver:
        job = crawl(tmp_path, web.urls("a.test", 2), receiver, RESILIENCE_STORAGE_TIMEOUT=0.2)
        job.write("spider.py", dedent(source))
        run = job.run("crawl", "shop")

    assert run.code == 1
    *written, failed = sorted(
        receiver.named("commit"), key=lambda span: span.end_time_unix_nano
    )
    assert (failed.status.code, failed.status.message) == (2, "it was not written")
    assert not any(span.status.code for span in written)


def test_without_a_reactor(plain, tmp_path):
    """All is as it is with one."""
    urls = [plain.url("h0.test", page_path(page)) for page in range(5)]
    with receiving() as receiver:
        job = crawl(tmp_path, urls, receiver)
        job.configure(TWISTED_REACTOR_ENABLED=False, TWISTED_DNS_RESOLVER=None)
        proxy = f"http://127.0.0.1:{plain.port}"
        run = job.run("crawl", "shop", env={"http_proxy": proxy, "no_proxy": "127.0.0.1"})

    run.check_finished()
    for item in job.items():
        names = {span.name for span in receiver.of(item["trace"])}
        assert names == {"GET", "callback", "item", "login", "Shop.inner"}
    assert len(job.items()) == 5
    assert receiver.named("snapshot")
