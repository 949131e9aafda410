"""Texts that are masked and cut: wherever the cut falls, no half of a secret is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.masking import clipped, masked_start
from scrapy_resilience.observe.logs.plain_values import text_of
from scrapy_resilience.observe.metrics.text_format import labels_text
from scrapy_resilience.observe.record.causes import shown_url, traceback_of
from scrapy_resilience.observe.record.events import EventLog
from scrapy_resilience.observe.record.journal import Journal

WORD = "hunter2-"
URL = f"https://user:{WORD * 30}@host.example/"


def event(text):
    """What those are told who listen."""
    log, heard = EventLog(Journal()), []
    log.each.append(heard.append)
    log.event("run", text)
    return heard[0].text


def traceback(text):
    """Of an exception that says so, in several lines."""
    return traceback_of(ValueError(text.replace(" ", "\n")))


SHOWN = {
    "event": event,
    "traceback": traceback,
    "log": text_of,
    "url": shown_url,
    "clipped": lambda text: clipped(text, 300),
    "start": lambda text: masked_start(text, 4_000),
    "label": lambda text: labels_text({"url": text}),
}


@given(
    name=st.sampled_from(sorted(SHOWN)),
    shrinks=st.integers(0, 9_000),
    before=st.integers(0, 40_000),
    after=st.integers(0, 40_000),
)
def test_no_half_of_a_secret(name, shrinks, before, after):
    """What was masked before it is shorter than it was, so more of the text is in view."""
    text = f"?token={'y' * shrinks} {'z ' * (before // 2)}{URL}{' w' * (after // 2)}"

    shown = SHOWN[name](text)

    assert WORD not in shown
    assert len(shown) < 34_000
