"""The files for operators: Prometheus takes them, and they name what the code exports."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from report import report

from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.observe.metrics.metric_names import defined
from scrapy_resilience.operations import FILES, write_operations

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scrapy_resilience" / "operations"
ALERTS = (FOLDER / "alerts.yml").read_text("utf-8")
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
EXPORTED = {
    metric.name + end
    for metric in defined()
    for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


def checked(*command, **kwargs):
    """Run a command; what it says is in the report of a failure."""
    run = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def panels():
    """The panels that ask for something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    """What the dashboard asks Prometheus for."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


# --- names ----------------------------------------------------------------------------


def test_every_expression_names_a_metric():
    """Rules and dashboard ask for nothing that is not exported."""
    named = "\n".join([ALERTS, json.dumps(DASHBOARD)])
    report(set(re.findall(r"\bscrapy_[a-z_]+", named)) - EXPORTED - {"scrapy_resilience"})


def test_labels_of_expressions():
    """A label that is asked for is one of its metric."""
    known = {"job", "instance", "spider", "le"}
    labels = {label for metric in defined() for label in metric.labels} | known
    asked = [*expressions(), *re.findall(r"\bby \(([^)]*)\)", ALERTS)]
    grouped = {
        label.strip()
        for text in asked
        for group in re.findall(r"\bby \(([^)]*)\)", text)
        for label in group.split(",")
    }
    assert grouped <= labels


# --- Prometheus -------------------------------------------------------------------------


def test_promtool_takes_rules_and_configuration(promtool):
    """Both are valid."""
    assert "15 rules found" in checked(promtool, "check", "rules", str(FOLDER / "alerts.yml"))
    checked(promtool, "check", "config", str(FOLDER / "prometheus.yml"))


def test_rules_fire_when_they_should(promtool, tmp_path):
    """And not when they should not: promtool's own unit tests."""
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)

    assert "SUCCESS" in checked(promtool, "test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_every_alert_has_a_test():
    """No rule is added without one."""
    tests = Path(__file__).with_name("alerts_test.yml").read_text("utf-8")
    report(
        set(re.findall(r"- alert: (\w+)", ALERTS)) - set(re.findall(r"alertname: (\w+)", tests))
    )


def test_promtool_takes_the_expressions_of_the_dashboard(promtool, tmp_path):
    """Each is valid PromQL, once Grafana has put in what is chosen."""
    rules = [
        {"record": f"e{at}", "expr": text.replace("$__rate_interval", "1m").replace("$", "")}
        for at, text in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))

    assert f"{len(rules)} rules found" in checked(promtool, "check", "rules", str(path))


# --- the dashboard ------------------------------------------------------------------------


def test_the_dashboard_is_what_the_tool_makes():
    """Whoever changes one makes the other."""
    assert runpy.run_path(str(ROOT / "tools" / "dashboard.py"))["dashboard"]() == DASHBOARD


def test_panels_do_not_overlap():
    """Each has a place and a number of its own, within the width of the page."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_say_what_they_show():
    """Each has a title, a description and a data source that can be chosen."""
    report(
        panel["title"]
        for panel in panels()
        if not (panel["description"] and panel["datasource"]["uid"] == "${datasource}")
    )


# --- what is written out ------------------------------------------------------------------


def test_files_are_written(tmp_path):
    """All of them, into a folder that is made."""
    paths = write_operations(tmp_path / "new" / "operations")

    assert {path.name for path in paths} == set(FILES)
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".py"} - {
        "__pycache__"
    } == set(FILES)
    assert all(path.read_bytes() == (FOLDER / path.name).read_bytes() for path in paths)


def test_nothing_is_overwritten(tmp_path):
    """One that is there is left as it is, and none is written; unless that is asked for."""
    (tmp_path / "alerts.yml").write_text("mine")
    with pytest.raises(ResilienceError, match=r"has alerts\.yml already: use --force"):
        write_operations(tmp_path)

    assert (tmp_path / "alerts.yml").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    write_operations(tmp_path, force=True)
    assert (tmp_path / "alerts.yml").read_text("utf-8") == ALERTS


def test_settings_that_files_name_exist():
    """Environment variables of the unit and the Job are settings."""
    from scrapy_resilience.settings import fields_by_name  # noqa: PLC0415 - only here

    texts = "\n".join((FOLDER / name).read_text("utf-8") for name in FILES)
    report(set(re.findall(r"\bRESILIENCE_[A-Z_]+[A-Z]", texts)) - set(fields_by_name()))
