"""A value from the cache, or computed and kept: by one caller for all who ask meanwhile."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from msgspec import Struct

from scrapy_resilience._log import get_logger
from scrapy_resilience.cache.counts import Counts
from scrapy_resilience.cache.flights import Flights, Turn, running_loop
from scrapy_resilience.core.cachekeys import place_of
from scrapy_resilience.core.cachevalues import Failure, UnstorableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy_resilience.cache.flights import Flight, Give
    from scrapy_resilience.cache.remote import Remote
    from scrapy_resilience.core.cachevalues import Codec, Packed
    from scrapy_resilience.core.lru import TimedLRU

__all__ = ["MISSING", "Fetching", "Plan"]

logger = get_logger(__name__)

MISSING: Final = object()
"""In the place of a value."""


class Plan(Struct):
    """What is to be kept, for how long, and what became of the calls."""

    ttl: float | None = None
    """None: as the cache has it."""
    negative_ttl: float | None = None
    exceptions: Mapping[str, type[Exception]] = {}
    """By where they are defined."""
    name: str = ""
    hits: int = 0
    misses: int = 0
    waits: int = 0
    refused: int = 0
    told: bool = False
    """That some of it can't be kept."""


class Fetching:
    """What a cache does for functions. *read* and *write* go to Redis where there is one."""

    def __init__(
        self,
        memory: TimedLRU[Packed],
        codec: Codec,
        ttl: float,
        negative_ttl: float,
        patience: float,
    ) -> None:
        self.memory = memory
        self.codec = codec
        self.counts = Counts()
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.patience = patience
        self.remote: Remote | None = None
        self._flights = Flights()

    async def read(self, key: str) -> Any:
        """The value, a :class:`Failure`, or :data:`MISSING`."""
        raise NotImplementedError

    async def write(self, key: str, packed: Packed, ttl: float) -> bool:
        """Whether there was room."""
        raise NotImplementedError

    def at_hand(self, key: str) -> Any:
        """As :meth:`read`, of the memory."""
        packed = self.memory.get(key)
        if packed is None:
            return MISSING
        try:
            return self.codec.unpack(packed)
        except Exception:  # noqa: BLE001 - some classes can be pickled, and do not come back
            self.memory.delete([key])
            self.counts.unreadable += 1
            return MISSING

    # --- coroutine functions ---

    async def fetch(
        self, key: str, plan: Plan, make: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """What *make* has given for *key*; it may be a coroutine function."""
        loop = running_loop()
        while True:
            if self.remote is None and _is_good(found := self.at_hand(key), plan):
                self._hit(plan)
                return _given(found, plan)
            flight, is_mine = self._flights.join(key, loop)
            if is_mine:
                return await self._lead(key, plan, flight, partial(make, *args, **kwargs))
            outcome: Give | Turn = Turn.ALONE
            if flight.loop is loop and not flight.is_mine():
                plan.waits += 1
                self.counts.waits += 1
                outcome = await flight.wait(self.patience)
            if outcome is Turn.ALONE:
                self._missed(plan)
                return await _awaited(make(*args, **kwargs))
            if not isinstance(outcome, Turn):
                self._hit(plan)
                return outcome()

    async def _lead(self, key: str, plan: Plan, flight: Flight, make: Callable[[], Any]) -> Any:
        with self._flights.leading(key, flight):
            found = await self.read(key)
            if _is_good(found, plan):
                self._share(found, plan, flight)
                self._hit(plan)
                return _given(found, plan)
            self._missed(plan)
            try:
                value = await _awaited(make())
            except Exception as error:
                flight.outcome = partial(_raise, error)
                if (packed := self._packed_failure(error, plan)) is not None:
                    await self.write(key, packed, self._negative_ttl(plan))
                raise
            packed = self._packed(value, plan, flight)
            ttl = self._ttl_of(value, plan)
            if packed is not None and ttl and not await self.write(key, packed, ttl):
                plan.refused += 1
            return value

    # --- plain functions, in memory ---

    def found_here(self, key: str, plan: Plan) -> Any:
        """What the memory has, or :data:`MISSING`; raises an error that was kept."""
        found = self.at_hand(key)
        if not _is_good(found, plan):
            return MISSING
        self._hit(plan)
        return _given(found, plan)

    def fetch_here(
        self, key: str, plan: Plan, make: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """The same of a plain function, in memory: it waits for nobody in an event loop."""
        while True:
            if (found := self.found_here(key, plan)) is not MISSING:
                return found
            flight, is_mine = self._flights.join(key, None)
            if is_mine:
                return self._lead_here(key, plan, flight, partial(make, *args, **kwargs))
            outcome: Give | Turn = Turn.ALONE
            if flight.loop is None and not flight.is_mine() and running_loop() is None:
                plan.waits += 1
                self.counts.waits += 1
                outcome = flight.wait_in_thread(self.patience)
            if outcome is Turn.ALONE:
                self._missed(plan)
                return make(*args, **kwargs)
            if not isinstance(outcome, Turn):
                self._hit(plan)
                return outcome()

    def _lead_here(self, key: str, plan: Plan, flight: Flight, make: Callable[[], Any]) -> Any:
        with self._flights.leading(key, flight):
            if (found := self.found_here(key, plan)) is not MISSING:
                return found  # another thread was quicker: who waits looks again
            self._missed(plan)
            try:
                value = make()
            except Exception as error:
                flight.outcome = partial(_raise, error)
                if (packed := self._packed_failure(error, plan)) is not None:
                    self.keep_here({key: packed}, self._negative_ttl(plan))
                raise
            packed = self._packed(value, plan, flight)
            ttl = self._ttl_of(value, plan)
            if packed is not None and ttl and not self.keep_here({key: packed}, ttl):
                plan.refused += 1
            return value

    def keep_here(self, packed: Mapping[str, Packed], ttl: float) -> int:
        """In memory; gives for how many there was room."""
        kept = 0
        for key, each in packed.items():
            kept += self.memory.set(key, each, ttl, each.size + len(key))
        self.counts.writes += kept
        self.counts.refused += len(packed) - kept
        return kept

    # --- both ---

    def _ttl_of(self, value: Any, plan: Plan) -> float:
        if value is None:
            return self._negative_ttl(plan)
        return self.ttl if plan.ttl is None else plan.ttl

    def _negative_ttl(self, plan: Plan) -> float:
        return self.negative_ttl if plan.negative_ttl is None else plan.negative_ttl

    def _share(self, found: Any, plan: Plan, flight: Flight) -> None:
        """Copies of what was found are for those who wait, if anybody does."""
        if type(found) is Failure:
            flight.outcome = partial(_given, found, plan)
        elif flight.is_waited_for:
            flight.outcome = partial(self.codec.unpack, self.codec.pack(found))

    def _packed(self, value: Any, plan: Plan, flight: Flight) -> Packed | None:
        """None for what can't be kept: who waits for it computes his own."""
        flight.outcome = Turn.ALONE
        try:
            packed = self.codec.pack(value)
        except UnstorableError as error:
            self.counts.refused += 1
            plan.refused += 1
            if not plan.told:
                plan.told = True
                logger.warning("What %s gives can't be cached: %s", plan.name, error)
            return None
        flight.outcome = partial(self.codec.unpack, packed)
        return packed

    def _packed_failure(self, error: Exception, plan: Plan) -> Packed | None:
        """None for one that is not to be kept."""
        place = place_of(type(error))
        is_named = plan.exceptions.get(place) is type(error)
        if not (is_named and self._negative_ttl(plan)):
            return None
        try:
            type(error)(*error.args)  # so it will be made
            return self.codec.pack_failure(Failure(place, [*error.args]))
        except Exception:  # noqa: BLE001 - whatever a constructor of the user's raises
            return None

    def _hit(self, plan: Plan) -> None:
        plan.hits += 1
        self.counts.hits += 1

    def _missed(self, plan: Plan) -> None:
        plan.misses += 1
        self.counts.misses += 1


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _is_good(found: Any, plan: Plan) -> bool:
    """Whether there is a value, or an error of a class that the function still names."""
    if type(found) is Failure:
        return found.place in plan.exceptions
    return found is not MISSING


def _given(found: Any, plan: Plan) -> Any:
    if type(found) is Failure:
        raise plan.exceptions[found.place](*found.arguments)
    return found


def _raise(error: Exception) -> NoReturn:
    raise error
