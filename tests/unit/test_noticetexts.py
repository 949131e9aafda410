"""What people and programs are sent: nothing in it means anything to a service."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.notices import Notice
from scrapy_resilience.core.noticetexts import body, for_programs, for_slack, harmless, title

EVIL = [
    "<!channel> look", "@everyone", "x@here now", "<@U012AB> hi", "<@&99>", "@someone",
    "[click](http://evil.test)", "<http://evil.test|good.test>", "<b>bold</b>", "<#C01>",
    "a\r\nBcc: all@evil.test", "\x1b[31mred", "&lt;!here&gt;",
]  # fmt: skip


def notice(text="It rests", **more):
    """A notice with what it must have."""
    told = {"id": "abc", "time": 0.0, "kind": "pause", "severity": "warning", "texts": [text]}
    return Notice(**{**told, **more})


def means_something(text):
    """Whether a chat service would take a part of it for more than text."""
    return re.search(
        r"@(everyone|here|channel|all\b)|<[@!#&/a-z]|\]\(|(^|\W)@\w", text, re.IGNORECASE
    )


@pytest.mark.parametrize("text", EVIL)
def test_what_a_page_may_have_put_in(text):
    """It is no mention, link, tag, line or command in any of the texts for people."""
    found = notice(text, spider=text, kind=text, details={text: text})

    for shown in (title(found), body(found)):
        assert not means_something(shown), shown
    assert "\n" not in title(found)
    assert "\r" not in body(found)
    slack = for_slack(found)["text"]
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", slack)


@given(st.text(alphabet="@<>![]()&# ahereveryonlchmt\n\r\x1b", max_size=60))
def test_harmless(text):
    """Whatever it is made of, and nothing of it is lost."""
    assert not means_something(harmless(text))
    assert harmless(text).replace("\u200b", "") == text


@given(st.text(max_size=400), st.integers(1, 10**9), st.dictionaries(st.text(), st.text()))
def test_bounds(text, count, details):
    """A message fits into what services take, in one title line."""
    found = notice(text * 20, count=count, details=details, spider=text, kind=text)

    assert len(title(found)) <= 150
    assert len(title(found).splitlines()) == 1
    assert len(body(found)) <= 3000
    assert json.loads(json.dumps(for_programs(found)))["id"] == "abc"


def test_a_message():
    """It says whose it is, what has happened, how often, and has the id."""
    found = notice(
        "a.test is down", spider="shop", count=5, kind="outage",
        details={"requests_left": 1234567, "incomplete": True},
    )  # fmt: skip
    found.texts.append("b.test is down")

    assert title(found) == "shop: outage (warning, 5 times)"
    assert body(found).splitlines() == [
        "a.test is down",
        "b.test is down",
        "and 3 more",
        "requests left: 1,234,567",
        "incomplete: yes",
        "1970-01-01 00:00:00 UTC, event abc",
    ]


def test_an_address_of_mail_stays():
    """It is no mention."""
    assert harmless("write to me@shop.test") == "write to me@shop.test"


def test_json():
    """Programs get the texts as they are."""
    assert for_programs(notice("<!channel>"))["text"] == "<!channel>"
