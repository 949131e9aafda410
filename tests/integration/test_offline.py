"""What is known of a job from its files alone."""

from __future__ import annotations

import json

import pytest
from crawls import PAGES, SICK, Crawl

from scrapy_resilience.checkpoint.state import StateRegistry
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.observe.offline_view import offline_view

pytestmark = pytest.mark.integration

LIMITS = {"RESILIENCE_RATE_LIMITS": {"h0.test": 5}}


@pytest.fixture
def job(tmp_path, plain):
    """``job(pages, errors, **settings)``: a project that asks two hosts for pages."""

    def make(pages=12, errors=0, **settings):
        urls = [plain.url("h0.test", f"/page/{page}") for page in range(1, pages + 1)]
        urls += [plain.url("error.test", f"/page/{page}") for page in range(errors)]
        return Crawl(tmp_path, PAGES, plain, **{"URLS": urls, **SICK, **LIMITS, **settings})

    return make


def test_a_job_that_has_finished(job):
    """All of its figures, and what its time was spent on."""
    made = job(30)
    run = made.finish()

    view = offline_view(made.job)

    assert (view.job.spider, view.job.state, view.job.reason) == (
        "shop",
        "finished",
        "finished",
    )
    assert view.job.sentence == "It has finished with 30 items."
    assert (view.progress.pages, view.progress.items, view.progress.pending) == (30, 30, 0)
    assert view.traffic.statuses == {"200": 30}
    assert view.traffic.requests == run.stats["downloader/request_count"]
    assert {(each.field, each.share) for each in view.items.coverage} == {("sku", 1), ("at", 1)}
    assert view.checkpoint.commits == run.stats["resilience/checkpoint/commits"]
    assert view.accounting.job.shares[0].cause == "gate"
    assert "of the whole job waited for the rate limit of h0.test" in view.accounting.sentence
    assert view.domains == []


def test_a_job_that_was_killed(job):
    """What is left of each domain, and which are down, as of the last commit."""
    made = job(40, 30, RESILIENCE_BREAKER_RECOVERY_TIMEOUT=60, RESILIENCE_BREAKER_FIRST_TRIAL=0)
    made.run_until(
        until=lambda: any(
            gate["state"] == "open" for _, gate in made.states("resilience.gates")
        )
    )

    view = offline_view(made.job)

    assert view.job.state == "killed"
    assert view.job.incomplete
    assert "left: the same command goes on" in view.job.sentence
    assert view.breakers == {"open": 1}
    first, second = view.domains
    assert (first.name, first.breaker) == ("error.test", "open")
    assert first.waits_for == "circuit breaker is open"
    assert first.next_try > view.time
    assert (second.name, second.breaker, second.waits_for) == ("h0.test", "closed", "")
    assert first.pending + second.pending == view.progress.pending
    assert view.domains_known == 2


def test_a_job_that_runs(job):
    """Is seen from another process, without its endpoint."""
    made = job(500)
    with made.process() as crawling:
        while made.commits() < 5:
            assert crawling.poll() is None, made.last()
        view = offline_view(made.job)
    assert view.job.state == "running"
    assert view.job.sentence == (
        "It runs in another process, and had "
        f"{view.progress.pending} requests to do at its last commit."
    )


def test_status_has_the_sentence(job):
    """Beside the keys that it had before, and what guards, costs and the abort policy say."""
    made = job(3)
    made.finish()
    report = json.loads(made.run("resilience", "status", "job", "--json").out)
    assert report["sentence"] == "It has finished with 3 items."
    assert report["items"] == 3
    assert report["guard"]["pauses"] == report["cost"]["budgets"] == []
    assert report["abort"]["policy"] == ""
    table = made.run("resilience", "status", "job").out
    assert "sentence         It has finished with 3 items." in table


def test_a_folder_that_is_no_job(tmp_path):
    """Is an error."""
    with pytest.raises(CheckpointError, match="is not a job"):
        offline_view(tmp_path)


def test_values_of_another_version(job, monkeypatch):
    """Are left out where a page can do without them."""
    made = job(3)
    made.finish()
    load = StateRegistry.load

    def other(state, name):
        is_other = name.endswith(("accounting", "confidence"))
        return {"other": 1} if is_other else load(state, name)

    monkeypatch.setattr(StateRegistry, "load", other)

    view = offline_view(made.job)
    assert view.progress.items == 3
    assert view.accounting.job.seconds == 0
    assert view.items.confidence.counts == []
