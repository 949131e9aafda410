"""What systemd is told, over a real socket."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.signalmanager import SignalManager

from scrapy_resilience.extensions import systemd
from scrapy_resilience.extensions.systemd import Systemd
from scrapy_resilience.observe.health.systemd import Notifier
from scrapy_resilience.observe.view import JobView, View

pytestmark = pytest.mark.skipif(os.name != "posix", reason="systemd is of Linux")


@pytest.fixture(params=["path", "abstract"])
def service(request, tmp_path):
    """A socket as systemd has it, and its address as the environment names it."""
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"@scrapy-resilience-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.setblocking(False)  # noqa: FBT003 - socket's own
        yield sock, name


def heard(sock):
    """All that was said until now."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recv(10_000).decode())
    return found


def test_it_is_told(service):
    """One datagram for each thing, by a path and by an abstract name."""
    sock, name = service
    notifier = Notifier.of({"NOTIFY_SOCKET": name})
    notifier.send("READY=1")
    notifier.status("two\nlines\tand " + "x" * 1000)
    notifier.close()

    ready, status = heard(sock)
    assert ready == "READY=1"
    assert status.startswith("STATUS=two lines and xxx")
    assert len(status) < 300


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_nobody_has_asked(environ):
    """There is nothing to tell then."""
    assert Notifier.of(environ) is None


def test_nobody_listens(tmp_path):
    """What can't be sent is left out; so is what a full socket does not take."""
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.send("READY=1")
    notifier.close()
    notifier.send("READY=1")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "full"))
        full = Notifier(str(tmp_path / "full"))
        for _ in range(10_000):
            full.send("WATCHDOG=1")
        full.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog(environ, seconds):
    """It is meant for the process that is named, in microseconds."""
    notifier = Notifier.of({"NOTIFY_SOCKET": "/nowhere", **environ})
    assert notifier.watchdog == seconds
    notifier.close()


class Observer:
    """Says what a test says."""

    def view(self):
        return View(job=JobView(sentence="12 pages a second."))


def test_the_life_of_a_crawl(service, monkeypatch, fake_clock):
    """Ready, alive in half the time, a line each half minute, and stopping."""
    sock, name = service
    monkeypatch.setattr(systemd, "observer_of", lambda _: Observer())
    monkeypatch.setattr(systemd, "running_command", lambda: "crawl")
    crawler = SimpleNamespace(signals=SignalManager())
    extension = Systemd(crawler, Notifier(name, watchdog=20.0))

    extension._started()
    begun = heard(sock)
    fake_clock.advance(10.0)
    first = heard(sock)
    fake_clock.advance(20.0)
    later = heard(sock)
    extension._closing()
    extension._stopped()
    end = heard(sock)
    fake_clock.advance(100.0)

    assert begun == ["READY=1", "WATCHDOG=1", "STATUS=12 pages a second."]
    assert first == ["WATCHDOG=1"]
    assert sorted(later) == ["STATUS=12 pages a second.", "WATCHDOG=1", "WATCHDOG=1"]
    assert end == ["STOPPING=1"]
    assert heard(sock) == []


def test_a_script_that_goes_on(service, monkeypatch):
    """One crawl of several that has ended does not stop the service."""
    sock, name = service
    monkeypatch.setattr(systemd, "observer_of", lambda _: Observer())
    monkeypatch.setattr(systemd, "running_command", lambda: None)
    extension = Systemd(SimpleNamespace(signals=SignalManager()), Notifier(name))
    extension._closing()
    extension._stopped()
    assert heard(sock) == []


def test_without_systemd(monkeypatch):
    """The extension is not there."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with pytest.raises(NotConfigured):
        Systemd.from_crawler(SimpleNamespace())
