"""The view of a crawl as some lines of text, for a terminal.

It needs rich, the extra ``terminal``, which is imported when lines are
made.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.core.masking import counted, shown
from scrapy_resilience.observe.sentences import duration, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.observe.view import DomainView, View

__all__ = ["Lines", "lines_of", "one_line"]

_HELD: Final = 3
"""Domains that are named."""
_NARROW: Final = 20
_LOW: Final = 5
_BAR: Final = 24
_LOG_ERRORS: Final = ("log_count/ERROR", "log_count/CRITICAL")
"""Scrapy's stats."""
_COLOURS: Final = {
    "running": "green", "finished": "green", "closing": "yellow", "paused": "yellow",
}  # fmt: skip


class Lines(NamedTuple):
    """Lines with colours, and how many columns each takes."""

    lines: list[str]
    lengths: list[int]


def one_line(view: View) -> str:
    """The state and the sentences, for what is no terminal."""
    said = f"{view.job.sentence} {view.guard.sentence}".rstrip()
    return shown(f"{view.job.spider}: {_state(view)}. {said}")


def _state(view: View) -> str:
    """As the page has it."""
    is_paused = view.job.state == "running" and view.guard.pauses
    return "paused" if is_paused else view.job.state


def lines_of(view: View, width: int, height: int) -> Lines:
    """The view within *width* columns and *height* lines, less one for the cursor."""
    from rich.cells import cell_len  # noqa: PLC0415 - where it is needed only
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    width = max(width, _NARROW) - 1  # a full line would fold on some terminals
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, highlight=False, markup=False
    )
    found = Lines([], [])
    for parts in _rows(view)[: max(height - 1, _LOW)]:
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        for part, style in parts:
            text.append(shown(part), style)
        text.truncate(width, overflow="ellipsis")
        with console.capture() as capture:
            console.print(text, soft_wrap=True, end="")
        found.lines.append(capture.get())
        found.lengths.append(cell_len(text.plain))
    return found


_Part = tuple[str, str]
"""A text and its style."""


def _rows(view: View) -> list[list[_Part]]:
    job, progress, state = view.job, view.progress, _state(view)
    rows = [
        [
            (f" {job.spider} ", "bold"),
            (state, f"bold {_COLOURS.get(state, 'red')}"),
            (f"  {job.sentence}", ""),
        ],
        [
            (f" {progress.pages:,} pages", "bold"),
            (f" {progress.pages_per_second:.1f}/s   ", "cyan"),
            (f"{progress.items:,} items", "bold"),
            (f" {progress.items_per_second:.1f}/s", "cyan"),
            (f"   running for {duration(job.running_seconds)}", "dim"),
        ],
        [*_bar(view), *_to_do(view)],
    ]
    if view.guard.sentence:
        rows.append([(f" {view.guard.sentence}", "yellow")])
    if view.browsers.used:
        rows.append([*_browsers(view)])
    rows += ([part] for part in _troubles(view))
    rows += ([(f" {_held(domain, view.time)}", "yellow")] for domain in _waiting(view))
    if view.accounting.sentence:
        rows.append([(f" {view.accounting.sentence}", "dim")])
    return rows


def _bar(view: View) -> Iterator[_Part]:
    """Where an end can be seen."""
    done, left = view.progress.done, view.progress.pending
    if view.progress.seconds_left is None or left is None or not done:
        return
    filled = round(_BAR * done / (done + left))
    yield " " + "━" * filled, "green"
    yield "━" * (_BAR - filled), "dim"
    yield f" {100 * done / (done + left):.0f} %", ""


def _to_do(view: View) -> Iterator[_Part]:
    progress = view.progress
    left = "not known how many" if progress.pending is None else f"{progress.pending:,}"
    yield f" {left} to do", "bold"
    yield f", {progress.under_way:,} under way", ""
    if progress.held:
        yield f", {progress.held:,} held", "yellow"
    if progress.seconds_left is not None:
        yield f", about {duration(progress.seconds_left)} left", ""


def _browsers(view: View) -> Iterator[_Part]:
    shown, memory = view.browsers, view.resources.browser_memory
    yield f" {counted(shown.running, 'browser')}", "bold"
    yield f", {counted(shown.contexts, 'context')}, {counted(shown.pages, 'page')} open", ""
    if memory:
        yield f", {memory / 1e6:,.0f} MB", ""
    if shown.waiting:
        yield f", {shown.waiting:,} waiting", "yellow"
    told = [
        f"{number:,} {what}"
        for number, what in ((shown.crashes, "ended"), (shown.page_crashes, "pages crashed"))
        if number
    ]
    if told:
        yield f"; {', '.join(told)}", "yellow"


def _troubles(view: View) -> Iterator[_Part]:
    errors = sum(_number(view.stats.get(key)) for key in _LOG_ERRORS)
    told = [
        counted(errors, "error") + " in the log" if errors else "",
        counted(sum(view.traffic.failures.values()), "failed try").replace("trys", "tries"),
        f"{view.traffic.retries:,} retried",
        counted(view.progress.dead_letters, "request") + " given up",
    ]
    if errors or view.traffic.failures or view.progress.dead_letters:
        yield " " + ", ".join(filter(None, told)), "red" if errors else "yellow"


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _waiting(view: View) -> list[DomainView]:
    return [each for each in view.domains if each.waits_for and each.pending][:_HELD]


def _held(domain: DomainView, now: float) -> str:
    due = domain.next_try
    when = f", next try {until(due, now)}" if due is not None else ""
    return f"{domain.name}: {counted(domain.pending, 'request')}, {domain.waits_for}{when}"
