"""A shop is redesigned while it is crawled: the alarm, the fallback and the way back."""

from __future__ import annotations

import json
import random
from textwrap import dedent

import pytest
from crawls import Crawl

from scrapy_resilience.testing import SiteConfig, running_site

pytestmark = pytest.mark.integration

PAGES = 150

SPIDER = """
from itertools import count
from shop import Base
from scrapy_resilience.selectors import registry
from scrapy_resilience.signals import selector_drift


class Shop(Base):
    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        self = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(self.drifted, selector_drift)
        return self

    def drifted(self, alarm, candidates, response, extraction):
        found = [each.selector for each in candidates]
        print(alarm.field, alarm.kind, alarm.domain, *found, flush=True)

    def products(self, response):
        found = registry.get("shelf").extract(response)
        yield {**found, "page": int(response.css("main::attr(data-page)").get())}


class Redesign:
    pages = count()

    def process_response(self, request, response):
        if next(self.pages) < BEFORE:
            return response
        body = response.body.replace(b'class="intro"', b'class="introduction"')
        return response.replace(body=body.replace(b"<h1>", b"<h2>").replace(b"</h1>", b"</h2>"))
"""

SHELF = """
set = "shelf"
version = "1.0.0"
[fields]
title = ["css:h1"]
intro = ["css:p.intro", "xpath://main/p[1]"]
"""


@pytest.fixture(scope="module")
def shop():
    """One shop that is large enough for a baseline."""
    with running_site(SiteConfig(hosts=1, pages=PAGES, latency=0)) as site:
        yield site


@pytest.fixture
def crawl(tmp_path, shop):
    """``crawl(before)``: a project whose shop is redesigned after so many pages."""
    shop.reset()

    def crawl_(before, **settings):
        job = Crawl(
            tmp_path,
            dedent(SPIDER).replace("BEFORE", str(before)),
            shop,
            random.Random(1),
            DOWNLOADER_MIDDLEWARES={"spider.Redesign": 500},
            RESILIENCE_DRIFT_WINDOW=20,
            RESILIENCE_DRIFT_BASELINE=30,
            **settings,
        )
        job.write("shelf.toml", SHELF)
        assert job.run("resilience", "selectors", "add", "shelf.toml").code == 0
        return job

    return crawl_


def test_a_redesign(crawl):
    """Each alarm comes once; the fallback carries on; coverage says what is lost."""
    run = crawl(90).run()
    run.check_finished()

    assert sorted(run.out.splitlines()) == [
        "intro fallback h0.test css:p.introduction",
        "title fill h0.test",
    ]
    assert run.stats["resilience/drift/alarms"] == 2
    assert "resilience/drift/changes" not in run.stats
    assert run.stats["resilience/coverage/dict/intro"] == 1
    assert run.stats["resilience/coverage/dict/title"] == 90 / PAGES
    assert "Selector drift: shelf 1.0.0, title on h0.test: filled on " in run.log


def test_a_redesign_ends_a_crawl(crawl):
    """An abort policy counts the alarms, and closes the crawl with what it has."""
    job = crawl(
        60,
        DOWNLOAD_DELAY=0.03,
        RANDOMIZE_DOWNLOAD_DELAY=False,
        RESILIENCE_ABORT_POLICY="redesigned",
        RESILIENCE_ABORT_POLICIES={"redesigned": {"drift_alarms": 2}},
        RESILIENCE_ABORT_INTERVAL=0.1,
        RESILIENCE_ABORT_AFTER=5,
    )
    run = job.run()

    assert (run.code, run.reason) == (75, "resilience_abort_redesigned"), run
    assert run.stats["resilience/drift/alarms"] == 2
    assert run.stats["item_scraped_count"] < PAGES


def test_no_redesign(crawl):
    """A site that stays as it is raises no alarm."""
    run = crawl(PAGES).run()
    run.check_finished()

    assert run.out == ""
    assert run.stats["resilience/coverage/dict/title"] == 1


def test_rollback(crawl):
    """An older version that finds the field becomes the active one, for later crawls too."""
    job = crawl(90, RESILIENCE_DRIFT_ACTION="rollback")
    newer = SHELF.replace("1.0.0", "1.1.0").replace('"css:h1"', '"css:h1"')
    older = SHELF.replace("1.0.0", "1.0.1").replace('"css:h1"', '"css:main > h2", "css:h1"')
    for text in (older, newer):
        job.write("shelf.toml", text)
        assert job.run("resilience", "selectors", "add", "shelf.toml").code == 0

    run = job.run()
    run.check_finished()

    assert run.stats["resilience/drift/changes"] == 1
    assert "Selector drift: shelf 1.0.1 is active now" in run.log
    assert job.path("selectors/shelf/active").read_text().split()[0] == "1.0.1"
    assert run.stats["resilience/coverage/dict/title"] > 0.9


def test_promote(crawl):
    """The fallback that works becomes the primary selector of a new version."""
    job = crawl(90, RESILIENCE_DRIFT_ACTION="promote")
    run = job.run()
    run.check_finished()

    assert run.stats["resilience/drift/changes"] == 1
    shown = job.run("resilience", "selectors", "show", "shelf", "--json")
    data = json.loads(shown.out)
    assert (data["version"], data["active"]) == ("1.0.0.p1", True)
    assert data["fields"]["intro"]["selectors"] == ["xpath://main/p[1]", "css:p.intro"]


def test_kills(crawl):
    """What is known of a field survives kills: the alarm comes with the baseline of before."""
    job = crawl(PAGES, DOWNLOAD_DELAY=0.02, RANDOMIZE_DOWNLOAD_DELAY=False)
    for items in (20, 60):
        job.run_until(until=lambda least=items: (job.state() or {}).get("items", 0) >= least)
    assert job.kills == 2
    assert job.state()["items"] < PAGES - 30, "too few pages are left to tell"
    job.write("spider.py", dedent(SPIDER).replace("BEFORE", "0"))

    run = job.run()
    run.check_finished()

    assert "title fill h0.test" in run.out
    assert len(job.items()) == PAGES
    share = sum(item["title"] is not None for item in job.items()) / PAGES
    assert run.stats["resilience/coverage/dict/title"] == pytest.approx(share, abs=0.001)


def test_left_out(crawl):
    """Both parts can be switched off."""
    run = crawl(90, RESILIENCE_DRIFT_ENABLED=False, RESILIENCE_COVERAGE_ENABLED=False).run()
    run.check_finished()

    assert run.out == ""
    assert not [key for key in run.stats if "coverage" in key or "drift" in key]


# --- the command ------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """``project(*words)`` runs scrapy resilience selectors."""
    job = Crawl(tmp_path, "from shop import Base\nclass Shop(Base): pass\n")
    job.write("shelf.toml", SHELF)
    return lambda *words: job.run("resilience", "selectors", *words)


def test_command(project):
    """List, show, test, diff, add and rollback do what they say."""
    assert project("add", "shelf.toml").out.startswith("shelf 1.0.0 is active, hash ")
    rows = json.loads(project("list", "--json").out)
    assert [row["set"] for row in rows] == [
        "amazon_product", "ecommerce_product", "job_listing", "linkedin_profile", "shelf",
    ]  # fmt: skip
    assert "css:p.intro" in project("show", "shelf").out
    tested = project("test").out
    assert "amazon_product 1.0.0: 2 fixtures as expected" in tested
    assert "shelf 1.0.0: no fixtures" in tested
    assert project("test", "shelf", "1.0.0").code == 0


def test_command_versions(project, tmp_path):
    """A new version shows in a diff, and a rollback takes it back."""
    project("add", "shelf.toml")
    (tmp_path / "shelf.toml").write_text(SHELF.replace("1.0.0", "1.1.0").replace("h1", "h2"))
    project("add", "shelf.toml")

    diff = project("diff", "shelf", "1.0.0", "1.1.0").out
    assert "-  css:h1\n+  css:h2" in diff
    assert project("diff", "shelf", "1.1.0").out == "no difference\n"
    assert project("rollback", "shelf").out.startswith("shelf 1.0.0 is active")
    assert json.loads(project("show", "shelf", "--json").out)["version"] == "1.0.0"


def test_command_where_one_set_was_edited(project, tmp_path):
    """The others are listed, with exit code 1."""
    project("add", "shelf.toml")
    file = tmp_path / "selectors" / "shelf" / "1.0.0.toml"
    file.chmod(0o600)
    file.write_text(file.read_text().replace("h1", "h2"))

    run = project("list", "--json")
    rows = {row["set"]: row["problem"] for row in json.loads(run.out)}
    assert run.code == 1
    assert "shelf" in str(rows.pop("shelf"))
    assert set(rows.values()) == {None}
    assert "amazon_product" in project("list").out


def test_command_regressions(project, tmp_path):
    """A version that is worse is refused with exit code 1, unless it is forced."""
    project("add", "shelf.toml")
    fixtures = tmp_path / "selectors" / "shelf" / "fixtures"
    fixtures.mkdir()
    (fixtures / "a.html").write_text("<h1>Shelf 1</h1>")
    expected = {"url": "https://a.test/", "expected": {"title": "Shelf 1"}}
    (fixtures / "a.json").write_text(json.dumps(expected))
    (tmp_path / "shelf.toml").write_text(SHELF.replace("1.0.0", "1.1.0").replace("h1", "h2"))

    run = project("add", "shelf.toml")
    assert (run.code, "title is None, not 'Shelf 1'" in run.log) == (1, True)
    assert project("test", "shelf").code == 0
    assert project("add", "shelf.toml", "--force").code == 0
    run = project("test", "shelf")
    assert (run.code, "title is None" in run.out) == (1, True)
    run = project("test", "--json")
    assert run.code == 1
    assert json.loads(run.out)[-1]["failures"] == ["a: title is None, not 'Shelf 1'"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "nothing"], 1, "there is no selector set 'nothing'"),
        (["show", "amazon_product", "9"], 1, "no version '9'"),
        (["add", "nothing.toml"], 1, "can't be read"),
        (["rollback", "amazon_product"], 1, "is the oldest version"),
        (["add", "shelf.toml", "-s", "RESILIENCE_SELECTORS_DIR="], 1, "set RESILIENCE_SEL"),
        (["list", "-s", "RESILIENCE_SELECTORS_DIR=shelf.toml"], 1, "is a file: use a folder"),
        (["diff", "amazon_product"], 2, "selectors diff <set>"),
        (["frob"], 2, "selectors diff <set>"),
        ([], 2, "use one of:"),
    ],
)
def test_command_wrong(project, words, code, said):
    """What can't be done is said in one line, with its exit code."""
    run = project(*words)

    assert (run.code, said in run.log + run.out) == (code, True), run
    assert "Traceback" not in run.log
