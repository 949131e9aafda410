"""With which job a report compares."""

from __future__ import annotations

import os

import pytest

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.observe.report import previous
from scrapy_resilience.observe.report.previous import previous_view
from scrapy_resilience.observe.report.report import write_report
from scrapy_resilience.observe.view import Checkpoint, DomainView, JobView, Progress, View


def job(ident, *, path="jobs/now", spider="shop", started=100.0, ended=None, items=0):
    """A view of a job that has done so much."""
    return View(
        job=JobView(spider=spider, ident=ident, path=path, started=started),
        progress=Progress(items=items),
        checkpoint=Checkpoint(last=ended),
        domains=[DomainView(name="a.test")],
    )


def test_it_is_that_of_the_report_before(tmp_path):
    """Of the same spider; its lists are left out."""
    path = tmp_path / "report.html"
    write_report(path, job("a", items=7))
    assert previous_view(path, job("b")).progress.items == 7
    assert previous_view(path, job("b")).domains == []
    assert previous_view(path, job("b", spider="other")) is None


def test_a_resumed_job_is_compared_with_the_one_before(tmp_path):
    """Not with its own first run, whose counts are in its own."""
    path = tmp_path / "report.html"
    write_report(path, job("b"), job("a", items=7))
    assert previous_view(path, job("b")).progress.items == 7


def test_crawls_without_a_job_are_never_the_same(tmp_path):
    """None of them has an ident."""
    path = tmp_path / "report.html"
    write_report(path, job("", path=None, items=7))
    assert previous_view(path, job("", path=None)).progress.items == 7


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Make a job in a folder beside another, and have it read as a view."""
    views = {}

    def read(folder):
        if folder.name not in views:
            raise CheckpointError("it is damaged")
        return views[folder.name]

    def make(name, age, view=None):
        (tmp_path / name).mkdir()
        (tmp_path / name / STORE).touch()
        os.utime(tmp_path / name / STORE, (1000 - age, 1000 - age))
        if view is not None:
            views[name] = view

    monkeypatch.setattr(previous, "offline_view", read)
    return make


def test_it_is_the_newest_job_beside_it(tmp_path, beside):
    """Of the same spider, ended before this one began; what can't be read is passed over."""
    beside("now", 0, job("now"))
    beside("later", 1, job("later", ended=200.0, items=1))
    beside("damaged", 2)
    beside("of another", 3, job("x", spider="other", ended=50.0, items=2))
    beside("before", 4, job("before", ended=50.0, items=3))
    beside("oldest", 5, job("oldest", ended=40.0, items=4))
    (tmp_path / "a file").touch()
    view = job("now", path=str(tmp_path / "now"))
    assert previous_view(tmp_path / "report.html", view).progress.items == 3


def test_a_folder_that_is_gone_has_none_beside_it(tmp_path):
    """Such as that of a job on another machine."""
    view = job("now", path=str(tmp_path / "gone" / "now"))
    assert previous_view(tmp_path / "report.html", view) is None
