"""What is told of a dead letter: no secrets, nothing that moves a terminal's cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.deadletter import KINDS, About, Wanted, describe
from scrapy_resilience.core.masking import mask, printable


def made(**more):
    """Return what is told of a letter."""
    told = {
        "url": "http://a.test/1",
        "domain": "a.test",
        "now": 9.0,
        "kind": "permanent",
        "failure_class": "http",
        "reason": "HTTP 404",
    }
    return About.make(**{**told, **more})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@a.test/x@y?z=@", "http://***@a.test/x@y?z=@"),
        ("http://me:p@w@a.test/", "http://***@a.test/"),
        ("failed: <GET ftp://u@h/> via http://p:q@proxy:1", "failed: <GET ftp://***@h/> via http://***@proxy:1"),
        ("http://a.test/me@there", "http://a.test/me@there"),
        ("http://a.test?q=me@there", "http://a.test?q=me@there"),
        ("no url, me@there", "no url, me@there"),
        ("invalid hostname: me:pw@a.test", "invalid hostname: ***@a.test"),
        ("a.test:80 said me@there", "a.test:80 said me@there"),
    ],
)  # fmt: skip
def test_credentials_of_urls_are_masked(text, shown):
    """What stands before the @ of a URL's host is hidden, and nothing else."""
    assert mask(text) == shown


def test_a_letter_holds_no_credentials():
    """URL, reason and exception are masked when a letter is made."""
    url = "http://me:secret@a.test/"
    letter = made(url=url, reason=f"no {url}", exception=ValueError(url))

    assert "secret" not in repr(letter)
    assert letter.exception == "ValueError: http://***@a.test/"


@given(st.text(), st.text(st.characters(exclude_characters="/?# \t\n\r")))
def test_masking_any_text_leaves_no_credentials(before, secret):
    """Whatever stands around it, a password in a URL does not come through."""
    text = f"{before} http://u:{secret}@h/"

    assert mask(text).endswith("http://***@h/")


@given(st.text())
def test_what_is_shown_is_printable(text):
    """No text can move a cursor, turn around or break a line; harmless text stays as it is."""
    shown = printable(text)

    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize("char", ["\x1b", "\n", "\r", "\x9b", "\u202e", "\u2028", "\ud800"])
def test_control_characters_are_escaped(char):
    """Escape sequences, line ends, bidi controls and lone surrogates are written out."""
    assert char not in printable(f"a{char}b")
    assert printable(f"a{char}b").startswith("a\\")


def test_exceptions_whose_text_fails():
    """An exception that can't say what it is is named by its class."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    assert describe(MuteError()).endswith("MuteError")
    assert describe(KeyError()) == "KeyError"
    assert describe("as it is") == "as it is"
    assert describe(None) is None


def test_an_unknown_kind_is_refused():
    """A kind is one of a few."""
    with pytest.raises(ValueError, match="'sad' is not a kind of dead letter"):
        made(kind="sad")


def test_long_texts_are_cut():
    """A page can't fill the store through an exception's text."""
    letter = made(reason="x" * 10_000, exception=ValueError("y" * 10_000))

    assert (len(letter.reason), len(letter.exception)) == (500, 500)


def test_times():
    """A letter's first failure is now unless it is given."""
    assert (made().first, made().last) == (9.0, 9.0)
    assert (made(first=4.0).first, made(first=4.0).last) == (4.0, 9.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_comes_back_from_its_row(kind):
    """A row has the names of exports, and gives the letter back."""
    letter = made(kind=kind, status=404, attempts=3, exception="no")

    assert About.load(letter.row()) == letter
    assert letter.row()["class"] == "http"
    assert About.load({"url": "only"}).url == "only"


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (Wanted(), True),
        (Wanted(domain="a.test"), True),
        (Wanted(domain="TEST"), True),
        (Wanted(domain="b.test"), False),
        (Wanted(domain="est"), False),
        (Wanted(failure_class="http"), True),
        (Wanted(failure_class="callback"), False),
        (Wanted(kind="permanent"), True),
        (Wanted("a.test", "http", "exhausted"), False),
        (Wanted("a.test", "http", "permanent"), True),
    ],
)
def test_filters(wanted, passes):
    """A letter passes when domain, class and kind all do; a domain has its subdomains."""
    assert wanted(made()) is passes
