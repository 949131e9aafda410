"""The view of a job that runs elsewhere: from its endpoint, or from its files."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from scrapy_resilience.commands import watch as watching
from scrapy_resilience.files.address import write_address
from scrapy_resilience.files.layout import ADDRESS, LOCK
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.observe import remote_view as live
from scrapy_resilience.observe.remote_view import live_view
from scrapy_resilience.observe.view import JobView, Progress, View

VIEW = msgspec.json.encode(View(job=JobView(spider="shop", sentence="All is well.")))


@contextmanager
def server(status=200, body=VIEW, headers=()):
    """An endpoint that answers so; its ``asked`` has (path, Authorization) of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked = []
    made.url = f"http://127.0.0.1:{made.server_port}/"
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


@pytest.fixture
def running(tmp_path):
    """A folder whose lock somebody has."""
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    yield tmp_path
    lock.release()


def test_the_endpoint_is_asked(running):
    """With the token, where there is one."""
    with server() as endpoint:
        write_address(running, endpoint.url)
        assert live_view(running).job.sentence == "All is well."
        assert live_view(running, "x" * 16).job.spider == "shop"
    assert endpoint.asked == [("/status.json", None), ("/status.json", "Bearer " + "x" * 16)]


def test_a_job_that_does_not_run(tmp_path):
    """Is not asked for, whatever a killed run has left."""
    with server() as endpoint:
        write_address(tmp_path, endpoint.url)
        assert live_view(tmp_path) is None
    assert endpoint.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 401},
        {"status": 500},
        {"body": b"<html>"},
        {"body": b'{"time": "x"}'},
        {"body": b""},
    ],
    ids=str,
)
def test_an_endpoint_that_does_not_tell(running, answer):
    """Is none."""
    with server(**answer) as endpoint:
        write_address(running, endpoint.url)
        assert live_view(running) is None


def test_a_redirect_is_not_followed(running):
    """The token would go elsewhere."""
    with server() as other, server(302, b"", [("Location", other.url)]) as endpoint:
        write_address(running, endpoint.url)
        assert live_view(running, "x" * 16) is None
    assert other.asked == []


def test_no_proxy_of_the_environment_is_used(running, monkeypatch):
    """It would be told the token."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    with server() as endpoint:
        write_address(running, endpoint.url)
        assert live_view(running) is not None


def test_an_endpoint_that_is_silent(running, monkeypatch):
    """Is given up after a while."""
    monkeypatch.setattr(live, "_TIMEOUT", 0.05)
    with server(body=b"") as endpoint:
        endpoint.RequestHandlerClass.do_GET = lambda _: endpoint.asked.append("asked")
        write_address(running, endpoint.url)
        assert live_view(running) is None


def test_there_is_no_endpoint(running):
    """Nor is there one in a file that is none."""
    assert live_view(running) is None
    found = {"url": "file:///etc/passwd", "pid": os.getpid()}
    (running / ADDRESS).write_text(json.dumps(found), encoding="utf-8")
    assert live_view(running) is None


# --- watching ---------------------------------------------------------------------


@pytest.fixture
def views(monkeypatch):
    """What jobs are seen to be, in turn; the last one is that they have finished."""
    found = []

    def offline(_):
        view = found.pop(0)
        if isinstance(view, type):
            raise view
        return view

    monkeypatch.setattr(watching, "offline_view", offline)
    monkeypatch.setattr(watching, "live_view", lambda *_: None)
    return found


def at(commit, pages, pending, state="running"):
    """A job at its commit."""
    view = View(job=JobView(spider="shop", state=state, sentence="Well."))
    view.progress = Progress(pages=pages, pending=pending)
    view.checkpoint.last = commit
    return view


def test_commits_tell_rates(views):
    """Of a job without an endpoint."""
    views += [at(100.0, 0, 100), at(120.0, 40, 60), at(120.0, 40, 60)]
    watched = watching._Watched(Path("job"), "")
    assert watched.view().progress.pages_per_second == 0.0
    for _ in range(2):
        progress = watched.view().progress
        assert progress.pages_per_second == 2.0
        assert progress.seconds_left == 30.0


def test_a_watch_ends_with_the_job(views, capsys):
    """After a line for each look."""
    rested = []
    views += [at(1.0, 1, 9), at(2.0, 2, 8), at(3.0, 3, 0, "finished")]
    watching.watch("job", "", rested.append)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines] == [
        "shop: running. Well.",
        "shop: running. Well.",
        "shop: finished. Well.",
    ]
    assert rested == [5.0, 5.0]


def test_ctrl_c_is_no_error(views, capsys):
    """It is how one stops to watch."""
    views += [at(1.0, 1, 9), KeyboardInterrupt]
    watching.watch("job", "", lambda _: None)
    assert "running" in capsys.readouterr().out
