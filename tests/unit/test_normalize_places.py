"""What normalize_location, _company, _rating and _phone have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cost import passes
from hypothesis import example, given
from hypothesis import strategies as st
from normalize_tables import documented
from report import report

from scrapy_resilience import normalize
from scrapy_resilience.exceptions import MissingLibraryError
from scrapy_resilience.normalize import (
    normalize_company,
    normalize_location,
    normalize_phone,
    normalize_rating,
)

KEYS = {
    normalize_company: {"name", "suffix", "raw"},
    normalize_location: {"city", "state", "country", "ambiguous", "raw"},
    normalize_phone: {"e164", "valid", "extension", "country", "raw"},
    normalize_rating: {"value", "max", "percent", "count", "raw"},
}
GOOD = {
    normalize_company: "Google LLC",
    normalize_location: "NYC, NY, USA",
    normalize_phone: "+1 212 555 0123",
    normalize_rating: "4.5/5 stars",
}
PAGES = [(function, *row) for function in KEYS for row in documented(function.__name__)]
each = pytest.mark.parametrize("function", KEYS, ids=lambda function: function.__name__)

functions = st.sampled_from(list(KEYS))
words = st.sampled_from(
    "GmbH & Co. KG|Ltd.|S.A.|SA/NV|株式会社|ООО|PT|The|(publ)|Company|NY|CA|Georgia|USA|Paris|"
    "Springfield|10115|Area|4.5|5|/|von|★|☆|½|%|(1,234 reviews)|out of|のうち|+1|212|555|0123|"
    "ext. 4|(020)|x|-|,|.|«|»".split("|")
)
texts = st.text() | st.lists(words, max_size=8).map(" ".join) | st.lists(words).map("".join)


@pytest.mark.parametrize(
    ("function", "text", "hints", "result"), PAGES, ids=[f"{row[1]}" for row in PAGES]
)
def test_the_table_of_the_page(function, text, hints, result):
    """Each row of the page's table is what the function returns, beside the raw text."""
    assert function(text, **hints) == (result and {**result, "raw": text})


def test_the_pages_have_tables():
    """The rows were found."""
    assert min(len(documented(function.__name__)) for function in KEYS) > 15


@each
@pytest.mark.parametrize("text", [None, 5, 4.5, b"4.5/5", ["x"], "", " \t\n\u00a0"])
def test_no_text(function, text):
    """What is not text, or holds nothing, is None."""
    assert function(text) is None


@each
def test_the_keys(function):
    """A result has the documented keys, and the text as it was given."""
    result = function(f"  {GOOD[function]}\n")

    assert set(result) == KEYS[function]
    assert result["raw"] == f"  {GOOD[function]}\n"


@each
def test_each_caller_has_a_copy(function):
    """A changed result does not change the next one."""
    function(GOOD[function]).clear()

    assert set(function(GOOD[function])) == KEYS[function]


@given(function=functions, text=texts)
@example(normalize_rating, "\ud800")
@example(normalize_location, "\x00")
@example(normalize_company, "İ" * 300)
@example(normalize_company, "﷽" * 200)
def test_any_text(function, text):
    """No text raises, and the raw text is kept."""
    result = function(text)

    assert result is None or (set(result) == KEYS[function] and result["raw"] == text)


def canonical(function, result):
    """A result as text again."""
    if function is normalize_company:
        return result["name"]
    if function is normalize_phone:
        return result["e164"]
    if function is normalize_rating:
        return f"{result['value']}/{result['max']}" if result["max"] else str(result["value"])
    return ", ".join(filter(None, (result["city"], result["state"], result["country"])))


@given(function=functions, text=texts)
@example(normalize_company, "Inc Inc Inc Inc Inc Inc Inc")
@example(normalize_company, "PT PT «a» Ltd.")
@example(normalize_location, "St. Louis, MO")
@example(normalize_rating, "★★★★½")
def test_again(function, text):
    """The canonical output of a text is its own canonical output, in its own country."""
    result = function.__wrapped__(text[:200].strip()) if text.strip() else None
    if result is None or (function is normalize_location and result["ambiguous"]):
        return
    hint = {"region": result["country"]} if function is normalize_location else {}
    again = function(canonical(function, result), **hint)

    dropped = {"raw", "suffix", "extension", "count"}
    assert {key: value for key, value in again.items() if key not in dropped} == {
        key: value for key, value in result.items() if key not in dropped
    }


HOSTILE = [
    "1", "1,", "1 ", "1.", "1-", "1/", "(", "+1", "(1", "1x", "★", "4/5 ", "a", "a ", "A ",
    "Inc ", "S.A. ", "Co & ", "株式会社", "ООО ", "a/", "NY ", "CA ", "paris ", "San Jose,",
    "United States ", ", ", "12 a ", "ﷺ", "é", "\n",
]  # fmt: skip


@each
def test_hostile_length(function):
    """100,000 characters cost no more than to read them."""
    function(GOOD[function])  # loads the table
    texts = [piece * (100_000 // len(piece)) for piece in HOSTILE]
    report(
        f"{text[:20]!r}…"
        for text in texts
        if passes(lambda number, text=text: function(f"{number}{text}")) >= 2
    )


def test_the_import_loads_nothing():
    """The package, and the modules themselves, load no library and no table."""
    check = """
import sys
from scrapy_resilience.normalize import _places, company, location, phone, rating
assert "phonenumbers" not in sys.modules
assert not _places._table.cache_info().currsize
assert not company._forms.cache_info().currsize
"""
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_missing_library_is_named(monkeypatch):
    """Without phonenumbers the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)

    with pytest.raises(MissingLibraryError, match=r"scrapy-resilience\[quality\]"):
        normalize_phone("+1 212 555 0199")


def test_exports():
    """The package exports the four; another name is AttributeError."""
    assert {function.__name__ for function in KEYS} <= set(normalize.__all__)
    with pytest.raises(AttributeError, match="normalize_nothing"):
        _ = normalize.normalize_nothing
