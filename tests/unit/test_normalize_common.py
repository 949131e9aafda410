"""The contract of all normalizers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scrapy_resilience import normalize
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.normalize import _common
from scrapy_resilience.normalize._common import MAX_LENGTH, chain, library, normalizer, plain


@pytest.fixture
def seen():
    """What the function below was called with."""
    return []


@pytest.fixture
def length(seen):
    """A normalizer that finds the length of a text, and fails on the text "fail"."""

    @normalizer
    def found(text, *, hint=None):
        seen.append(text)
        if text == "fail":
            raise ZeroDivisionError
        if text == "25:00":
            raise ValueError
        if text == "hint":
            raise ConfigurationError(hint)
        return None if text == "none" else {"length": len(text), "hint": hint}

    return found


def test_it_adds_the_text(length):
    """The result has the text as it was given, with the space around it."""
    assert length(" abc ") == {"length": 3, "hint": None, "raw": " abc "}


@pytest.mark.parametrize("text", [None, 5, b"abc", ["abc"], "", " \n\t", "none", "25:00"])
def test_none(length, text):
    """What is not text, has nothing in it, or is no such value, is None."""
    assert length(text) is None


def test_errors_of_libraries(length, monkeypatch):
    """What a library raises becomes None."""
    monkeypatch.setattr(_common, "strict", False)
    assert length("fail") is None


def test_strict(length):
    """With the switch that tests set, what is raised is seen."""
    with pytest.raises(ZeroDivisionError):
        length("fail")


def test_errors_of_hints(length):
    """A hint with a wrong value is an error, not None."""
    with pytest.raises(ConfigurationError):
        length("hint", hint="wrong")


def test_misspelled_hints(length):
    """A hint that does not exist is an error, not None."""
    with pytest.raises(TypeError, match="hnit"):
        length("abc", hnit=1)


def test_it_remembers(length, seen):
    """The same text with the same hints is looked at once."""
    length("abc", hint=1)
    length("abc", hint=1)
    length("abc", hint=2)

    assert seen == ["abc", "abc"]


def test_own_copies(length):
    """What a caller does to its result, no other caller sees."""
    length("abc")["length"] = 99

    assert length("abc")["length"] == 3


def test_hints_that_cannot_be_hashed(length, seen):
    """A list as a hint works, without memory."""
    assert length("abc", hint=["x"])["hint"] == ["x"]
    assert length("abc", hint=["x"])["hint"] == ["x"]
    assert seen == ["abc", "abc"]


def test_long_texts(length, seen):
    """A long text is cut before the word that does not fit, and raw has all of it."""
    text = " " * 1000 + "1 " * 240 + "1234567890" * 10

    assert length(text)["raw"] == text
    assert seen == [("1 " * 240).strip()]


def test_long_words(length, seen):
    """A word that does not fit is not cut in two."""
    assert length("1" * (MAX_LENGTH + 1)) is None
    assert length("1" * MAX_LENGTH)["length"] == MAX_LENGTH
    assert length("1" * MAX_LENGTH + " 2")["length"] == MAX_LENGTH
    assert seen[0] == "1" * MAX_LENGTH


def test_missing_libraries(monkeypatch):
    """A library that is not installed is an error that names the extra."""
    monkeypatch.setitem(sys.modules, "price_parser", None)
    with pytest.raises(MissingLibraryError, match=r"scrapy-resilience\[quality\]"):
        library("price_parser")


def test_plain():
    """Digits of all scripts and full-width signs become ASCII, marks of direction go."""
    assert plain("\u200f１，２３４\u00a0٣४") == "1,234 34"


def test_chain():
    """A locale is found however it is written, from its language on."""
    assert chain("de-ch") == chain("de_CH.UTF-8") == ("de", "de_CH")
    assert chain("zh-TW")[-1] == "zh_TW"
    assert chain("tlh") == chain("") == ()


def test_names():
    """A name that the package does not have is an AttributeError."""
    with pytest.raises(AttributeError, match="normalize_nothing"):
        _ = normalize.normalize_nothing


def test_nothing_loads_before_it_is_needed():
    """The import, and a price and a date of simple form, load none of the libraries."""
    code = (
        "import json, sys\n"
        "from scrapy_resilience.normalize import normalize_date, normalize_price\n"
        "assert normalize_price('$5') and normalize_date('Jan 15, 2024')\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    loaded = json.loads(run.stdout)
    assert not {"price_parser", "dateparser", "phonenumbers", "babel", "scrapy"} & {*loaded}


class Odd(str):
    """A text whose methods are not those of texts."""

    __slots__ = ()

    def strip(self, *_):
        """Fail."""
        raise LookupError


@pytest.mark.parametrize("name", normalize.__all__)
def test_texts_of_another_class(name):
    """A class of texts, such as markup, does not change what is read."""
    function = getattr(normalize, name)

    assert function(Odd("4.5/5 €")) == function("4.5/5 €")
