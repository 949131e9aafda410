"""What makes a request, or an item of ``start()``, another one than those beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
from scrapy import Field, FormRequest, Item, Request

from scrapy_resilience.scheduling.requests import request_key
from scrapy_resilience.scheduling.start_outputs import item_key


def parse(response):
    """A callback."""


def other(response):
    """Another one."""


def key(url="http://a.test/", inherited=None, cls=Request, **told):
    """The key of a request that is told apart by *told*."""
    return request_key(cls(url, **told), inherited or {})


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


KEYS = """
import json
from dataclasses import dataclass
import attr, pydantic
from scrapy import Field, Item, Request
from scrapy_resilience.scheduling.requests import request_key
from scrapy_resilience.scheduling.start_outputs import item_key

@dataclass
class Product:
    tags: set[str]

@dataclass(frozen=True)
class Group:
    tags: frozenset[str]

@attr.s
class Made:
    tags = attr.ib()

class Model(pydantic.BaseModel):
    tags: set[str]
    def __init__(self, tags):
        super().__init__(tags=tags)

class Own(Item):
    tags = Field()
    def __init__(self, tags):
        super().__init__(tags=tags)

class Plain:
    def __init__(self, tags):
        self.tags = tags

class Marked(set):
    pass

tags = {f"tag {n}" for n in range(8)}
kinds = (Product, Group, Made, Model, Own, Plain, Marked)
values = {kind.__name__: kind(tags) for kind in kinds}
values["nested"] = {"list": [Product(tags)], "tuple": (Plain([{"deep": tags}]),)}
values["groups"] = {Group(frozenset({tag, "other"})) for tag in tags}
values["dict"] = {tag: 1 for tag in tags}
values["cells"] = {"tags": tags, "cells": {(1, 2): b"x"}}
values["local"] = {"lock": (lambda: 1), "tags": Product(tags)}
keys = {name: item_key(value) for name, value in values.items()}
for how in ("meta", "cb_kwargs"):
    for name, value in values.items():
        keys[how, name] = request_key(Request("http://a.test/", **{how: {"value": value}}))
print(json.dumps({str(name): key for name, key in keys.items()}))
"""


def keys_of(seed):
    """The keys of values that hold texts in sets, made by a process of its own."""
    told = {**os.environ, "PYTHONHASHSEED": seed}
    return json.loads(subprocess.check_output([sys.executable, "-c", KEYS], env=told))


def test_the_same_in_each_process():
    """Hashes of texts differ from one process to the next, and the order of a set with them."""
    keys = keys_of("1")

    assert keys == keys_of("2")
    assert len(set(keys.values())) == len(keys)


@dataclass
class Product:
    """An item with fields of any kind."""

    sku: object
    more: object = None


class Shirt(Item):
    """An item of Scrapy's with a constructor."""

    sku = Field()

    def __init__(self, sku):
        super().__init__(sku=sku)


def test_items_that_differ():
    """By a field, however deep, or by their class."""
    items = [
        *({"sku": 1}, {"sku": "1"}, {"sku": {"1"}}, {"sku": [Product({"1"})]}),
        *(Product("1"), Product("2"), Product({"1"}), Product({"2"}), Product(Product({"1"}))),
        *(Shirt("1"), Shirt({"1"}), Shirt({"1", "2"}), Shirt(["1", "2"])),
    ]

    assert len({item_key(item) for item in items}) == len(items)


def test_a_value_that_cannot_be_pickled():
    """It is at another address in each run: its class tells it apart, other fields the rest."""
    one, other, lock = threading.Event(), threading.Event(), threading.Lock()

    assert item_key(Product("1", one)) == item_key(Product("1", other))
    assert item_key(Product("1", one)) != item_key(Product("2", one))
    assert item_key(Product("1", one)) != item_key(Product("1", lock))


def test_a_value_that_holds_itself():
    """Its key can be told, and does not take the process down."""
    ring: dict = {"sku": 1}
    ring["ring"] = ring

    assert item_key(ring) == item_key(ring) != item_key({"sku": 1})
    assert key(meta=ring) == key(meta=ring) != key()
