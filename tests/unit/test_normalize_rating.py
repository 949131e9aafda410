"""Ratings as sites write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.normalize import normalize_rating

OUT_OF_FIVE = (
    """
4.5/5|4.5 / 5|4,5/5|4.5 out of 5|4.5 of 5|4.5 out of 5 stars|4.5/5.0|4,5 von 5
4,5 von 5 Sternen|4,5 sur 5|4,5 sur 5 étoiles|4,5 de 5 estrellas|4,5 su 5 stelle
4,5 van 5 sterren|4,5 av 5 stjärnor|4,5 z 5 gwiazdek|4,5 из 5|4,5 з 5
4,5 z 5 hvězdiček|4,5 din 5|5 yıldız üzerinden 4,5|4.5 من 5 نجوم|٤٫٥ من ٥
5つ星のうち4.5|5点満点中4.5点|5점 만점에 4.5점|별 5개 중 4.5개
4.5 颗星，最多 5 颗星|４．５／５|★★★★½|4.5 stars
4.5-star|4.5 ★|★ 4.5|⭐ 4.5|4½ stars|4,5 Sterne|4.5 estrellas|Rated 4.5 out of 5
""".strip()
    .replace("\n", "|")
    .split("|")
)


@pytest.mark.parametrize("text", OUT_OF_FIVE)
def test_four_and_a_half(text):
    """Many languages and symbols say 4.5 of 5."""
    result = normalize_rating(text)

    assert (result["value"], result["max"], result["percent"]) == (4.5, 5, 90)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4.5/5 (1,234 reviews)", 1234),
        ("4.5/5 (1.234 Bewertungen)", 1234),
        ("4,5/5 (1 234 avis)", 1234),
        ("4.5/5 (1,234)", 1234),
        ("4.5 out of 5 stars | 1,234 global ratings", 1234),
        ("5つ星のうち4.5 1,234個の評価", 1234),
        ("4.5/5 based on 12 votes", 12),
        ("4.5 (1.2K)", 1200),
        ("4.5 (9k+)", 9000),
        ("4.5 · 1,000+ reviews", 1000),
        ("4.5/5, 3.4M ratings", 3_400_000),
        ("Reviews: 12 · 4.5 ★", 12),
        ("4.5/5 by 12 users", None),
        ("4.5/5", None),
        ("Reviews 4.5/5", None),
    ],
)
def test_counts(text, count):
    """The number of reviews is read beside the rating."""
    assert normalize_rating(text)["count"] == count
    assert normalize_rating(text)["value"] == 4.5


@pytest.mark.parametrize(
    ("text", "value", "best"),
    [
        ("★★★★★", 5, 5),
        ("★☆☆☆☆", 1, 5),
        ("☆☆☆☆☆", 0, 5),
        ("★★★", 3, 5),
        ("⭐️⭐️⭐️⭐️", 4, 5),
        ("★★★★★★★☆☆☆", 7, 10),
        ("★★★★☆ 4.2", 4.2, 5),
        ("star-rating Three", 3, 5),
        ("Two stars", 2, 5),
        ("9.2/10", 9.2, 10),
        ("92/100", 92, 100),
        ("92 %", 92, 100),
        ("0/5", 0, 5),
    ],
)
def test_scales(text, value, best):
    """Symbols, words and other maxima."""
    result = normalize_rating(text)

    assert (result["value"], result["max"]) == (value, best)


@pytest.mark.parametrize("text", ["4.5", "4,5", "4½", "Rating: 4.5", "(4.5)", "4.5 (12 votes)"])
def test_a_number_alone(text):
    """A number without a maximum has no percent, until the maximum is given."""
    alone, told = normalize_rating(text), normalize_rating(text, max=10)

    assert (alone["value"], alone["max"], alone["percent"]) == (4.5, None, None)
    assert (told["value"], told["max"], told["percent"]) == (4.5, 10, 45)


@pytest.mark.parametrize(
    "text",
    ["6/5", "5.1 out of 5", "120%", "1,234 reviews", "No reviews yet", "$4.50", "4,50 €",
     "-4.5/5", "-20%", "20% off", "8 of 10 people found this helpful", "4/5/2024", "24/7",
     "12/31", "5 star 67%", "4 Sterne 12 %", "1 of 2", "1 of 10",
     "Image 1 of 5", "Slide 3/5", "2 / 10 in stock", "4.5 out of five stars",
     "4–5 stars", "3 to 5 stars", "iPhone 5",
     "2024", "N/A", "12 345", "v1.2.3"],
)  # fmt: skip
def test_no_ratings(text):
    """What only has the numbers of a rating is None."""
    assert normalize_rating(text) is None


def test_the_text_goes_before_the_hint():
    """A maximum in the text is taken; the hint admits one that is rare."""
    assert normalize_rating("4/5", max=10)["max"] == 5
    assert normalize_rating("2/3", max=3)["percent"] == 66.67
    assert normalize_rating("11", max=10) is None


@given(
    value=st.decimals(0, 10, places=1),
    form=st.sampled_from(["{}/10", "{} von 10", "{} out of 10 (12 reviews)", "10つ星のうち{}"]),
    comma=st.booleans(),
)
def test_any_value(value, form, comma):
    """A value with a point or a comma is the number that it is, and at most its maximum."""
    text = form.format(str(value).replace(".", "," if comma else "."))
    result = normalize_rating(text)

    assert result["value"] == float(value)
    assert result["percent"] == pytest.approx(float(value) * 10)


@pytest.mark.parametrize(
    "text",
    [
        "out of 5 stars", "von 5 Sternen", "sur 5 étoiles", "su 5 stelle", "de 5 estrellas",
        "/ 5", "5つ星のうち", "5점 만점에", "1 star: 5%", "5 star (67%)", "67% 5 star",
        "5% vote 1 star", "67% gave 5 stars", "20% of reviews have 5 stars",
    ],
)  # fmt: skip
def test_no_ratings_though_there_are_stars(text):
    """A maximum without a value, and a line of a chart, are none."""
    assert normalize_rating(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "4 and a half stars", "4 stars and a half", "4 1/2 stars", "4-1/2 stars",
        "4 1/2 out of 5", "4 étoiles et demie", "4 estrellas y media", "4 stelle e mezzo",
        "4 estrelas e meia", "4½ stars",
    ],
)  # fmt: skip
def test_halves_in_words(text):
    """They are not left out."""
    found = normalize_rating(text)
    assert (found["value"], found["max"]) == (4.5, 5)


def test_a_percentage_that_is_the_same():
    """Beside stars it changes nothing."""
    assert normalize_rating("4 stars (80%)")["value"] == 4
    assert normalize_rating("4.5 stars (90 %)")["value"] == 4.5


@pytest.mark.parametrize("text", ["4.900", "4,900"])
def test_three_decimals(text):
    """They are read where a thousand is more than the best rating."""
    assert normalize_rating(text, max=5)["value"] == 4.9
    assert normalize_rating(text) is None
