"""Selector sets: what they extract, and what they know about it."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass, field

import pytest
from cost import passes
from hypothesis import given
from hypothesis import strategies as st
from itemloaders.processors import TakeFirst
from lxml import html
from scrapy import Item
from scrapy.http import HtmlResponse, Response, TextResponse, XmlResponse
from scrapy.item import Field
from scrapy.loader import ItemLoader

from scrapy_resilience.core.validity import KINDS, is_valid
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import Registry, registry
from scrapy_resilience.selectors.candidates import candidates
from scrapy_resilience.selectors.extraction import watch
from scrapy_resilience.selectors.language import parse
from scrapy_resilience.selectors.page import Page
from scrapy_resilience.selectors.structured import json_ld, microdata
from scrapy_resilience.selectors.version import make_version, order

BUILT_IN = {
    "amazon_product": ["title", "price", "rating", "reviews"],
    "linkedin_profile": ["name", "headline", "location"],
    "job_listing": ["title", "company", "location", "salary"],
    "ecommerce_product": ["title", "price", "rating", "image"],
}

MUG = """<html><head>
<meta property="og:title" content="Mug (og)"><meta name="author" content="Ann">
<script type="application/ld+json">
{"@context": "https://schema.org", "@graph": [{"@type": ["Product", "Thing"],
 "name": "Mug (ld)",
 "offers": [{"@type": "Offer", "price": 12.50}, {"@type": "Offer", "price": "9"}],
 "image": ["/a.jpg", "/b.jpg"], "isNew": true, "brand": {"@type": "Brand", "name": "Clay"}}]}
</script></head><body>
<h1 class="title  big">The \n <b>Mug</b>&nbsp;<!-- note --></h1>
<div itemscope itemtype="https://schema.org/Product"><span itemprop="name">Mug (micro)</span>
 <a itemprop="url" href="/mug">more</a><time itemprop="made" datetime="2024-05-01">May</time>
 <p itemprop="offers" itemscope itemtype="https://schema.org/Offer">
  <meta itemprop="price" content="12.50"><i itemprop="name">an offer</i></p></div>
<ul><li class="tag">red</li><li class="tag"> </li><li class="tag">large</li></ul>
<p class="price">Add to cart</p><p class="amount">12,50 €</p>
<script>var state = {"sku": "MU-1", "stock": 3}</script>
</body></html>"""

PRICE = {"price": {"selectors": ["css:.product-price"], "type": "price"}}


def page(body=MUG, url="https://shop.test/mug"):
    """Return a response with this HTML."""
    return HtmlResponse(url, body=body.encode())


def made(fields, **more):
    """Return a set of a registry of its own."""
    return Registry(None).register("mug", fields, **more)


def value(selector, body=MUG):
    """Return what one selector finds."""
    return made({"x": selector}).extract(page(body))["x"]


# --- selectors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected", "method"),
    [
        ("css:h1", "The Mug", "semantic"),
        ("css:h1 b::text", "Mug", "semantic"),
        ("css:h1::attr(class)", "title big", "semantic"),
        ("h1.title", "The Mug", "semantic"),
        ("xpath://h1", "The Mug", "semantic"),
        ("//a/@href", "/mug", "semantic"),
        ("(//li)[last()]/text()", "large", "semantic"),
        ('xpath://li[has-class("tag")]', "red", "semantic"),
        (r'xpath://li[re:test(., "^l")]', "large", "semantic"),
        ("xpath:count(//li)", "3.0", "semantic"),
        ("xpath://h1/comment()", "note", "semantic"),
        ("jsonld:Product.name", "Mug (ld)", "structured"),
        ("jsonld:Product.offers.price", "12.50", "structured"),
        ("jsonld:Product.brand.name", "Clay", "structured"),
        ("jsonld:Product.isNew", "true", "structured"),
        ("jsonld:Thing.image", "/a.jpg", "structured"),
        ("microdata:Product.name", "Mug (micro)", "structured"),
        ("microdata:Product.offers.price", "12.50", "structured"),
        ("microdata:Product.url", "/mug", "structured"),
        ("microdata:Product.made", "2024-05-01", "structured"),
        ("meta:og:title", "Mug (og)", "structured"),
        ("meta:author", "Ann", "structured"),
        (r'regex:"sku":\s*"([^"]+)"', "MU-1", "raw"),
        (r"regex:MU-\d", "MU-1", "raw"),
    ],
)
def test_kinds_of_selectors(selector, expected, method):
    """Each kind finds its value, with single spaces, and says by which method."""
    found = made({"x": selector}).extract(page())

    assert found["x"] == expected
    assert found.provenance["x"].method == method


@pytest.mark.parametrize(
    "selector",
    [
        "css:h7", "xpath://h7", "xpath:1=2", "jsonld:Product.brand", "jsonld:Book.name",
        "jsonld:Product.offers.price.x", "microdata:Product.offers", "meta:og:none",
        "regex:XYZ",
    ],
)  # fmt: skip
def test_nothing_found(selector):
    """A selector that finds nothing, or no text, gives None and has no provenance."""
    found = made({"x": selector}).extract(page())

    assert found["x"] is None
    assert found.provenance == {}
    assert found.missing == ["x"]


def test_lists():
    """With many, a value is the list of all that the first fruitful selector finds."""
    tags = {"selectors": ["css:.none", "css:.tag", "css:h1"], "many": True}
    found = made({"tags": tags, "none": {"selectors": "css:.none", "many": True}})

    assert found.extract(page()) == {"tags": ["red", "large"], "none": []}


def test_numbers_keep_their_digits():
    """A price in JSON-LD is the text that the page has, not a float."""
    body = '<script type="application/ld+json">{"@type":"A","p":1234.10,"q":1e400}</script>'

    assert value("jsonld:A.p", body) == "1234.10"
    assert value("jsonld:A.q", body) == "1e400"


@pytest.mark.parametrize(
    "block",
    ["{", "[" * 100_000, "null", '"x"', '{"@type": {"a": 1}}', '{"@type": "A", "p": null}', ""],
)
def test_broken_json_ld(block):
    """A block that is not JSON, too deep or odd is as good as not there."""
    body = (
        f'<script type="application/ld+json">{block}</script>'
        '<script type="application/ld+json">{"@type": "A", "p": "x"}</script>'
    )
    assert value("jsonld:A.p", body) == "x"


def test_sloppy_json_ld():
    """Line breaks in texts, HTML comments around a block and a semicolon are taken."""
    body = (
        '<script type="application/LD+JSON"><!-- {"@type": "http://schema.org/A", '
        '"p": "x\ny"}; --></script>'
    )
    assert value("jsonld:A.p", body.replace("; -->", " -->")) == "x y"
    assert value("jsonld:A.p", body.replace("<!--", "").replace("-->", "")) == "x y"


def test_half_an_emoji():
    """A text that was cut within a character can be written to a feed."""
    body = '<script type="application/ld+json">{"@type": "A", "p": "é\\ud83d"}</script>'

    assert value("jsonld:A.p", body) == "é?"


def test_many_properties_deep_in_a_page():
    """The way up to an item is gone once, not once for each property."""
    body = "<div itemscope>" + "<div>" * 200 + "<b itemprop=name>x</b>" * 20_000
    root = html.fromstring(body)

    (item,) = microdata(root)
    assert len(item["name"]) == 20_000
    assert passes(lambda _: microdata(root), tries=2) < 100  # 4 million steps otherwise


def test_properties_around_a_long_text():
    """Each of many elements in one another holds a part of the text, not a copy."""
    root = html.fromstring("<p itemscope>" + "<b itemprop=x>" * 100 + "y" * 1_000_000)

    assert sum(map(len, microdata(root)[0]["x"])) == 100 * 100_000


def test_deep_markup():
    """Elements nested a thousand times are no trouble for microdata."""
    body = "<div itemscope itemprop=a itemtype=x/A>" * 1000 + "<i itemprop=name>deep</i>"

    assert value("microdata:A.name", body) == "deep"


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["@type", "name", "A"]), x),
    )
)
def test_any_json_ld(data):
    """No JSON makes the reader fail, and what it finds is text."""
    text = json.dumps(data).replace("</", "<\\/")
    root = html.fromstring(f'<html><script type="application/ld+json">{text}</script></html>')

    assert all("@type" in node for node in json_ld(root))
    body = f'<script type="application/ld+json">{text}</script>'
    assert isinstance(value("jsonld:A.name", body), str | None)


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_markup(text):
    """No page makes an extraction fail."""
    for name in BUILT_IN:
        registry.get(name).extract(page(text))


def test_microdata_of_an_item_in_an_item():
    """A property belongs to the nearest item above it."""
    product, offer = microdata(html.fromstring(MUG))

    assert product["name"] == ["Mug (micro)"]
    assert product["offers"] == [offer]
    assert offer["name"] == ["an offer"]


@pytest.mark.parametrize(
    "response",
    [
        Response("https://a.test/x.jpg", body=b"\xff\xd8"),
        TextResponse("https://a.test/x.json", body=b'{"a": 1}'),
        HtmlResponse("https://a.test/", body=b""),
        XmlResponse("https://a.test/x.xml", body=b"<a><b>1</b></a>"),
    ],
)
def test_other_responses(response):
    """An image, JSON, an empty page and XML have no title, and raise nothing."""
    found = registry.get("ecommerce_product").extract(response)

    assert set(found.values()) == {None}


def test_xml():
    """XPath works on XML."""
    response = XmlResponse("https://a.test/x.xml", body=b"<rss><Item>1</Item></rss>")

    assert made({"x": "xpath://Item"}).extract(response) == {"x": "1"}


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("css:", "is empty"),
        ("", "is empty"),
        ("css:h1::nope", "CSS selector"),
        ("css:h1[", "CSS selector"),
        ("xpath://[", "XPath"),
        ("xpath:nope(//a)", "XPath"),
        ("xpath://x:a", "XPath"),
        ("jsonld:Product", "needs a type and a property"),
        ("jsonld:.name", "needs a type and a property"),
        ("microdata:Product..name", "needs a type and a property"),
        ('meta:a"b', "no quotes"),
        ("regex:(", "regular expression"),
        ("regex:a*", "matches the empty text"),
        ("regex:(a+)+$", "backtracks without end"),
        (r"regex:(\w+\s?)+$", "backtracks without end"),
        ("regex:" + "(" * 3000 + ")" * 3000, "nested too deep"),
        ("css:" + "a>" * 3000 + "a", "nested too deep"),
        ("xpath://a\0", "XPath"),
        ("xpath:has-class()", "XPath"),
        ("xpath:re:test('a', '[')", "XPath"),
    ],
)
def test_wrong_selectors(selector, words):
    """A selector that can't work is refused when it is made, by set, version and field."""
    with pytest.raises(SelectorError, match=words) as caught:
        made({"x": selector})
    assert "mug 1.0.0, field x" in str(caught.value)


@pytest.mark.parametrize("condition", ["nope(.)", "has-class()", "re:test(., '[')", "$x"])
def test_a_wrong_condition(condition):
    """What shows only where the path leads is an error of selectors too, with the XPath."""
    selectors = made({"x": f"xpath://h1[{condition}]"})

    assert selectors.extract(page("<p>no heading</p>")) == {"x": None}
    with pytest.raises(SelectorError, match=r"the XPath .*h1\[.* is wrong"):
        selectors.extract(page())


def test_a_regex_is_bounded():
    """One that would never come to its end gives up: the next selector has its turn."""
    selectors = [r'regex:"start(\w+\s?)*"', "css:h1"]
    body = '<h1>Mug</h1><p>"start' + "a" * 5000 + "!</p>"

    assert made({"x": selectors}).extract(page(body))["x"] == "Mug"


def test_selectors_are_compiled_once():
    """The same text is the same selector."""
    assert parse("css:h1") is parse("css:h1")


# --- fields -----------------------------------------------------------------------------


def test_fallback():
    """The next selector is tried, and the provenance says which one it was."""
    found = made({"x": ["css:.gone", "meta:og:none", "css:h1"]}).extract(page())
    origin = found.provenance["x"]

    assert found["x"] == "The Mug"
    assert (origin.set, origin.version, origin.selector) == ("mug", "1.0.0", "css:h1")
    assert (origin.index, origin.method, origin.valid) == (2, "semantic", True)


def test_a_value_of_the_wrong_shape_gives_way():
    """A price without a digit is passed over when a later selector has one."""
    price = {"selectors": ["css:.price", "css:.amount"], "type": "price"}

    found = made({"price": price}).extract(page())

    assert found["price"] == "12,50 €"
    assert found.provenance["price"].index == 1


def test_a_value_of_the_wrong_shape_counts_when_there_is_no_other():
    """It is kept, as the first that was found, and marked."""
    price = {"selectors": ["css:.price", "css:h1"], "type": "price"}

    found = made({"price": price}).extract(page())

    assert found["price"] == "Add to cart"
    assert found.provenance["price"].valid is False


def test_the_method_of_a_page_is_its_weakest():
    """Structured is said only of a page whose every field is."""
    fields = {"a": "jsonld:Product.name", "b": "css:h1", "c": "regex:MU-1", "d": "css:.gone"}

    def method(*names):
        return made({name: fields[name] for name in names}).extract(page()).method

    assert method("a") == method("a", "d") == "structured"
    assert method("a", "b") == "semantic"
    assert method("a", "b", "c") == "raw"
    assert method("d") is None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", ["x"], [""]),
        (
            "price",
            ["$5", "1.234,56 €", "FREE", "Now $40 was $50"],
            ["Add to cart", "", "1" * 201],
        ),
        ("price", ["kostenlos"], ["Only 2 of these are left so hurry up and buy today"]),
        ("rating", ["4.5", "★★★★", "4½"], ["$4.50", "Sign in"]),
        ("number", ["1,234 ratings"], ["none"]),
        ("date", ["Jan 5, 2024", "３日前"], ["yesterday", "$5"]),
        (
            "url",
            ["https://a.test/x.jpg", "//a/b", "/x", "a.jpg", "../a"],
            ["click here", "x", ""],
        ),
    ],
)
def test_shapes(kind, good, bad):
    """A type tells a value from a wrong element's text."""
    assert [each for each in good if not is_valid(kind, each)] == []
    assert [each for each in bad if is_valid(kind, each)] == []


@given(st.sampled_from(list(KINDS)), st.text())
def test_shapes_of_any_text(kind, text):
    """No text makes a check fail."""
    assert is_valid(kind, text) in {True, False}


@pytest.mark.parametrize("kind", list(KINDS))
def test_shapes_of_long_text(kind):
    """A hundred thousand characters cost what their number does."""
    for text in ("1" * 100_000, "a/" * 50_000, "a." * 50_000 + " ", "a" * 100_000):
        assert passes(lambda _, text=text: is_valid(kind, text)) < 20


# --- extractions ------------------------------------------------------------------------


def test_an_extraction_is_an_item():
    """It is a dict, and stays whole when it is copied and pickled."""
    found = registry.get("ecommerce_product").extract(page())

    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):  # noqa: S301 - ours
        assert other == dict(found)
        assert other.provenance == found.provenance


@pytest.mark.parametrize("other", [None, MUG, page().selector])
def test_what_is_no_response(other):
    """A text or a Selector is refused: it would be a page on which nothing is found."""
    with pytest.raises(TypeError, match="mug extracts from a response, not from "):
        made({"x": "css:h1"}).extract(other)


class Mug(Item):
    """An item that lacks the set's rating and image."""

    title = Field(output_processor=TakeFirst())
    price = Field()


@dataclass
class Cup:
    """A dataclass with two of the set's fields."""

    title: list[str] = field(default_factory=list)
    price: list[str] = field(default_factory=list)


def test_item_loader():
    """Values go through the loader's processors, to the fields that the item has."""
    loader = ItemLoader(Mug(), response=page())
    registry.get("ecommerce_product").load(loader)

    assert dict(loader.load_item()) == {"title": "Mug (micro)", "price": ["12.50"]}


@pytest.mark.parametrize("item", [Cup(), {}])
def test_item_loader_with_other_items(item):
    """A dataclass and a dict do as well; a dict takes all fields that were found."""
    loader = ItemLoader(item, response=page())
    registry.get("ecommerce_product").load(loader)
    loaded = loader.load_item()
    found = loaded if isinstance(loaded, dict) else vars(loaded)

    assert found["title"] == ["Mug (micro)"]
    assert ("image" in found) == isinstance(item, dict)


def test_watchers_are_told():
    """Who watches a response hears of its extractions, and of no other's."""
    heard = []
    response, selectors = page(), made({"x": "css:h1"})
    watch(response, lambda *told: heard.append(told))

    found = selectors.extract(response)
    selectors.extract(page())

    assert heard == [(response, found, selectors)]


# --- versions ---------------------------------------------------------------------------


def test_versions():
    """A new version is the active one, and the old ones stay as they are."""
    mug = made({"x": "css:.gone"}, changelog="first", urls=["https://shop.test/*"])
    first = mug.hash

    mug.add_version("1.1.0", {"x": ["css:h1"]}, "the new page")

    assert (mug.version, mug.changelog, list(mug.versions)) == (
        "1.1.0",
        "the new page",
        ["1.0.0", "1.1.0"],
    )
    assert mug.get_selectors("x") == ("css:h1",)
    assert mug.urls == ("https://shop.test/*",)
    assert mug.versions["1.0.0"].hash == first != mug.hash
    assert mug.extract(page())["x"] == "The Mug"


def test_rollback():
    """It goes to the version before, or to a named one, and forward again."""
    mug = made({"x": "css:h1"})
    for version in ("1.1.0", "1.2.0"):
        mug.add_version(version, {"x": f"css:.v{version[2]}"}, "")

    assert mug.rollback().version == "1.1.0"
    assert mug.rollback().version == mug.version == "1.0.0"
    assert mug.extract(page()).provenance["x"].version == "1.0.0"
    with pytest.raises(SelectorError, match="is the oldest version"):
        mug.rollback()
    assert mug.rollback("1.2.0").version == "1.2.0"
    with pytest.raises(SelectorError, match=r"no version '9', but 1\.0\.0, 1\.1\.0, 1\.2\.0"):
        mug.rollback("9")


@pytest.mark.parametrize("version", ["1.0.0", "0.9", "1.0"])
def test_a_new_version_is_a_later_one(version):
    """A version that is there, or that would come before the newest, is refused."""
    mug = made({"x": "css:h1"})

    with pytest.raises(SelectorError, match="choose a later one"):
        mug.add_version(version, {"x": "css:h2"}, "")
    assert mug.get_selectors("x") == ("css:h1",)


def test_versions_are_ordered_by_their_numbers():
    """1.10 is after 1.9, a promotion after what it came from, a candidate before 1.9."""
    names = ["1.10", "1.9", "1.9.p2", "1.9-rc2", "1.9-rc10", "1.9.p1", "2", "1.9.1"]

    assert sorted(names, key=order) == [
        "1.9-rc2", "1.9-rc10", "1.9", "1.9.p1", "1.9.p2", "1.9.1", "1.10", "2",
    ]  # fmt: skip


def test_versions_cant_be_changed():
    """Neither the mapping of versions nor the fields of one take anything."""
    mug = made({"x": "css:h1"})

    with pytest.raises(TypeError):
        mug.versions["2"] = None
    with pytest.raises(TypeError):
        mug.fields["x"] = None
    with pytest.raises(AttributeError):
        mug.versions["1.0.0"].changelog = ""


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0.1"},
        {"changelog": "other"},
        {"urls": ["https://other.test/*"]},
        {"selectors": {"x": ["css:h1", "css:h3"]}},
        {"selectors": {"x": ["css:h2", "css:h1"]}},
        {"selectors": {"y": ["css:h1", "css:h2"]}},
        {"selectors": {"x": {"selectors": ["css:h1", "css:h2"], "many": True}}},
    ],
)
def test_the_hash_covers_everything(change):
    """Whatever is different makes another hash, and the same makes the same."""
    base = {"version": "1.0.0", "selectors": {"x": ["css:h1", "css:h2"]}, "changelog": "c"}

    assert make_version("a", **base).hash == make_version("a", **base).hash
    assert make_version("a", **base).hash != make_version("a", **{**base, **change}).hash


def test_the_hash_covers_what_is_extended():
    """The same fields on another parent are another version."""
    one, other = (make_version("p", "1", {"y": source}) for source in ("css:a", "css:b"))

    assert (
        make_version("a", "1", {"x": "css:h1"}, parent=one).hash
        != make_version("a", "1", {"x": "css:h1"}, parent=other).hash
    )


def test_the_hash_stays():
    """Stored hashes hold: this one was made by the first release."""
    version = make_version("shop", "1.0.0", {"x": ["css:h1"]}, "é", urls=["https://a.test/*"])

    assert version.hash == "e5d2fa8a46ffe88d8f8e90054da856b4942f67cbc1ca32d5c9d9ab18bd9958d1"


def test_extends():
    """Fields and URLs that a version does not have are those of the one it extends."""
    mug = made({"x": "css:h1", "y": "css:b"}, urls=["https://shop.test/*"])

    mug.add_version("1.1.0", {"y": "css:.amount"}, "", extends="mug@1.0.0")

    assert mug.get_selectors("x") == ("css:h1",)
    assert mug.get_selectors("y") == ("css:.amount",)
    assert mug.matches("https://shop.test/1")


def test_promote():
    """The selector that works comes first in a new version, and the changelog says so."""
    mug = made({"x": ["css:.gone", "css:h2", "css:h1"]})

    assert mug.promote("x", 2, "Drift on a.test").version == "1.0.0.p1"
    assert mug.get_selectors("x") == ("css:h1", "css:.gone", "css:h2")
    assert mug.changelog == "Drift on a.test: css:h1 is the primary selector of x"
    assert mug.promote("x", 1, "").version == "1.0.0.p2"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "has no fields"),
        ({"x": []}, "at least one selector"),
        ({"x": 5}, "at least one selector"),
        ({"x": [5]}, "must be a text"),
        ({"x": {"selector": "css:a"}}, "'selector' is none of"),
        ({"x": {"selectors": ["css:a"], "type": "money"}}, "type must be one of text, price"),
        ({"x": {"selectors": ["css:a"], "many": 1}}, "many must be true or false"),
        ({"x": {"selectors": ["css:a"], "fill": 95}}, "fill must be a share"),
        (["css:a"], "must be a table"),
    ],
)
def test_wrong_fields(fields, words):
    """A field that can't be read is refused, with what to change."""
    with pytest.raises(SelectorError, match=words):
        made(fields)


def test_unknown_fields():
    """Asking for the selectors of a field that is not there names those that are."""
    with pytest.raises(SelectorError, match="has no field"):
        made({"x": "css:a"}).get_selectors("y")


# --- the registry -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_sets(name):
    """Each has its fields, with at least two selectors each, and is what was stored."""
    selectors = registry.get(name)

    assert list(selectors.fields) == BUILT_IN[name]
    assert all(len(selectors.get_selectors(each)) >= 2 for each in selectors.fields)
    assert len(selectors.hash) == 64


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_fixtures(name):
    """Each takes the right values from its pages, by a fallback where the primary is gone."""
    selectors = registry.get(name)
    fixtures = {each.name: each for each in selectors.fixtures()}
    assert all(list(each.expected) == BUILT_IN[name] for each in fixtures.values())

    assert selectors.test() == []
    for case, fixture in fixtures.items():
        places = {each.index for each in selectors.extract(fixture.page).provenance.values()}
        assert (0 in places) != case.endswith(("-primary-missing", "-markup-only"))
    assert any(case.endswith("-primary-missing") for case in fixtures)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.amazon.co.uk/Kettle/dp/B0TEST", "amazon_product"),
        ("https://www.amazon.com/dp/B0TEST?th=1", "amazon_product"),
        ("https://nl.linkedin.com/in/somebody", "linkedin_profile"),
    ],
)
def test_match(url, name):
    """A set is found by the URL of a page."""
    assert Registry(None).match(url).name == name
    assert Registry(None).match("https://example.com/") is None


def test_unknown_sets():
    """Asking for a set that is not there names those that are, and the setting."""
    with pytest.raises(SelectorError, match="RESILIENCE_SELECTORS_DIR") as caught:
        Registry("nowhere").get("shop")
    assert all(name in str(caught.value) for name in BUILT_IN)


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".", "a" * 65, "ä", None, "a\n"])
def test_names_lead_nowhere(name):
    """A name is never a path."""
    with pytest.raises(SelectorError, match="a set's name has letters"):
        Registry(None).get(name)


def test_registering_again():
    """A module that is imported twice registers the same set; another one is refused."""
    own = Registry(None)
    first = own.register("shop", {"x": "css:h1"})

    assert own.register("shop", {"x": "css:h1"}) is own.get("shop") is first
    assert "shop" in own.names()
    for name in ("shop", "amazon_product"):
        with pytest.raises(SelectorError, match=f"another set named {name}"):
            own.register(name, {"x": "css:h2"})


def test_registered_sets_can_be_extended():
    """A set from code extends a built-in one or another one from code."""
    own = Registry(None)
    shop = own.register("shop", {"price": "css:.p"}, extends="ecommerce_product@1.0.0")
    other = own.register("other", {"title": "css:h2"}, extends="shop@1.0.0")

    assert shop.get_selectors("title") == registry.get("ecommerce_product").get_selectors(
        "title"
    )
    assert other.get_selectors("price") == ("css:.p",)
    for wrong in ("shop", "shop@2", "nothing@1.0.0"):
        with pytest.raises(SelectorError, match=r"extends must name|there is no set"):
            own.register("third", {"x": "css:a"}, extends=wrong)


# --- candidates -------------------------------------------------------------------------


def test_candidates():
    """Elements with like names and a valid text, the likest first, and none above a half."""
    body = """<p class="product-prices">now 5 €</p><p class="prize">none</p>
    <b id="price_v2">6 €</b><i itemprop="price">7 €</i><p class="footer">1987</p>"""
    field_ = made({"price": {"selectors": ["css:.product-price"], "type": "price"}}).fields[
        "price"
    ]

    found = candidates(Page(page(body)), "price", field_)

    assert [each.selector for each in found] == [
        'css:i[itemprop="price"]',
        "css:p.product-prices",
        "css:b#price_v2",
    ]
    assert [each.text for each in found] == ["7 €", "now 5 €", "6 €"]
    assert all(0 < each.score <= 0.5 for each in found)


@pytest.mark.parametrize("name", ['id="prices\nx"', 'class="md:price"', "itemprop='pric\"e'"])
def test_names_that_are_no_css(name):
    """A name that can't stand in a selector is not a candidate, and breaks no log line."""
    assert _price_candidates(f"<p {name}>5 €</p>") == []


def test_candidates_of_a_hostile_page():
    """Neither long names nor many elements around a long text cost more than their length."""
    for body in (
        f'<p id="{"price" * 500_000}">5 €</p>',
        "<p class=price>" + "<b class=price>" * 500 + "y" * 500_000,
    ):
        assert _price_candidates(body) == []
        assert passes(lambda _, body=body: _price_candidates(body), tries=2) < 200


def _price_candidates(body):
    selectors = made({"price": {"selectors": ["css:.product-price"], "type": "price"}})
    return candidates(Page(page(body)), "price", selectors.fields["price"])


def test_candidates_of_a_large_page():
    """A hundred thousand elements and names cost what their number does."""
    body = "".join(f'<p class="prices{n}">{n}</p>' for n in range(100_000))
    field_ = made({"price": {"selectors": ["css:.product-price"], "type": "price"}}).fields[
        "price"
    ]
    large = Page(page(body))
    assert large.root is not None

    assert passes(lambda _: candidates(large, "price", field_), tries=2) < 100
