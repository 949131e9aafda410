"""The last view of a crawl: when its spider has closed, and everything is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from scrapy_resilience.observe.sentences import eased_off, sentence

if TYPE_CHECKING:
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.observe.observer import Observer
    from scrapy_resilience.observe.view import View

__all__ = ["last_view"]


def last_view(observer: Observer, job: Job | None, reason: str | None) -> View:
    """With the state in which the job is left; *reason* is why the spider closed."""
    observer.renew()
    view = observer.view(history=True)
    state = "finished" if reason == "finished" else "stopped"
    if job is not None:
        state = job.meta.state(running=False)
    incomplete = view.job.incomplete or state != "finished"
    about = replace(view.job, state=state, incomplete=incomplete)
    view = replace(view, job=about)
    about.sentence = sentence(view)
    return replace(view, guard=replace(view.guard, sentence=eased_off(view)))
