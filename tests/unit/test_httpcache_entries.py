"""An entry is the response that was stored, or no entry: nothing in its bytes can do harm."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import HtmlResponse, JsonResponse, Response, TextResponse, XmlResponse

from scrapy_resilience.httpcache.entries import Codec, EntryError

URL = "http://shop.test/1"
KINDS = (Response, TextResponse, HtmlResponse, XmlResponse, JsonResponse)
HEAD = 9
"""Bytes before what is compressed."""


class PricedResponse(HtmlResponse):
    """One of a project's own, with an attribute more."""

    attributes = (*HtmlResponse.attributes, "price")

    def __init__(self, *args, price=None, **kwargs):
        self.price = price
        super().__init__(*args, **kwargs)


def same(one, other):
    """Whether two responses have the same class, and the same in each attribute."""
    assert type(one) is type(other)
    for name in set(one.attributes) - {"request", "certificate"}:
        assert getattr(one, name) == getattr(other, name), name
    return True


headers = st.dictionaries(
    st.sampled_from([b"Set-Cookie", b"X-Odd", b"Date", b"Content-Type"]),
    st.lists(st.binary(max_size=20), min_size=1, max_size=3),
)


@given(
    kind=st.sampled_from(KINDS),
    status=st.integers(100, 599),
    headers=headers,
    body=st.binary(max_size=2_000),
    flags=st.lists(st.text(max_size=5), max_size=3),
    protocol=st.sampled_from([None, "HTTP/1.1", "h2"]),
    address=st.one_of(st.none(), st.ip_addresses()),
    stored=st.floats(0, 1e10),
)
def test_what_is_stored_comes_back(kind, address, stored, **values):
    """Class, status, headers with repeated names, any bytes, flags, address."""
    response = kind(URL, ip_address=address, **values)

    found, when = Codec().decode(Codec().encode(response, stored))

    assert same(found, response)
    assert when == stored


def test_an_attribute_of_ones_own():
    """What a class names in its attributes is kept, of any plain type."""
    response = PricedResponse(URL, body=b"<p>", price={"now": (1, 2.5), "was": None})

    found, _ = Codec().decode(Codec().encode(response, 1))

    assert same(found, response)


def test_what_is_not_plain_data_is_not_stored():
    """An object, and a class that another process would not find."""

    class Local(HtmlResponse):
        pass

    with pytest.raises(EntryError, match="not plain data"):
        Codec().encode(PricedResponse(URL, price=object()), 1)
    with pytest.raises(EntryError, match="not at the top of a module"):
        Codec().encode(Local(URL), 1)


def test_any_damage_is_found():
    """Of each byte behind the time, and at each length."""
    data = Codec().encode(HtmlResponse(URL, body=b"<h1>Oak Chair</h1>" * 9, flags=["x"]), 1)
    wrong = [data[:end] for end in range(len(data))]
    for place in range(HEAD, len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x41
        wrong.append(bytes(flipped))

    for each in wrong:
        with pytest.raises(EntryError):
            Codec().decode(each)


@pytest.mark.parametrize("data", [b"", None, "text", 7, b"\x01" * 40, [b"\x01"]], ids=repr)
def test_what_nobody_has_encoded(data):
    """A row or a value of another type, too."""
    with pytest.raises(EntryError, match=r"damaged|version"):
        Codec().decode(data)


@given(st.binary(max_size=60))
def test_any_bytes(data):
    """They are no entry, and nothing else is raised."""
    with pytest.raises(EntryError):
        Codec().decode(b"\x01" + data)


def test_an_entry_of_another_version():
    """A later format is not guessed at."""
    data = Codec().encode(Response(URL), 1)

    with pytest.raises(EntryError, match="another version"):
        Codec().decode(b"\x02" + data[1:])


def crafted(**plain):
    """An entry that somebody else has made."""
    plain = {"url": URL, "headers": {}, "body": b"", **plain}
    packed = msgpack.packb(plain)
    return struct.pack(">Bd", 1, 1.0) + zstandard.ZstdCompressor().compress(packed)


@pytest.mark.parametrize(
    "path",
    ["os.system", "subprocess.Popen", "scrapy.Request", "this.s", "", 7, ["x"]],
    ids=repr,
)
def test_no_code_is_named(path):
    """A class that is no response, or was not loaded, is not made."""
    with pytest.raises(EntryError, match=r"has not loaded its class|damaged"):
        Codec().decode(crafted(_class=path))


@pytest.mark.parametrize(
    "plain",
    [
        {"status": "often"},
        {"ip_address": "nowhere"},
        {"headers": 7},
        {"body": "text"},
        {"more": 1},
        {"flags": msgpack.ExtType(127, b"cos\nsystem\n(S'true'\ntR.")},
    ],
    ids=repr,
)
def test_what_is_no_response(plain):
    """Wrong types, an unknown name, a pickle."""
    with pytest.raises(EntryError, match="damaged"):
        Codec().decode(crafted(**plain))


def test_a_few_bytes_that_would_become_many():
    """No more is unpacked than a page may have."""
    data = Codec().encode(Response(URL, body=bytes(10_000_000)), 1)
    assert len(data) < 10_000

    with pytest.raises(EntryError, match="DOWNLOAD_MAXSIZE"):
        Codec(most=1_000).decode(data)
    assert len(Codec(most=10_000_000).decode(data)[0].body) == 10_000_000


def test_an_address_is_one_again():
    """It is text in the entry."""
    response = Response(URL, ip_address=ip_address("::1"))

    assert Codec().decode(Codec().encode(response, 1))[0].ip_address == ip_address("::1")
