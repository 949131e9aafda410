"""One id for each request, the same in each run of a job."""

from __future__ import annotations

import re
from contextvars import copy_context

import pytest
from scrapy import Request

from scrapy_resilience.names import META_REQUEST_ID, META_TRACE_ID
from scrapy_resilience.observe.logs.log_context import (
    FIELDS,
    current,
    leave,
    of_request,
    update,
)
from scrapy_resilience.observe.trace_ids import (
    TraceIds,
    forget_page,
    give_trace_id,
    trace_id_of,
)
from scrapy_resilience.scheduling.requests import forget_parent

URL = "http://a.test/page"


def given(ids, number=1, url=URL, **kwargs):
    """The id that a request is given."""
    request = Request(url, **kwargs)
    ids.give(request, number)
    return trace_id_of(request)


def test_its_form():
    """32 hexadecimal digits, in the meta of the request; none before it is sent."""
    request = Request(URL)
    assert trace_id_of(request) == trace_id_of(None) == ""
    assert re.fullmatch("[0-9a-f]{32}", give_trace_id(request))
    assert request.meta[META_TRACE_ID] == trace_id_of(request)


@pytest.mark.parametrize("wrong", [3, "", "0" * 31, "x" * 32, "0" * 33, None])
def test_what_is_no_id(wrong):
    """It counts for none, and another one takes its place."""
    request = Request(URL, meta={META_TRACE_ID: wrong})
    assert trace_id_of(request) == ""
    assert given(TraceIds(), meta={META_TRACE_ID: wrong})
    assert give_trace_id(request) == trace_id_of(request)


def test_it_stays():
    """A request that has one keeps it, as its copies do: a retry, a redirect."""
    request = Request(URL)
    TraceIds("job").give(request, 1)
    other = request.replace(url="http://a.test/elsewhere")
    TraceIds("other").give(other, 2)

    assert trace_id_of(request) == trace_id_of(other)


def test_filtered_requests_are_known_by_content():
    """Their number may be another one after a kill."""
    ids, later = (TraceIds("job", by_content=True) for _ in range(2))

    assert given(ids, 1) == given(later, 7)
    assert given(ids) != given(TraceIds("other", by_content=True))
    assert len({given(ids, **told) for told in _DIFFERENT}) == len(_DIFFERENT)


_DIFFERENT = ({}, {"url": URL + "/2"}, {"method": "POST"}, {"body": b"x"})


@pytest.mark.parametrize(("by_content", "told"), [(False, {}), (True, {"dont_filter": True})])
def test_others_are_known_by_their_number_too(by_content, told):
    """Two of one URL have two ids."""
    ids, later = (TraceIds("job", by_content=by_content) for _ in range(2))

    assert given(ids, 1, **told) == given(later, 1, **told)
    assert given(ids, 1, **told) != given(ids, 2, **told)


def test_without_a_job():
    """No two crawls have the same ids."""
    assert given(TraceIds()) != given(TraceIds())


def forget_in_hook(request, page):
    """What happens to a callback's output, with any scheduler."""
    forget_page(request, page)


def forget_in_scheduler(request, page):
    """What happens to what a callback gives the engine."""
    forget_parent(request, is_page=request is page)


@pytest.mark.parametrize("forget", [forget_in_hook, forget_in_scheduler])
def test_a_child_does_not_inherit_it(forget):
    """Not even with the meta of its page; a page that is sent again is the same request."""
    page = Request(URL, meta={"resilience_failed_at": 1.0})
    give_trace_id(page)
    with of_request(page, "download", None):
        child = Request(URL, meta=page.meta)
    forget(child, page)
    forget(page, page)

    assert child.meta == {}
    assert set(page.meta) == {META_TRACE_ID, META_REQUEST_ID}


def values():
    """What a line that is logged now would have."""
    return dict(zip(FIELDS, current().values(), strict=True))


def test_what_a_crawl_does_for_a_request():
    """Each try has an id of its own, which its callback and its items have, too."""
    request, told = Request("http://u:p@a.test/"), []
    give_trace_id(request)
    for _ in range(2):
        for component in ("download", "callback", "pipeline"):
            with of_request(request, component, None):
                told.append(values())

    assert current() is None
    assert {each["trace_id"] for each in told} == {trace_id_of(request)}
    assert {each["url"] for each in told} == {"http://***@a.test/"}
    tries = [each["request_id"] for each in told]
    assert len(set(tries)) == 2
    assert tries == [tries[0]] * 3 + [tries[3]] * 3


def test_what_a_callback_adds():
    """Its items have it; the next request and another crawl's do not."""
    request = Request(URL)
    with of_request(request, "callback", "crawl"):
        update({"user_id": 7})
        with of_request(request, "pipeline", "crawl"):
            update({"order": 1})
            inside = values()
        outside = values()
        with of_request(request, "pipeline", "other"):
            other = values()
        with of_request(request, "callback", "crawl"):
            later = values()

    assert (inside["user_id"], outside["user_id"]) == (7, 7)
    assert inside["component"] == "pipeline"
    assert (other["user_id"], later["user_id"]) == (None, None)


def test_an_errback_instead_of_a_callback():
    """What it adds to a response that was refused is in the page's items."""
    request = Request(URL)
    with of_request(request, "callback", "crawl"):
        with of_request(request, "errback", "crawl"):
            update({"user_id": 7})
        with of_request(request, "pipeline", "crawl"):
            inside = values()

    assert inside["user_id"] == 7


def test_what_is_thrown_away():
    """A callback that never came to its end may be closed in any context."""
    context = of_request(Request(URL), "callback", None)
    copy_context().run(context.__enter__)
    context.__exit__(None, None, None)

    assert current() is None


def test_leaving():
    """A timer that begins in a context is not of its request."""
    with of_request(Request(URL), "callback", None):
        leave()
        assert current() is None
