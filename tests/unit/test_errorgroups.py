"""Errors with one cause are one group: where, which class, and what is said but for values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.errorgroups import (
    OTHER,
    Cause,
    Frame,
    Groups,
    place_of,
    same_for_all,
)

STANDARD = "/usr/lib/python3.12"
SITE = "/usr/lib/python3.12/site-packages"
ENGINE = Frame(f"{SITE}/scrapy/core/scraper.py", 200, "call_spider", "scrapy.core.scraper")
DEFER = Frame(f"{SITE}/twisted/internet/defer.py", 1, "run", "twisted.internet.defer")
LOOP = Frame(f"{STANDARD}/asyncio/events.py", 80, "_run", "asyncio.events")
JSON = Frame(f"{STANDARD}/json/decoder.py", 355, "raw_decode", "json.decoder")
PARSEL = Frame(f"{SITE}/parsel/selector.py", 400, "css", "parsel.selector")
PARSE = Frame("/home/u/shop/spiders/shop.py", 12, "parse", "shop.spiders.shop")
HELPER = Frame("/home/u/shop/prices.py", 3, "price_of", "shop.prices")
PLUGIN = Frame(f"{SITE}/scrapy_magic/pipeline.py", 7, "process_item", "scrapy_magic.pipeline")
OURS = Frame("/src/scrapy_resilience/pipelines/x.py", 5, "f", "scrapy_resilience.pipelines.x")


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        ([LOOP, ENGINE, PARSE], "/home/u/shop/spiders/shop.py:12:parse"),
        ([ENGINE, PARSE, HELPER], "/home/u/shop/prices.py:3:price_of"),
        ([ENGINE, PARSE, HELPER, JSON], "/home/u/shop/prices.py:3:price_of"),
        ([ENGINE, PARSE, PARSEL], "/home/u/shop/spiders/shop.py:12:parse"),
        ([ENGINE, PARSE, PLUGIN], "/home/u/shop/spiders/shop.py:12:parse"),
        ([ENGINE, OURS, PLUGIN, PARSEL], f"{SITE}/scrapy_magic/pipeline.py:7:process_item"),
        ([ENGINE, OURS], "/src/scrapy_resilience/pipelines/x.py:5:f"),
        ([ENGINE, PARSEL], f"{SITE}/parsel/selector.py:400:css"),
        ([LOOP, ENGINE, DEFER, JSON], ""),
        ([], ""),
    ],
)
def test_the_place(frames, place):
    """The innermost call in the user's code, or else in a component's, or else in ours."""
    assert place_of(frames, STANDARD) == place


def test_a_place_is_told_from_where_code_is_imported():
    """The innermost of the folders is left out, and no name of a machine is in the rest."""
    roots = ["/home/", "/home/u/", "/home/u/shop/x/", ""]
    assert place_of([PARSE], STANDARD, roots) == "shop/spiders/shop.py:12:parse"


def test_windows():
    """Its paths are told alike."""
    installed = Frame(r"C:\Py\Lib\site-packages\parsel\x.py", 1, "css", "parsel.x")
    own = Frame(r"C:\shop\shop.py", 2, "parse", "shop")
    assert place_of([own, installed], r"C:\Py\Lib", ["C:\\shop\\"]) == "shop.py:2:parse"


@pytest.mark.parametrize(
    ("said", "same"),
    [
        ("page 17 has no price", "page <number> has no price"),
        ("took 1.25 s, 12,000 bytes", "took <number> s, <number> bytes"),
        ("item12 and v2", "item<number> and v<number>"),
        ("no field 'price'", "no field <text>"),
        ('no field "price of 3"', "no field <text>"),
        ("can't read what isn't there", "can't read what isn't there"),
        ("see https://a.test/x?y=1#z, please", "see <url> please"),
        ("<GET http://a.test/1>: no", "<GET <url>>: no"),
        ("no such file: /home/u/feeds/a-1.json", "no such file: <path>"),
        (r"no such file: C:\feeds\a.json", "no such file: <path>"),
        ("and/or", "and/or"),
        ("at 0x7f3a2c", "at <hex>"),
        ("digest 9f86d081884c7d65 is wrong", "digest <hex> is wrong"),
        ("deadbeefcafe", "deadbeefcafe"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id <uuid>"),
        ("since 2024-05-01T10:11:12.5Z", "since <date>"),
        ("since 2024-05-01", "since <date>"),
        ("HTTP 503 is not handled", "HTTP 503 is not handled"),
        ("two\n  lines\t3", "two lines <number>"),
        ("", ""),
    ],
)
def test_the_message(said, same):
    """Values make no difference; words and the status of HTTP do."""
    assert same_for_all(said) == same


@given(st.text(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_make_no_group(text, one, other):
    """Two messages that differ in a number between words are one."""
    said = text.replace("\0", "")
    a, b = (same_for_all(f"{said} at {number} bytes") for number in (one, other))
    assert a == b


@given(st.text(alphabet="ab'\"`/\\:.0x-“«<>\n ", max_size=3000))
def test_any_message(text):
    """It is one short line, and made of what was said."""
    found = same_for_all(text)
    assert len(found) <= 250
    assert "\n" not in found


@pytest.mark.parametrize("text", ["'" * 50_000, "/a" * 50_000, "a" * 1_000_000, "0" * 100_000])
def test_a_long_message(text):
    """One that was made to be slow is not."""
    assert len(same_for_all(text)) <= 250


def cause(number):
    """A cause of its own."""
    return Cause(f"a.py:{number}:f", "ValueError", "no")


def test_counts_by_domain():
    """The first ten domains are counted one by one, later ones together."""
    group, _ = Groups().new(cause(1), 5.0)
    for number in [*range(12), 0, 11]:
        group.add(f"h{number}.test")

    assert group.count == 14
    assert group.domains["h0.test"] == 2
    assert group.domains[OTHER] == 3
    assert len(group.domains) == 11


def filled(limit=3):
    """Groups without room for another one: the first is the oldest, and not rare."""
    groups = Groups(limit)
    for number in range(limit):
        group, _ = groups.new(cause(number), float(number))
        group.add("a.test", 50 if number == 0 else 2)
    return groups


def test_a_rare_group_gives_way():
    """The one that was not seen for the longest time, however old a frequent one is."""
    groups = filled()

    group, gone = groups.new(cause(9), 9.0)

    assert (group.number, gone.cause) == (4, cause(1))
    assert groups.find(cause(1)) is None
    assert groups.other.domains == {"a.test": 2}
    assert groups.other.count == 2
    assert [each.number for each in groups] == [1, 3, 4, 0]


def test_a_frequent_group_gives_way_where_all_are():
    """There are never more than so many."""
    groups = filled()
    for group in groups:
        group.add("a.test", 100)

    _, gone = groups.new(cause(9), 9.0)

    assert gone.cause == cause(0)


def test_no_error_is_lost():
    """Whatever gives way is counted still."""
    groups = Groups(5)
    for number in range(1000):
        group, _ = groups.new(cause(number), float(number))
        group.add(f"h{number}.test")

    assert len([*groups]) == 6
    assert sum(group.count for group in groups) == 1000
    assert groups.other.cause.kind == OTHER


def test_groups_of_an_earlier_run():
    """They are found again, and numbers go on behind them."""
    before = filled()
    groups = Groups(3)
    groups.put([*before], 7)

    assert groups.find(cause(2)).number == 3
    group, _ = groups.new(cause(9), 9.0)
    assert group.number == 8
