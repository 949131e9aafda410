"""Where requests come from: what made a request is not done before the job has that request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scrapy_resilience._log import get_logger
from scrapy_resilience.scheduling.requests import request_key

if TYPE_CHECKING:
    from scrapy import Request

    from scrapy_resilience.frontier.handed_out import HandedOutRequest
    from scrapy_resilience.frontier.in_flight import InFlightRequests
    from scrapy_resilience.frontier.lanes import Frontier
    from scrapy_resilience.frontier.store import Row
    from scrapy_resilience.scheduling.duplicates import Duplicates
    from scrapy_resilience.scheduling.output_sources import OutputTracker

__all__ = ["Origin", "Origins"]

logger = get_logger(__name__)


class Origin(NamedTuple):
    """Where a request came from, and the names by which a second run knows it again."""

    parent: HandedOutRequest | None
    fingerprint: bytes | None
    key: int | None
    start_key: int | None
    replaced: Request | None


class Origins:
    """With a job: it tells a second run what it need not make again."""

    def __init__(
        self,
        frontier: Frontier,
        in_flight: InFlightRequests,
        *,
        duplicates: Duplicates,
        outputs: OutputTracker,
    ) -> None:
        self._frontier = frontier
        self._in_flight = in_flight
        self._duplicates = duplicates
        self._outputs = outputs
        self._told_of_unsafe = False

    def key(self, request: Request) -> int:
        """What *request* asks for, as a number."""
        return request_key(request, self._outputs.inherited())

    def stored(self, row: Row, request: Request, origin: Origin) -> None:
        """The next commit writes *request*: what made it need not make it again."""
        parent, _, key, start_key, replaced = origin
        if start_key is not None:
            if self._duplicates.is_unfiltered(request):
                self._frontier.note_start(start_key)
        elif key is not None and parent is not None:
            parent.put_out(key)
        elif parent is None and self._in_flight.repeats:
            self._in_flight.hand_on(self._producer_of(replaced), row)

    def keep_open(self, row: Row, request: Request, origin: Origin) -> None:
        """A request in memory only: whatever made it is not done before it is."""
        parent, fingerprint, key, start_key, _ = origin
        if start_key is not None:
            self._in_flight.add_volatile(row, start_key, fingerprint, from_start=True)
            return
        replaced = self._producer_of(origin.replaced)
        parent = parent or replaced
        if parent is None and not self._told_of_unsafe:
            self._told_of_unsafe = True
            logger.warning(
                "%s is made by no callback and can't be stored: it is lost at a kill. "
                "Give it a method of the spider as callback, and plain values",
                request,
            )
        if key is None:
            key = self.key(request)
            key = key if parent is None else parent.child(key)
        self._in_flight.add_volatile(
            row, key, fingerprint, parent=parent, replaces=replaced is not None
        )

    def _producer_of(self, request: Request | None) -> HandedOutRequest | None:
        return None if request is None else self._in_flight.under_way.get(request)
