"""The diagrams in the documentation are what their scripts draw, from the breaker's table."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from scrapy_resilience.core import breaker
from scrapy_resilience.core.breaker import TRANSITIONS, Event, State

SCRIPTS = Path(__file__).resolve().parents[2] / "docs" / "_ext"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    """Let the scripts find what is beside them, as they do when they are run."""
    monkeypatch.syspath_prepend(SCRIPTS)


def drawing(name="state_diagram"):
    """Return what a script draws and what is committed."""
    script = runpy.run_path(str(SCRIPTS / f"{name}.py"))
    return script["draw"](), script["FILE"].read_text("utf-8")


@pytest.mark.parametrize("name", ["state_diagram", "gates_diagram"])
def test_the_committed_diagram_is_up_to_date(name):
    """The file is what the script draws: run it after a change of the table or the script."""
    drawn, committed = drawing(name)

    assert committed == drawn


def test_it_shows_each_state_and_each_event():
    """Every name of the table is a label, and the file is XML."""
    svg = ET.fromstring(drawing()[1])  # noqa: S314 - our own
    labels = {span.text.removesuffix(", from any state") for span in svg.iter(f"{SVG}tspan")}

    states = {state.value.replace("_", " ") for state in State}
    assert labels == {event.value for event in Event} | states


def test_a_transition_without_a_place_is_noticed(monkeypatch):
    """A new arrow in the table makes the script fail, rather than be left out."""
    table = {**TRANSITIONS, (State.FORCED_OPEN, Event.TRIAL_LATE): State.OPEN}
    monkeypatch.setattr(breaker, "TRANSITIONS", table)

    with pytest.raises(KeyError):
        drawing()
