"""Requests of users' classes: nothing that an instance holds is lost without a word."""

from __future__ import annotations

import time

import pytest
from codec_samples import Book
from scrapy import FormRequest, Request, Spider
from scrapy.http import JsonRequest

from scrapy_resilience.frontier.codec import IncompleteError, RequestCodec, ValueCodec

URL = "http://a.test/"


class Waiting(Request):
    """Holds what its attributes don't name."""

    def __init__(self, *args, wait=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.wait = wait


class Named(Waiting):
    """Names it."""

    attributes = (*Request.attributes, "wait")


class Private(Request):
    """Keeps an attribute under another name, as Scrapy's own classes do."""

    attributes = (*Request.attributes, "wait")

    def __init__(self, *args, wait=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._wait = wait

    @property
    def wait(self):
        """Seconds."""
        return self._wait


class Slotted(Request):
    """Has a slot of its own."""

    __slots__ = ("wait",)


class Derived(Request):
    """Computes what it holds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.length = len(self.url)


class Stamped(Request):
    """Computes something else each time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made = time.perf_counter_ns()


class Demanding(Request):
    """Can't be made of its attributes."""

    def __init__(self, url, sku, **kwargs):
        super().__init__(url + sku, **kwargs)


class Naming(Request):
    """Names what it does not keep."""

    attributes = (*Request.attributes, "wait")

    def __init__(self, *args, wait=None, **kwargs):
        super().__init__(*args, **kwargs)


@pytest.fixture
def codec():
    """A codec of requests."""
    return RequestCodec(Spider("shop"), ValueCodec())


def with_wait(request):
    """*request* with an attribute set from outside."""
    request.wait = 3
    return request


LOSING = {
    "Waiting.wait": Waiting(URL, wait=3),
    "Slotted.wait": with_wait(Slotted(URL)),
    "Derived.wait": with_wait(Derived(URL)),
    "Stamped.made": Stamped(URL),
    "Demanding can't be made": Demanding(URL, "7"),
    "Naming.attributes names what it has not": Naming(URL, wait=3),
}


@pytest.mark.parametrize("named", LOSING)
def test_a_request_that_would_be_another_one(codec, named):
    """Refused, with the class and the attribute: it is kept in memory then."""
    with pytest.raises(IncompleteError) as caught:
        codec.encode(LOSING[named])

    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (Named(URL, wait=3), "wait"),
        (Private(URL, wait=3), "wait"),
        (Derived(URL), "length"),
        (FormRequest(URL, formdata={"a": "1"}), "body"),
        (JsonRequest(URL, data={"a": 1}), "body"),
    ],
)
def test_a_request_that_is_whole(codec, request_, name):
    """What is in its attributes, or computed of them, comes back."""
    found = codec.decode(codec.encode(request_))

    assert type(found) is type(request_)
    assert getattr(found, name) == getattr(request_, name)


def test_an_instance_is_asked_each_time(codec):
    """One of a class may have what the others have not."""
    codec.encode(Derived(URL))

    with pytest.raises(IncompleteError):
        codec.encode(with_wait(Derived(URL)))


def test_an_item_with_more_than_its_fields():
    """Comes back with it."""
    book = Book(title="one")
    book._page = 7

    found = ValueCodec().decode(ValueCodec().encode(book))

    assert (found, found._page) == (book, 7)
