"""The pipeline that weighs items: evidence, gates, filters of feeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import scrapy
from hypothesis import example, given
from hypothesis import strategies as st
from planted import WRONG, planted
from scrapy import Request, Spider
from scrapy.exceptions import DropItem
from scrapy.http import HtmlResponse, JsonResponse, Response
from scrapy.utils.test import get_crawler
from twisted.python.failure import Failure

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.pipelines.confidence import (
    ConfidencePipeline,
    DoubtfulItems,
    TrustedItems,
)
from scrapy_resilience.pipelines.evidence import evidence_of, said_by
from scrapy_resilience.pipelines.normalize import NormalizePipeline
from scrapy_resilience.scheduling.item_context import ItemContext, current
from scrapy_resilience.selectors import Registry

FILLER = "<p>Made by hand in a small workshop.</p>" * 300
JSON_LD = """<script type="application/ld+json">
[{"@type": "Organization", "name": "The Shop"},
 {"@type": "Product", "name": "Oak Chair", "sku": "A1", "brand": {"name": "Acme"},
  "offers": {"@type": "Offer", "price": "49.90", "priceCurrency": "EUR"},
  "aggregateRating": {"ratingValue": 4.5, "bestRating": 5}},
 {"@type": "NewsArticle", "datePublished": "2024-01-15T10:30:00Z", "author": {"name": "Jo"}}]
</script>"""
MICRODATA = (
    '<div itemscope itemtype="https://schema.org/Product"><b itemprop="name">Mug</b></div>'
)
GOOD = {"name": "Oak Chair", "price": "49,90 €", "rating": "4.5", "sku": "A1"}


@dataclass
class Bare:
    """An item without a field for the confidence."""

    name: str


def page(body=JSON_LD + FILLER, status=200, latency=0.2):
    """Return a response."""
    request = Request("https://shop.test/")
    request.meta["download_latency"] = latency
    return HtmlResponse(request.url, status, body=body.encode(), request=request)


def pipeline(**settings):
    """Return the pipeline of a new crawler; its field is ``confidence``."""
    settings = {"RESILIENCE_CONFIDENCE_FIELD": "confidence", **settings}
    return ConfidencePipeline.from_crawler(get_crawler(Spider, settings))


def weighed(item, response=None, made=None):
    """Return what the pipeline writes."""
    with ItemContext(page() if response is None else response):
        return (made or pipeline()).process_item(dict(item))["confidence"]


def stats(made):
    """Return its counters, without their prefix."""
    prefix = "resilience/confidence/"
    found = made.crawler.stats.get_stats().items()
    return {key.removeprefix(prefix): value for key, value in found if key.startswith(prefix)}


def test_an_item():
    """What the crawl knows is weighed: size, status, latency, structured data, agreement."""
    found = weighed(GOOD)
    assert set(found["factors"]) == {
        "content_length", "source_count", "response_quality", "structured_data", "speed",
    }  # fmt: skip
    assert (found["source_count"], found["extraction_quality"]) == (2, "high")
    assert (found["warnings"], found["doubtful"]) == ([], False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "59,90 €"),
        ("price", "Add to cart"),
        ("name", "Summer sale"),
        ("rating", "3.5"),
        ("sku", "B2"),
        ("brand", "Other"),
        ("published", "2024-01-16"),
        ("author", "Al"),
        ("price", {"amount": 5, "currency": "EUR", "raw": "5 €"}),
        ("price", 59.9),
    ],
)
def test_the_page_says_something_else(field, value):
    """A field that differs from the structured data is named, and the item is doubted."""
    found = weighed({**GOOD, field: value})
    assert found["warnings"] == [
        "the sources disagree",
        f"{field} differs from the structured data",
    ]
    assert found["overall"] < weighed(GOOD)["overall"] - 0.1
    assert found["doubtful"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "EUR 49.90"),
        ("price", 49.9),
        ("price", {"amount": 49.9, "currency": "EUR", "raw": "49,90 €"}),
        ("name", "  oak\nchair"),
        ("name", "Oak Chair, natural"),
        ("published", "Jan 15, 2024 10:30 GMT"),
        ("published", "15.01.2024"),
        ("published", "Jan 15, 2024 11:30"),
        ("author", "Jo"),
        ("colour", "red"),
        ("brand", ["Acme"]),
        ("brand", None),
    ],
)
def test_the_page_says_the_same(field, value):
    """Values are compared by their meaning; what can't be compared speaks for nothing."""
    assert weighed({**GOOD, field: value})["warnings"] == []


@pytest.mark.parametrize("shown", ["2024-01-15", "14 January 2024", "2024-01-14T23:30Z"])
def test_a_moment_and_a_day(shown):
    """A page shows the day, there or in UTC, where its structured data has the moment."""
    data = '{"@type": "NewsArticle", "datePublished": "2024-01-15T00:30:00+01:00"}'
    response = page(f'<script type="application/ld+json">{data}</script>' + FILLER)
    assert weighed({"published": shown}, response)["warnings"] == []
    assert weighed({"published": "2024-01-16"}, response)["doubtful"]


def test_microdata():
    """Microdata is structured data as well."""
    response = page(MICRODATA + FILLER)
    assert said_by(response).values["name"] == ("Mug",)
    assert weighed({"name": "Cup"}, response)["source_count"] == 2


def test_the_shop_is_no_product():
    """The name of an organisation is nothing that an item's name should be."""
    body = '<script type="application/ld+json">{"@type": "Organization", "name": "S"}</script>'
    assert weighed({"name": "Cup"}, page(body + FILLER))["source_count"] == 0


def test_a_page_without_structured_data():
    """Nothing can be compared: the factor is left out."""
    found = weighed(GOOD, page(FILLER))
    assert "source_count" not in found["factors"]
    assert found["factors"]["structured_data"] == 0
    assert not found["doubtful"]


def test_the_page_is_read_once():
    """The items of a page share what it says."""
    response = page()
    assert said_by(response) is said_by(response)


def extracting(body, item=dict):
    """Return an item of what a set finds on a page, and its response."""
    fields = {"price": {"selectors": ["css:.price", r"regex:([$]\d+)"], "type": "price"}}
    response = page(body + FILLER)
    return item(Registry(None).register("shop", fields).extract(response)), response


@pytest.mark.parametrize("item", [dict, lambda found: found], ids=["dict", "Extraction"])
@pytest.mark.parametrize(
    ("body", "score"),
    [
        ('<p class="price">$5</p>', 0.75),
        ("<p>$5</p>", 0.45),
        ('<p class="price">Add to cart</p>', 0.45),
    ],
)
def test_provenance(item, body, score):
    """How a selector set found the values counts, for items that are made of them too."""
    made, response = extracting(body, item)
    assert weighed(made, response)["factors"]["extraction"] == score


@pytest.mark.parametrize(("price", "known"), [("$5", True), ("$6", True), ("$7", False)])
def test_provenance_of_a_list(price, known):
    """An item may be one of several that a set has found on a page."""
    response = page("<b>$5</b><b>$6</b>" + FILLER)
    fields = {"price": {"selectors": ["css:b"], "many": True}}
    Registry(None).register("shop", fields).extract(response)
    assert ("extraction" in weighed({"price": price}, response)["factors"]) is known


def test_provenance_of_other_values():
    """An item with other values than the set has found is not judged by it."""
    _, response = extracting('<p class="price">$5</p>')
    assert "extraction" not in weighed({"price": "$6"}, response)["factors"]


def test_what_was_extracted_is_no_second_source():
    """Structured data does not confirm what was taken from it."""
    response = page()
    fields = {"price": {"selectors": ["jsonld:Product.offers.price"], "type": "price"}}
    item = Registry(None).register("shop", fields).extract(response)
    found = weighed(item, response)
    assert found["factors"]["extraction"] == 0.9
    assert "source_count" not in found["factors"]


def test_fields_that_could_not_be_read():
    """What NormalizePipeline could not read is raw text, and the item says which field."""
    rules = {"RESILIENCE_NORMALIZE": {"price": "price"}}
    normalize = NormalizePipeline.from_crawler(get_crawler(Spider, rules))
    with ItemContext(page(FILLER)):
        item = pipeline().process_item(normalize.process_item({"price": "Add to cart"}))
    assert item["confidence"]["factors"]["extraction"] == 0.45
    assert item["confidence"]["warnings"] == ["price is not what it should be"]


def test_stats():
    """The items are counted by quality, and their mean is taken."""
    made = pipeline()
    overall = [
        weighed(GOOD, made=made)["overall"],
        weighed({**GOOD, "sku": "B2"}, made=made)["overall"],
        weighed(GOOD, page("<p>Sorry", 503), made)["overall"],
    ]
    mean = pytest.approx(sum(overall) / 3, abs=1e-4)
    assert stats(made) == {"high": 1, "medium": 1, "low": 1, "doubtful": 2, "mean": mean}


def test_stats_only():
    """Without a field the item stays as it is."""
    made = pipeline(RESILIENCE_CONFIDENCE_FIELD=None)
    with ItemContext(page()):
        assert made.process_item(dict(GOOD)) == GOOD
    assert stats(made)["high"] == 1


def test_drop():
    """A doubtful item is dropped with its reasons, and counted; others are not."""
    made = pipeline(RESILIENCE_CONFIDENCE_ACTION="drop")
    with pytest.raises(DropItem, match=r"^Confidence 0\.\d\d: .*sku differs from the str"):
        weighed({**GOOD, "sku": "B2"}, made=made)
    assert not weighed(GOOD, made=made)["doubtful"]
    assert (stats(made)["dropped"], stats(made)["doubtful"]) == (1, 1)


@pytest.mark.parametrize(("minimum", "doubtful"), [(0, False), (1, True)])
def test_minimum(minimum, doubtful):
    """From where an item is doubted is a setting."""
    found = weighed(GOOD, made=pipeline(RESILIENCE_CONFIDENCE_MINIMUM=minimum))
    assert found["doubtful"] is doubtful


def test_weights():
    """The weights are a setting."""
    made = pipeline(RESILIENCE_CONFIDENCE_WEIGHTS={"source_count": 0, "structured_data": 0})
    assert weighed(GOOD, made=made)["overall"] == 1


@pytest.mark.parametrize("weights", [{"luck": 1}, {5: 1}, {"speed": -1}, {"speed": "fast"}])
def test_wrong_weights(weights, caplog):
    """Weights that are none are one line in the log, and the crawl does not begin."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_CONFIDENCE_WEIGHTS"):
        pipeline(RESILIENCE_CONFIDENCE_WEIGHTS=weights)
    assert "Wrong configuration: RESILIENCE_CONFIDENCE_WEIGHTS: " in caplog.text


def test_items_without_the_field(caplog):
    """A class that has no such field is named once, and its items are weighed all the same."""
    made = pipeline()
    for _ in range(2):
        with ItemContext(page()):
            assert made.process_item(Bare("Oak Chair")) == Bare("Oak Chair")
    assert caplog.messages == [
        "Bare can't take confidence: give it such a field that holds a dict"
    ]
    assert stats(made)["high"] == 2


def test_items_that_fail(caplog):
    """An item whose own code fails is not weighed, and not lost."""

    class Broken(dict):
        def __getitem__(self, name):
            raise LookupError(name)

    made, item = pipeline(RESILIENCE_CONFIDENCE_ACTION="drop"), Broken(price="49,90 €")
    for _ in range(2):
        with ItemContext(page()):
            assert made.process_item(item) is item
    assert caplog.messages == ["Broken is not weighed: it can't be read"]
    assert stats(made) == {}


def test_items_without_a_response():
    """Items of ``start()`` and what is not an item go through: nothing is known of them."""
    made = pipeline(RESILIENCE_CONFIDENCE_ACTION="drop")
    assert made.process_item({"name": "Mug"}) == {"name": "Mug"}
    with ItemContext(page()):
        assert made.process_item("text") == "text"
    assert stats(made) == {}


@pytest.mark.parametrize(
    "response",
    [Response("https://shop.test/a.bin", body=b"\0" * 20_000), HtmlResponse("https://a.test/")],
    ids=["binary", "no request"],
)
def test_other_responses(response):
    """A response that is not text, or has no request, is weighed by what it has."""
    assert 0 <= weighed(GOOD, response)["overall"] <= 1


def test_the_response_of_a_failure():
    """An item of an errback belongs to the response that failed."""
    error = ZeroDivisionError()
    error.response = page(status=404)
    with ItemContext(Failure(error)):
        assert current().response.status == 404
    with ItemContext(Failure(ZeroDivisionError())):
        assert current().response is None


class Described(scrapy.Item):
    """For a filter by class."""


@pytest.mark.parametrize(
    ("doubtful", "trusted"), [(True, False), (False, True)], ids=["doubtful", "trusted"]
)
def test_filters(doubtful, trusted):
    """Each item is accepted by one of the two filters; ``item_classes`` counts too."""
    with ItemContext(page()) as passage:
        passage.doubtful = doubtful
        assert TrustedItems(None).accepts({}) is trusted
        assert DoubtfulItems({}).accepts({}) is doubtful
        options = {"item_classes": [Described]}
        for filter_ in (TrustedItems(options), DoubtfulItems(options)):
            assert not filter_.accepts({})
    assert TrustedItems(None).accepts({})


def test_evidence_without_anything():
    """A page that says nothing leaves everything open."""
    found = evidence_of({}, {}, page(""), ())
    assert (found.method, found.sources, found.differ) == (None, None, ())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
) | st.fixed_dictionaries({"amount": st.lists(st.text()), "raw": st.just("5 €")})


@cache
def both_pipelines():
    """Return them, made once for many examples."""
    rules = {"price": "price", "rating": "rating", "x": "date"}
    crawler = get_crawler(Spider, {"RESILIENCE_NORMALIZE": rules})
    return NormalizePipeline.from_crawler(crawler), pipeline()


@given(st.dictionaries(st.sampled_from(["price", "name", "rating", "sku", "x"]), ANYTHING))
@example({"price": {"amount": ["5"], "raw": "5 €"}})
def test_any_item(item):
    """Whatever an item holds, both pipelines let it through, with a confidence from 0 to 1."""
    normalizing, weighing = both_pipelines()
    with ItemContext(page()):
        found = weighing.process_item(normalizing.process_item(dict(item)))["confidence"]
    assert 0 <= found["overall"] <= 1


# --- does it tell right from wrong? ------------------------------------------------------


def judged(count, seed):
    """Yield (fault, confidence) of planted items, normalized as a spider's would be."""
    crawler = get_crawler(
        Spider,
        {
            "RESILIENCE_NORMALIZE": {"price": "price"},
            "RESILIENCE_CONFIDENCE_FIELD": "confidence",
        },
    )
    pipelines = [kind.from_crawler(crawler) for kind in (NormalizePipeline, ConfidencePipeline)]
    for item, response, fault in planted(count, seed):
        with ItemContext(response):
            for each in pipelines:
                item = each.process_item(item)  # noqa: PLW2901 - as Scrapy does it
        yield fault, item["confidence"]


def share(found, wanted):
    """How many of the right or wrong items are doubtful, and their confidences."""
    chosen = [each for fault, each in found if bool(fault) is wanted]
    doubtful = sum(each["doubtful"] for each in chosen) / len(chosen)
    return doubtful, [each["overall"] for each in chosen]


@pytest.mark.parametrize("seed", range(3))
def test_right_from_wrong(seed):
    """On 300 items with two fifths planted wrong, the area under the curve is 0.96 or more."""
    found = list(judged(300, seed))
    _, right = share(found, wanted=False)
    _, wrong = share(found, wanted=True)
    assert {fault for fault, _ in found if fault} == set(WRONG)
    above = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    area = above / len(right) / len(wrong)
    print(f"area under the curve: {area:.4f}")  # noqa: T201 - for pytest -rP
    assert area >= 0.96


def test_the_gate():
    """With its defaults the gate takes five of six wrong items, one of a hundred right ones."""
    found = list(judged(400, 7))
    doubtful, _ = share(found, wanted=True)
    doubted, _ = share(found, wanted=False)
    print(f"doubtful: {doubtful:.1%} of the wrong, {doubted:.1%} of the right")  # noqa: T201
    assert doubtful > 5 / 6
    assert doubted < 1 / 100
    assert all(each["warnings"] for _, each in found if each["doubtful"])


# --- what is usual -----------------------------------------------------------------------


@pytest.mark.parametrize("filler", [0, 1, 5, 20, 300])
def test_small_pages(filler):
    """A correct spider of pages of any usual size, without structured data, is trusted."""
    made = pipeline()
    for number in range(100):
        text = "<p>Made by hand.</p>" * (filler + number % (filler + 1))
        assert not weighed({"name": "Mug"}, page(f"<h1>Mug {number}</h1>{text}"), made)[
            "doubtful"
        ]


def test_an_api():
    """An answer in JSON has no place for structured data: nothing is said of that."""
    made = pipeline()
    for number in range(20):
        response = JsonResponse("https://a.test/", body=b'{"id": %d}' % number)
        found = weighed({"id": number}, response, made)
        assert "structured_data" not in found["factors"]
        assert found["overall"] == 1


def test_an_error_page_among_others():
    """A page much shorter than the domain's others is doubted, with both lengths as reason."""
    made = pipeline()
    for _ in range(30):
        weighed({"name": "Mug"}, page("<p>Made by hand.</p>" * 40), made)
    found = weighed({"name": "Sorry"}, page("<h1>Sorry</h1>"), made)
    assert found["doubtful"]
    assert found["warnings"] == ["the page has 14 characters, usual are 724 and more"]


def test_error_pages_are_not_usual():
    """Answers with another status than 200 teach nothing, however many there are."""
    made = pipeline()
    for _ in range(20):
        weighed({"name": "Sorry"}, page("<h1>Sorry</h1>", 503), made)
    weighed({"name": "Mug"}, page("<p>Made by hand.</p>" * 40), made)
    found = weighed({"name": "Sorry"}, page("<h1>Sorry</h1>", 404), made)
    assert found["factors"]["content_length"] == 0


def test_a_page_counts_once():
    """A page with many items is one page."""
    made, long, short = pipeline(), "<p>Made by hand.</p>" * 400, "<p>Made by hand.</p>"
    for _ in range(20):
        weighed({"name": "Mug"}, page(long), made)
    response = page(short)
    assert all(weighed({"name": "Mug"}, response, made)["doubtful"] for _ in range(100))


def test_a_slow_site():
    """A site whose every answer takes seven seconds is in no trouble."""
    made = pipeline()
    for _ in range(20):
        found = weighed({"name": "Mug"}, page(FILLER, latency=7), made)
    assert found["factors"]["speed"] == 1


def test_a_reason_without_a_warning():
    """What is doubtful for the sum of small things says what these are."""
    found = weighed({"name": "Mug"}, page(FILLER), pipeline(RESILIENCE_CONFIDENCE_MINIMUM=0.9))
    assert found["doubtful"]
    assert found["warnings"] == ["the page has no structured data"]
