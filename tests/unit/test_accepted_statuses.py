"""Which statuses a spider declares that it takes as an answer."""

from __future__ import annotations

import pytest
from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError, HttpErrorMiddleware
from scrapy.utils.test import get_crawler

from scrapy_resilience.gates.accepted_statuses import Handled

URL = "http://a.test/"
STATUSES = (200, 204, 302, 404, 429, 500, 503)


class Strict(HttpErrorMiddleware):
    """A user's own."""


def crawler_with(settings, **attributes):
    """Return a crawler whose spider has attributes."""
    crawler = get_crawler(Spider, settings)
    crawler.spider = Spider("books", **attributes)
    return crawler


# (settings, meta, attributes of the spider, error statuses that are answers)
DECLARATIONS = [
    ({}, {}, {}, set()),
    ({}, {"handle_httpstatus_all": True}, {}, {404, 429, 500, 503}),
    ({}, {"handle_httpstatus_all": False}, {}, set()),
    ({}, {"handle_httpstatus_list": [500]}, {}, {500}),
    ({}, {"handle_httpstatus_list": (500, 302)}, {}, {500}),
    ({}, {}, {"handle_httpstatus_list": [404, 503]}, {404, 503}),
    ({}, {"handle_httpstatus_list": []}, {"handle_httpstatus_list": [404]}, set()),
    ({"HTTPERROR_ALLOW_ALL": True}, {}, {}, {404, 429, 500, 503}),
    ({"HTTPERROR_ALLOW_ALL": True}, {"handle_httpstatus_list": [500]}, {}, {500}),
    ({"HTTPERROR_ALLOWED_CODES": [500]}, {}, {}, {500}),
    ({"HTTPERROR_ALLOWED_CODES": [500]}, {}, {"handle_httpstatus_list": [404]}, {404}),
    ({"HTTPERROR_ALLOWED_CODES": "500"}, {}, {}, set()),  # strings: so it is in Scrapy
    ({"SPIDER_MIDDLEWARES": {HttpErrorMiddleware: None}}, {}, {}, {404, 429, 500, 503}),
    (
        {"SPIDER_MIDDLEWARES": {HttpErrorMiddleware: None, Strict: 50}},
        {"handle_httpstatus_list": [500]},
        {},
        {500},
    ),
]


@pytest.mark.parametrize(("settings", "meta", "attributes", "answers"), DECLARATIONS)
def test_what_a_spider_handles(settings, meta, attributes, answers):
    """A status that the callback gets is an answer; one that it does not get is none."""
    handled, request = Handled(crawler_with(settings, **attributes)), Request(URL, meta=meta)
    responses = [Response(URL, status=status) for status in STATUSES]

    found = {each.status for each in responses if handled.is_answer(request, each)}

    assert found == {200, 204, 302} | answers


@pytest.mark.parametrize(
    ("settings", "meta", "attributes"), [declared[:3] for declared in DECLARATIONS]
)
def test_what_reaches_the_callback(settings, meta, attributes):
    """It is what Scrapy's own middleware lets through, of any status."""
    crawler = crawler_with(settings, **attributes)
    handled, request = Handled(crawler), Request(URL, meta=meta)
    scrapys = HttpErrorMiddleware.from_crawler(crawler)
    is_off = settings == {"SPIDER_MIDDLEWARES": {HttpErrorMiddleware: None}}

    for status in STATUSES:
        response = Response(URL, status=status, request=request)
        try:
            scrapys.process_spider_input(response)
        except HttpError:
            assert handled.reaches_callback(request, response) is is_off
        else:
            assert handled.reaches_callback(request, response)


@pytest.mark.parametrize(
    ("settings", "meta", "answers"),
    [
        ({}, {"dont_retry": True}, {404, 429, 500, 503}),
        ({}, {"dont_retry": False}, set()),
        ({"RETRY_ENABLED": False}, {}, {404, 429, 500, 503}),
        ({"RETRY_HTTP_CODES": [429, 503]}, {}, {404, 500}),
        ({"RETRY_HTTP_CODES": "429, 503"}, {}, {404, 500}),
        ({"RETRY_HTTP_CODES": []}, {}, {404, 429, 500, 503}),
        (
            {"RETRY_HTTP_CODES": [429, 503]},
            {"handle_httpstatus_list": [503]},
            {404, 500, 503},
        ),
        ({"RETRY_HTTP_CODES": [404, 429, 500, 503]}, {}, set()),
    ],
)
def test_what_nobody_is_to_try_again(settings, meta, answers):
    """It is not a failure of the domain, and a dead letter as before: the callback lacks it."""
    handled, request = Handled(crawler_with(settings)), Request(URL, meta=meta)
    errors = [Response(URL, status=status) for status in STATUSES if status >= 400]

    assert {each.status for each in errors if handled.is_answer(request, each)} == answers
    if "handle_httpstatus_list" not in meta:
        assert not any(handled.reaches_callback(request, each) for each in errors)


def test_a_spider_that_changes_its_mind():
    """The attribute counts as it is when the response comes."""
    crawler = crawler_with({})
    handled, request, answer = Handled(crawler), Request(URL), Response(URL, status=500)
    assert not handled.is_answer(request, answer)

    crawler.spider.handle_httpstatus_list = [500]

    assert handled.is_answer(request, answer)


def test_before_there_is_a_spider():
    """The settings count."""
    handled = Handled(get_crawler(Spider, {"HTTPERROR_ALLOWED_CODES": [500]}))

    assert handled.is_answer(Request(URL), Response(URL, status=500))
    assert not handled.is_answer(Request(URL), Response(URL, status=503))


@pytest.mark.parametrize("value", [None, 500])
def test_a_list_that_is_none(value):
    """What is not a list handles nothing; Scrapy's middleware raises the error."""
    request = Request(URL, meta={"handle_httpstatus_list": value})

    assert not Handled(crawler_with({})).is_answer(request, Response(URL, status=500))
