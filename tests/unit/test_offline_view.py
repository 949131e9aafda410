"""The view of a job from its files, for what no crawl has to be run."""

from __future__ import annotations

import pytest
from snapshot_samples import make_store
from test_drift import feed

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.core.drift import Alarm, DriftMonitor
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.observe import offline_view as module
from scrapy_resilience.observe.guards import stored_guard
from scrapy_resilience.observe.offline_view import offline_view
from scrapy_resilience.observe.view import EventView


def drifting(kind=None):
    """A monitor with a field that is well and, of a *kind*, one that drifts; and its alarms."""
    monitor = DriftMonitor()
    feed(monitor, 200, 0)
    feed(monitor, 200, 0, domain="b.test")
    found = {
        "fill": {"index": None},
        "valid": {"index": 0, "valid": False},
        "fallback": {"index": 1},
    }
    return monitor, feed(monitor, 40, **found[kind], domain="b.test") if kind else []


def stored(folder, monitor):
    """The view of a job that has stored what *monitor* knows."""
    registry = StateRegistry({}, ValueCodec())
    registry.register_map("resilience.drift", monitor.changed, lambda _: None)
    make_store(folder, state=registry.changed(), last_checkpoint=5.0)
    return offline_view(folder)


@pytest.mark.parametrize("kind", ["fill", "valid", "fallback"])
def test_a_field_that_drifts(tmp_path, kind):
    """It is in the view as it was when the job ran, since its last commit at the latest."""
    [drift] = stored(tmp_path, drifting(kind)[0]).items.drift

    assert (drift.set, drift.field, drift.domain, drift.kind) == (
        "shop",
        "price",
        "b.test",
        kind,
    )
    assert drift.since == 5.0


def test_since_when_a_field_drifts():
    """The events have it, whatever else they tell."""
    _, [alarm] = drifting("fill")
    assert isinstance(alarm, Alarm)
    events = [
        EventView(time=1.0, kind="drift", text=str(alarm), severity="warning", domain="b.test"),
        EventView(time=2.0, kind="drift", text=f"x; {alarm}", severity="warning", domain=""),
        EventView(time=3.0, kind="error", text=str(alarm), severity="warning", domain=""),
        EventView(
            time=4.0, kind="drift", text="shop 1, at on b.test: ", severity="warning", domain=""
        ),
    ]

    [drift] = module._drift([("shop", "price", "b.test", "fill")], events, 9.0)

    assert drift.since == 2.0


def test_no_field_drifts(tmp_path):
    """Nor in a job whose selectors nobody watches."""
    assert stored(tmp_path, drifting()[0]).items.drift == []


def test_drift_of_another_version(tmp_path):
    """It is left out, and the rest is there."""
    registry = StateRegistry({}, ValueCodec())
    registry.register_map("resilience.drift", lambda: {"a": 1}, lambda _: None)
    make_store(tmp_path, state=registry.changed(), items=7)

    view = offline_view(tmp_path)
    assert (view.items.drift, view.job.spider) == ([], "shop")


def test_what_the_guards_have_done():
    """Each ladder that was climbed in any run, and what it said last."""
    totals = {
        "resilience/guard/memory/clean": 4,
        "resilience/guard/memory/pause": 1,
        "resilience/guard/memory/freed_bytes": 10**9,
        "resilience/guard/disk/pause": 0,
    }
    events = [
        EventView(time=float(at), kind="memory", text=text, severity="warning", domain="")
        for at, text in enumerate(["first", "last"])
    ]

    [ladder] = stored_guard(totals, events).ladders

    assert (ladder.resource, ladder.rung, ladder.text) == ("memory", "healthy", "last")
    assert ladder.climbed == {"clean": 4, "pause": 1}
