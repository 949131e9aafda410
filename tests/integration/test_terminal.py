"""The progress of real crawls on real terminals."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from crawls import HERE, PAGES, SICK, Crawl
from terminals import terminal

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX"),
]

CRAWL = (sys.executable, "-m", "scrapy", "crawl", "shop")
FOOT = "to do, "
TALKING = (
    PAGES
    + """
            self.logger.warning("a line \\x1b[2J\\x1b]0;owned\\x07 \\u202e of the log")
            print("printed", flush=True)
"""
)


@pytest.fixture
def job(tmp_path, plain):
    """``job(pages, source, **settings)``: a project that crawls three pages a second."""

    def make(pages=6, source=PAGES, **settings):
        urls = [plain.url("h0.test", f"/page/{page}") for page in range(1, pages + 1)]
        limits = {"RESILIENCE_RATE_LIMITS": {"h0.test": 3}, "LOG_LEVEL": "INFO"}
        return Crawl(tmp_path, source, plain, **{"URLS": urls, **SICK, **limits, **settings})

    return make


def on_terminal(job, *command, **options):
    """A command of a project on a terminal."""
    return terminal(command or CRAWL, job.folder, PYTHONPATH=str(HERE), **options)


def drawn(shown):
    """How often lines were taken back."""
    return len(re.findall(r"\x1b\[\d+A", shown.raw))


def test_the_progress_is_at_the_foot(job):
    """Log lines are whole and above it, and it stays with its last figures."""
    with on_terminal(job(source=TALKING)) as shown:
        assert shown.end() == 0
    lines = [line for line in shown.screen.lines if line.strip()]
    assert "6 pages" in shown.screen.text
    assert lines[-1].startswith(" ")
    assert sum(FOOT in line for line in lines) == 1
    assert sum("Spider closed (finished)" in line for line in lines) == 1
    assert sum(line == "printed" for line in lines) == 6
    assert drawn(shown) >= 2
    assert shown.screen.unknown == set()


def test_hostile_log_lines_do_not_reach_the_terminal(job):
    """What it would obey is escaped."""
    with on_terminal(job(2, TALKING)) as shown:
        assert shown.end() == 0
    assert "a line \\x1b[2J\\x1b]0;owned\\x07 \\u202e of the log" in shown.screen.text
    assert "\x1b[2J" not in shown.raw
    assert "\u202e" not in shown.raw


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"RESILIENCE_TERMINAL": False}, {}),
        ({}, {"TERM": "dumb"}),
        ({"RESILIENCE_OBSERVE_ENABLED": False}, {}),
    ],
    ids=["setting", "dumb", "nothing observed"],
)
def test_it_is_off(job, settings, environ):
    """By a setting, and where lines can't be taken back."""
    with on_terminal(job(2, **settings), **environ) as shown:
        assert shown.end() == 0
    assert "Spider closed (finished)" in shown.screen.text
    assert FOOT not in shown.screen.text
    assert "\x1b" not in shown.raw


def test_it_is_off_without_a_terminal(job):
    """A log file and a pipe have lines only, and rich is not loaded."""
    source = (
        PAGES
        + """
        def closed(self, reason):
            import sys
            self.logger.info("rich: %s", "rich" in sys.modules)
"""
    )
    run = job(2, source).finish()
    assert "\x1b" not in run.log
    assert "rich: False" in run.log


def test_no_colour(job):
    """NO_COLOR keeps the lines and takes their colours."""
    with on_terminal(job(2), NO_COLOR="1") as shown:
        assert shown.end() == 0
    assert FOOT in shown.screen.text
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown.raw)


def test_an_interrupt(job):
    """Stops the crawl as without it, and leaves whole lines."""
    with on_terminal(job(500)) as shown:
        shown.wait_for(" held")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 75
    assert "Spider closed (shutdown)" in shown.screen.text
    assert shown.screen.column == 0


def test_a_kill(job):
    """Leaves the cursor behind the lines: the shell's prompt has its own."""
    with on_terminal(job(500)) as shown:
        shown.wait_for(" held")
        shown.process.kill()
        assert shown.end() == -signal.SIGKILL
    assert shown.screen.column == 0


def test_resizing(job):
    """The next lines fit the new width."""
    with on_terminal(job(500)) as shown:
        shown.wait_for(" held")
        shown.resize(30)
        shown.screen.width = 30
        before = len(shown.raw)
        shown.wait_for("…")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 75
    last = shown.raw[before:].rpartition("\x1b[J")[2]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", last).splitlines()
    assert max(len(line) for line in lines if line.startswith(" ")) < 30


def test_a_feed_to_the_terminal(job):
    """``-o -`` writes what it would."""
    made = job(2, FEEDS={}, JOBDIR=None)
    with on_terminal(made, *CRAWL, "-o", "-:jsonlines") as shown:
        assert shown.end() == 0
    assert shown.raw.count('{"sku": ') == 2


def test_two_crawls_of_a_process(job):
    """Share the log, and one of them has the foot."""
    made = job(2, JOBDIR=None, FEEDS={})
    script = """
        from scrapy.crawler import CrawlerProcess
        from scrapy.utils.project import get_project_settings
        process = CrawlerProcess(get_project_settings())
        process.crawl("shop")
        process.crawl("shop")
        process.start()
    """
    made.write("both.py", "\n".join(line.strip() for line in script.splitlines()))
    with on_terminal(made, sys.executable, "both.py") as shown:
        assert shown.end() == 0
    assert shown.screen.text.count("Spider closed (finished)") == 2
    assert shown.screen.text.count(FOOT) == 1


# --- status --watch ---------------------------------------------------------------

WATCH = (sys.executable, "-m", "scrapy", "resilience", "status", "job", "--watch")


def test_watching_a_job_that_runs(job):
    """From another terminal, until it has ended."""
    made = job(12, RESILIENCE_HTTP_ENABLED=False)
    with made.process() as crawling:
        while not made.commits():
            assert crawling.poll() is None, made.last()
        with on_terminal(made, *WATCH) as shown:
            shown.wait_for("running")
            made.ended(crawling)
            assert shown.end() == 0
    assert "finished" in shown.screen.text
    assert "12 pages" in shown.screen.text
    assert sum(FOOT in line for line in shown.screen.lines) == 1


def test_a_watch_is_ended(job):
    """By Ctrl-C, which is no error."""
    made = job(500, RESILIENCE_HTTP_ENABLED=False)
    with made.process() as crawling:
        while not made.commits():
            assert crawling.poll() is None, made.last()
        with on_terminal(made, *WATCH) as shown:
            shown.wait_for("running")
            shown.process.send_signal(signal.SIGINT)
            assert shown.end() == 0
    assert "Traceback" not in shown.screen.text


def test_a_watch_without_a_terminal(job):
    """Has a line for each look, and ends with the job."""
    made = job(2)
    made.finish()
    run = made.run("resilience", "status", "job", "--watch")
    assert run.code == 0, run
    assert "shop: finished. It has finished with 2 items." in run.out
    assert "\x1b" not in run.out


def test_a_watch_has_no_json(job):
    """That is wrong usage."""
    made = job(2)
    made.finish()
    assert made.run("resilience", "status", "job", "--watch", "--json").code == 2


def test_the_wrong_folder(job, tmp_path):
    """Is an error in one line."""
    made = job(2)
    command = [*WATCH[:-2], str(tmp_path / "nothing"), "--watch"]
    run = subprocess.run(
        command, cwd=made.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert "is not a job" in run.stderr
    assert "Traceback" not in run.stderr
