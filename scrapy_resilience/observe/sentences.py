"""What is so with a crawl, in one sentence for its owner: made of nothing but its view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.masking import counted
from scrapy_resilience.core.pressure_rungs import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.observe.view import (
        BudgetView,
        DomainView,
        GuardView,
        PauseView,
        View,
    )

__all__ = ["duration", "eased_off", "sentence", "until"]

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_NAMED: Final = 2
"""Domains that a sentence names."""
_NEAR: Final = 0.8
"""Share of a budget from which on it is told."""
_BUDGET: Final = "budget"
"""Why a crawl is paused whose budget is used up."""
_EASED: Final = frozenset(rung.name.lower() for rung in Rung if rung >= Rung.FEWER)
"""Rungs of a ladder that slow the crawl down."""


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``5 h 20 min``, ``2 d 3 h``."""
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{_whole(seconds)} s"
    if seconds < 2 * _HOUR:
        return f"{_whole(seconds / _MINUTE)} min"
    if seconds < 2 * _DAY:
        hours, rest = divmod(seconds, _HOUR)
        return f"{hours:.0f} h {rest // _MINUTE:.0f} min"
    days, rest = divmod(seconds, _DAY)
    return f"{days:.0f} d {rest // _HOUR:.0f} h"


def _whole(number: float) -> int:
    """The nearest one, as JavaScript has it: a half goes up."""
    return int(number + 0.5)


def until(due: float, now: float) -> str:
    """``now`` or ``in 12 s``, as ``format.until`` of the page has it beside it."""
    return "now" if due - now < 1 else f"in {duration(due - now)}"


def sentence(view: View) -> str:
    """What the state of the job means now."""
    said = {
        "running": _running,
        "closing": _closing,
        "created": lambda _: "The job has not been started yet.",
        "killed": lambda view: f"It was killed{_left(view)}: the same command goes on.",
        "stopped": _stopped,
        "held": _held,
        "finished": _finished,
    }
    return said[view.job.state](view)


def _left(view: View) -> str:
    pending = view.progress.pending
    return f", {counted(pending, 'request')} left" if pending else ""


def _stopped(view: View) -> str:
    reason = view.job.reason
    why = f" ({reason})" if reason and reason != "shutdown" else ""
    if view.job.path is None:
        return f"It ended early{why}{_left(view)}: without a JOBDIR nothing goes on."
    return f"It was stopped{why}{_left(view)}: the same command goes on."


def _held(view: View) -> str:
    left = f" with{_left(view)[1:]} of" if view.progress.pending else " because of"
    return f"It ended{left} domains that did not answer: the same command tries again."


def _finished(view: View) -> str:
    letters = view.progress.dead_letters
    lost = f", and {counted(letters, 'request')} given up" if letters else ""
    return f"It has finished with {counted(view.progress.items, 'item')}{lost}."


def _closing(view: View) -> str:
    waits = ", ".join(view.job.waiting_for)
    why = f" ({view.job.reason})" if view.job.reason else ""
    return f"The crawl is closing{why}{f': it waits for {waits}' if waits else ''}."


def _running(view: View) -> str:
    progress = view.progress
    if view.checkpoint.trouble:
        return f"Nothing new is asked for: {view.checkpoint.trouble}."
    if view.guard.pauses:
        return f"It is paused: {_paused(view.guard.pauses[0], view.time)}."
    if stalled := [each.text for each in view.guard.stuck if each.kind == "stall"]:
        return f"{stalled[0]}."
    waits = [domain for domain in view.domains if domain.waits_for and domain.pending]
    rate = f"{progress.pages_per_second:.1f} pages a second"
    if progress.pending is None:
        return f"{rate}; how much is left is not known."
    if progress.held and progress.held >= progress.pending - progress.under_way > 0:
        return f"All that is left waits{_for(waits, view.time)}."
    left = counted(progress.pending, "request")
    end = progress.seconds_left
    until = f", about {duration(end)}" if end is not None else ""
    return f"{rate}, {left} to do{until}."


def _for(domains: list[DomainView], now: float) -> str:
    named = []
    for domain in domains[:_NAMED]:
        due = domain.next_try
        when = f", next try {until(due, now)}" if due is not None else ""
        named.append(f"{domain.name} ({domain.waits_for}{when})")
    more = len(domains) - len(named)
    rest = f" and {more} more" if more > 0 else ""
    return f" for {', '.join(named)}{rest}" if named else ""


def eased_off(view: View) -> str:
    """What slows a crawl down as a whole, or soon will; empty while nothing does."""
    running = view.job.state in {"running", "closing"}
    return " ".join([*(_eased(view.guard, view.time) if running else ()), *_near(view)])


def _eased(guard: GuardView, now: float) -> Iterator[str]:
    for pause in guard.pauses[1:]:  # the first one is in the sentence of the state
        yield f"Also paused: {_paused(pause, now)}."
    paused = _reasons(guard)
    for ladder in guard.ladders:
        if ladder.rung in _EASED and ladder.resource not in paused and ladder.text:
            yield f"Eased off: {ladder.text}."


def _near(view: View) -> Iterator[str]:
    """Budgets: of a job that was stopped, too, for it would not get far."""
    near = [each for each in view.cost.budgets if each.used >= _NEAR * each.limit]
    told = view.job.state == "finished" or _BUDGET in _reasons(view.guard)
    if near and not told:
        yield _spent(near, view.time)


def _reasons(guard: GuardView) -> set[str]:
    return {pause.reason for pause in guard.pauses}


def _spent(near: list[BudgetView], now: float) -> str:
    """Of the first one, which is the closest to its limit."""
    first, more = near[0], len(near) - 1
    share = _whole(100 * first.used / first.limit)
    room = "" if first.moves is None else f", room again {until(first.moves, now)}"
    rest = f", and {counted(more, 'more budget')} above {_whole(100 * _NEAR)} %" if more else ""
    return f"{share} % of the budget of {first.text} are spent{room}{rest}."


def _paused(pause: PauseView, now: float) -> str:
    end = "" if pause.until is None else f"; it goes on {until(pause.until, now)}"
    return f"{pause.text}{end}"
