"""What is so with a crawl, in one sentence for its owner: made of nothing but its view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.masking import counted

if TYPE_CHECKING:
    from scrapy_resilience.observe.view import DomainView, View

__all__ = ["duration", "sentence"]

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_NAMED: Final = 2
"""Domains that a sentence names."""


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``5 h 20 min``, ``2 d 3 h``."""
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        hours, rest = divmod(seconds, _HOUR)
        return f"{hours:.0f} h {rest // _MINUTE:.0f} min"
    days, rest = divmod(seconds, _DAY)
    return f"{days:.0f} d {rest // _HOUR:.0f} h"


def sentence(view: View) -> str:
    """What the state of the job means now."""
    said = {
        "running": _running,
        "closing": _closing,
        "created": lambda _: "The job has not been started yet.",
        "killed": lambda view: f"It was killed{_left(view)}: the same command goes on.",
        "stopped": lambda view: f"It was stopped{_left(view)}: the same command goes on.",
        "held": _held,
        "finished": _finished,
    }
    return said[view.job.state](view)


def _left(view: View) -> str:
    pending = view.progress.pending
    return f", {counted(pending, 'request')} left" if pending else ""


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
        when = f", next try in {duration(due - now)}" if due is not None else ""
        named.append(f"{domain.name} ({domain.waits_for}{when})")
    more = len(domains) - len(named)
    rest = f" and {more} more" if more > 0 else ""
    return f" for {', '.join(named)}{rest}" if named else ""
