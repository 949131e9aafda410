"""Spans without a crawl: which are made, what they hold, and what is off."""

from __future__ import annotations

import asyncio
import inspect
import random
import sys
import threading
from contextvars import copy_context

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scrapy import Request
from scrapy.utils.test import get_crawler

from scrapy_resilience._scrapy.contexts import NOTHING
from scrapy_resilience.extensions.tracing import Traces
from scrapy_resilience.observe.tracing.outside import leave_trace
from scrapy_resilience.observe.tracing.tracing import Tracing, current_tracing
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


def end(tracing):
    """End it as a crawl does."""
    tracing.end_requests()
    tracing.close()


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
    end(tracing)

    assert exporter.get_finished_spans() == ()


def test_what_is_not_sampled_costs_next_to_nothing(exporter):
    """A few calls for each of the things that are done for a request, and no object."""
    tracing, page, calls = make(exporter, 0.5), request(HIGH), []
    tracing.leave()

    def count(_, event, __):
        calls.append(event == "call")

    sys.setprofile(count)
    found = [tracing.context(page, each) for each in ("download", "callback", "pipeline")]
    sys.setprofile(None)
    end(tracing)

    assert all(each is NOTHING for each in found)
    assert sum(calls) <= 6 * len(found)


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
    end(tracing)

    spans = exporter.get_finished_spans()
    assert len({each.context.span_id for each in spans}) == 3
    assert len({each.context.trace_id for each in spans}) == 3


def test_open_requests_are_bounded(exporter, monkeypatch):
    """The oldest ends when there are too many, and all at the close."""
    monkeypatch.setattr("scrapy_resilience.observe.tracing.tracing._OPEN", 2)
    tracing = make(exporter)
    for number in range(5):
        with tracing.context(request(f"{number + 1:032x}"), "download"):
            pass
    assert tracing.ended == 3
    end(tracing)

    assert tracing.ended == len(exporter.get_finished_spans()) == 5


def test_a_failure_without_a_try(exporter):
    """A request that never reached the network has its spans all the same."""
    tracing = make(exporter)
    with tracing.context(request(), "errback"):
        pass
    end(tracing)

    names = {each.name: each for each in exporter.get_finished_spans()}
    assert set(names) == {"GET", "errback"}
    assert names["GET"].attributes["error.type"] == "ignored"


@pytest.mark.parametrize("url", ["http:///", "data:,x", "http://a.test"])
def test_strange_urls(exporter, url):
    """No URL keeps a request from being sent."""
    tracing = make(exporter, propagate=("a.test",))
    with tracing.context(request(url=url), "download"):
        pass
    end(tracing)

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
    end(tracing)

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
    end(tracing)

    [mine] = [each for each in exporter.get_finished_spans() if each.name == "mine"]
    assert mine.status.description == "https://***@a.test/"
    assert mine.attributes == {"url": "https://***@a.test/", "error.type": "ValueError"}


@traced("few")
def few():
    """A callback, as most are."""
    yield 1
    return 2


@traced
async def failing():
    """A callback that awaits."""
    yield 1
    await asyncio.sleep(0)
    raise ValueError("x")


def test_generators(exporter):
    """Their span lasts until they have no more, and they stay what Scrapy asks for."""
    tracing = make(exporter)

    async def read():
        return [output async for output in failing()]

    assert inspect.isgeneratorfunction(few)
    assert inspect.isasyncgenfunction(failing)
    with tracing.context(request(), "callback"):
        outputs = few()
        assert next(outputs) == 1
        assert "few" not in [each.name for each in exporter.get_finished_spans()]
        with pytest.raises(StopIteration) as caught:
            next(outputs)
        reading = read()
        assert reading.send(None) is None
        with pytest.raises(ValueError, match="x"):
            reading.send(None)
    end(tracing)

    assert caught.value.value == 2
    spans = {each.name: each for each in exporter.get_finished_spans()}
    assert spans["failing"].attributes == {"error.type": "ValueError"}
    assert spans["few"].parent.span_id == spans["callback"].context.span_id


# --- whose context it is ------------------------------------------------------------------


def half_read():
    """A span over several outputs, and one after them."""
    with span("over"):
        yield 1
        yield 2
    with span("after"):
        yield 3


def test_a_generator_that_goes_on_in_another_task(exporter):
    """Its span ends where it ends, and what comes after it is not below it."""
    tracing = make(exporter)
    with tracing.context(request(), "callback"):
        outputs = half_read()
        next(outputs)
        assert copy_context().run(list, outputs) == [2, 3]
        assert current_tracing() is tracing
    assert current_tracing() is None
    end(tracing)

    spans = {each.name: each for each in exporter.get_finished_spans()}
    for name in ("over", "after"):
        assert spans[name].parent.span_id == spans["callback"].context.span_id


def test_a_generator_that_is_thrown_away(exporter):
    """Wherever that happens, what is done there stays what it was."""
    tracing = make(exporter)
    with tracing.context(request(), "callback"):
        outputs = half_read()
        next(outputs)

    def elsewhere():
        with tracing.context(request(f"{9:032x}"), "callback"):
            before = get_current()
            outputs.close()
            assert get_current() is before
            assert current_tracing() is tracing

    copy_context().run(elsewhere)
    end(tracing)

    assert [each.name for each in exporter.get_finished_spans()].count("over") == 1


def test_what_begins_in_the_context_of_another(exporter):
    """An unsampled request has nothing to do with the sampled one that made it."""
    tracing = make(exporter, 0.5)
    with tracing.context(request(), "callback"):
        with tracing.context(request(HIGH), "callback"):
            assert trace.get_current_span() is trace.INVALID_SPAN
            tracing.raised(ValueError("of the other"))
            with tracing.context(request(HIGH), "pipeline"), span("mine") as found:
                assert found is None
        assert current_tracing() is tracing
    end(tracing)

    spans = {each.name: each for each in exporter.get_finished_spans()}
    assert spans["callback"].status.is_unset


def test_leaving(exporter):
    """A timer that begins in a context is of no trace; who traces nothing keeps his own."""
    tracing = make(exporter)

    def inside():
        with tracing.context(request(), "callback"):
            leave_trace()
            assert current_tracing() is None
            assert trace.get_current_span() is trace.INVALID_SPAN

    def outside():
        mine = Context({"mine": 1})
        attach(mine)
        leave_trace()
        assert get_current() is mine

    copy_context().run(inside)
    copy_context().run(outside)
    end(tracing)


def test_two_crawls(exporter):
    """What one raises is not the other's."""
    tracing, other = make(exporter), make(InMemorySpanExporter())
    with tracing.context(request(), "callback"):
        other.raised(ValueError("x"))
    end(tracing)
    end(other)

    assert all(each.status.is_unset for each in exporter.get_finished_spans())


# --- which requests are one ---------------------------------------------------------------


def test_a_download_that_nobody_calls_back(exporter):
    """It ends when its answer is there, or is an error."""
    tracing = make(exporter)
    for number, error in enumerate([None, OSError("away")]):
        sent = request(f"{number + 1:032x}")
        with tracing.context(sent, "download"):
            pass
        tracing.bypassed(sent, error)
        tracing.bypassed(sent, error)
    tracing.close()

    first, second = exporter.get_finished_spans()
    assert first.status.is_unset
    assert second.attributes["error.type"] == "OSError"


def test_a_page_that_is_sent_again_by_its_callback(exporter):
    """Both are in one trace, each with its callback and items below it."""
    tracing = make(exporter)
    page = request()
    with tracing.context(page, "download"):
        pass
    with tracing.context(page, "callback"):
        with tracing.context(page, "download"):
            pass
        with tracing.context(page, "pipeline"):
            pass
    with tracing.context(page, "callback"):
        pass
    end(tracing)

    spans = exporter.get_finished_spans()
    names = [each.name for each in spans]
    parents = [each.parent and each.parent.span_id for each in spans]
    assert names == ["GET", "item", "callback", "GET", "callback"]
    first, second = (spans[at].context.span_id for at in (0, 3))
    assert parents == [None, first, first, None, second]


def test_traceparent_is_nobody_elses(exporter):
    """A copy of a request that had one does not carry it on to another domain."""
    tracing = make(exporter, 0.5, propagate=("a.test",))
    page = request()
    with tracing.context(page, "download"):
        assert page.headers["traceparent"]
    child = page.replace(url="http://b.test/", meta={"resilience_trace_id": HIGH})
    with tracing.context(child, "download"):
        assert "traceparent" not in child.headers
    end(tracing)


def test_traceparent_of_what_is_not_sampled(exporter):
    """It says so, for the server to keep its part of the trace or none."""
    tracing = make(exporter, 0.5, propagate=("a.test",))
    page = request(HIGH)
    with tracing.context(page, "download"):
        version, trace_id, span_id, flags = page.headers["traceparent"].decode().split("-")
    end(tracing)

    assert (version, trace_id, flags) == ("00", HIGH, "00")
    assert int(span_id, 16) > 0
    assert len(span_id) == 16


# --- the extension ------------------------------------------------------------------------


def test_a_crawl_that_is_refused():
    """What was made before that leaves no thread behind."""
    before = set(threading.enumerate())
    Traces.from_crawler(get_crawler(settings_dict={"RESILIENCE_TRACES": "console"}))

    assert set(threading.enumerate()) == before


def test_a_request_at_the_end(exporter):
    """One that begins when all have been ended breaks nothing."""
    tracing = make(exporter)
    for number in range(2):
        with tracing.context(request(f"{number + 1:032x}"), "download"):
            pass
        tracing.end_requests()
    tracing.close()
    with tracing.context(request(f"{9:032x}"), "callback"):
        pass

    assert len(exporter.get_finished_spans()) == 2
