"""The outputs of ``start()``, which begins anew at each resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import Request

from scrapy_resilience.frontier.handed_out import content_key
from scrapy_resilience.scheduling.canonical import content_parts
from scrapy_resilience.scheduling.requests import request_key

if TYPE_CHECKING:
    from scrapy_resilience.frontier.handed_out import StartOutputs
    from scrapy_resilience.jobs.job import Job
    from scrapy_resilience.scheduling.duplicates import Duplicates
    from scrapy_resilience.scheduling.output_sources import OutputTracker

__all__ = ["StartOutputFilter", "item_key"]


class StartOutputFilter:
    """Leaves out what earlier runs of *job* have done, and names the rest for later ones."""

    def __init__(
        self, job: Job, done: StartOutputs, duplicates: Duplicates, outputs: OutputTracker
    ) -> None:
        self._job = job
        self._done = done
        self._duplicates = duplicates
        self._outputs = outputs
        self._latest: tuple[Request, int] | None = None
        self.pending = False
        """Whether ``start()`` may have more to put out."""

    def claim(self, output: Any) -> bool:
        """Whether an earlier run has done this output of ``start()``."""
        if isinstance(output, Request):
            key = request_key(output)
            if self._was_started(output, key):
                return True
            self._latest = output, key
            return False
        key = item_key(output)
        if self._done.claim(key):
            return True
        self._outputs.expect_start_item(output, key)
        return False

    def key_of(self, request: Request) -> int | None:
        """The key of *request* when it is what ``start()`` has put out last."""
        if self._latest is None or self._latest[0] is not request:
            return None  # a signal handler may put in others at the same time
        key, self._latest = self._latest[1], None
        return key

    def _was_started(self, request: Request, key: int) -> bool:
        """Filtered ones are told here by their fingerprint: the engine takes 0.1 ms each."""
        known = self._duplicates
        if known.is_unfiltered(request):
            return self._done.claim(key)
        return self._job.resumed and known.has(request, known.fingerprint(request))


def item_key(item: Any) -> int:
    """What tells an item of ``start()`` apart from others: the same in each run."""
    return content_key(b"item", *content_parts(item))
