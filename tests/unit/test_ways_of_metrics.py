"""A push to a Pushgateway and a textfile, without a crawl."""

from __future__ import annotations

import base64
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.metrics.pushgateway import FAILURES, group_url, push
from scrapy_resilience.observe.metrics.textfile import (
    check_textfile,
    textfile_path,
    write_textfile,
)

# --- the Pushgateway ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "path"),
    [
        ({"job": "scrapy"}, "job/scrapy"),
        ({"job": "a b", "spider": "é"}, "job/a%20b/spider/%C3%A9"),
        ({"job": "a/b"}, "job@base64/YS9i"),
        ({"job": ""}, "job@base64/="),
    ],
)
def test_groups(groups, path):
    """Values that a path can't hold are put in base64, as the Pushgateway reads it."""
    assert group_url("http://a.test:9091/", groups) == f"http://a.test:9091/metrics/{path}"


@pytest.mark.parametrize(
    "url",
    [
        "me:hunter2@a.test:9091",
        "ftp://me:hunter2@a.test",
        "http://me:hunter2@",
        "http://me:hunter2@a:x",
        "http://me:hunter2@a/?b",
        "http://me:hunter2@[a",
    ],
)
def test_wrong_addresses(url):
    """They are refused, and not shown: a password may be in them."""
    with pytest.raises(ConfigurationError, match="no address of a Pushgateway") as caught:
        group_url(url, {"job": "a"})

    assert "hunter2" not in str(caught.value)


@pytest.fixture
def gateway():
    """What a server was sent: (method, path, headers, body); it answers with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        status = 202
        sent: ClassVar = []

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.sent.append((self.path, self.headers, body))
            self.send_response(self.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    Handler.port = server.server_port
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push(gateway):
    """Name and password of the URL are a header, and nowhere else."""
    push(f"http://me:a%20b@127.0.0.1:{gateway.port}/metrics/job/a", b"x 1\n", 5)

    [(path, headers, body)] = gateway.sent
    assert (path, body) == ("/metrics/job/a", b"x 1\n")
    assert headers["Host"] == f"127.0.0.1:{gateway.port}"
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"me:a b"
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("status", [301, 307, 400, 500])
def test_other_answers(gateway, status):
    """An error says its status, and no redirect is followed."""
    gateway.status = status

    with pytest.raises(FAILURES, match=f"HTTP {status}"):
        push(f"http://127.0.0.1:{gateway.port}/metrics/job/a", b"", 5)
    assert len(gateway.sent) == 1


# --- the textfile ---------------------------------------------------------------------------


def test_a_textfile(tmp_path):
    """It is replaced; what a kill has left of an earlier one is no obstacle."""
    path = textfile_path(str(tmp_path / "%(spider)s.prom"), "a/b")
    path.with_name(f".{path.name}.tmp").write_text("torn")
    path.symlink_to(tmp_path / "other")

    write_textfile(path, b"x 1\n")

    assert path.name == "a_b.prom"
    assert path.read_bytes() == b"x 1\n"
    assert list(tmp_path.iterdir()) == [path]  # a link is replaced, not followed


def test_a_textfile_that_fails(tmp_path):
    """Nothing of it is left."""
    path = tmp_path / "a.prom"
    path.mkdir()

    with pytest.raises(OSError, match=r"a\.prom"):
        write_textfile(path, b"")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.txt", "nowhere/a.prom", "folder.prom"])
def test_paths_that_can_not_be(tmp_path, name):
    """They are refused."""
    (tmp_path / "folder.prom").mkdir()

    with pytest.raises(ConfigurationError, match="RESILIENCE_METRICS_TEXTFILE="):
        check_textfile(tmp_path / name)
