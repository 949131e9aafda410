"""Keys of calls: the same for the same arguments, in all processes, and for no others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
from collections import namedtuple
from decimal import Decimal
from math import nan
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.cachekeys import CallKey

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.decimals() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    | st.frozensets(st.text() | st.integers(), max_size=3),
    max_leaves=6,
)  # fmt: skip


def one(x):
    """Of one argument."""


def two(a, b=2, *, c=3):
    """Of a few."""


def many(a, *rest, **more):
    """Of any."""


KEY = CallKey(one)


class Color(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


def named(*, region="us"):
    """Of arguments that have to be named."""


@dataclasses.dataclass
class Place:
    x: int
    y: int


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - made as others make them


class Known:
    def __cache_key__(self):
        return "it", 1


def mark(value):
    """What tells a value from all others: its type, those of its parts, and itself."""
    if isinstance(value, (list, tuple)):
        return type(value), [mark(each) for each in value]
    if isinstance(value, dict):
        return dict, sorted(([mark(k), mark(v)] for k, v in value.items()), key=repr)
    if isinstance(value, frozenset):
        return frozenset, sorted(map(mark, value), key=repr)
    return type(value), repr(value)


@given(VALUES, VALUES)
def test_keys_are_equal_where_arguments_are(first, second):
    """And their types."""
    assert (KEY((first,), {}) == KEY((second,), {})) == (mark(first) == mark(second))


@given(VALUES)
def test_however_it_is_given(value):
    """By place or by name."""
    assert KEY((value,), {}) == KEY((), {"x": value})


DIFFERENT = [
    1, True, 1.0, "1", b"1", None, "None", (1,), [1], {1}, nan, Decimal(1), {"1": 1}, 2**70,
    -(2**70), str(2**70), "\ud800", r"\ud800", {}, [], (), set(), "", b"",
]  # fmt: skip


@pytest.mark.parametrize("value", DIFFERENT, ids=ascii)
def test_no_two_of_these_are_alike(value):
    """Types are a part of the key."""
    assert sum(KEY((value,), {}) == KEY((other,), {}) for other in DIFFERENT) == 1


def test_defaults_and_order():
    """They make no difference."""
    key = CallKey(two)
    calls = [((1,), {}), ((1, 2), {}), ((1,), {"c": 3, "b": 2}), ((), {"b": 2, "a": 1}),
             ((1, 2), {"c": 3})]  # fmt: skip
    assert len({key(*call) for call in calls}) == 1
    assert key((1, 3), {}) != key((1,), {})
    key = CallKey(many)
    assert key((1, 2), {"y": 1, "x": 2}) == key((1, 2), {"x": 2, "y": 1})
    assert key((1, 2), {}) != key((1,), {}) != key((1,), {"rest": (2,)})


def test_arguments_that_have_to_be_named():
    """Their defaults are filled in as well."""
    key = CallKey(named)
    assert key((), {}) == key((), {"region": "us"}) != key((), {"region": "eu"})
    with pytest.raises(TypeError):
        CallKey(many)((), {})


def test_members_without_a_name():
    """Such as flags that are none, or several; no two are alike."""
    members = [Access(number) for number in range(8)]
    assert len({KEY((member,), {}) for member in members}) == 8


def test_the_order_of_dicts_and_sets():
    """It makes none either."""
    one, other = {"a": 1, "b": {2, 3, "x"}}, {"b": {"x", 3, 2}, "a": 1}
    assert KEY((one,), {}) == KEY((other,), {})


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (Color.RED, 1),
        (Place(1, 2), Place(2, 1)),
        (Pair(1, 2), (1, 2)),
        (Known(), ("it", 1)),
        (UUID(int=1), UUID(int=2)),
        (PurePosixPath("/a"), "/a"),
        (dt.timedelta(1), dt.timedelta(2)),
        (dt.time(1), dt.time(2)),
        (Place, Pair),
        (one, two),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects(value, other):
    """What each stands for is its key."""
    assert KEY((value,), {}) == KEY((value,), {})
    assert KEY((value,), {}) != KEY((other,), {})


class Text(str):
    """As lxml gives them."""

    __slots__ = ()


def test_a_kind_of_text_is_a_text():
    """What a page gives is often one."""
    assert KEY((Text("a"),), {}) == KEY(("a",), {})


@pytest.mark.parametrize("value", [object(), [object()], {"a": [object()]}, lambda: 1, KEY])
def test_what_can_be_no_key(value):
    """The error names the argument, and says what to do."""
    with pytest.raises(
        TypeError, match=r"one\(\): no key can be made of the argument x: "
    ) as e:
        KEY((value,), {})
    assert "ignore=['x']" in str(e.value)


def test_what_contains_itself():
    """It is refused the same way."""
    value = []
    value.append(value)
    with pytest.raises(TypeError, match="nested too deeply"):
        KEY((value,), {})


class Shop:
    def method(self, x):
        """Be a method."""


def test_self_is_an_argument_like_others():
    """It is left out by name only."""
    with pytest.raises(TypeError, match="argument self"):
        CallKey(Shop.method)((Shop(), 1), {})
    key = CallKey(Shop.method, ignore="self")
    assert key((Shop(), 1), {}) == key((Shop(), 1), {}) != key((Shop(), 2), {})
    with pytest.raises(TypeError, match=r"ignore=\['me'\]: Shop.method\(\) has no such"):
        CallKey(Shop.method, ignore=("me",))


@pytest.mark.parametrize("call", [((), {}), ((1, 2), {}), ((1,), {"x": 1}), ((), {"y": 1})])
def test_wrong_calls(call):
    """They are refused as the function would."""
    with pytest.raises(TypeError):
        one(*call[0], **call[1])
    with pytest.raises(TypeError):
        KEY(*call)


def test_long_keys_are_short():
    """And not alike for all that."""
    assert len(KEY(("a" * 10_000,), {})) == 40
    assert KEY(("a" * 10_000,), {}) != KEY(("a" * 10_001,), {})


def test_in_another_process():
    """Hashes of texts differ there, and keys don't."""
    code = (
        "from scrapy_resilience.core.cachekeys import CallKey\n"
        "def f(a, b): pass\n"
        "print(CallKey(f)(({'x', 'y', 'z'},), {'b': {'k': 1.5, 'a': 'é'}}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, encoding="utf-8",
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1", "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
