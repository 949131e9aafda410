"""Phone numbers, against the example numbers that phonenumbers has for each country."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from scrapy_resilience.normalize import normalize_phone
from scrapy_resilience.normalize.phone import region_of

EXAMPLES = [
    (region, number)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind))
]
FORMATS = [
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
]


def e164(number):
    """A number as it is expected."""
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def test_there_are_examples():
    """The library has more than a thousand."""
    assert len(EXAMPLES) > 1_300


@pytest.mark.parametrize("style", FORMATS)
def test_examples_with_their_region(style):
    """Each example number is right and valid in each format, given its region."""
    for region, number in EXAMPLES:
        text = phonenumbers.format_number(number, style)
        result = normalize_phone(text, region=region)
        assert result, (region, text)
        assert (result["e164"], result["valid"]) == (e164(number), True), text


def test_examples_without_a_region():
    """A national number without a hint is right, None, or said to be not valid."""
    for _, number in EXAMPLES:
        text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        result = normalize_phone(text)
        assert not result or not result["valid"] or result["e164"] == e164(number), text


def test_the_country_of_examples():
    """A valid number's country is its own, or None for those of the whole world."""
    for region, number in EXAMPLES:
        country = normalize_phone(e164(number))["country"]
        assert country == phonenumbers.region_code_for_number(number), region


@pytest.mark.parametrize(
    ("domain", "region"),
    [
        ("shop.de", "DE"),
        ("www.shop.co.uk", "GB"),
        ("https://www.shop.fr:8080/contact?to=a.it", "FR"),
        ("//laden.ch/", "CH"),
        ("shop.com", None),
        ("start-up.io", None),
        ("stream.tv", None),
        ("shop.COM.BR.", "BR"),
        ("", None),
        (None, None),
    ],
)
def test_the_region_of_a_domain(domain, region):
    """A country's top-level domain is a hint, unless it is sold to everyone."""
    assert region_of(domain) == region


def test_the_region_goes_before_the_domain():
    """A region that is given is taken, whatever the domain."""
    result = normalize_phone("020 7946 0958", region="gb", domain="laden.de")

    assert result["e164"] == "+442079460958"


def test_a_number_from_abroad_on_a_national_page():
    """A number with its code needs no hint, and no hint changes it."""
    assert normalize_phone("+44 20 7946 0958", domain="laden.de")["country"] == "GB"


@pytest.mark.parametrize(
    "text",
    ["2024-01-15", "15.01.2024", "2024/01/15", "$1,234,567", "1,234,567", "€ 2125550123",
     "12.50", "192.168.100.200", "N/A", "Call us", "123", "911"],
)  # fmt: skip
@pytest.mark.parametrize("hints", [{}, {"region": "US"}, {"domain": "laden.de"}])
def test_no_numbers(text, hints):
    """Dates, amounts, addresses and words are None, whatever the hints."""
    assert normalize_phone(text, **hints) is None


@pytest.mark.parametrize(
    "text", ["10115 Berlin", "12:30-13:30", "IBAN DE89 3704 0044 0532 0130 00"]
)
def test_no_numbers_of_a_country(text):
    """Neither are postal codes with a town, times and accounts, where they could be one."""
    assert normalize_phone(text, region="DE") is None


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("030 1234567 (Mo-Fr 9:00-18:00)", "DE", "+49301234567"),
        ("020 7946 0958 Mon to Fri", "GB", "+442079460958"),
        ("0800 REVERSE", "GB", "+448007383773"),
        ("1-800-Flowers", "US", "+18003569377"),
        ("1-800-222-TIPS (8477)", "US", "+18002228477"),
        ("Call +593 2-212-3456 now", "EC", "+59322123456"),
        ("10115 Berlin, +247 62889", "AC", "+24762889"),
        ("1-800-222-TIPS (8477)", None, "+18002228477"),
    ],
)
def test_letters_beside_a_number(text, region, number):
    """Letters are digits only where there is no number without them."""
    assert normalize_phone(text, region=region)["e164"] == number


def test_an_unknown_region():
    """A region that does not exist helps nothing and harms nothing."""
    assert normalize_phone("020 7946 0958", region="nowhere") is None
    assert normalize_phone("+442079460958", region="nowhere")["country"] == "GB"


@pytest.mark.parametrize(
    "extension",
    [
        "Local 12",
        "ramal 12",
        "Durchwahl: 12",
        "内線12",
        "ext. 12",
        ";ext=12",
        "x12",
        "ext 12",
        "#12",
        "extension 12",
    ],
)
def test_extensions(extension):
    """An extension stands apart from the number."""
    result = normalize_phone(f"(212) 555-0123 {extension}")

    assert (result["e164"], result["extension"]) == ("+12125550123", "12")


@pytest.mark.parametrize("dash", "-‐‑‒–—―−－")
def test_dashes(dash):
    """Any dash is one."""
    assert normalize_phone(f"212{dash}555{dash}0123")["e164"] == "+12125550123"


def test_pairs_with_dots_are_no_address():
    """France writes five pairs with dots; an address of a computer has four numbers."""
    assert normalize_phone("01.42.68.53.00", region="FR")["e164"] == "+33142685300"
    assert normalize_phone("Tel. 01.42.68.53.00.", domain="x.fr")["e164"] == "+33142685300"


@pytest.mark.parametrize(
    "text", ["+353ks.123456789", "+49 30 O123456", "030 l234567", "212-555-O123", "Local 221"]
)
@pytest.mark.parametrize("region", [None, "DE", "IE"])
def test_letters_within_a_number(text, region):
    """A number that letters break is none, and not the digits beside them."""
    assert normalize_phone(text, region=region) is None


@pytest.mark.parametrize("region", ["DE", "US", "IT", None])
@pytest.mark.parametrize(
    "text",
    [
        "03.06.15",
        "3.7.90",
        "04.06.-07.06",
        "03.07 - 17.07.15",
        "03.07 – 10.07",
        "16.8.-1.9",
        "07.08. - 25.08",
        "05.10-09.10.2015",
        "03/2015 – 03/2016",
        "2015 - 03/2016",
        "seit 04/2019",
    ],
)
def test_days_and_months_are_no_numbers(text, region):
    """Nor are two of them, though so many digits have a length that a number can have."""
    assert normalize_phone(text, region=region) is None


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("01.42.68.53.00", "FR", "+33142685300"),
        ("20.12.34", "NC", "+687201234"),
        ("+687 20.12.34", "DE", "+687201234"),
        ("030/2012345", "DE", "+49302012345"),
        ("04/201 56 78", "BE", "+3242015678"),
    ],
)
def test_numbers_that_look_like_days(text, region, number):
    """Pairs of digits with points, and an area with a stroke, are numbers."""
    assert normalize_phone(text, region=region)["e164"] == number


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("49 7755 91155", "DE", "+49775591155"),
        ("49-30-1234567", "DE", "+49301234567"),
        ("43 1 5347460", "AT", "+4315347460"),
        ("39 06 698 99911", "IT", "+390669899911"),
        ("392 123 4567", "IT", "+393921234567"),
        ("47 12 34 56", "NO", "+4747123456"),
        ("1 212 555 0123", "US", "+12125550123"),
    ],
)
def test_the_code_of_the_country_without_its_sign(text, region, number):
    """A group of its own before a number that is valid with it is the country's code."""
    assert normalize_phone(text, region=region)["e164"] == number


def test_two_numbers_in_one():
    """Digits that are a national number, and another with its country's code, can't be told."""
    assert normalize_phone("3906123456", region="IT") is None


@pytest.mark.parametrize("text", ["+115005550009", "+1 15005550009", "tel:+12125550123;ext=1"])
def test_a_one_too_many(text):
    """No digit that is written with a country's code is left out."""
    found = normalize_phone(text)
    assert found is None or found["e164"] == "+12125550123"


def test_a_one_before_the_area():
    """But 1 as it is dialled there may stand between."""
    assert normalize_phone("+1 1-800-356-9377")["e164"] == "+18003569377"


def test_a_number_that_somebody_has_comes_first():
    """Before one that nobody has, though both have their country's code."""
    text = "+1 123-456-7890 or +33 1 23 45 67 89"
    assert normalize_phone(text)["e164"] == "+33123456789"
