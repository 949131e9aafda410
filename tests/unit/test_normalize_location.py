"""Places, against the time zone database's list of cities and their countries."""

from __future__ import annotations

import pytest
import pytz

from scrapy_resilience.normalize import normalize_location

CITIES = [
    (zone.partition("/")[2].replace("_", " "), code)
    for code, zones in pytz.country_timezones.items()
    for zone in zones
    if zone.count("/") == 1 and not zone.startswith("Antarctica")
]
"""The city of each time zone and its country: made by others, for another purpose."""


def parts(text, **hints):
    """City, state and country."""
    result = normalize_location(text, **hints)
    return result and (result["city"], result["state"], result["country"])


def test_cities_with_their_country():
    """A city with its country is in that country, for 98 of 100 of the zones' cities."""
    names = {code: pytz.country_names[code].partition(" (")[0] for _, code in CITIES}
    found = [parts(f"{city}, {names[code]}") for city, code in CITIES]
    right = [
        result
        for result, (_, code) in zip(found, CITIES, strict=True)
        if result and result[2] == code
    ]

    assert len(CITIES) > 350
    assert len(right) >= 0.97 * len(CITIES)


def test_cities_alone():
    """A city alone is in the wrong country for less than 3 of 100 of the zones' cities."""
    found = [parts(city) for city, _ in CITIES]
    wrong = [
        (city, result)
        for result, (city, code) in zip(found, CITIES, strict=True)
        if result and result[2] not in {code, None}
    ]
    right = [
        result
        for result, (_, code) in zip(found, CITIES, strict=True)
        if result and result[2] == code
    ]

    assert len(wrong) < 0.03 * len(CITIES), wrong
    assert len(right) > 0.8 * len(CITIES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("San Jose, CA", ("San Jose", "CA", "US")),
        ("London, CA", ("London", "ON", "CA")),
        ("Portland, ME", ("Portland", "ME", "US")),
        ("Richmond, VA", ("Richmond", "VA", "US")),
        ("Indianapolis, IN", ("Indianapolis", "IN", "US")),
        ("Mumbai, IN", ("Mumbai", "MH", "IN")),
        ("Wilmington, DE", ("Wilmington", "DE", "US")),
        ("Hamburg, DE", ("Hamburg", "HH", "DE")),
        ("Tirana, AL", ("Tirana", "11", "AL")),
        ("Mobile, AL", ("Mobile", "AL", "US")),
        ("Denver, CO", ("Denver", "CO", "US")),
        ("Medellín, CO", ("Medellín", "ANT", "CO")),
        ("Atlanta, GA", ("Atlanta", "GA", "US")),
        ("Libreville, GA", ("Libreville", "1", "GA")),
        ("Tel Aviv, IL", ("Tel Aviv", "TA", "IL")),
        ("Chicago, IL", ("Chicago", "IL", "US")),
        ("Salvador, BA", ("Salvador", "BA", "BR")),
        ("Perth, WA", ("Perth", "WA", "AU")),
        ("Seattle, WA", ("Seattle", "WA", "US")),
    ],
)
def test_codes_that_are_both(text, found):
    """The city decides whether a code is a state's or a country's."""
    assert parts(text) == found


@pytest.mark.parametrize(
    "text",
    ["New York", "NYC", "New York, NY", "New York NY", "New York, USA", "New York, New York",
     "new york, ny", "NEW YORK, NY", "New York, NY 10001", "New York, NY 10001-1234, USA",
     "350 5th Ave, New York, NY 10118", "New York (USA)", "New York | NY", "New York / USA",
     "New York - NY", "Nueva York", "New York City Metropolitan Area",
     "Greater New York Area", "Remote, New York", "Manhattan, New York", "NYC / Remote",
     "New York, N.Y.", "New York, New York, United States of America"],
)  # fmt: skip
def test_new_york(text):
    """One city is written in many ways."""
    assert parts(text) == ("New York", "NY", "US")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Germany", (None, None, "DE")),
        ("Deutschland", (None, None, "DE")),
        ("Allemagne", (None, None, "DE")),
        ("DEU", (None, None, "DE")),
        ("UK", (None, None, "GB")),
        ("usa", (None, None, "US")),
        ("NY", (None, "NY", "US")),
        ("California", (None, "CA", "US")),
        ("Bavaria, Germany", (None, "BY", "DE")),
        ("Ontario, Canada", (None, "ON", "CA")),
        ("Mexico", (None, None, "MX")),
        ("Niger", (None, None, "NE")),
        ("Puerto Rico", (None, None, "PR")),
        ("Singapore", ("Singapore", None, "SG")),
    ],
)
def test_areas_without_a_city(text, found):
    """A country or a state alone has no city."""
    assert parts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Springfield, USA", ("Springfield", None, "US")),
        ("Cambridge", ("Cambridge", None, None)),
        ("Smallville, CO", ("Smallville", None, None)),
        ("Washington", ("Washington", None, "US")),
    ],
)
def test_ambiguous(text, found):
    """What readings that are as good differ in is None, and it is said."""
    assert parts(text) == found
    assert normalize_location(text)["ambiguous"] is True


@pytest.mark.parametrize(
    ("text", "region", "found"),
    [
        ("Georgia", "US", (None, "GA", "US")),
        ("Georgia", "GE", (None, None, "GE")),
        ("Cambridge", "GB", ("Cambridge", "ENG", "GB")),
        ("Cambridge", "us", ("Cambridge", "MA", "US")),
        ("CA", "US", (None, "CA", "US")),
        ("Smallville, CO", "US", ("Smallville", "CO", "US")),
        ("Paris, France", "US", ("Paris", "IDF", "FR")),
        ("Paris", "US", ("Paris", None, "US")),
    ],
)
def test_regions(text, region, found):
    """The region decides between readings, and overrules none that is better."""
    assert parts(text, region=region) == found


@pytest.mark.parametrize(
    "text",
    ["Georgia", "CA", "DE", "Remote", "Asia", "APAC", "Anywhere", "N/A", "contact us",
     "Apply now", "12345", "la", "in", "Nowhereville", "Nowhereville, Nothingham", "$45,000",
     "---", ", ,"],
)  # fmt: skip
def test_no_place(text):
    """Words, and names that could as well be another place, are None."""
    assert parts(text) is None


@pytest.mark.parametrize(
    "text",
    ["London / Paris", "Paris, London", "London, Paris, Berlin", "Berlin | München",
     "Berlin/Hamburg", "Chicago, IL and Austin, TX", "Austin, TX, Chicago, IL",
     "New York, NY / San Francisco, CA", "New York, NY; San Francisco, CA",
     "Springfield, IL or Chicago, IL", "Dallas/Fort Worth, TX", "Berlin, Germany; London, UK",
     "Paris, France, London, UK", "Zürich / Bern", "München oder Berlin", "Москва, Казань",
     "東京・大阪", "北京、上海", "Ontario, CA",
     "Long Beach, CA to Fresno, CA", "Long Beach, CA -> Fresno, CA", "London via Paris, France",
     "Berlin bis Hamburg", "Warszawa do Kraków, Polska", "東京から大阪まで",
     "Smallville and Gotham, TX", "Newville to Chicago, IL"],
)  # fmt: skip
def test_several_places(text):
    """Of two places neither is taken, whatever stands between them."""
    assert parts(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Camden, London", ("London", "ENG", "GB")),
        ("Kadıköy/İstanbul", ("Istanbul", "34", "TR")),
        ("Cambridge, Boston, MA", ("Boston", "MA", "US")),
        ("Puebla, Puebla, México", ("Puebla", "PUE", "MX")),
        ("León, Guanajuato, México", ("León de los Aldama", "GUA", "MX")),
        ("Athens, Georgia, USA", ("Athens", "GA", "US")),
        ("Boston, Lincolnshire, England", ("Boston", "ENG", "GB")),
        ("San Diego, CA or Remote", ("San Diego", "CA", "US")),
        ("Port of Spain, Trinidad and Tobago", ("Port of Spain", "POS", "TT")),
        ("Valladolid, Castilla y León", ("Valladolid", "CL", "ES")),
        ("Frankfurt (Oder)", ("Frankfurt (Oder)", "BB", "DE")),
    ],
)
def test_places_with_what_they_are_in(text, found):
    """A district, a county and a state are no other place than their city."""
    assert parts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Den Haag", ("The Hague", "ZH", "NL")),
        ("Genève", ("Geneva", "GE", "CH")),
        ("Roma, Italia", ("Rome", "62", "IT")),
        ("Roma", ("Roma", None, None)),
        ("Paris (75)", ("Paris", "IDF", "FR")),
        ("Cancun", ("Cancún", "ROO", "MX")),
        ("上海市浦东新区", ("Shanghai", "SH", "CN")),
        ("서울특별시 강남구", ("Seoul", "11", "KR")),
        ("大阪府大阪市", (None, "27", "JP")),
        ("Bruxelles, Belgique", ("Brussels", "BRU", "BE")),
        ("г. Москва, Россия", ("Moscow", "MOW", "RU")),
        ("г.Казань", ("Kazan", "TA", "RU")),
        ("м. Київ, Україна", ("Kyiv", "30", "UA")),
    ],
)
def test_names_at_home(text, found):
    """Cities are known by what they are called where they are."""
    assert parts(text) == found


def test_an_unknown_town_keeps_its_name():
    """A town that the table lacks is kept as it is written, with what is known."""
    assert parts("Nowhereville, Kansas") == ("Nowhereville", "KS", "US")
    assert parts("Nowhereville, France") == ("Nowhereville", None, "FR")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Debrecen", ("Debrecen", "HB", "HU")),
        ("Szeged, Hungary", ("Szeged", "CS", "HU")),
        ("Chiayi, Taiwan", ("Chiayi", None, "TW")),
        ("Palma de Mallorca", ("Palma", "IB", "ES")),
        ("Goma, Congo (Kinshasa)", ("Goma", "NK", "CD")),
        ("Brazzaville, Congo - Brazzaville", ("Brazzaville", "BZV", "CG")),
        ("Seoul, Korea (South)", ("Seoul", "11", "KR")),
        ("Seoul, Korea, Republic of", ("Seoul", "11", "KR")),
        ("Nassau, Bahamas, The", ("Nassau", "NP", "BS")),
        ("Miami-Dade County, Florida[3]", (None, "FL", "US")),
        ("Miami, Florida[3]", ("Miami", "FL", "US")),
        ("5th Avenue, New York", ("New York", "NY", "US")),
        ("Boston, Suite 5", ("Boston", "MA", "US")),
        ("Boston, MA Headquarters", ("Boston", "MA", "US")),
        ("Paris, Europe", ("Paris", "IDF", "FR")),
        ("London, Greater London", ("London", "ENG", "GB")),
        ("Zürich, Kreis 4", ("Zürich", "ZH", "CH")),
        ("Leeds, West Yorkshire", ("Leeds", "ENG", "GB")),
        ("Biel/Bienne", ("Biel/Bienne", "BE", "CH")),
        ("austin tx", ("Austin", "TX", "US")),
        ("portland me", ("Portland", "ME", "US")),
        ("São João do Sabugi, Brasil", ("São João do Sabugi", None, "BR")),
    ],
)
def test_names_of_sites(text, found):
    """Cities that are states of their own, countries in brackets, footnotes, small letters."""
    assert parts(text) == found


@pytest.mark.parametrize("text", ["Paris, Narnia", "Paris, France, Narnia", "Berlin, XY"])
def test_unknown_areas(text):
    """A country or state that nobody knows is not skipped, unless the hint says the same."""
    result = normalize_location(text)
    assert (result["state"], result["country"], result["ambiguous"]) == (None, None, True)
    assert normalize_location("Berlin, Mitte X", region="DE")["country"] == "DE"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("700 BROADWAY NEW YORK, N.Y.", ("New York", "NY", "US")),
        ("811 WYANDOTTE KANSAS CITY, MO.", ("Kansas City", "MO", "US")),
        ("1407 CUMMINGS DRIVE RICHMOND 20, VA.", ("Richmond", "VA", "US")),
        ("3501 W. 48TH PLACE CHICAGO 32, ILL.", ("Chicago", "IL", "US")),
        ("510 NW Windflower Ter Jensen Beach, Fl 34957", ("Jensen Beach", "FL", "US")),
        ("301 N LEONA GARDEN CITY MI 48135", ("Garden City", "MI", "US")),
        ("12345 North Point Laguna Hills CA 12345", ("Laguna Hills", "CA", "US")),
        ("4930 Mesa Bonita San Antonio, TX 78218", ("San Antonio", "TX", "US")),
        ("817 15th St N Bessemer, AL", ("Bessemer", "AL", "US")),
        ("123 Old Chicago Road, Joliet, IL", ("Joliet", "IL", "US")),
        ("1725 Mitchell Jones, El Paso, TX 79936", ("El Paso", "TX", "US")),
        ("Ackermannstr. 12a Frankfurt am Main", ("Frankfurt am Main", "HE", "DE")),
        ("Terminal 2 London", ("London", "ENG", "GB")),
        ("Near Sheffield, England", ("Sheffield", "ENG", "GB")),
        ("près de Lyon, France", ("Lyon", "ARA", "FR")),
        ("AMENIA, N. Y.", ("AMENIA", "NY", "US")),
    ],
)
def test_cities_behind_a_street(text, found):
    """A house number and a known city of the state, with no comma between."""
    assert parts(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("123 Rue de Paris, France", (None, None, "FR")),
        ("Laboratory Park Decatur, Illinois", (None, "IL", "US")),
        ("47/51 Exmouth Market, England", (None, "ENG", "GB")),
        ("Old Greenwich, Connecticut", ("Old Greenwich", "CT", "US")),
    ],
)
def test_what_is_no_city(text, found):
    """A street, a number, and several words that end with a city of the state."""
    assert parts(text) == found


@pytest.mark.parametrize("text", ["USA, Canada", "Germany, France", "Greenland, Denmark"])
def test_two_countries(text):
    """The first is no city of the second."""
    assert parts(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("28307 Grove St, Pine, CO 80470", ("Pine", "CO", "US")),
        ("Lyndonville, VT 05851", ("Lyndonville", "VT", "US")),
        ("47 Hill Road, Pinner, Middlesex, HA5 1LB", ("Pinner", "ENG", "GB")),
        ("Little Snoring, NR21 0HJ", ("Little Snoring", None, "GB")),
        ("Smallville, M5V 2T6", ("Smallville", None, "CA")),
        ("Milano MI 20121", ("Milan", "MI", "IT")),
        ("Musterdorf, DE 10115", ("Musterdorf", None, "DE")),
    ],
)
def test_postal_codes_of_one_country(text, found):
    """They say the country, where a state or nothing does."""
    result = parts(text)
    assert result == found or result[2] in {None, found[2]}


def test_a_postal_code_decides():
    """Between Colorado and Colombia."""
    assert parts("Pine, CO 80470") == ("Pine", "CO", "US")
    assert parts("Batley, WF17 9TB")[2] == "GB"
