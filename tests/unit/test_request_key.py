"""What makes a request another one than those beside it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from scrapy import FormRequest, Request

from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.scheduling.requests import request_key

VALUES = ValueCodec()


def parse(response):
    """A callback."""


def other(response):
    """Another one."""


def key(url="http://a.test/", inherited=None, cls=Request, **told):
    """The key of a request that is told apart by *told*."""
    return request_key(cls(url, **told), VALUES, inherited or {})


DIFFERENT = [
    {},
    {"url": "http://a.test/2"},
    {"method": "POST"},
    {"method": "POST", "body": b"1"},
    {"callback": parse},
    {"callback": other},
    {"errback": parse},
    {"cb_kwargs": {"page": 1}},
    {"cb_kwargs": {"page": 2}},
    {"cb_kwargs": {"page": "1"}},
    {"cb_kwargs": {"page": [1, {"deep": (2, 3)}]}},
    {"cb_kwargs": {"page": [1, {"deep": (2, 4)}]}},
    {"meta": {"page": 1}},
    {"meta": {"page": 1.0}},
    {"meta": {"page": {1, 2}}},
    {"meta": {"proxy": "http://one.test"}},
    {"meta": {"cookiejar": 1}},
    {"headers": {"Accept": "text/html"}},
    {"headers": {"Accept": "text/plain"}},
    {"cookies": {"session": "1"}},
    {"cookies": [{"name": "session", "value": "2"}]},
    {"cls": FormRequest},
]


def test_a_traceparent_tells_nothing_apart():
    """It names another span in each run."""
    plain = {"Accept": "text/html"}
    assert key(headers={**plain, "traceparent": "00-1-2-01"}) == key(headers=plain)
    assert key(headers={"traceparent": "00-1-2-01"}) == key()


class Naming(Request):
    """Names in its attributes what it does not have: Scrapy can't store it, but send it."""

    attributes = (*Request.attributes, "colour")


def test_an_attribute_that_is_not_there():
    """It tells nothing apart, and stops nothing."""
    assert key(cls=Naming) == key(cls=Naming) != key("http://a.test/2", cls=Naming)


def test_whatever_makes_a_request_different():
    """Each of its parts, however deep."""
    keys = [key(**told) for told in DIFFERENT]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"priority": 1}, {"priority": 2}),
        ({"dont_filter": True}, {}),
        ({"meta": {"is_start_request": True}}, {}),
        ({"meta": {"resilience_failed_at": 1.5}}, {}),
        ({"meta": {"a": 1, "b": {"c": 2, "d": 3}}}, {"meta": {"b": {"d": 3, "c": 2}, "a": 1}}),
        ({"headers": {"A": "1", "B": "2"}}, {"headers": {"b": "2", "a": "1"}}),
        ({"meta": {"lock": object()}}, {"meta": {"lock": object()}}),
    ],
)
def test_what_does_not(one, same):
    """Its place in the queue, marks of the run, the order in which dicts were filled."""
    assert key(**one) == key(**same)


def test_meta_that_is_handed_on():
    """``meta=response.meta`` has times and a proxy that are others in the next run."""
    page = {"download_latency": 0.123, "proxy": "http://one.test", "depth": 1}

    assert key(meta={**page, "page": 2}, inherited=page) == key(meta={"page": 2})
    assert key(meta={"proxy": "http://two.test"}, inherited=page) != key()


def test_the_same_in_each_process():
    """Hashes of texts differ from one process to the next."""
    code = """
import pickle, sys
from scrapy import Request
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.scheduling.requests import request_key
told = {"meta": {"tags": {"red", "green", "blue"}, "cells": {(1, 2): b"x"}}}
request = Request("http://a.test/", **told)
sys.stdout.buffer.write(pickle.dumps(request_key(request, ValueCodec())))
"""
    keys = {
        pickle.loads(subprocess.check_output([sys.executable, "-c", code]))  # noqa: S301
        for _ in range(2)
    }

    assert len(keys) == 1
