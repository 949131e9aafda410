"""Values of items as values of columns: faithfully, or not at all."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.sqlkinds import kind_of_column, kind_of_type, kind_of_value
from scrapy_resilience.core.sqlvalues import UnfitError, adapter, as_json
from scrapy_resilience.sql.tables import plain_json

FAMILIES = ("postgresql", "mysql", "sqlite")
NOON = dt.datetime(2026, 5, 1, 12, 0, 0, 5)  # noqa: DTZ001 - a naive one is what is tested
EAST = dt.timezone(dt.timedelta(hours=2))
UTC = dt.timezone.utc


class Colour(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


def adapted(kind, family, value):
    """The value as a column of that kind gets it."""
    return adapter(kind, family, plain_json)(value)


def fits(kind, family, value):
    """Whether a column takes the value; it says why not."""
    try:
        adapted(kind, family, value)
    except UnfitError as error:
        return not str(error)
    return True


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "Ünïcödé 🦀", "Ünïcödé 🦀"),
        ("text", 5, "5"),
        ("text", True, "true"),
        ("text", Decimal("1.10"), "1.10"),
        ("text", {"a": [1]}, '{"a": [1]}'),
        ("text", ("a", "b"), '["a", "b"]'),
        ("text", Colour.RED, "red"),
        ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("text", NOON, "2026-05-01T12:00:00.000005"),
        ("text", None, None),
        ("integer", 7, 7),
        ("integer", True, 1),
        ("integer", " -12 ", -12),
        ("integer", 3.0, 3),
        ("integer", Decimal(9), 9),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("float", 1.5, 1.5),
        ("float", 2, 2.0),
        ("float", Decimal("12.10"), 12.1),
        ("boolean", True, True),
        ("boolean", 0, False),
        ("binary", b"\x00\xff", b"\x00\xff"),
        ("binary", bytearray(b"a"), b"a"),
        ("binary", "é", b"\xc3\xa9"),
        ("json", {"a": NOON, "b": {2}}, '{"a": "2026-05-01T12:00:00.000005", "b": [2]}'),
        ("json", "text", '"text"'),
        ("json", None, None),
        ("other", "10.0.0.1", "10.0.0.1"),
    ],
)
def test_what_fits(family, kind, value, expected):
    """What a column can hold comes to it as it is, or in a form that says the same."""
    found = adapted(kind, family, value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", "\ud83e"),
        ("text", b"bytes"),
        ("json", {"a": math.nan}),
        ("json", {"a": b"bytes"}),
        ("json", {"a": object()}),
        ("json", "\ud83e"),
        ("float", 2**53 + 1),
        ("float", Decimal("0.1234567890123456789")),
        ("float", {}),
        ("boolean", "yes"),
        ("boolean", 2),
        ("binary", 5),
    ],
)
def test_what_no_database_can_hold(family, kind, value):
    """What would come out as something else is refused, with the reason."""
    with pytest.raises(UnfitError):
        adapted(kind, family, value)


@pytest.mark.parametrize(
    ("family", "kind", "value", "why"),
    [
        ("postgresql", "text", "a\x00b", "NUL"),
        ("postgresql", "json", {"a": "\x00"}, "NUL"),
        ("postgresql", "json", {"a": "\\\x00"}, "NUL"),
        ("postgresql", "integer", 5.5, "no whole number"),
        ("mysql", "integer", "abc", "no whole number"),
        ("postgresql", "integer", 2**63, "beyond 64 bits"),
        ("sqlite", "integer", -(2**63) - 1, "beyond 64 bits"),
        ("mysql", "integer", 2**64, "beyond 64 bits"),
        ("mysql", "float", math.nan, "MySQL has no nan"),
        ("mysql", "float", math.inf, "MySQL has no inf"),
        ("sqlite", "float", math.nan, "SQLite has no nan"),
        ("mysql", "number", Decimal("NaN"), "MySQL has no"),
        ("sqlite", "number", Decimal("Infinity"), "SQLite has no"),
        ("sqlite", "number", Decimal("1.23456789012345678901"), "more digits"),
        ("postgresql", "number", "twelve", "no number"),
        ("postgresql", "datetime", 12.5, "no time"),
        ("postgresql", "date", 12, "no date"),
        ("mysql", "time", 12, "no time of a day"),
    ],
)
def test_what_some_can_not(family, kind, value, why):
    """A database that would keep less is not given the value."""
    with pytest.raises(UnfitError, match=why):
        adapted(kind, family, value)


@pytest.mark.parametrize(
    ("family", "kind", "value", "expected"),
    [
        ("sqlite", "text", "a\x00b", "a\x00b"),
        ("mysql", "text", "a\x00b", "a\x00b"),
        ("postgresql", "json", {"a": r"\u0000"}, r'{"a": "\\u0000"}'),
        ("postgresql", "json", {"a": r"a\\u0000"}, r'{"a": "a\\\\u0000"}'),
        ("postgresql", "float", math.inf, math.inf),
        ("sqlite", "float", -math.inf, -math.inf),
        ("mysql", "integer", 2**64 - 1, 2**64 - 1),
        ("sqlite", "integer", 5.5, 5.5),
        ("sqlite", "integer", "abc", "abc"),
        ("postgresql", "number", 0.1, Decimal("0.1")),
        ("mysql", "number", "12.50", Decimal("12.50")),
        ("postgresql", "number", 10**30, Decimal(10**30)),
        ("sqlite", "number", Decimal("12.50"), 12.5),
        ("sqlite", "number", Decimal(5), 5),
        ("sqlite", "number", 0.25, 0.25),
    ],
)
def test_each_in_its_way(family, kind, value, expected):
    """Databases differ in what they can keep."""
    assert adapted(kind, family, value) == expected


@pytest.mark.parametrize(
    ("family", "kind", "value", "expected"),
    [
        ("postgresql", "datetimetz", NOON, NOON.replace(tzinfo=UTC)),
        ("postgresql", "datetimetz", NOON.replace(tzinfo=EAST), NOON.replace(tzinfo=EAST)),
        ("postgresql", "datetime", NOON.replace(tzinfo=EAST), NOON.replace(hour=10)),
        ("mysql", "datetimetz", NOON.replace(tzinfo=EAST), NOON.replace(hour=10)),
        ("mysql", "datetime", "2026-05-01T12:00:00Z", NOON.replace(microsecond=0)),
        ("mysql", "datetime", "first of May", "first of May"),
        ("sqlite", "datetime", NOON.replace(tzinfo=EAST), "2026-05-01 10:00:00.000005"),
        ("sqlite", "datetime", dt.date(2026, 5, 1), "2026-05-01 00:00:00.000000"),
        ("sqlite", "date", NOON, "2026-05-01"),
        ("mysql", "date", NOON, NOON.date()),
        ("sqlite", "time", dt.time(1, 2), "01:02:00"),
        ("mysql", "time", dt.time(1, 2), dt.time(1, 2)),
    ],
)
def test_times(family, kind, value, expected):
    """A time with an offset is the same moment in UTC where the column knows of none."""
    assert adapted(kind, family, value) == expected


def test_a_time_beyond_the_calendar():
    """The last hours of the year 9999 have no UTC, or the first ones."""
    with pytest.raises(UnfitError, match="calendar"):
        adapted("datetime", "mysql", dt.datetime.min.replace(tzinfo=EAST))


def test_subclasses_are_plain():
    """Drivers know texts, and not what is made of them."""
    assert type(adapted("text", "mysql", Text("a"))) is str
    assert type(adapted("other", "mysql", Text("a"))) is str


@given(st.text() | st.integers() | st.floats() | st.decimals() | st.datetimes() | st.binary())
def test_a_value_fits_or_is_refused(value):
    """No value of these types raises anything else."""
    for family in FAMILIES:
        for kind in ("text", "integer", "number", "float", "boolean", "datetime", "datetimetz",
                     "date", "time", "binary", "json", "array", "other"):  # fmt: skip
            assert fits(kind, family, value) in {True, False}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(
    exclude_categories=["Cs"])), lambda inner: st.lists(inner) | st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"])), inner), max_leaves=10))  # fmt: skip
def test_nested_values_come_back(value):
    """JSON holds nested values as they are."""
    assert json.loads(as_json(value, plain_json)) == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", "text"), (True, "boolean"), (1, "integer"), (2**63, "number"), (1.5, "float"),
        (Decimal(1), "number"), (NOON, "datetime"), (NOON.replace(tzinfo=UTC), "datetimetz"),
        (NOON.date(), "date"), (dt.time(1), "time"), (b"", "binary"), ([], "json"),
        ({}, "json"), (None, None), (Colour.RED, "text"),
    ],
)  # fmt: skip
def test_what_a_first_value_makes_of_a_column(value, kind):
    """A column that we make holds what its first value is."""
    assert kind_of_value(value) == kind


def test_what_an_annotation_makes_of_a_column():
    """A time may have an offset: nobody knows before it comes."""
    found = [kind_of_type(each) for each in (str, bool, int, dt.datetime, dt.date, list, UUID)]
    assert found == ["text", "boolean", "integer", "datetimetz", "date", "json", "text"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("VARCHAR", "text"), ("BIGINT", "integer"), ("DOUBLE_PRECISION", "float"), ("bytea",
     "binary"), ("JSONB", "json"), ("TSVECTOR", "other"), ("TIMESTAMP", "datetime")],
)  # fmt: skip
def test_what_the_type_of_a_column_means(name, kind):
    """Types are known by their names."""
    assert kind_of_column(name) == kind
    assert kind_of_column("TIMESTAMP", timezone=True) == "datetimetz"


@pytest.mark.parametrize(
    "value", [10**5000, Decimal("1e999999999"), Decimal("sNaN")], ids=["int", "large", "sNaN"]
)
def test_numbers_that_no_column_has(value):
    """They are refused at once: to write them out would take hours, or is not allowed."""
    for family in FAMILIES:
        for kind in ("integer", "float", "text", "boolean", "date", "other"):
            assert fits(kind, family, value) in {True, False}
