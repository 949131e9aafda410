"""Budgets: what a server sees of them, over kills, and what they cost.

==========  ==========================================================================
hour        1,000 requests an hour, 1,200 pages queued, on a clock that is 120 times as
            fast; a tenth of the pages redirect, others answer 503 at first, robots.txt is
            asked for, and callbacks download something for themselves. SIGKILLs at random
            moments. The server's own log says how many requests any hour held
kills       2,000 pages, 20 SIGKILLs, each request has a price: the ledger against the
            server's count
cost        no crawl: processor time of a claim and its end, with the write to the file
==========  ==========================================================================
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.content import feed_problems
from benchmarks.crawls import JOB, OURS, Killing, Plan, job_problems, kill_and_resume
from benchmarks.report import Outcome
from benchmarks.spiders import listed_urls
from scrapy_resilience.core.budget import parse_budgets
from scrapy_resilience.core.spending import Prices
from scrapy_resilience.files.layout import COSTS
from scrapy_resilience.guard.cost.keeping import KeptLedger
from scrapy_resilience.guard.cost.stored import stored_costs
from scrapy_resilience.guard.cost.tracker import CostTracker, OpenClaim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.crawls import Options

_FACTOR = 120
_HOUR = 3600
_IN_FLIGHT = 16
"""Scrapy's CONCURRENT_REQUESTS."""
_MICROSECONDS = 10.0
_LATENCY = 0.01


class _Handler(BaseHTTPRequestHandler):
    """Notes when it was asked, before anything else."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    server: _Server

    def do_GET(self) -> None:
        self.server.times.append(time.monotonic())
        path = urlsplit(self.path).path
        status, headers = self.server.answer(path)
        body = b"<h1>page</h1>"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        time.sleep(_LATENCY)
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.times: list[float] = []
        self._asked: Counter[str] = Counter()

    def answer(self, path: str) -> tuple[int, dict[str, str]]:
        """A redirect for some pages, and 503 at the first request of others."""
        self._asked[path] += 1
        if path == "/robots.txt":
            return 404, {}
        page = path.startswith("/page/")
        number = int(path.rpartition("/")[2]) if page else 1
        if page and number % 10 == 5:  # noqa: PLR2004 - some
            return 302, {"Location": f"/to/{number}"}
        first = self._asked[path] == 1
        return 503 if page and number % 10 == 7 and first else 200, {}  # noqa: PLR2004 - some

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A crawl that is killed closes its connections."""


@contextmanager
def _serving() -> Iterator[_Server]:
    server = _Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("budgets and the ledger of costs")
    outcome.notes.append(
        "retries wait for 0.01 s, not for their usual time: claims are measured, and more of "
        "them are under way at a kill"
    )
    if options.only in "hour":
        _hour(options, outcome)
    if options.only in "kills":
        _kills(options, outcome)
    if options.only in "cost":
        _cost(outcome)
    return outcome


def _hour(options: Options, outcome: Outcome) -> None:
    limit, queued = options.of(1000, 100), options.of(1200, 130)
    factor = options.of(_FACTOR, 900)
    budgets = [{"resource": "requests", "limit": limit, "per": "hour"}]
    os.environ["BENCH_CLOCK"] = f"{factor},{time.time()}"
    try:
        crawled = _crawl(
            options, outcome, "hour", queued, options.kills or 5, RESILIENCE_BUDGETS=budgets
        )
    finally:
        del os.environ["BENCH_CLOCK"]
    most = _most(crawled.times, _HOUR / factor)
    crawled.row["most in an hour"] = most
    text = f"at most {limit:,} requests in any hour at the server, over kills, redirects, "
    text += "retries and downloads of callbacks"
    outcome.bar(text, f"{most:,}", met=most <= limit)
    outcome.bar("none lost, none twice", crawled.fate, met=crawled.fate == "yes")


def _kills(options: Options, outcome: Outcome) -> None:
    kills, pages = options.kills or options.of(20, 4), options.of(2000, 300)
    prices = {"requests": 0.0001}
    crawled = _crawl(options, outcome, "kills", pages, kills, RESILIENCE_PRICES=prices)
    asked, counted = len(crawled.times), crawled.row["ledger"]
    assert isinstance(counted, int)
    most = asked + crawled.kills * _IN_FLIGHT
    outcome.bar(
        f"over {crawled.kills} kills the ledger misses nothing, and counts at most "
        f"{_IN_FLIGHT} in flight at a kill too much",
        f"{counted:,} of {asked:,} ({(counted - asked) / max(crawled.kills, 1):+.1f} a kill)",
        met=asked <= counted <= most,
    )


class _Crawled:
    def __init__(self, times: list[float], kills: int, row: dict[str, object]) -> None:
        self.times = times
        self.kills = kills
        self.row = row
        self.fate = "yes"


def _crawl(
    options: Options, outcome: Outcome, name: str, pages: int, kills: int, **settings: Any
) -> _Crawled:
    folder = options.folder / name
    with _serving() as server:
        port, hosts = server.server_port, f"h0.test:{pages}"
        ours = {
            **OURS,
            "ROBOTSTXT_OBEY": "True",
            "CONCURRENT_REQUESTS_PER_DOMAIN": _IN_FLIGHT,
            "RESILIENCE_CHECKPOINT_INTERVAL": 0.1,
            "RESILIENCE_RETRY_POLICIES": '{"exponential_backoff": {"base": 0.01}}',
            **{key: json.dumps(value) for key, value in settings.items()},
        }
        plan = Plan("spending", {"port": port, "hosts": hosts}, ours)
        killing = Killing(kills, Random(options.seed), 0.3)  # noqa: S311 - moments, not secrets
        killed = kill_and_resume(plan, folder, killing)
    problems = killed.result.problems() if not killed.late else []
    problems += job_problems(folder)
    expected = [{"url": url} for url in listed_urls(port, hosts)]
    problems += feed_problems(folder / "items.jsonl", expected)
    outcome.check(name, problems)
    costs = stored_costs(folder / JOB, time.time())
    counted = {each.name: each.amount for each in costs.resources}.get("requests", 0)
    row: dict[str, object] = {
        "scenario": name,
        "pages": pages,
        "kills": len(killed.kills),
        "asked": len(server.times),
        "ledger": round(counted),
        "cost $": costs.total,
    }
    outcome.rows.append(row)
    crawled = _Crawled(server.times, len(killed.kills), row)
    crawled.fate = "no" if problems else "yes"
    return crawled


def _most(times: list[float], seconds: float) -> int:
    """The most in any window, both ends included."""
    times = sorted(times)
    return max(
        (bisect_right(times, at + seconds) - number for number, at in enumerate(times)),
        default=0,
    )


# --- without a crawl --------------------------------------------------------------------


def _cost(outcome: Outcome) -> None:
    hour = {"resource": "requests", "limit": 1e9}
    each = {**hour, "domain": "*"}
    dollars = {**hour, "resource": "usd"}
    figures = {
        "a price": _claims({"requests": 1e-6}, []),
        "a budget": _claims({}, [hour]),
        "three budgets and a price": _claims({"requests": 1e-6}, [hour, each, dollars]),
    }
    for name, figure in figures.items():
        outcome.rows.append({"scenario": name, "µs a request": figure})
    outcome.data["claim"] = figures
    worst = figures["a budget"]
    text = f"a claim and its end at most {_MICROSECONDS:g} µs, with the write"
    outcome.bar(text, f"{worst:.1f} µs", met=worst <= _MICROSECONDS)


def _claims(prices: dict[str, Any], budgets: list[Any], count: int = 20_000) -> float:
    """Microseconds of processor time."""
    checked = Prices(prices)
    tracker = CostTracker.of(checked, parse_budgets(budgets, checked))
    with tempfile.TemporaryDirectory() as folder:
        tracker.opener = lambda: KeptLedger(Path(folder) / COSTS, tracker)
        took = []
        for _ in range(3):
            began = time.process_time()
            for number in range(count):
                claim = tracker.claim(1, f"d{number % 100}.test", "")
                assert isinstance(claim, OpenClaim)
                tracker.end(claim)
            took.append(time.process_time() - began)
        tracker.close()
    return min(took) / count * 1e6
