"""Items as bounded text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

import pytest
from scrapy import Field, Item

from scrapy_resilience.observe import item_texts
from scrapy_resilience.observe.item_texts import ItemTexts, texts_of


class Book(Item):
    title = Field()


@dataclass
class Page:
    title: str


class Size(IntEnum):
    BIG = 1


class Hostile:
    def __repr__(self):
        raise AssertionError("it is not asked")

    __str__ = __repr__


class Broken(dict):
    def items(self):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("item", [{"title": "A"}, Book(title="A"), Page("A")])
def test_any_item(item):
    """Its fields, as texts."""
    assert texts_of(item) == {"title": "A"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (1.5, "1.5"),
        (b"\x00\x01", "2 bytes"),
        (["a", "b"], "['a', 'b']"),
        ((1, {2}, frozenset({3}), []), "(1, {2}, {3}, [])"),
        (dict.fromkeys("abcdefg", 1), "{'a': 1, 'b': 1, 'c': 1, 'd': 1, 'e': 1, 'f': 1, ...}"),
        ([[["deep"]], [{"a": 1}], [[]]], "[[[...]], [{...}], [[]]]"),
        (Page("A"), "{'title': 'A'}"),
        ([Page("A")], "[{'title': 'A'}]"),
        (Hostile(), "<Hostile>"),
        ([Hostile()], "[<Hostile>]"),
        ([b"\x00"], "[1 bytes]"),
        (Size.BIG, "Size.BIG"),
        (1 << 20_000, "<int>"),
        (Decimal("1.50"), "1.50"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05"),  # noqa: DTZ001 - a page's
        ("\x1b[2J\u202e", r"\x1b[2J\u202e"),
        ("https://user:secret@a.test/", "https://***@a.test/"),
        ("x" * 1_000_000, "x" * 200),
        ("x" * 180 + " https://user:secret@a.test/", "x" * 180 + " https://***@a.test/"[:20]),
        (["x" * 180, "https://user:secret@a.test/"], f"['{'x' * 180}', 'https://***@a."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(value, text):
    """Bounded, masked, and nothing that a terminal obeys."""
    assert texts_of({"a": value}) == {"a": text}


class Counted(int):
    """A number that counts how often any of them was looked at."""

    looked = 0

    def bit_length(self):
        Counted.looked += 1
        return super().bit_length()

    def __lt__(self, other):
        raise AssertionError("nothing is sorted")


MANY = [Counted(number) for number in range(100_000)]


@pytest.mark.parametrize(
    "value",
    [
        MANY,
        tuple(MANY),
        set(MANY),
        frozenset(MANY),
        dict.fromkeys(MANY),
        dict(zip(MANY, MANY)),  # noqa: B905 - they are as many
        [MANY] * 1000,
        {"a": {"b": MANY}},
        Page(MANY),
        [[[[[[MANY] * 6] * 6] * 6] * 6] * 6] * 6,
        ["y" * 1_000_000] * 6,
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_values_are_not_written_out(value):
    """Of a hundred thousand numbers, whatever holds them, a few are looked at."""
    Counted.looked = 0

    found = texts_of({"a": value})

    assert 0 < len(found["a"]) <= 200
    assert Counted.looked <= 50


def test_texts_are_made_once(monkeypatch):
    """Each view has the same items but for the newest."""
    made, items = [], [{"a": number} for number in range(6)]
    monkeypatch.setattr(item_texts, "texts_of", lambda item: made.append(item) or {"of": item})
    texts = ItemTexts()

    for begin in (0, 0, 1):
        assert texts.of(items[begin : begin + 5]) == [
            {"of": item} for item in items[begin : begin + 5]
        ]
    assert made == items
    assert len(texts._made) == 5


@pytest.mark.parametrize("item", [None, 5, "text", object(), Broken(a=1)])
def test_what_is_no_item(item):
    """There is nothing to show, and no error."""
    assert texts_of(item) == {}


def test_many_fields():
    """Fifty at most."""
    assert len(texts_of({str(number): number for number in range(1000)})) == 50


@pytest.mark.parametrize(
    ("item", "texts"),
    [
        ({"password": "x", "user": "me"}, {"password": "***", "user": "me"}),
        ({"api_key": ["x"]}, {"api_key": "***"}),
        ({"password": ""}, {"password": ""}),
        ({"login": {"access_token": 5}}, {"login": "{'access_token': '***'}"}),
        ({"login": {"token": Page("x"), 1: 2}}, {"login": "{'token': '***', 1: 2}"}),
    ],
)
def test_secrets_by_their_names(item, texts):
    """What a field is called tells that its value is one."""
    assert texts_of(item) == texts
