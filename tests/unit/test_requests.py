"""What the scheduler reads off a request."""

from __future__ import annotations

import pytest
from scrapy import Request

from scrapy_resilience.scheduling.requests import WrongMeta, pop_delay

URL = "http://a.test/"


@pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), (2.5, 2.5), ("3", 3.0), (0, 0.0)])
def test_a_delay(value, seconds):
    """Seconds are taken out of the meta: a copy of the request does not inherit them."""
    request = Request(URL, meta={"resilience_delay": value})
    assert pop_delay(request, WrongMeta()) == seconds
    assert request.meta == {}


def test_a_wrong_value_is_told_once(caplog):
    """A value that is wrong in all requests of a spider is one line, another value another."""
    wrong = WrongMeta()
    for value in ("soon", "soon", -1, "soon", -1, None, float("nan"), float("nan")):
        assert pop_delay(Request(URL, meta={"resilience_delay": value}), wrong) == 0

    assert [message.partition(" of ")[0] for message in caplog.messages] == [
        "resilience_delay='soon'", "resilience_delay=-1", "resilience_delay=None",
        "resilience_delay=nan",
    ]  # fmt: skip


def test_wrong_values_without_end(caplog):
    """A spider that gives each request another wrong value does not fill the log."""
    wrong = WrongMeta()
    for number in range(1, 1000):
        pop_delay(Request(URL, meta={"resilience_delay": -number}), wrong)
    assert len(caplog.messages) == 100
