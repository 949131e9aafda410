"""Items as bounded text."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from scrapy import Field, Item

from scrapy_resilience.observe.item_texts import texts_of


class Book(Item):
    title = Field()


@dataclass
class Page:
    title: str


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
        ("\x1b[2J\u202e", r"\x1b[2J\u202e"),
        ("https://user:secret@a.test/", "https://***@a.test/"),
        ("x" * 1_000_000, "x" * 200),
    ],
)
def test_values(value, text):
    """Bounded, masked, and nothing that a terminal obeys."""
    assert texts_of({"a": value}) == {"a": text}


def test_large_values_are_not_written_out():
    """A list of a million numbers costs as little as one of ten."""

    class Number(int):
        written = 0

        def __repr__(self):
            Number.written += 1
            return "1"

    found = texts_of({"a": [Number(1)] * 100_000})
    assert len(found["a"]) <= 200
    assert Number.written < 20


@pytest.mark.parametrize("item", [None, 5, "text", object(), Broken(a=1)])
def test_what_is_no_item(item):
    """There is nothing to show, and no error."""
    assert texts_of(item) == {}


def test_many_fields():
    """Fifty at most."""
    assert len(texts_of({str(number): number for number in range(1000)})) == 50
