"""What it costs to be seen: a crawl with everything on and watched, against one with it off.

The site of the throughput bench, 5,000 pages on 10 hosts without latency, so that the processor
is what a crawl waits for. The sides, in turn, all of them in each round; what is compared is
the processor time of the crawl's own process:

- off: nothing is observed
- as shipped: what the add-on does with default settings, and nobody looks
- watched: JSON logs in a folder, ``/metrics`` asked for each second, and a client that takes
  every update of the live page
- traced: the same, with OpenTelemetry, 5 % sampled, sent to a receiver on loopback
"""

from __future__ import annotations

import http.client
import json
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.content import feed_problems
from benchmarks.crawls import JOB, OURS, Plan, Result, finish, interleave, middle, say, start
from benchmarks.report import Outcome
from scrapy_resilience.testing import RunningSite, SiteConfig, running_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.crawls import Options

_EACH = 1.0
"""Seconds between two scrapes."""
_OFF, _ON, _WATCHED, _TRACED = "off", "as shipped", "watched", "traced"
_LOGS = {"RESILIENCE_LOG_JSON": "True", "RESILIENCE_LOG_DIR": "logs"}


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("processor time of a crawl that is watched, against one that is not")
    config = SiteConfig(hosts=10, pages=options.of(500, 100), latency=0.0, items=2)
    with running_site(config) as site, _receiver() as receiver:
        sides = {
            _OFF: {"RESILIENCE_OBSERVE_ENABLED": "False"},
            _ON: {},
            _WATCHED: _LOGS,
        }
        if find_spec("opentelemetry.sdk"):
            sides[_TRACED] = {
                **_LOGS,
                "RESILIENCE_TRACES": "otlp",
                "RESILIENCE_TRACES_ENDPOINT": receiver,
                "RESILIENCE_TRACES_SAMPLED": "0.05",
            }
        else:
            outcome.notes.append("opentelemetry-sdk is not installed: its side was left out")
        watch = _Watch(outcome, site, options)
        results = interleave(
            {name: partial(watch.crawl, name, settings) for name, settings in sides.items()},
            options.repeat(10),
        )
    _report(outcome, results, watch.seen)
    return outcome


class _Watch:
    """Runs crawls, and looks at those that are to be watched."""

    def __init__(self, outcome: Outcome, site: RunningSite, options: Options) -> None:
        self._outcome = outcome
        self._site = site
        self._options = options
        self.seen: dict[str, list[int]] = {}
        """Scrapes and updates of each run, by side."""

    def crawl(self, name: str, settings: Mapping[str, str], number: int) -> Result:
        """One crawl, with a scraper and a reader of updates where it is watched."""
        folder = self._options.folder / f"{name} {number}"
        arguments = {"port": self._site.port, "hosts": self._site.config.hosts}
        plan = Plan("shop", arguments, {**OURS, **settings})
        self._site.reset()
        started, over = time.perf_counter(), Event()
        child = start(plan, folder)
        seen = self.seen.setdefault(name, [])
        looks = [Thread(target=look, args=(folder, over, seen)) for look in (_scrape, _follow)]
        if name in {_WATCHED, _TRACED}:
            for thread in looks:
                thread.start()
        result = finish(child, folder, started)
        over.set()
        for thread in looks:
            if thread.ident is not None:
                thread.join()
        say(f"observe, {folder.name}: {result.cpu:.2f} s of processor time")
        self._outcome.check(folder.name, result.problems())
        expected = self._site.expected_items()
        self._outcome.check(folder.name, feed_problems(folder / "items.jsonl", expected))
        return result


def _report(
    outcome: Outcome, results: dict[str, list[Result]], seen: Mapping[str, list[int]]
) -> None:
    for name, runs in results.items():
        pairs = zip(runs, results[_OFF], strict=True)
        ratios = sorted(run.cpu / off.cpu for run, off in pairs)
        ratio = ratios[len(ratios) // 2]
        outcome.rows.append(
            {
                "side": name,
                "cpu s": middle(runs, lambda result: result.cpu),
                "elapsed s": middle(runs, lambda result: result.elapsed),
                "cpu x off": round(ratio, 3),
                "looks": sum(seen.get(name, ())),
            }
        )
        outcome.data[name] = {"cpu": [run.cpu for run in runs], "ratios": ratios}
        bar = {_ON: 1.03, _WATCHED: 1.03, _TRACED: 1.05}.get(name)
        if bar is not None:
            text = f"{name}: processor time at most {bar:g}x"
            outcome.bar(text, f"{ratio:.3f}x", met=ratio <= bar)


# --- those who look ----------------------------------------------------------------


def _address(folder: Path, over: Event) -> str | None:
    """Host and port of the endpoint, once there is one."""
    while not over.wait(0.05):
        with suppress(OSError, ValueError, KeyError):
            text = (folder / JOB / "resilience.http").read_text(encoding="utf-8")
            return urlsplit(json.loads(text)["url"]).netloc
    return None


def _scrape(folder: Path, over: Event, seen: list[int]) -> None:
    """Ask for the metrics each second, as Prometheus would, on one connection."""
    if (address := _address(folder, over)) is None:
        return
    connection = http.client.HTTPConnection(address, timeout=5)
    while not over.wait(_EACH):
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/metrics")
            seen.append(int(connection.getresponse().read().count(b"\n") > 0))
    connection.close()


def _follow(folder: Path, over: Event, seen: list[int]) -> None:
    """Take every update, as the live page does."""
    if (address := _address(folder, over)) is None:
        return
    connection = http.client.HTTPConnection(address, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/events")
        response = connection.getresponse()
        while not over.is_set() and (line := response.readline()):
            seen.append(int(line.startswith(b"data:")))
    connection.close()


@contextmanager
def _receiver() -> Iterator[str]:
    """Takes spans, and says so; the URL of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
