"""Dead letters: what was given up is written once, listed, and done again on demand."""

from __future__ import annotations

import csv
import json
import signal
from collections import Counter
from urllib.parse import urlsplit

import pytest
from crawls import KILLED, Crawl, wait_until

from scrapy_resilience.testing.model import back_links, children

pytestmark = pytest.mark.integration

SOURCE = """
    import os
    import signal
    from pathlib import Path

    from scrapy.exceptions import DropItem, IgnoreRequest
    from scrapy_resilience.failpoints import reached
    from shop import Base, number

    step, _, left = os.environ.get("KILL_AT", "").partition(":")
    left = int(left or 0)

    def kill(name):
        global left
        left -= name == step
        if name == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    reached.append(kill)

    def sick(place, page):
        return page % 10 == place and not Path("healed").exists()

    class Shop(Base):
        custom_settings = {
            "DOWNLOADER_MIDDLEWARES": {"spider.Fence": 543},
            "ITEM_PIPELINES": {"spider.Pipeline": 300},
        }

        async def start(self):
            with Path("starts").open("a") as file:
                file.write("x")
            async for request in super().start():
                yield request

        def parse(self, response):
            first, *others = self.products(response)
            yield first
            if sick(3, number(response)):
                raise RuntimeError("callback")
            yield from others
            yield from self.links(response)

    class Fence:
        def process_response(self, request, response):
            page = int(response.url.partition("/page/")[2] or 0)
            if sick(5, page):
                raise IgnoreRequest("fenced")
            return response.replace(status=404) if sick(6, page) else response

    class Pipeline:
        def process_item(self, item):
            if item["sku"].endswith("-1") and sick(7, item["page"]):
                raise ValueError("pipeline")
            if item["sku"].endswith("-1") and sick(8, item["page"]):
                raise DropItem("not wanted")
            return item
"""
KINDS = {3: "callback", 5: "ignored", 6: "permanent", 7: "pipeline"}


@pytest.fixture
def job(crawl):
    """A crawl of which a part fails until a file says that all is well again."""
    return crawl(SOURCE)


@pytest.fixture(scope="module")
def sick_once(tmp_path_factory, site_process):
    """A crawl that has ended, and given up a part; what it said."""
    site_process.reset()
    job = Crawl(tmp_path_factory.mktemp("sick") / "job", SOURCE, site_process)
    return job, run_sick(job), job.keep()


@pytest.fixture
def sick(sick_once):
    """The crawl that has ended, as it was left."""
    return sick_once[0].restore()


def expected_letters(site):
    """(host, page, kind) of what a sick crawl gives up, by a walk of its own."""
    found = Counter()
    for host in (urlsplit(url).hostname for url in site.start_urls()):
        seen, todo = {0}, [0]
        while todo:
            page = todo.pop()
            kind = KINDS.get(page % 10)
            if kind:
                found[host, page, kind] += 1
            if kind in {None, "pipeline"}:
                linked = {*children(site.config, page), *back_links(site.config, host, page)}
                todo += linked - seen
                seen |= linked
    return found


def letters(job, *options):
    """What the command lists."""
    run = job.run("resilience", "deadletters", "job", "--json", *options)
    assert run.code == 0, run
    return json.loads(run.out)


def keys(rows):
    """(host, page, kind) of each letter."""
    return Counter(
        (row["domain"], int(row["url"].partition("/page/")[2] or 0), row["kind"])
        for row in rows
    )


def status(job):
    """What the command says of the job."""
    return json.loads(job.run("resilience", "status", "job", "--json").out)


def run_sick(job, **more):
    """Run to the end, which is a good one, with what failed in the log."""
    run = job.run(**more)
    assert (run.code, run.reason) == (0, "finished"), run
    return run


def heal_and_replay(job, *options):
    """Make the site well and put letters back; return what the command says."""
    job.path("healed").touch()
    run = job.run("resilience", "replay", "job", "--json", *options)
    assert run.code == 0, run
    return json.loads(run.out)


def check_healed(job):
    """Each item is there once, but for what was dropped on purpose; nothing is left."""
    dropped = [i for i in job.site.expected_items() if i["page"] % 10 == 8]
    dropped = {item["sku"] for item in dropped if item["sku"].endswith("-1")}
    written = {item["sku"] for item in job.items()}
    job.check_items([i for i in job.site.expected_items() if i["sku"] not in dropped - written])
    assert letters(job) == []
    found = status(job)
    assert (found["state"], found["dead_letters"], found["incomplete"]) == (
        "finished",
        0,
        False,
    )


def test_what_is_given_up_is_listed(sick, sick_once):
    """Failures of each kind have a letter; dropped items have none."""
    _, run, _ = sick_once

    rows = letters(sick)
    wanted = expected_letters(sick.site)
    assert keys(rows) == wanted
    assert set(KINDS.values()) == {row["kind"] for row in rows}
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["permanent"]["status"] == 404
    assert by_kind["callback"]["exception"] == "RuntimeError: callback"
    assert by_kind["pipeline"]["exception"] == "ValueError: pipeline"
    assert by_kind["ignored"]["reason"] == "fenced"
    assert run.stats["resilience/incomplete"] == wanted.total()
    assert run.stats["resilience/deadletters/callback"] == sum(
        kind == "callback" for _, _, kind in wanted
    )
    found = status(sick)
    assert (found["state"], found["reason"]) == ("finished", "finished")
    assert (found["dead_letters"], found["incomplete"]) == (wanted.total(), True)
    assert "Requests given up: " in run.log


@pytest.mark.slow
def test_letters_are_written_once_whatever_is_killed(job):
    """After kills at random moments each letter is there once, and a replay gives each item."""
    for _ in range(2):
        job.run_until(commits=1)
    run = run_sick(job)

    wanted = expected_letters(job.site)
    assert job.kills >= 1, "make the crawl longer"
    assert keys(letters(job)) == wanted
    assert run.stats["resilience/incomplete"] == wanted.total()
    totals = "resilience/total/resilience/deadletters/pipeline"
    assert run.stats[totals] == sum(kind == "pipeline" for _, _, kind in wanted)

    heal_and_replay(job)
    for _ in range(1):
        if job.run_until(commits=1).code != KILLED:
            break
    else:
        job.finish()
    check_healed(job)


@pytest.mark.parametrize("step", ["commit/sealed", "commit/written", "close/committed"])
def test_a_kill_at_a_step_of_a_commit_neither_loses_nor_doubles_a_letter(job, step):
    """A kill between the seal and the end of a commit leaves each letter once."""
    run = job.run(env={"KILL_AT": f"{step}:{1 if step.startswith('close') else 3}"})
    assert run.code == KILLED, run

    run_sick(job)

    assert keys(letters(job)) == expected_letters(job.site)


def test_a_replay_of_a_finished_job_runs_what_failed_and_nothing_else(sick):
    """Each item once, no start() (the log says so), no page that was done, no letter left."""
    starts = sick.path("starts").read_text()

    found = heal_and_replay(sick)
    assert found["replayed"] == expected_letters(sick.site).total()
    assert (found["dead_letters"], found["kept"]) == (0, 0)
    assert status(sick)["state"] == "stopped"
    assert status(sick)["pending"] == found["replayed"]
    sick.site.reset()
    run = sick.finish()

    check_healed(sick)
    assert sick.path("starts").read_text() == starts
    assert f"Resuming job: {found['replayed']} requests to do\n" in run.log
    hosts = sick.site.stats()["hosts"]
    assert hosts
    assert not [name for name, host in hosts.items() if "/" in host["paths"]]
    refused = sick.run()
    refused.check_refused("has finished")


def test_a_killed_replay_goes_on(sick):
    """A replayed job that is killed goes on without start(), and ends with each item once."""
    heal_and_replay(sick)
    starts = sick.path("starts").read_text()

    assert sick.run(env={"KILL_AT": "commit/written:1"}).code == KILLED
    sick.finish()

    check_healed(sick)
    assert sick.path("starts").read_text() == starts


def test_a_replay_by_filters_leaves_the_rest(sick):
    """Only letters of the domain, class and kind that were asked for are replayed."""
    wanted = expected_letters(sick.site)
    host = min(host for host, _, _ in wanted)
    found = heal_and_replay(sick, "--domain", host, "--class", "callback")

    some = Counter(
        {key: n for key, n in wanted.items() if key[0] == host and key[2] == "callback"}
    )
    assert found["replayed"] == some.total() > 0
    assert keys(letters(sick)) == wanted - some
    assert keys(letters(sick, "--kind", "pipeline")) == Counter(
        {key: n for key, n in wanted.items() if key[2] == "pipeline"}
    )


def test_a_job_that_runs_is_not_replayed(job):
    """Replay and a forced breaker are refused in one line while the job runs; lists are not."""
    with job.process() as process:
        wait_until(lambda: job.commits() >= 1)
        process.send_signal(signal.SIGSTOP)
        refused = [
            job.run("resilience", "replay", "job"),
            job.run("resilience", "breakers", "job", "open", "h0.test"),
        ]
        letters(job)
        process.kill()

    for run in refused:
        assert (run.code, run.out) == (1, ""), run
        assert "is in use by process" in run.log
        assert len(run.log.splitlines()) == 1


def test_exports(sick):
    """JSON Lines, CSV and the table hold what the list holds."""
    rows = letters(sick)

    sick.run("resilience", "deadletters", "job", "--output", "letters.jsonl")
    sick.run("resilience", "deadletters", "job", "--output", "letters.csv")
    printed = sick.run("resilience", "deadletters", "job", "--csv")
    shown = sick.run("resilience", "deadletters", "job")

    lines = sick.path("letters.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    with sick.path("letters.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["url"] for row in found] == [row["url"] for row in rows]
    assert printed.out == sick.path("letters.csv").read_text()
    assert all(row["url"] in shown.out for row in rows)
    assert list(sick.folder.glob("*.part")) == []


def test_what_was_never_sent_has_no_attempt(plain_crawl):
    """A request that a middleware refuses or breaks was not sent; others were, once."""
    source = """
        import scrapy
        from scrapy.exceptions import IgnoreRequest
        from shop import Base

        class Fence:
            def process_request(self, request):
                if request.url.endswith("refused"):
                    raise IgnoreRequest("no")
                if request.url.endswith("broken"):
                    raise LookupError("no such key")
            def process_response(self, request, response):
                if request.url.endswith("banned"):
                    raise IgnoreRequest("a ban")
                return response

        class Shop(Base):
            custom_settings = {
                "DOWNLOADER_MIDDLEWARES": {"spider.Fence": 500},
                "RETRY_ENABLED": False,
            }
            async def start(self):
                for name in ("refused", "broken", "banned", "missing"):
                    yield scrapy.Request(self.start_urls[0] + "?" + name)
            def parse(self, response):
                raise RuntimeError("callback")
    """
    job = plain_crawl(source)
    job.run()

    attempts = {row["url"].rpartition("?")[2]: row["attempts"] for row in letters(job)}
    assert attempts == {"refused": 0, "broken": 0, "banned": 1, "missing": 1}
