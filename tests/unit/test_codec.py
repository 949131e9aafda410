"""Values and requests as bytes, and back, exactly."""

from __future__ import annotations

import datetime as dt
import math
import os
import pickle
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from zoneinfo import ZoneInfo

import codec_samples as samples
import msgpack
import pytest
from codec_samples import CodecSpider
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import FormRequest, Item, Request, Spider
from scrapy.http import JsonRequest
from scrapy.http.request import NO_CALLBACK
from scrapy.http.request.rpc import XmlRpcRequest

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier import codec as codec_module
from scrapy_resilience.frontier.codec import RequestCodec, UnserializableError, ValueCodec

PLAIN = ValueCodec(allow_pickle=False)
ANY = ValueCodec(allow_pickle=True)


def same(one, other):  # noqa: PLR0911 - one for each kind of value
    """Whether two values are equal in every type and every part, nan included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return len(one) == len(other) and all(
            any(same(each, found) for found in other) for each in one
        )
    if isinstance(one, (dict, Item)):
        return len(one) == len(other) and all(
            same(key, found) and same(one[key], other[found])
            for key, found in zip(one, other, strict=True)
        )
    if isinstance(one, dt.datetime):
        return (one, one.tzinfo, one.fold, one.tzname()) == (
            other,
            other.tzinfo,
            other.fold,
            other.tzname(),
        )
    return one == other


texts = st.text(st.characters(exclude_categories=()))  # lone surrogates included
hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**63 - 2, 2**64 + 2),
    st.integers(-(2**64) - 2, -(2**63) + 2),
    st.integers(2**400, 2**401),
    st.floats(allow_nan=False),
    texts,
    st.binary(),
    st.datetimes().map(lambda value: value.replace(fold=0)),
    st.datetimes(timezones=st.just(dt.timezone.utc)).map(lambda value: value.replace(fold=0)),
    st.dates(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
)
scalars = hashable_scalars | st.just(math.nan) | st.decimals(allow_nan=True)
keys = st.recursive(
    hashable_scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
plain_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(keys, max_size=3),
        st.frozensets(keys, max_size=3),
        st.dictionaries(keys, inner, max_size=4),
        st.builds(
            samples.Book, st.fixed_dictionaries({}, optional={"title": inner, "more": inner})
        ),
        st.builds(samples.Novel, st.fixed_dictionaries({"author": inner})),
    ),
    max_leaves=12,
)
aware = st.datetimes(
    timezones=st.sampled_from(
        [
            ZoneInfo("Europe/Berlin"),
            ZoneInfo("UTC"),
            dt.timezone(dt.timedelta(hours=5, minutes=45)),
            dt.timezone(dt.timedelta(hours=1), "CET"),
        ]
    )
)
pickled_values = st.one_of(
    aware,
    st.times(),
    st.builds(samples.Point, st.integers(), st.lists(keys, max_size=2)),
    st.sampled_from([samples.Colour.RED, samples.Level.LOW, Path("x/y"), 1 + 2j, deque([1])]),
    st.text().map(samples.Text),
    st.integers().map(samples.Number),
    st.dictionaries(st.text(), st.integers(), max_size=2).map(samples.Table),
    st.dictionaries(st.text(), st.integers(), max_size=2).map(OrderedDict),
    st.uuids(),
)


# --- values -------------------------------------------------------------------------


@given(plain_values)
def test_plain_values_come_back_without_pickle(value):
    """Plain data of any depth comes back with every type as it was."""
    assert same(PLAIN.decode(PLAIN.encode(value)), value)


@given(plain_values)
def test_plain_values_have_the_same_bytes_with_pickle(value):
    """Allowing pickles changes nothing for what has a plain form."""
    data = ANY.encode(value)

    assert data == PLAIN.encode(value)
    assert same(ANY.decode(data), value)


@given(pickled_values)
def test_other_values_are_pickled(value):
    """What has no plain form comes back by pickle, with its own class."""
    assert same(ANY.decode(ANY.encode(value)), value)
    nested = {"in": [value, (value,)]}
    assert same(ANY.decode(ANY.encode(nested)), nested)


@given(pickled_values)
def test_without_pickle_other_values_are_refused(value):
    """What has no plain form is refused by name when pickles are not allowed."""
    with pytest.raises(UnserializableError, match=type(value).__qualname__):
        PLAIN.encode({"in": [value]})


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, 1, -1, 2**63, 2**64, -(2**63), -(2**63) - 1, 10**4000, 0.0, -0.0,
        math.inf, -math.inf, math.nan, "", "\ud800", "😀", b"", b"\xff\0", [], (), {}, set(),
        frozenset(), ((),), [[]], {(): {}}, {1: 1, "1": 2, b"1": 3}, {(1, (b"x",)): [None]},
        {None: 0}, {1.5: 0}, {frozenset({1}): 0}, Decimal("1.10"), Decimal("-0"),
        Decimal("sNaN"), Decimal("1E+999999"), dt.datetime.min, dt.datetime.max,  # noqa: DTZ901 - naive ones are stored too
        dt.date.max,
        dt.timedelta.min, dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
        msgpack.Timestamp(1, 2),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_an_edge_comes_back(value):
    """The smallest, largest and emptiest of each type come back."""
    assert same(PLAIN.decode(PLAIN.encode(value)), value)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("zone", [None, ZoneInfo("Europe/Berlin"), dt.timezone.utc])
def test_the_hour_that_comes_twice_is_kept(zone, fold):
    """A datetime keeps its zone and its fold."""
    value = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold)

    assert same(ANY.decode(ANY.encode(value)), value)


def test_a_zone_of_no_offset_keeps_its_name():
    """A datetime in a zone that equals UTC but has another name keeps the name."""
    value = dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "GMT"))

    assert ANY.decode(ANY.encode(value)).tzname() == "GMT"


@pytest.mark.parametrize("codec", [ANY, PLAIN])
@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_a_buffer_comes_back_as_bytes(codec, buffer):
    """A known limit: msgpack writes a bytearray and a memoryview as bytes."""
    value = {"buffer": buffer(b"x")}

    assert same(codec.decode(codec.encode(value)), {"buffer": b"x"})


def cycles():
    """Return values that hold themselves."""
    as_list, as_dict, mixed = [1], {}, []
    as_list.append(as_list)
    as_dict["self"] = as_dict
    mixed.append((mixed,))
    return {"list": as_list, "dict": as_dict, "tuple": mixed}


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
def test_a_cycle_is_pickled(kind):
    """A value that holds itself comes back as one that holds itself."""
    found = ANY.decode(ANY.encode(cycles()[kind]))

    inner = {
        "list": lambda: found[1],
        "dict": lambda: found["self"],
        "tuple": lambda: found[0][0],
    }
    assert inner[kind]() is found


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
def test_a_cycle_without_pickle_is_refused(kind):
    """A value that holds itself has no plain form."""
    with pytest.raises(UnserializableError):
        PLAIN.encode(cycles()[kind])


_DEEP = """
import sys
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.frontier.codec import UnserializableError, ValueCodec

codec = ValueCodec()
for depth in map(int, sys.argv[1:]):
    for wrap in (lambda v: [v], lambda v: {"k": v}, lambda v: (v,), lambda v: [{"k": (v,)}]):
        value = 1
        for _ in range(depth):
            value = wrap(value)
        try:
            data = codec.encode(value)
        except UnserializableError:
            assert depth > 100
        else:
            assert codec.encode(codec.decode(data)) == data
"""


def test_what_is_too_deep_comes_back_or_is_refused():
    """A value that is too deep for any form is refused when it is encoded, not later."""
    child = subprocess.run(
        [sys.executable, "-c", _DEEP, "100", "300", "3000"], check=False, capture_output=True
    )

    assert (child.returncode, child.stderr) == (0, b"")


def test_hostile_depth_does_not_kill_the_process():
    """Extensions within extensions are a CheckpointError when there are too many."""
    script = _DEEP.split("codec =", maxsplit=1)[0] + (
        "import msgpack\n"
        "data = msgpack.packb(1)\n"
        "for _ in range(500): data = msgpack.packb(msgpack.ExtType(1, data))\n"
        "try: ValueCodec(allow_pickle=False).decode(data)\n"
        "except CheckpointError: pass\n"
    )
    child = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)

    assert child.returncode == 0


@pytest.mark.parametrize(
    "value",
    [lambda: 1, Path(os.devnull).open(), (x for x in ()), sys, type("Nowhere", (), {})()],  # noqa: SIM115
    ids=["lambda", "file", "generator", "module", "local class"],
)
def test_what_no_pickle_can_hold_is_refused(value):
    """A value without any form is UnserializableError, alone and inside of others."""
    for outer in (value, {"a": [value]}, samples.Book(title=value)):
        with pytest.raises(UnserializableError):
            ANY.encode(outer)


def test_a_pickle_that_fails_in_its_own_way_is_unserializable():
    """Whatever __reduce__ raises becomes UnserializableError, with its text."""

    class Broken:
        def __reduce__(self):
            raise KeyError("my own trouble")

    with pytest.raises(UnserializableError, match="my own trouble"):
        ANY.encode([Broken()])


def test_a_default_dict_keeps_its_factory():
    """A dict subclass is not flattened to a dict."""
    found = ANY.decode(ANY.encode({"d": defaultdict(list, a=[1])}))["d"]

    assert type(found) is defaultdict
    assert found["new"] == []


def test_an_item_with_its_own_constructor_is_pickled():
    """An item whose constructor would add something comes back without that."""
    item = samples.Shouting()
    del item["title"]

    found = ANY.decode(ANY.encode(item))

    assert type(found) is samples.Shouting
    assert dict(found) == {}


def test_an_item_of_a_nested_class_comes_back():
    """An item whose class has no importable path comes back, by pickle."""
    item = samples.Shelf.Book(title="x")

    assert same(ANY.decode(ANY.encode(item)), item)


def test_an_item_of_a_local_class_is_refused():
    """An item whose class can't be found again is UnserializableError."""

    class Here(Item):
        pass

    with pytest.raises(UnserializableError):
        ANY.encode(Here())


def test_a_pickle_is_not_read_when_pickles_are_off():
    """A job that holds pickles says which setting refuses them."""
    data = ANY.encode([samples.Colour.RED])

    with pytest.raises(CheckpointError, match="RESILIENCE_ALLOW_PICKLE"):
        PLAIN.decode(data)


_ENCODE_A_SET = (
    "from scrapy_resilience.frontier.codec import ValueCodec;"
    "print(ValueCodec().encode({'tags': {'a', 'b', 'c', 'd', 'e', 'f'}}).hex())"
)


def test_equal_values_have_equal_bytes_in_every_process():
    """The bytes of a value do not depend on the process that wrote them."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _ENCODE_A_SET],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1


# --- hostile bytes --------------------------------------------------------------------


def ext(code, data):
    """Return the bytes of one extension value."""
    return msgpack.packb(msgpack.ExtType(code, data))


@given(st.binary(max_size=60))
def test_random_bytes_give_a_plain_value_or_a_checkpoint_error(data):
    """Bytes that the codec did not write raise nothing but CheckpointError."""
    with suppress(CheckpointError):
        PLAIN.decode(data)


@given(st.integers(0, 127), st.binary(max_size=20) | plain_values.map(PLAIN.encode))
def test_any_extension_gives_a_value_or_a_checkpoint_error(code, data):
    """An extension type with a content of another type raises nothing but CheckpointError."""
    with suppress(CheckpointError):
        PLAIN.decode(ext(code, data))


@pytest.mark.parametrize(
    "path",
    [
        "os.system", "builtins.eval", "subprocess.Popen", "codec_samples.Point",
        "scrapy.Request", "os", "", ".", "no.such.module.Thing", "os.nothing",
        "codec_samples.Shelf.Book", "a b.c", 5, None, ["os.system"], b"os.system",
    ],
)  # fmt: skip
def test_an_item_path_that_names_no_item_class_runs_nothing(path, monkeypatch):
    """A stored item whose class is anything else is refused, and nothing is called."""
    ran = []
    for module, name in ((os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, lambda *a, **_: ran.append(a))
    data = ext(codec_module._ITEM, PLAIN.encode([path, {"touch": "x"}]))

    for codec in (PLAIN, ANY):
        with pytest.raises(CheckpointError):
            codec.decode(data)

    assert ran == []


def test_a_hostile_pickle_is_not_run_when_pickles_are_off():
    """No pickle is loaded where pickles are not allowed."""
    ran = []

    class Hostile:
        def __reduce__(self):
            return ran.append, ("ran",)

    class Pickler(pickle.Pickler):
        pass

    payload = pickle.dumps(partial(exec, "raise SystemExit"))
    for data in (ext(127, payload), ext(codec_module._TUPLE, ext(127, payload))):
        with pytest.raises(CheckpointError, match="RESILIENCE_ALLOW_PICKLE"):
            PLAIN.decode(data)

    assert ran == []


def test_a_broken_pickle_is_a_checkpoint_error():
    """A pickle that can't be loaded is a CheckpointError."""
    with pytest.raises(CheckpointError):
        ANY.decode(ext(127, b"\x80\x05not a pickle"))


@pytest.mark.parametrize("cut", range(1, 30, 3))
def test_cut_bytes_are_a_checkpoint_error(cut):
    """A value whose end is missing is not read as a shorter one."""
    data = PLAIN.encode({"a": (1, {2}, "text" * 5), "b": samples.Book(title="t")})

    with pytest.raises(CheckpointError):
        PLAIN.decode(data[:-cut])


def test_bytes_behind_a_value_are_a_checkpoint_error():
    """Two values are not read as one."""
    with pytest.raises(CheckpointError):
        PLAIN.decode(PLAIN.encode(1) + PLAIN.encode(2))


# --- requests -----------------------------------------------------------------------


@pytest.fixture
def spider():
    """Return a spider with callbacks."""
    return CodecSpider()


@pytest.fixture
def requests(spider):
    """Return the codec of the spider's requests."""
    return RequestCodec(spider, ANY)


def assert_same_request(found, request):
    """Compare class and every attribute, with types."""
    assert type(found) is type(request)
    for name in request.attributes:
        one, other = getattr(found, name), getattr(request, name)
        if name == "headers":
            assert list(one.items()) == list(other.items())
        elif callable(other):
            assert one == other
        else:
            assert same(one, other), name


def test_every_attribute_comes_back(requests, spider):
    """A request that sets everything comes back with everything."""
    request = Request(
        "https://user:pw@example.com:8080/ä?q=ü#frag",
        callback=spider.parse_book,
        errback=spider.failed,
        method="PATCH",
        headers={"X-Many": ["a", "b", "a"], "X-Raw": b"\xff", "X-Empty": ""},
        body=b"\0\xff body",
        cookies={"c": "1"},
        meta={"depth": 3, ("t", 1): {b"x": {1, 2}}, "item": samples.Book(title="T")},
        encoding="latin-1",
        priority=-7,
        dont_filter=True,
        flags=["a", "b"],
        cb_kwargs={"shelf": (1, [2])},
    )

    assert_same_request(requests.decode(requests.encode(request)), request)


def test_a_bare_request_takes_few_bytes(requests):
    """What nobody set is not stored."""
    request = Request("http://a.test/")

    data = requests.encode(request)

    assert len(data) < 30
    assert_same_request(requests.decode(data), request)


headers = st.dictionaries(
    st.text("abcXYZ-", min_size=1, max_size=6),
    st.lists(st.binary(max_size=6), min_size=0, max_size=3),
    max_size=3,
)
urls = st.builds(
    "http://{}.test/{}?{}#{}".format,
    st.sampled_from(["a", "ü", "xn--bcher-kva", "1.2.3.4", "[::1]".strip("[]")]),
    st.text(max_size=8),
    st.text(max_size=8),
    st.text(max_size=4),
)


@given(
    st.fixed_dictionaries(
        {
            "url": st.just("http://a.test/x?y=1"),
            "method": st.sampled_from(["GET", "POST", "HEAD", "post"]),
            "headers": headers,
            "body": st.binary(max_size=9) | st.text("aä", max_size=5),
            "cookies": st.sampled_from(
                [{}, [], {"a": "b"}, {b"a": 1}, [{"name": "a", "value": "b", "path": "/"}]]
            ),
            "meta": st.dictionaries(st.text(max_size=4), plain_values, max_size=3),
            "encoding": st.sampled_from(["utf-8", "UTF-8", "latin-1"]),
            "priority": st.integers(),
            "dont_filter": st.booleans(),
            "flags": st.lists(st.text(max_size=4), max_size=2),
            "cb_kwargs": st.dictionaries(st.text(max_size=4), plain_values, max_size=2),
        }
    ),
    st.sampled_from([None, "parse", "parse_book", "alias", "parse_async", NO_CALLBACK]),
    st.sampled_from([None, "failed"]),
)
@settings(max_examples=30)
def test_any_request_comes_back(arguments, callback, errback):
    """Any combination of attributes comes back."""
    spider = CodecSpider()
    codec = RequestCodec(spider, PLAIN)
    if errback and callback is not NO_CALLBACK:
        arguments["errback"] = getattr(spider, errback)
    if callback is not None:
        name = callback if isinstance(callback, str) else None
        arguments["callback"] = getattr(spider, name) if name else NO_CALLBACK
    request = Request(**arguments)

    assert_same_request(codec.decode(codec.encode(request)), request)


@given(urls)
def test_a_url_is_not_escaped_twice(url):
    """The URL that was asked for is the URL that is asked for again."""
    codec = RequestCodec(CodecSpider(), PLAIN)
    try:
        request = Request(url)
    except ValueError:
        return

    assert codec.decode(codec.encode(request)).url == request.url


@pytest.mark.parametrize(
    "request_",
    [
        FormRequest("http://a.test/", formdata={"a": ["1", "2"], "ä": "ö"}),
        FormRequest("http://a.test/?x=1", formdata={"a": "1"}, method="GET"),
        FormRequest("http://a.test/"),
        JsonRequest("http://a.test/", data={"a": [1, None]}),
        JsonRequest("http://a.test/", data=[], dumps_kwargs={"sort_keys": True}),
        JsonRequest("http://a.test/", body=b"{}", method="PUT"),
        JsonRequest("http://a.test/"),
        XmlRpcRequest("http://a.test/", methodname="m", params=(1, "a")),
        XmlRpcRequest("http://a.test/", body="<x/>", encoding="latin-1"),
        samples.MyRequest("http://a.test/", tag=("t", {1})),
        samples.MyRequest("http://a.test/"),
        samples.PostRequest("http://a.test/"),
        Request("data:,hello"),
        Request("file:///etc/hostname"),
        Request("http://a.test/", cookies=[{"name": "n", "value": "v", "domain": "d"}]),
    ],
    ids=lambda request: type(request).__name__,
)
def test_requests_of_every_class_come_back(requests, request_):
    """A request keeps its class, body, headers and the attributes of its class."""
    assert_same_request(requests.decode(requests.encode(request_)), request_)


@pytest.mark.parametrize(
    "request_",
    [
        XmlRpcRequest("http://a.test/", methodname="m", params=(1,), dont_filter=False),
        XmlRpcRequest("http://a.test/", body="<x/>", method="GET"),
        samples.PostRequest("http://a.test/", method="GET"),
    ],
    ids=["dont_filter", "method", "own class"],
)
def test_a_class_with_other_defaults_comes_back(requests, request_):
    """What the user set comes back, also where it is Request's default and not the class's."""
    assert_same_request(requests.decode(requests.encode(request_)), request_)


def test_a_request_of_a_nested_class_comes_back_or_is_refused(requests):
    """A request whose class can't be found again is UnserializableError, not lost."""
    request = samples.Requests.Nested("http://a.test/")
    try:
        data = requests.encode(request)
    except UnserializableError:
        return

    assert_same_request(requests.decode(data), request)


# --- callbacks ----------------------------------------------------------------------


def callbacks(spider):
    """Return the methods of a spider that can be found again by a name."""
    return {
        "plain": spider.parse,
        "alias": spider.alias,
        "private": spider.private(),
        "decorated": spider.parse_wrapped,
        "private of the base": spider.inherited_hidden(),
        "async": spider.parse_async,
        "none": None,
        "no callback": NO_CALLBACK,
    }


@pytest.mark.parametrize("which", list(callbacks(CodecSpider())))
def test_a_method_of_the_spider_is_found_again(requests, spider, which):
    """A method comes back as the same method of the spider of this run."""
    callback = callbacks(spider)[which]
    data = requests.encode(Request("http://a.test/", callback=callback))

    assert requests.decode(data).callback == callback
    other = CodecSpider()
    assert RequestCodec(other, PLAIN).decode(data).callback == callbacks(other)[which]


def lost_callbacks(spider):
    """Return callables that no name finds again."""

    def closure(_):
        return spider

    return {
        "lambda": lambda _: None,
        "closure": closure,
        "partial": partial(spider.parse_book, shelf=1),
        "partial in the class": spider.parse_partial,
        "other object": CodecSpider().parse,
        "static": spider.static,
        "function": test_a_bare_request_takes_few_bytes,
        "callable object": samples.Table,
        "method of a value": "text".upper,
        "added to the object": samples.CodecSpider.parse.__get__(object()),
    }


@pytest.mark.parametrize("which", list(lost_callbacks(CodecSpider())))
@pytest.mark.parametrize("name", ["callback", "errback"])
def test_a_callback_that_no_name_finds_is_refused(requests, spider, which, name):
    """A lambda, a closure, a partial or a method of something else is UnserializableError."""
    request = Request("http://a.test/", **{name: lost_callbacks(spider)[which]})

    with pytest.raises(UnserializableError):
        requests.encode(request)


def test_a_method_of_a_function_that_is_no_attribute_is_refused(requests, spider):
    """A function that was bound to the spider by hand can't be found again."""

    def loose(self, response):
        pass

    with pytest.raises(UnserializableError, match="loose"):
        requests.encode(Request("http://a.test/", callback=loose.__get__(spider)))


def test_a_method_is_not_taken_for_another_of_its_name():
    """A method of the base class that the spider overrides is not stored by its name."""

    class Child(CodecSpider):
        def parse(self, response):
            """Return nothing."""

        def base_parse(self):
            return super().parse

    child = Child()
    codec = RequestCodec(child, PLAIN)
    with pytest.raises(UnserializableError):
        codec.encode(Request("http://a.test/", callback=child.base_parse()))


def test_a_property_that_fails_does_not_hide_a_callback():
    """Looking for a callback's name survives a property of the spider that raises."""
    spider = samples.TroubledSpider()
    codec = RequestCodec(spider, PLAIN)
    request = Request("http://a.test/", callback=spider.parse_wrapped)

    assert codec.decode(codec.encode(request)).callback == spider.parse_wrapped


def test_a_built_in_method_of_the_spider_is_refused(requests, spider):
    """A method that is not written in Python is UnserializableError."""
    with pytest.raises(UnserializableError):
        requests.encode(Request("http://a.test/", callback=spider.__format__))


def test_a_method_that_is_gone_is_named(requests, spider):
    """A callback that the code no longer has is named, with the URL and the spider."""
    data = requests.encode(Request("http://a.test/1", callback=spider.alias))
    data = data.replace(b"parse_book", b"parse_gone")

    with pytest.raises(CheckpointError, match=r"http://a.test/1.*'parse_gone'.*'codec'"):
        requests.decode(data)


def test_what_can_not_be_pickled_keeps_a_request_in_memory(requests):
    """A request whose meta has no form is UnserializableError as a whole."""
    with pytest.raises(UnserializableError):
        requests.encode(Request("http://a.test/", meta={"f": lambda: 1}))


def test_without_pickle_a_request_with_an_object_is_refused(spider):
    """With pickles off a request that needs one is UnserializableError."""
    codec = RequestCodec(spider, PLAIN)

    with pytest.raises(UnserializableError, match="RESILIENCE_ALLOW_PICKLE"):
        codec.encode(Request("http://a.test/", meta={"point": samples.Point(1)}))


def test_encoding_leaves_the_request_alone(requests, spider):
    """The request that is encoded keeps its own values."""
    meta = {"list": [1]}
    request = Request("http://a.test/", meta=meta, headers={"A": ["1", "2"]})
    before = request.to_dict(spider=spider)
    found = requests.decode(requests.encode(request))
    found.meta["list"].append(2)
    found.headers["A"] = "3"

    assert request.to_dict(spider=spider) == before


@pytest.mark.parametrize(
    "path", ["os.system", "builtins.eval", "codec_samples.Book", "no.such.Thing"]
)
def test_a_request_class_that_is_none_runs_nothing(requests, path):
    """A stored request of a class that is not a Request is refused."""
    with pytest.raises(CheckpointError, match=path):
        requests.decode(ANY.encode({"url": "http://a.test/", "_class": path}))


@pytest.fixture
def unloaded(tmp_path, monkeypatch):
    """Return the name of a module that can be imported, and what it does then."""
    ran = tmp_path / "ran"
    (tmp_path / "not_loaded_yet.py").write_text(
        f"import scrapy\nopen({str(ran)!r}, 'w').close()\n"
        "class X(scrapy.Item): pass\nclass Y(scrapy.Request): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "not_loaded_yet", ran


def _item(path):
    return msgpack.packb(msgpack.ExtType(9, msgpack.packb([path, {}])))


@pytest.mark.parametrize(
    "read",
    [
        lambda _, path: PLAIN.decode(_item(f"{path}.X")),
        lambda _, path: PLAIN.decode(_item(f"{path}.no.such.X")),
        lambda requests, path: requests.decode(
            PLAIN.encode({"url": "http://a.test/", "_class": f"{path}.Y"})
        ),
    ],
    ids=["item", "deeper", "request"],
)
def test_no_module_is_imported_because_of_data(requests, unloaded, read):
    """A stored name finds what the project has loaded; a module that it has not never runs."""
    name, ran = unloaded

    with pytest.raises(CheckpointError, match=f"{name}.*import it where the spider is"):
        read(requests, name)

    assert not ran.exists()
    assert name not in sys.modules


def test_a_module_that_loads_others_by_name_loads_none(monkeypatch):
    """A module's __getattr__ is not asked: it would import what the data wants."""
    asked = []
    monkeypatch.setattr(samples, "__getattr__", asked.append, raising=False)

    with pytest.raises(CheckpointError):
        PLAIN.decode(_item("codec_samples.Lazy"))
    assert asked == []


@pytest.mark.parametrize(
    "name", ["__class__", "__init__.__func__", "from_crawler", "close", "__format__", "name"]
)
def test_only_methods_of_the_spider_are_callbacks(requests, name):
    """What is callable and would never have been stored is not a callback."""
    with pytest.raises(CheckpointError, match="is not a method"):
        requests.decode(ANY.encode({"url": "http://a.test/", "callback": name}))


@pytest.mark.parametrize("name", ["getter", "kept_getter", "made_up"])
def test_no_getter_runs_because_of_data(name):
    """Only what the spider's classes have as a method is looked at."""
    asked = []

    class Asked(Spider):
        name = "asked"
        getter = property(asked.append)
        kept_getter = cached_property(asked.append)

        def __getattr__(self, wanted):
            asked.append(wanted)
            return self.parse

    codec = RequestCodec(Asked(), PLAIN)
    asked.clear()
    with pytest.raises(CheckpointError, match="is not a method"):
        codec.decode(ANY.encode({"url": "http://a.test/", "callback": name}))
    assert asked == []


@pytest.mark.parametrize("value", [None, 1, [], "x", ("url",)])
def test_a_value_that_is_no_request_is_refused(requests, value):
    """A stored value that is not a request is a CheckpointError."""
    with pytest.raises(CheckpointError):
        requests.decode(ANY.encode(value))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"url": 5},
        {"url": "no scheme"},
        {"url": "http://a.test/", "unknown": 1},
        {"callback": "gone"},
        {"url": "http://a.test/", "callback": 5},
        {"url": "http://a.test/", "callback": "name"},
        {"url": "http://a.test/", "_class": 5},
        {"url": "http://a.test/", "priority": "high"},
        {1: 2},
    ],
    ids=repr,
)
def test_a_request_that_can_not_be_made_is_a_checkpoint_error(requests, value):
    """A stored request with values of the wrong kind is a CheckpointError and nothing else."""
    with pytest.raises(CheckpointError):
        requests.decode(ANY.encode(value))


@given(st.binary(max_size=40))
def test_random_bytes_are_no_request(data):
    """Random bytes raise nothing but CheckpointError as a request."""
    with pytest.raises(CheckpointError):
        RequestCodec(CodecSpider(), PLAIN).decode(data)
