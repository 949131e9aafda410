"""Spans, as a receiver on loopback decodes them."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from crawls import BUSY, Crawl
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from web import serving

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
    assert receiver.named("errback")[0].parent_span_id == gone.span_id


def test_sampling(tmp_path):
    """A share of the traces is kept, each as a whole."""
    with serving(lambda *_: 200) as web, receiving() as receiver:
        settings = {"RESILIENCE_TRACES_SAMPLED": 0.5, "RESILIENCE_CHECKPOINT_ENABLED": False}
        job = crawl(tmp_path, web.urls("a.test", 60), receiver, **settings)
        run = job.run("crawl", "shop")

    traces = {item["trace"]: receiver.of(item["trace"]) for item in job.items()}
    kept = [spans for spans in traces.values() if spans]
    assert 10 < len(kept) < 50
    assert {len(spans) for spans in kept} == {5}
    assert run.stats["resilience/traces/sent"] == len(receiver.spans)


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
