"""The pipeline that normalizes: any class of items, hints of the page, failures."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import attrs
import pydantic
import pytest
import scrapy
from scrapy import Request, Spider
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.normalize import normalize_date
from scrapy_resilience.pipelines.normalize import NormalizePipeline
from scrapy_resilience.scheduling.item_context import ItemContext, current

NO_TYPE = (
    "'prize' is not a type of values: use one of price, date, location, company, rating, phone"
)
FIVE = {"amount": 5, "currency": "USD", "raw": "$5"}


class Product(scrapy.Item):
    """Declared in Scrapy's way; its metadata goes before the setting."""

    name = scrapy.Field()
    price = scrapy.Field(normalize={"type": "price", "to": "amount"})
    amount = scrapy.Field()
    rating = scrapy.Field(normalize=None)


@dataclass
class Data:
    """A dataclass."""

    name: str
    price: object = field(default=None, metadata={"normalize": "price"})


@attrs.define
class Attrs:
    """An attrs class."""

    name: str
    price: object = attrs.field(default=None, metadata={"normalize": "price"})


class Model(pydantic.BaseModel):
    """A pydantic model."""

    name: str
    price: object = pydantic.Field(None, json_schema_extra={"normalize": "price"})


@dataclass(frozen=True)
class Frozen:
    """One that can't be changed."""

    price: str


class Validating(pydantic.BaseModel):
    """One that refuses a dict."""

    model_config = pydantic.ConfigDict(validate_assignment=True)
    price: str


class RefusalError(Exception):
    """What a validator of a project raises."""


def refuse(_item, _attribute, value):
    """Take no dict."""
    if isinstance(value, dict):
        raise RefusalError


@attrs.define
class Refusing:
    """One that refuses a dict with an error of its own."""

    price: object = attrs.field(validator=refuse)


class Broken(dict):
    """One whose field is code that fails."""

    def __getitem__(self, name):
        """Fail for the price."""
        if name == "price":
            raise RefusalError
        return super().__getitem__(name)


@dataclass
class Wrong:
    """One with metadata that is wrong, beside some that is right."""

    price: object = field(metadata={"normalize": {"type": "prize"}})
    old: object = field(metadata={"normalize": {"type": "price", "to": "nowhere"}})
    new: object = field(metadata={"normalize": "price"})


def pipeline(rules=(), **settings):
    """Return the pipeline of a new crawler."""
    settings["RESILIENCE_NORMALIZE"] = dict(rules)
    return NormalizePipeline.from_crawler(get_crawler(Spider, settings))


def stats(made):
    """Return its counters, without their prefix."""
    prefix = "resilience/normalize/"
    found = made.crawler.stats.get_stats().items()
    return {key.removeprefix(prefix): value for key, value in found if key.startswith(prefix)}


def page(url="https://shop.test/", **headers):
    """Return a response."""
    return HtmlResponse(url, headers=headers, request=Request(url))


def test_a_dict():
    """The value of each field in the setting is replaced, and counted."""
    made = pipeline({"price": "price", "day": "date"})
    item = {"name": "Mug", "price": "$5", "day": "2024-01-15", "other": "$6"}

    assert made.process_item(item) is item
    assert item == {
        "name": "Mug",
        "price": FIVE,
        "day": normalize_date("2024-01-15"),
        "other": "$6",
    }
    assert stats(made) == {"read/price": 1, "read/day": 1}


def test_a_sibling():
    """With ``to`` the value stays, and the result is in another field."""
    item = {"price": "$5"}
    pipeline({"price": {"type": "price", "to": "amount"}}).process_item(item)
    assert item == {"price": "$5", "amount": FIVE}


@pytest.mark.parametrize("kind", [Data, Attrs, Model], ids=lambda kind: kind.__name__)
def test_metadata(kind):
    """The metadata of a field is enough; there need be no setting."""
    made = pipeline()
    item = made.process_item(kind(name="$7", price="$5"))
    assert (item.name, item.price) == ("$7", FIVE)
    assert stats(made) == {"read/price": 1}


def test_metadata_of_an_item():
    """Metadata goes before the setting, and None in it switches a field off."""
    made = pipeline({"name": "company", "price": "rating", "rating": "rating"})
    item = made.process_item(Product(name="Google LLC", price="$5", rating="4/5"))
    assert item["name"]["suffix"] == "LLC"
    assert (item["price"], item["amount"], item["rating"]) == ("$5", FIVE, "4/5")


def test_the_setting_for_declared_items():
    """The setting counts for classes without metadata too, where they have the field."""
    made = pipeline({"name": "company", "nothing": "price"})
    item = made.process_item(Data(name="Google LLC"))
    assert item.name["name"] == "Google"
    assert stats(made) == {"read/name": 1}


@pytest.mark.parametrize("value", [None, "", " ", [], {}, {"amount": 5}, True, object()])
def test_what_is_left_alone(value):
    """What is missing, empty, or typed already stays as it is and counts as nothing."""
    made = pipeline({"price": "price"})
    assert made.process_item({"price": value})["price"] is value
    assert made.process_item({}) == {}
    assert stats(made) == {}


@pytest.mark.parametrize("kind", ["price", "location", "company", "rating"])
def test_numbers_without_a_text(kind):
    """NaN is not a town in Thailand, and a number of 5,000 digits costs no item."""
    made = pipeline({"value": kind})
    for number in (float("nan"), float("inf"), 10**5000):
        assert made.process_item({"value": number})["value"] is number
    assert stats(made) == {"unread/value": 3}


def test_failures():
    """What can't be read stays as it is, is counted, and known to later pipelines."""
    made = pipeline({"price": "price", "was": {"type": "price", "to": "before"}})
    with ItemContext(page()):
        item = made.process_item({"price": "Add to cart", "was": "soon"})
        assert current().unread == ("price", "was")
    assert item == {"price": "Add to cart", "was": "soon"}
    assert stats(made) == {"unread/price": 1, "unread/was": 1}


def test_lists():
    """Each element counts; one that can't be read stays among the others."""
    made = pipeline({"price": "price"})
    item = made.process_item({"price": ["$5", "soon", "$5"]})
    assert item["price"] == [FIVE, "soon", FIVE]
    assert stats(made) == {"read/price": 2, "unread/price": 1}


@pytest.mark.parametrize("kind", [Frozen, Validating, Refusing], ids=lambda kind: kind.__name__)
def test_items_that_take_no_dict(kind):
    """An item that refuses the result keeps its text, and the failure is counted."""
    made = pipeline({"price": "price"})
    assert made.process_item(kind(price="$5")).price == "$5"
    assert stats(made) == {"unread/price": 1}


def endless():
    """Return a list that holds itself."""
    values = ["$5"]
    values.append(values)
    return values


@pytest.mark.parametrize(
    "item", [Broken(price="$5", rating="4/5"), {"price": endless(), "rating": "4/5"}]
)
def test_items_that_fail(item, caplog):
    """A field that can't even be read costs neither the item nor its other fields."""
    made = pipeline({"price": "price", "rating": "rating"})
    for _ in range(2):
        assert made.process_item(item) is item
        assert item["rating"]["percent"] == 80
    assert caplog.messages == [f"{type(item).__name__}.price stays as it is: it can't be read"]
    assert stats(made) == {"read/rating": 1, "unread/price": 2}


def test_wrong_metadata(caplog):
    """Wrong metadata is said once for a class, and its other fields are read."""
    made = pipeline()
    for _ in range(2):
        item = made.process_item(Wrong(price="$5", old="$5", new="$5"))
    assert (item.price, item.old, item.new) == ("$5", "$5", FIVE)
    assert caplog.messages == [
        f"The field stays as it is: Wrong.price: {NO_TYPE}",
        "Wrong.old stays as it is: Wrong has no field 'nowhere' for the result",
    ]


@pytest.mark.parametrize("output", ["text", 5, None])
def test_no_items(output):
    """What is not an item goes through."""
    assert pipeline({"price": "price"}).process_item(output) is output


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("Mon, 15 Jan 2024 10:30:00 GMT", "2024-01-12"),
        ("Sun, 31 Mar 2024 00:00:59 GMT", "2024-03-28"),
    ],
)
def test_relative_dates(date, iso):
    """Relative dates count from the Date of the response, so those of a cache are right."""
    with ItemContext(page(Date=date)):
        item = pipeline({"day": "date"}).process_item({"day": "3 days ago"})
    assert item["day"]["iso"].startswith(iso)


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}, {"Date": ""}])
def test_relative_dates_without_a_date(headers, fake_clock):
    """Without a Date that can be read they count from now."""
    fake_clock.now = 1_705_314_600
    with ItemContext(page(**headers)):
        item = pipeline({"day": "date"}).process_item({"day": "3 days ago"})
    assert item["day"]["iso"].startswith("2024-01-12")


def test_the_minute():
    """Results within a minute are the same, so that they are remembered."""
    rule = {"day": "date"}
    texts = []
    for second in ("00", "59"):
        with ItemContext(page(Date=f"Mon, 15 Jan 2024 10:30:{second} GMT")):
            texts.append(pipeline(rule).process_item({"day": "3 hours ago"})["day"]["iso"])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("url", "rule", "e164"),
    [
        ("https://shop.de/", "phone", "+4930123456"),
        ("https://shop.co.uk/", "phone", "+44030123456"),
        ("https://shop.com/", {"type": "phone", "region": "DE"}, "+4930123456"),
        ("https://shop.com/", "phone", None),
    ],
)
def test_regions(url, rule, e164):
    """A national number is read by the country of the page's domain, or of the rule."""
    with ItemContext(page(url)):
        phone = pipeline({"phone": rule}).process_item({"phone": "030 123456"})["phone"]
    assert (phone["e164"] if isinstance(phone, dict) else None) == e164


def test_regions_of_places():
    """A place of several countries is the one of the page's domain."""
    found = {}
    for domain in ("ca", "co.uk"):
        with ItemContext(page(f"https://jobs.{domain}/")):
            item = pipeline({"place": "location"}).process_item({"place": "London"})
        found[domain] = item["place"]["country"]
    assert found == {"ca": "CA", "co.uk": "GB"}


def test_without_a_response():
    """Items of ``start()`` have no page, and are read all the same."""
    item = pipeline({"day": "date", "phone": "phone"}).process_item(
        {"day": "2024-01-15", "phone": "+1 212 555 0123"}
    )
    assert (item["day"]["iso"], item["phone"]["country"]) == ("2024-01-15", "US")


def test_wrong_settings(caplog):
    """A wrong rule is one line in the log, and the crawl does not begin."""
    with pytest.raises(ConfigurationError):
        pipeline({"price": "prize"})
    wrong = f"Wrong configuration: RESILIENCE_NORMALIZE['price']: {NO_TYPE}"
    assert caplog.messages == [wrong]
    assert caplog.records[0].levelno == logging.ERROR
