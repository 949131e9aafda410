"""A bounded map that forgets what is old, and then what was not asked for the longest."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["TimedLRU"]

_T = TypeVar("_T")


class TimedLRU(Generic[_T]):
    """At most *most* values of at most *most_size* together, each for its own time.

    *clock* returns seconds that only grow. With a *lock*, one that its owner may take again, it
    is for threads, too.
    """

    def __init__(
        self,
        most: int,
        most_size: int,
        clock: Callable[[], float],
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._most = most
        self._most_size = most_size
        self._clock = clock
        self._lock = lock or nullcontext()
        self._entries: OrderedDict[str, tuple[float, _T, int]] = OrderedDict()
        """When each ends, what it is, and its size."""
        self.size = 0
        """Of all together."""
        self.evicted = 0
        """How many had to go before their time."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """Those that were not asked for the longest first; some may be over."""
        return iter(self._entries)

    def get(self, key: str) -> _T | None:
        """The value, which now is the last to go; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._end(key, entry)
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:  # another thread has taken it away: a hit is quicker without the lock
            return entry[1]
        return entry[1]

    def has(self, key: str) -> bool:
        """Whether there is a value; it is not asked for by that."""
        entry = self._entries.get(key)
        return entry is not None and entry[0] > self._clock()

    def set(self, key: str, value: _T, ttl: float, size: int) -> bool:
        """Keep *value* for *ttl* seconds; False for one that is larger than all may be."""
        with self._lock:
            self.delete([key])
            if size > self._most_size or not self._most:
                return False
            self._entries[key] = self._clock() + ttl, value, size
            self.size += size
            while len(self._entries) > self._most or self.size > self._most_size:
                _, (_, _, freed) = self._entries.popitem(last=False)
                self.size -= freed
                self.evicted += 1
            return True

    def delete(self, keys: Iterable[str]) -> int:
        """How many values there were."""
        count = 0
        with self._lock:
            for key in keys:
                if (entry := self._entries.pop(key, None)) is not None:
                    self.size -= entry[2]
                    count += entry[0] > self._clock()
        return count

    def _end(self, key: str, entry: tuple[float, _T, int]) -> None:
        """It is over; another thread may have written it anew."""
        with self._lock:
            if self._entries.get(key) is entry:
                self.delete([key])

    def clear(self, matches: Callable[[str], bool] | None = None) -> int:
        """Forget all, or those whose keys match; gives how many there were."""
        with self._lock:
            keys = list(self._entries)  # a hit in another thread moves its entry meanwhile
            return self.delete([each for each in keys if not matches or matches(each)])
