"""A line of JSON against Scrapy's plain one, and what it costs a request to be known in a log.

Both formatters write the lines that a crawl logs, through the same kind of handler, to a file:
in turns, at the median of many rounds, in processor time. The JSON has the request's ids and
URL, and its secrets are hidden.

*own file* is a log file of ``RESILIENCE_LOG_DIR``, against a ``logging.FileHandler`` with
Scrapy's format.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter
from scrapy.settings.default_settings import LOG_DATEFORMAT, LOG_FORMAT
from scrapy.utils.log import logformatter_adapter

from benchmarks.report import Outcome
from scrapy_resilience.observe.logs.jsonlog import JsonFormatter
from scrapy_resilience.observe.logs.log_context import of_request
from scrapy_resilience.observe.logs.logfiles import RotatingFile
from scrapy_resilience.observe.trace_ids import TraceIds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.crawls import Options

__all__ = ["run"]

_ROUNDS: Final = 30
_LINES: Final = 2000
_BAR, _MOONSHOT = 1.2, 1.0
_ITEM: Final = {"sku": "A-17", "name": "Kettle, 1.7 l", "price": 24.9, "stock": True}


def _lines() -> dict[str, tuple[Any, ...]]:
    """What is logged, by its name: a level, a message, its arguments."""
    formatter, spider = LogFormatter(), Spider("shop")
    request = Request(
        "https://shop.test/items/17", headers={"Referer": "https://shop.test/list/3"}
    )
    response = Response(request.url, request=request)
    return {
        "Crawled (200)": logformatter_adapter(formatter.crawled(request, response, spider)),
        "Scraped from": logformatter_adapter(formatter.scraped(_ITEM, response, spider)),
        "a spider's own": (logging.INFO, "Page %d of %d has %d items", 3, 20, 48),
    }


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("processor time of a log line")
    options.folder.mkdir(parents=True, exist_ok=True)
    rounds, lines = options.of(_ROUNDS, 3), options.of(_LINES, 100)
    totals = dict.fromkeys(("plain", "JSON", "plain file", "own file"), 0.0)
    for name, line in _lines().items():
        found = _measure(line, options.folder, rounds, lines)
        for side, value in found.items():
            totals[side] += value
        outcome.rows.append(_row(name, found))
    outcome.rows.append(_row("mean of the three", {k: v / 3 for k, v in totals.items()}))
    ratio = totals["JSON"] / totals["plain"]
    file = totals["own file"] / totals["plain file"]
    outcome.bar("JSON against plain", f"{ratio:.2f} of {_BAR}", met=ratio <= _BAR)
    outcome.bar("own file against a plain one", f"{file:.2f} of {_BAR}", met=file <= _BAR)
    outcome.notes.append(f"moonshot: {_MOONSHOT}")
    outcome.notes.append(f"ids and contexts of one request: {_cost(lines):.1f} us")
    outcome.data = {"rows": outcome.rows, "ratio": ratio, "file": file}
    return outcome


def _row(name: str, found: dict[str, float]) -> dict[str, object]:
    return {
        "us a line": name,
        **found,
        "JSON / plain": found["JSON"] / found["plain"],
        "own / plain file": found["own file"] / found["plain file"],
    }


def _measure(line: tuple[Any, ...], folder: Path, rounds: int, lines: int) -> dict[str, float]:
    """Microseconds a line, by side; the sides take turns."""
    plain = logging.Formatter(LOG_FORMAT, LOG_DATEFORMAT)
    with ExitStack() as stack:
        handlers: dict[str, logging.Handler] = {}
        for side, formatter in {"plain": plain, "JSON": JsonFormatter()}.items():
            stream = stack.enter_context((folder / side).open("w", encoding="utf-8"))
            handlers[side] = logging.StreamHandler(stream)
            handlers[side].setFormatter(formatter)
        handlers["plain file"] = logging.FileHandler(folder / "plain.log", encoding="utf-8")
        handlers["plain file"].setFormatter(plain)
        handlers["own file"] = RotatingFile(folder / "app.log", most=10**9, days=30)
        handlers["own file"].setFormatter(JsonFormatter())
        taken: dict[str, list[float]] = {side: [] for side in handlers}
        for _ in range(rounds):
            for side, handler in handlers.items():
                taken[side].append(_write(line, handler, lines))
        for handler in handlers.values():
            handler.close()
    return {side: median(values) for side, values in taken.items()}


def _write(line: tuple[Any, ...], handler: logging.Handler, lines: int) -> float:
    logger = logging.Logger("scrapy.core.engine")  # noqa: LOG001 - with one handler only
    logger.addHandler(handler)
    extra = {"spider": Spider("shop")}
    request = Request("https://shop.test/items/17")
    TraceIds("job").give(request, 1)
    with of_request(request, "download", None):
        started = time.process_time()
        for _ in range(lines):
            logger.log(*line, extra=extra)
        return (time.process_time() - started) / lines * 1e6


def _cost(requests: int) -> float:
    """Microseconds for a request that is downloaded, called back and has an item."""
    ids = TraceIds("job", by_content=True)
    made = [Request(f"https://shop.test/items/{n}") for n in range(requests)]
    without = _timed(id, made)
    with_ids = _timed(partial(_follow, ids), made)
    return (with_ids - without) / requests * 1e6


def _follow(ids: TraceIds, request: Request) -> None:
    ids.give(request, 1)
    for component in ("download", "callback", "pipeline"):
        with of_request(request, component, None):
            pass


def _timed(function: Callable[[Request], Any], requests: list[Request]) -> float:
    started = time.process_time()
    for request in requests:
        function(request)
    return time.process_time() - started
