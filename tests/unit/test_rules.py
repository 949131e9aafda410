"""What a field is read as, by a rule."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.normalize import rules
from scrapy_resilience.normalize.rules import KINDS, make_rule, make_rules

SAMPLES = {
    "price": ("$5", "amount", 5),
    "date": ("2024-01-15", "iso", "2024-01-15"),
    "location": ("Paris, France", "city", "Paris"),
    "company": ("Google LLC", "name", "Google"),
    "rating": ("4.5/5", "value", 4.5),
    "phone": ("+1 212 555 0123", "e164", "+12125550123"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    """Each type has its normalizer, and a key by which two results are compared."""
    text, key, value = SAMPLES[kind]
    result, good, bad = make_rule("here", kind).read(
        text, {"now": 0, "domain": None, "region": None}
    )
    assert (result[key], result["raw"], good, bad) == (value, text, 1, 0)
    assert rules.MAIN[kind] == key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$5", ({"amount": 5, "currency": "USD", "raw": "$5"}, 1, 0)),
        ("Add to cart", ("Add to cart", 0, 1)),
        ("", ("", 0, 0)),
        ("  ", ("  ", 0, 0)),
        (None, (None, 0, 0)),
        (5, ({"amount": 5, "currency": None, "raw": 5}, 1, 0)),
        (1.234, ({"amount": 1.234, "currency": None, "raw": 1.234}, 1, 0)),
        (float("nan"), None),
        (True, (True, 0, 0)),
        ({"amount": 5}, ({"amount": 5}, 0, 0)),
        ([], ([], 0, 0)),
        (
            ["$5", "soon", None],
            ([{"amount": 5, "currency": "USD", "raw": "$5"}, "soon", None], 1, 1),
        ),
        (("$5",), ([{"amount": 5, "currency": "USD", "raw": "$5"}], 1, 0)),
    ],
    ids=repr,
)
def test_values(value, expected):
    """Texts and numbers are read, lists by their elements; the rest stays as it is."""
    result = make_rule("here", "price").read(value, {})
    if expected is None:  # nan
        assert result == (value, 0, 1)
    else:
        assert result == expected


def test_numbers_are_pythons():
    """A locale does not make a thousand of the decimals of a number."""
    rule = make_rule("here", {"type": "price", "locale": "de"})
    assert rule.read(1.234, {})[0]["amount"] == 1.234
    assert rule.read("1.234", {})[0]["amount"] == 1234


def test_hints():
    """A rule's hints go before those of all fields, and these count where a type knows them."""
    made = make_rules(
        "here",
        {
            "*": {"locale": "de", "region": "DE", "timezone": "Europe/Berlin"},
            "price": "price",
            "day": {"type": "date", "locale": "en-US"},
            "firm": "company",
            "phone": "phone",
        },
    )
    assert {name: dict(rule.hints) for name, rule in made.items()} == {
        "price": {"locale": "de"},
        "day": {"locale": "en-US", "timezone": "Europe/Berlin"},
        "firm": {},
        "phone": {"region": "DE"},
    }


def test_hints_of_the_page():
    """What a page knows is asked for where a type needs it and the rule does not have it."""
    needs = {kind: make_rule("here", kind).needs for kind in KINDS}
    assert needs == {
        "price": (),
        "date": ("now",),
        "location": ("region",),
        "company": (),
        "rating": (),
        "phone": ("domain",),
    }
    assert make_rule("here", {"type": "phone", "region": "DE"}).needs == ()
    assert make_rule("here", {"type": "location", "region": "DE"}).needs == ()


def test_a_list_as_a_hint():
    """Results are remembered also where a hint came as a list."""
    rule = make_rule("here", {"type": "date", "languages": ["de"]})
    assert rule.hints == {"languages": ("de",)}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("prize", "here['f']: 'prize' is not a type of values: use one of price, date,"),
        (None, "None is not a type of values"),
        (["price"], "['price'] is not a type of values"),
        ({"to": "x"}, "None is not a type of values"),
        ({"type": "price", "to": 5}, "to=5 is not the name of a field"),
        ({"type": "price", "to": ""}, "to='' is not the name of a field"),
        (
            {"type": "price", "max": 5},
            "max is not a hint of price, which has: currency, decimal, locale",
        ),
        ({"type": "company", "locale": "de"}, "is not a hint of company, which has: none"),
        ({"type": "date", "now": 5}, "now is not a hint of date"),
        ({"type": "date", "timezone": "Mars"}, "here['f']: timezone='Mars' is neither"),
        ({"type": "date", "order": "X"}, "order='X' is none of"),
        ({"type": "date", "languages": "de"}, "languages='de' is not a list of codes"),
        ({"type": "price", "locale": "xx"}, "locale='xx' is not one that the CLDR knows"),
        ({"type": "price", "currency": 5}, "currency=5 is not a text"),
        ({"type": "price", "currency": "kr"}, "currency='kr' is not one currency"),
        ({"type": "price", "decimal": "yes"}, "decimal='yes' is not True or False"),
        ({"type": "phone", "region": "Germany"}, "region='Germany' is not a code of ISO 3166"),
        ({"type": "phone", "region": "UK"}, "region='UK' is not a code of ISO 3166"),
        ({"type": "date", "languages": ["xx"]}, "languages=('xx',) is not a list of codes"),
        ({"type": "rating", "max": 0}, "max=0 is not a number above 0"),
        ({"type": "rating", "max": float("inf")}, "max=inf is not a number above 0"),
    ],
)
def test_wrong_rules(raw, words):
    """A rule that is wrong is refused, and the text says where and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        make_rules("here", {"f": raw})
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [5, None, "", " "])
def test_wrong_fields(name):
    """What is not a name of a field is refused before it costs an item."""
    with pytest.raises(ConfigurationError, match="is not the name of a field"):
        make_rules("here", {name: "price"})


@pytest.mark.parametrize(
    ("common", "words"),
    [
        ("de", "here['*']: 'de' is not a dict of hints"),
        ({"colour": "red"}, "here['*']: colour is not a hint of any type, which has: currency"),
    ],
)
def test_wrong_common_hints(common, words):
    """Hints for all fields are checked as those of one."""
    with pytest.raises(ConfigurationError) as caught:
        make_rules("here", {"*": common, "price": "price"})
    assert words in str(caught.value)


def test_a_missing_library_is_missed_at_once(monkeypatch):
    """A type whose library is not installed is refused at the start, not at the first item."""
    monkeypatch.setattr(
        rules, "find_spec", lambda name: None if name == "dateparser" else find_spec(name)
    )
    monkeypatch.setitem(__import__("sys").modules, "dateparser", None)
    assert make_rule("here", "price")
    with pytest.raises(MissingLibraryError, match="dateparser is not installed"):
        make_rule("here", "date")
