"""Values of the cache as bytes: what comes back is what went in, or nothing does."""

from __future__ import annotations

import datetime as dt
import enum
import pickle
from collections import Counter, OrderedDict, defaultdict
from contextlib import suppress
from decimal import Decimal
from math import inf, nan

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.cachevalues import (
    Codec,
    Failure,
    UnreadableError,
    UnstorableError,
)

SECRET = " ".join(["long enough"] * 2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip
CODECS = [Codec(), Codec("json", SECRET), Codec("pickle", SECRET), Codec(compress_from=1)]


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    A = "a"


def same(one, other):
    """Equal, and of the same types all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@given(JSON, st.sampled_from(CODECS))
def test_round_trip(value, codec):
    """Through memory and through a server."""
    packed = codec.pack(value)
    assert same(codec.unpack(packed), value)
    assert same(codec.from_wire("k", codec.to_wire("k", packed)), value)


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_any_bytes_of_a_server(raw, codec):
    """They are read, or are as good as none."""
    for data in (raw, b"\xc1R1" + raw, b"\xc1R1j-" + raw, b"\xc1R1jz" + raw, b"\xc1R1e-" + raw):
        with suppress(UnreadableError):
            codec.from_wire("k", data)


@given(JSON, st.data())
def test_a_flipped_bit_of_a_signed_entry(value, data):
    """It is as good as none, wherever it is."""
    codec = Codec("json", SECRET)
    raw = bytearray(codec.to_wire("k", codec.pack(value)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnreadableError):
        codec.from_wire("k", bytes(raw))


def test_who_gets_a_value_may_change_it():
    """The next one gets what was kept."""
    codec, value = Codec(), {"a": [1]}
    packed = codec.pack(value)
    value["a"].append(2)
    codec.unpack(packed)["a"].append(3)
    assert codec.unpack(packed) == {"a": [1]}


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ((1, 2), "it, a tuple,"),
        ({"a": [0, {1}]}, "it['a'][1], a set,"),
        ({1: 2}, "it, a dict with the key 1,"),
        ([nan], "it[0], a float,"),
        (inf, "it, a float,"),
        (dt.date(2024, 1, 1), "it, a date,"),
        ([Decimal("1.5")], "it[0], a Decimal,"),
        (b"x", "it, a bytes,"),
        ("\ud800", "it, a str,"),
        (object(), "it, a object,"),
        (Counter("a"), "it, a Counter,"),
        ({"a": OrderedDict(b=1)}, "it['a'], a OrderedDict,"),
        ([defaultdict(int)], "it[0], a defaultdict,"),
        ([Level.LOW], "it[0], a Level,"),
        ({"a": Word.A}, "it['a'], a Word,"),
        ({Word.A: 1}, f"it, a dict with the key {Word.A!r},"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_give_back(value, part):
    """It is refused, and the error says which part of it."""
    with pytest.raises(UnstorableError) as caught:
        Codec().pack(value)
    assert str(caught.value) == f"{part} does not come back from JSON as it is"


def test_what_contains_itself():
    """It is refused as well."""
    value = []
    value.append(value)
    with pytest.raises(UnstorableError):
        Codec().pack(value)
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UnstorableError):
        Codec().pack(nested)


def test_pickle_takes_any_value():
    """And comes back with its type; what can't be pickled is refused."""
    codec, value = Codec("pickle", SECRET), {"a": (1, Decimal(2), {dt.date(2024, 1, 1)})}
    assert codec.from_wire("k", codec.to_wire("k", codec.pack(value))) == value
    with pytest.raises(UnstorableError, match="can't be pickled"):
        codec.pack(lambda: 1)


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        (Codec("pickle", SECRET), Codec("json", SECRET)),
        (Codec("json", SECRET), Codec("pickle", SECRET)),
        (Codec("json", SECRET), Codec("json", SECRET + "!")),
        (Codec("json"), Codec("json", SECRET)),
        (Codec("json", SECRET), Codec("json")),
    ],
)
def test_of_another_serializer_or_secret(writer, reader):
    """It is as good as none."""
    raw = writer.to_wire("k", writer.pack({"a": 1}))
    assert writer.from_wire("k", raw) == {"a": 1}
    with pytest.raises(UnreadableError):
        reader.from_wire("k", raw)


class Trap:
    """Runs something when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return spring, ()


def spring():
    """Be unpickled."""
    Trap.sprung = True


@pytest.mark.parametrize("codec", [Codec(), Codec("json", SECRET), Codec("pickle", SECRET)])
def test_a_pickle_of_somebody_else_is_not_read(codec):
    """Unsigned, signed with something else, or of the key of another entry."""
    own = Codec("pickle", "the secret of somebody else").to_wire(
        "k", Codec("pickle").pack(Trap())
    )
    data = pickle.dumps(Trap())
    stolen = Codec("pickle", SECRET).to_wire("other", Codec("pickle").pack(Trap()))
    for raw in (own, b"\xc1R1p-" + data, b"\xc1R1p-" + bytes(16) + data, data, stolen):
        with pytest.raises(UnreadableError):
            codec.from_wire("k", raw)
    assert not Trap.sprung


def test_a_class_that_is_gone():
    """A signed pickle of it is as good as none."""
    codec = Codec("pickle", SECRET)
    raw = codec.to_wire("k", codec.pack(Decimal(1)))
    packed = codec.pack(Decimal(1))
    gone = packed._replace(data=packed.data.replace(b"decimal", b"decimax"))
    assert codec.from_wire("k", raw) == 1
    with pytest.raises(UnreadableError):
        codec.from_wire("k", codec.to_wire("k", gone))


def test_large_values_are_compressed():
    """From so many bytes on, and only if it helps."""
    codec = Codec(compress_from=1_024)
    assert len(codec.to_wire("k", codec.pack("a" * 100_000))) < 1_000
    assert len(codec.to_wire("k", codec.pack("a" * 1_000))) > 1_000
    assert len(Codec(compress_from=0).to_wire("k", codec.pack("a" * 10_000))) > 10_000


def test_too_large():
    """What comes back would be kept by nobody; a small entry may claim to be huge."""
    with pytest.raises(UnstorableError, match="are allowed"):
        Codec().pack("a" * 17_000_000)
    bomb = b"\xc1R1jz" + zstandard.compress(bytes(100_000_000))
    with pytest.raises(UnreadableError):
        Codec().from_wire("k", bomb)


def test_failures():
    """The class by its name, and JSON of what it was made of."""
    codec = Codec()
    packed = codec.pack_failure(Failure("a.B", ["x", 1]))
    assert codec.unpack(packed) == Failure("a.B", ["x", 1])
    assert codec.from_wire("k", codec.to_wire("k", packed)) == Failure("a.B", ["x", 1])
    with pytest.raises(UnstorableError):
        codec.pack_failure(Failure("a.B", [object()]))


@pytest.mark.parametrize("data", [b"[[],[]]", b'["a.B",1]', b'["a.B"]', b"1", b'["a.B",[],1]'])
def test_failures_of_somebody_else(data):
    """They are as good as none where their shape is another one."""
    with pytest.raises(UnreadableError):
        Codec().from_wire("k", b"\xc1R1e-" + data)
