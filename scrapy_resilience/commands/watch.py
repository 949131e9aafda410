"""``scrapy resilience status``: what a job has done, once or for as long as it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience import _clock
from scrapy_resilience.commands.tables import plain, shown_size, shown_time, table, tell
from scrapy_resilience.jobs.report import read_report
from scrapy_resilience.observe.offline_view import offline_view
from scrapy_resilience.observe.rates import Rates, Sample
from scrapy_resilience.observe.remote_view import live_view
from scrapy_resilience.observe.terminal.screen import Screen, size_of
from scrapy_resilience.observe.terminal.streams import shows_lines
from scrapy_resilience.observe.terminal.terminal import lines_of, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.observe.view import AbortView, View

__all__ = ["show_status", "watch"]

_INTERVAL: Final = 1.0
_PLAIN_INTERVAL: Final = 5.0
"""Seconds between two lines where they can't be taken back."""
_RUNNING: Final = {"running", "closing"}


def show_status(path: str, token: str) -> tuple[Any, str]:
    """What the last commit of a job says, in one sentence what is so now, and its guards."""
    folder = Path(path)
    report = read_report(folder)
    view = live_view(folder, token) or offline_view(folder)
    report["sentence"] = view.job.sentence
    rows = [(name.replace("_", " "), _shown(name, value)) for name, value in report.items()]
    if view.guard.sentence:
        rows.append(("guards", view.guard.sentence))
    for part in ("guard", "cost", "abort", "browsers"):
        report[part] = msgspec.to_builtins(getattr(view, part))
    return report, "\n\n".join([table(rows), *_conditions(view.abort)])


def _conditions(abort: AbortView) -> list[str]:
    """How far it is from an end by its policy; without one, what policies would be about."""
    if not abort.conditions:
        return []
    policy = f"abort policy {abort.policy}" if abort.policy else "no abort policy"
    rows = [
        (each.name, _figure(each.value), _figure(each.limit), "met" if each.met else "")
        for each in abort.conditions
    ]
    return [table([(policy, "value", "limit", ""), *rows])]


def _figure(value: float | None) -> str:
    return plain(None if value is None else f"{value:.4g}")


def watch(path: str, token: str, rest: Callable[[float], object] | None = None) -> None:
    """Show the progress until the job does not run any more, or Ctrl-C is pressed.

    *rest* waits for some seconds.
    """
    rest = rest or Event().wait
    watched = _Watched(Path(path), token)
    try:
        show = _lines if shows_lines(sys.stdout) else _texts
        show(watched, rest)
    except KeyboardInterrupt:
        tell("")


class _Watched:
    """A job, with rates also where only its commits tell them."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token
        self._rates = Rates()
        self._last: float | None = None

    def view(self) -> View:
        view = live_view(self._path, self._token)
        if view is not None:
            return view
        view = offline_view(self._path)
        progress, commit = view.progress, view.checkpoint.last
        if commit is not None and commit != self._last:
            self._last = commit
            sample = Sample(commit, progress.pages, progress.items, progress.pending)
            self._rates.add(sample)
        if view.job.state in _RUNNING:
            rates = self._rates
            progress.pages_per_second, progress.items_per_second = rates.per_second()
            progress.seconds_left = rates.seconds_left()
        return view


def _lines(watched: _Watched, rest: Callable[[float], object]) -> None:
    stream = sys.stdout
    screen = Screen(stream, lambda: size_of(stream).columns)
    while not screen.gone:
        view = watched.view()
        screen.draw(*lines_of(view, *size_of(stream)))
        if view.job.state not in _RUNNING:
            break
        rest(_INTERVAL)


def _texts(watched: _Watched, rest: Callable[[float], object]) -> None:
    while True:
        view = watched.view()
        tell(f"{shown_time(_clock.wall())}  {one_line(view)}")
        sys.stdout.flush()
        if view.job.state not in _RUNNING:
            break
        rest(_PLAIN_INTERVAL)


def _shown(name: str, value: Any) -> str:
    if name in {"created", "last_checkpoint"} and value is not None:
        return shown_time(value)
    if name == "waiting_for":
        waiting = (f"{each['for']} since {shown_time(each['since'])}" for each in value)
        return "; ".join(waiting) or "-"
    if name == "store_bytes":
        return shown_size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value)
