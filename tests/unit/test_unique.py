"""What tells items apart, and what is dropped."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal

import pytest
import scrapy
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Spider
from scrapy.exceptions import DropItem, NotConfigured
from scrapy.utils.test import get_crawler

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.pipelines.unique import UniquePipeline


class Book(scrapy.Item):
    """An item of Scrapy's own class."""

    sku = scrapy.Field()


@dataclass
class Data:
    """Another class with the same field."""

    sku: object = None


def first_letter(item):
    """A function that a setting may name."""
    return item["sku"][:1] or None


async def waits(_item):
    """No function that a setting may name."""


def pipeline(unique):
    """Return the pipeline of a new crawler."""
    return UniquePipeline.from_crawler(get_crawler(Spider, {"RESILIENCE_UNIQUE": unique}))


def passes(made, *items):
    """Whether each of the items goes through."""
    return [goes_through(made, item) for item in items]


def goes_through(made, item):
    """Whether the item comes out as it was."""
    try:
        return made.process_item(item) is item
    except DropItem:
        return False


def test_by_a_field():
    """The first item with a value goes through, later ones don't."""
    assert passes(pipeline("sku"), {"sku": 1}, {"sku": 2}, {"sku": 1, "x": 3}) == [1, 1, 0]


def test_by_two_fields():
    """Two fields tell items apart together; one that is missing is a value too."""
    items = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"b": 1, "a": 1}, {"a": 1}, {"a": 1}]
    assert passes(pipeline(["a", "b"]), *items) == [1, 1, 0, 1, 0]


def test_without_a_value():
    """An item that has none of the fields is told from no other: it goes through."""
    made = pipeline(["sku"])
    assert passes(made, {}, {}, {"sku": None}, {"sku": None}, {"sku": 0}, {"sku": 0}) == [
        1, 1, 1, 1, 1, 0,
    ]  # fmt: skip
    assert made.process_item("text") == "text"


def test_classes():
    """Items of two classes are not duplicates of each other."""
    fields = {"sku": scrapy.Field(), "__module__": "of.somebody.else"}
    another = type("Book", (scrapy.Item,), fields)
    items = [{"sku": 1}, Book(sku=1), Data(sku=1), Data(sku=1), Book(sku=1), another(sku=1)]
    assert passes(pipeline("sku"), *items) == [1, 1, 1, 0, 0, 1]


def test_by_a_function():
    """A function says what tells items apart; None is nothing."""
    made = pipeline(f"{__name__}.first_letter")
    items = [{"sku": "a1"}, {"sku": "a2"}, {"sku": "b"}, {"sku": ""}, {"sku": ""}]
    assert passes(made, *items) == [1, 0, 1, 1, 1]


def test_the_reason():
    """The log of a dropped item says by what it is known."""
    made = pipeline("sku")
    made.process_item({"sku": "A1"})
    with pytest.raises(DropItem, match=r"Duplicate item, known by \{'sku': 'A1'\}"):
        made.process_item({"sku": "A1"})


@pytest.mark.parametrize(
    "alike",
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (Book(sku=1), {"sku": 1}),
        ((1, 2), [1, 2]),
        (Decimal("1.50"), Decimal("1.50")),
        (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, tzinfo=timezone.utc)),
        ("\ud800", "\ud800"),
        (2**80, 2**80),
    ],
)
def test_equal_values(alike):
    """Values that mean the same are the same, however they are built."""
    assert passes(pipeline("sku"), *({"sku": each} for each in alike)) == [True, False]


def test_values_of_other_types():
    """A number is not text, and a list no set."""
    values = [1, "1", b"1", [1], {1}, {"1": 1}, [["1", 1]]]
    assert all(passes(pipeline("sku"), *({"sku": each} for each in values)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(st.lists(VALUES.filter(lambda value: value is not None), unique_by=repr))
def test_any_values(values):
    """Different values are all let through once, and never twice."""
    made = pipeline("sku")
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    assert passes(made, *({"sku": each} for each in values)).count(True) >= len(different)
    assert not any(passes(made, *({"sku": each} for each in values)))


def test_a_value_that_is_none():
    """A value that is another one in each run tells nothing apart: an error says so."""
    words = r"RESILIENCE_UNIQUE: .* can't tell items apart: use plain values"
    with pytest.raises(ValueError, match=words) as told:
        pipeline("sku").process_item({"sku": object()})

    assert "PICKLE" not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize(
    ("unique", "words"),
    [
        ("nowhere.key", "use names of fields, or the import path of a function"),
        (f"{__name__}.nothing", "use names of fields, or the import path of a function"),
        (f"{__name__}.VALUES.x", "use names of fields, or the import path of a function"),
        (f"{__name__}.waits", "use a function that is not async"),
    ],
)
def test_wrong_functions(unique, words, caplog):
    """A function that is none is one line in the log, and the crawl does not begin."""
    with pytest.raises(ConfigurationError, match=words):
        pipeline(unique)
    assert "Wrong configuration: RESILIENCE_UNIQUE=" in caplog.text


def test_without_a_setting():
    """Nothing is filtered until it is configured."""
    with pytest.raises(NotConfigured):
        pipeline(())
