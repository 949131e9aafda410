"""Spans without a crawl: which are made, what they hold, and what is off."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scrapy import Request

from scrapy_resilience.observe.tracing import Tracing, current_tracing
from scrapy_resilience.tracing import span, traced

LOW, HIGH = "ab" * 9 + "00" * 7, "ab" * 9 + "ff" * 7
"""Trace ids that a small share of the traces has, and has not."""


def request(trace_id=LOW, url="http://a.test/"):
    """Return a request that was sent."""
    return Request(url, meta={"resilience_trace_id": trace_id})


@pytest.fixture
def exporter():
    """Keep spans in memory."""
    return InMemorySpanExporter()


def make(exporter, sampled=1.0, **options):
    """Return the tracing of a crawl."""
    return Tracing(exporter, sampled=sampled, **options)


@pytest.mark.parametrize(
    ("trace_id", "share", "kept"),
    [(LOW, 0.0, False), (LOW, 0.01, True), (HIGH, 0.99, False), (HIGH, 1.0, True),
     ("", 1.0, False)],
)  # fmt: skip
def test_sampling(exporter, trace_id, share, kept):
    """It follows from the id, whatever else there is."""
    assert make(exporter, share).samples(trace_id) is kept


def test_what_is_not_sampled(exporter):
    """Nothing is made of it, the user's own spans included."""
    tracing = make(exporter, 0.5)
    with tracing.context(request(HIGH), "download"), span("mine") as found:
        assert found is None
        assert current_tracing() is None
    tracing.close()

    assert exporter.get_finished_spans() == ()


def test_spans_outside_of_a_crawl():
    """They cost nothing and are nothing."""

    @traced
    def one():
        return 1

    with span("mine", a=1) as found:
        assert found is None
    assert one() == 1


def test_a_seeded_spider(exporter):
    """Ids don't repeat when the random numbers of a spider do."""
    tracing = make(exporter)
    for _ in range(3):
        random.seed(1)
        tracing.finish(tracing.begin("commit"))
    tracing.close()

    spans = exporter.get_finished_spans()
    assert len({each.context.span_id for each in spans}) == 3
    assert len({each.context.trace_id for each in spans}) == 3


def test_open_requests_are_bounded(exporter, monkeypatch):
    """The oldest ends when there are too many, and all at the close."""
    monkeypatch.setattr("scrapy_resilience.observe.tracing._OPEN", 2)
    tracing = make(exporter)
    for number in range(5):
        with tracing.context(request(f"{number + 1:032x}"), "download"):
            pass
    assert tracing.ended == 3
    tracing.close()

    assert tracing.ended == len(exporter.get_finished_spans()) == 5


def test_a_failure_without_a_try(exporter):
    """A request that never reached the network has its spans all the same."""
    tracing = make(exporter)
    with tracing.context(request(), "errback"):
        pass
    tracing.close()

    names = {each.name: each for each in exporter.get_finished_spans()}
    assert set(names) == {"GET", "errback"}
    assert names["GET"].attributes["error.type"] == "ignored"


@pytest.mark.parametrize("url", ["http:///", "data:,x", "http://a.test"])
def test_strange_urls(exporter, url):
    """No URL keeps a request from being sent."""
    tracing = make(exporter, propagate=("a.test",))
    with tracing.context(request(url=url), "download"):
        pass
    tracing.close()

    assert len(exporter.get_finished_spans()) == 1


async def _work():
    return 2


def test_traced(exporter):
    """Functions and coroutine functions, with a name of their own or a given one."""
    tracing = make(exporter)

    @traced("given")
    def one():
        return 1

    with tracing.context(request(), "callback"):
        assert one() == 1
        with pytest.raises(StopIteration) as caught:
            traced(_work)().send(None)
    tracing.close()

    assert caught.value.value == 2
    names = [each.name for each in exporter.get_finished_spans()]
    assert names == ["GET", "given", "_work", "callback"]


def test_an_exception_in_a_span(exporter):
    """It leaves the span as it came, which is an error then."""
    tracing = make(exporter)
    url = "https://u:pw@a.test/"
    with (
        tracing.context(request(), "callback"),
        pytest.raises(ValueError, match="pw"),
        span("mine", url=url),
    ):
        raise ValueError(url)
    tracing.close()

    [mine] = [each for each in exporter.get_finished_spans() if each.name == "mine"]
    assert mine.status.description == "https://***@a.test/"
    assert mine.attributes == {"url": "https://***@a.test/", "error.type": "ValueError"}
