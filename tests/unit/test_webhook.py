"""What an answer to a webhook means."""

from __future__ import annotations

import pytest

from scrapy_resilience.guard.notify.webhook import _outcome


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_sent(status):
    """The receiver has it."""
    assert _outcome(status, {}).problem == ""


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 410, 500, 502])
def test_tried_again(status):
    """The place or the moment is wrong: another try may get there."""
    outcome = _outcome(status, {"Retry-After": "7"})
    assert f"HTTP {status}" in outcome.problem
    assert (outcome.rejected, outcome.retry_after) == (False, None)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_rejected(status):
    """The notice itself is wrong for it."""
    assert _outcome(status, {}).rejected


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("nonsense", None), ("-1", None), ("9" * 40, None)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_throttled(status, header, seconds):
    """It says for how long."""
    assert _outcome(status, {"Retry-After": header}).retry_after == seconds
