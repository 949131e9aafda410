"""Browsers: scrapy-playwright as it is, and with the add-on, while its browsers die and hang.

Each row is one crawl of a site on this machine, ended when it takes too long: stock Scrapy may
not end by itself. ``lost`` and ``doubled`` count the pages that have no item, or several;
``left`` the processes of its browsers that are there some seconds after its end.

* healthy: pages a second; contexts are replaced after 100 pages with the add-on.
* browser killed: SIGKILL after every 20 pages.
* renderer killed: SIGKILL of one that shows a page, after every 4 pages. ``most`` is how many
  pages there were at a time, with a limit of 4.
* 1 in 10 never answers: these are not counted as lost.
* crawl killed: SIGKILL with pages open, after each 10 pages, then run again.
* mixed: plain pages beside those of a browser that is stopped after 1,000 pages; ``plain`` is
  their pace then, of that before.
* memory: bytes of the browser after 200 pages, and at the end.

Stock is ended after 45 seconds in which it may hang, so its memory is of fewer pages: some ten
minutes for all. ``--only memory`` runs one part. With ``--quick`` a few pages of each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.crawls import OURS, STOCK, Plan, Result, finish, say, start
from benchmarks.report import Outcome
from scrapy_resilience.browsers import processes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.crawls import Options

_HANDLER = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"
_MARK = "BENCH_BROWSERS"
_LIMIT = 4
_TIMEOUT = 5
_STOCK = 45.0
"""Seconds that stock gets: where it hangs, it does so for good."""
_LEAVE = 5.0
"""Seconds for the last processes to end."""
_SETTINGS: dict[str, object] = {
    "DOWNLOAD_HANDLERS": json.dumps({"http": _HANDLER}),
    "PLAYWRIGHT_LAUNCH_OPTIONS": json.dumps(
        {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
    ),
    "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": _LIMIT,
    "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": 1000 * _TIMEOUT,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "DOWNLOAD_TIMEOUT": 30,
    "COOKIES_ENABLED": "False",
}
_OURS = {**OURS, "RESILIENCE_HTTP_ENABLED": "False"}
_SIDES = {"stock": {**STOCK, "JOBDIR": "job"}, "add-on": _OURS}
_OTHERS = {"without its handler": {**_OURS, "RESILIENCE_BROWSER_ENABLED": "False"}}
"""What the handler alone costs is told by the difference."""


class _Page(BaseHTTPRequestHandler):
    over: Event

    def do_GET(self) -> None:
        if "/hang" in self.path:
            self.over.wait(600)
        body = f"<html><body><p>{self.path}<script>document.write('js')</script>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: a crawl has a log of its own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A browser that is killed closes its connections."""


@contextmanager
def _site() -> Iterator[str]:
    page = type("Page", (_Page,), {"over": Event()})
    server = _Server(("127.0.0.1", 0), page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        page.over.set()
        server.shutdown()
        server.server_close()


@dataclass
class _Run:
    """One crawl under way, or what it came to."""

    folder: Path
    child: subprocess.Popen[bytes]
    mark: str
    memory: list[int] = field(default_factory=list)
    stopped: float = 0.0
    """When the browser was, in seconds since 1970."""

    def done(self) -> list[tuple[float, str]]:
        """When each page was there."""
        with suppress(OSError):
            lines = (self.folder / "done").read_text("ascii").splitlines()
            return [(float(at), url) for at, _, url in (line.partition(" ") for line in lines)]
        return []

    def browsers(self) -> list[int]:
        """The first processes of its browsers."""
        own = {self.child.pid, *processes.drivers_of(self.marked())}
        return [pid for pid in processes.leaders(self.marked()) if pid not in own]

    def marked(self) -> list[int]:
        """What has its mark, but for itself."""
        found = processes.marked(_MARK, self.mark)
        return [pid for pid in found if pid != self.child.pid]

    def kill_browser(self) -> None:
        for pid in self.browsers():
            _kill(pid)

    def stop_browser(self) -> None:
        self.stopped = time.time()
        for pid in self.browsers():
            _kill(pid, signal.SIGSTOP)

    def kill_renderer(self) -> None:
        groups = set(self.browsers())
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError, ValueError):
                command = (path / "cmdline").read_bytes()
                group = int((path / "stat").read_bytes().rpartition(b")")[2].split()[2])
                if group in groups and b"=renderer" in command and b"-webui" not in command:
                    _kill(int(path.name))
                    return

    def note_memory(self) -> None:
        used = processes.memory_of(self.browsers())
        self.memory += [used] if used else []


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with suppress(OSError):
        os.kill(pid, number)


@dataclass
class _Case:
    """What a crawl has to do, and what is done to it after each so many pages."""

    pages: int
    every: int = 0
    act: Callable[[_Run], None] | None = None
    hangs: int = 0
    plain: int = 0
    most_acts: int = 10**6
    stock: float = _STOCK
    again: bool = False
    """Whether it is run again until it ends by itself: it is what is killed."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    of = options.of
    cases = {
        "healthy": _Case(of(400, 20), stock=300.0),
        "browser killed": _Case(of(200, 40), 20, _Run.kill_browser),
        "renderer killed": _Case(of(200, 20), 4, _Run.kill_renderer),
        "1 in 10 never answers": _Case(of(100, 20), hangs=10),
        "crawl killed": _Case(of(120, 30), 10, _kill_crawl, again=True, most_acts=of(10, 2)),
        "mixed": _Case(
            of(200, 30), of(1000, 60), _Run.stop_browser, plain=of(6000, 300), most_acts=1
        ),
        "memory": _Case(of(2000, 40), of(200, 20), _Run.note_memory, stock=2 * _STOCK),
    }
    outcome = Outcome(f"scrapy-playwright, {_LIMIT} pages at a time; a crawl has a time limit")
    for name, case in cases.items():
        if options.only in name:
            sides = {**_SIDES, **(_OTHERS if name == "healthy" else {})}
            for side, settings in sides.items():
                _row(outcome, name, side, case=case, options=options, settings=settings)
    return outcome


def _kill_crawl(found: _Run) -> None:
    found.child.kill()


def _row(
    outcome: Outcome,
    name: str,
    side: str,
    *,
    case: _Case,
    options: Options,
    settings: Mapping[str, object],
) -> None:
    folder = options.folder / f"{name}, {side}"
    with _site() as site:
        mark = os.environ[_MARK] = uuid4().hex
        plan = Plan(
            "browsed",
            {"site": site, "pages": case.pages, "hangs": case.hangs, "plain": case.plain},
            {**_SETTINGS, **settings},
        )
        limit = min(options.limit, case.stock) if side == "stock" else options.limit
        found, result = _crawl(plan, folder, mark, case, limit)
        end = time.perf_counter() + _LEAVE
        while found.marked() and time.perf_counter() < end:
            time.sleep(0.1)
        left = len(found.marked())
        processes.end([*found.marked(), *processes.drivers_of(found.marked())])
        del os.environ[_MARK]
    row = {"case": name, "side": side, **_figures(found, case, result), "left": left}
    say(str(row))
    outcome.rows.append(row)
    if side == "add-on" and (row["lost"] or row["doubled"] or left):
        outcome.check(name, [f"{row['lost']} lost, {row['doubled']} doubled, {left} left"])


def _crawl(
    plan: Plan, folder: Path, mark: str, case: _Case, limit: float
) -> tuple[_Run, Result]:
    began, acts = time.perf_counter(), 0
    while True:
        found = _Run(folder, start(plan, folder), mark)
        next_at = len(found.done()) + case.every
        while found.child.poll() is None and time.perf_counter() - began < limit:
            time.sleep(0.02)
            if case.act and acts < case.most_acts and len(found.done()) >= next_at:
                next_at += case.every
                acts += 1
                case.act(found)
        left = max(limit - (time.perf_counter() - began), 1)
        result = finish(found.child, folder, began, left)
        if not (case.again and result.code == -signal.SIGKILL and left > 1):
            return found, result


def _figures(found: _Run, case: _Case, result: Result) -> dict[str, object]:
    items = Counter(_items(found.folder / "items.jsonl"))
    healthy = case.pages - (case.pages // case.hangs if case.hangs else 0) + case.plain
    done = found.done()
    passed = done[-1][0] - done[0][0] if len(done) > 1 else 0.0
    row: dict[str, object] = {
        "pages": len(done),
        "lost": healthy - len(items),
        "doubled": items.total() - len(items),
        "seconds": result.wall,
        "a second": len(done) / passed if passed else 0.0,
        "ended": result.stats.get("finish_reason", "no"),
        "most": result.stats.get("playwright/page_count/max_concurrent", ""),
    }
    if case.plain:
        row["plain"] = _share_of_pace(done, found.stopped)
    if len(found.memory) > 1:
        row["memory"] = found.memory[-1] / found.memory[0]
    return row


def _items(path: Path) -> list[str]:
    with suppress(OSError, ValueError):
        return [json.loads(line)["url"] for line in path.read_text("utf-8").splitlines()]
    return []


def _share_of_pace(done: list[tuple[float, str]], stopped: float) -> float:
    """The pace of plain pages after the browser was stopped, of that before."""
    plain = [at for at, url in done if "/plain/" in url]
    before = _pace([at for at in plain if at <= stopped])
    return _pace([at for at in plain if at > stopped]) / before if before else 0.0


def _pace(times: list[float]) -> float:
    return len(times) / (times[-1] - times[0]) if len(times) > 2 else 0.0  # noqa: PLR2004
