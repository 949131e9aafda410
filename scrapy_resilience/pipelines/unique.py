"""Drops the items that were there before, in this run of a job or in an earlier one.

An item is known by a hash of some of its values. The hashes are kept among the fingerprints of
requests, which differ from them in length, and so take no memory beyond what was seen since
the last commit. A hash is put there when its item is written, and belongs to the same commit:
after a kill the request of an item that was not written runs again, and its item comes anew.
Until it is known what becomes of an item, those like it wait.
"""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

from itemadapter import ItemAdapter, is_item
from scrapy import signals
from scrapy.exceptions import DropItem, NotConfigured
from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.frontier.codec import UnserializableError
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.scheduling.canonical import canonical_bytes
from scrapy_resilience.scheduling.duplicates import Known
from scrapy_resilience.scheduling.item_context import current, item_refused, when_written
from scrapy_resilience.settings import PREFIX, Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from typing_extensions import Self

__all__ = ["UniquePipeline", "key_function"]

logger = get_logger(__name__)

_SETTING: Final = f"{PREFIX}UNIQUE"
_MARK: Final = b"item:"
"""Makes a hash longer than a fingerprint: 21 bytes."""


class _Memory(Protocol):
    def __contains__(self, key: bytes, /) -> bool: ...

    def add(self, key: bytes, /) -> None: ...


class UniquePipeline:
    """Order 200: after what makes the values comparable, before what writes them."""

    def __init__(self, crawler: Crawler, key_of: Callable[[Any], Any]) -> None:
        self.crawler = crawler
        self._key_of = key_of
        self._seen: _Memory = set()
        self._under_way: dict[bytes, asyncio.Event] = {}
        for refused in (signals.item_dropped, signals.item_error):
            crawler.signals.connect(item_refused, refused)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        if not config.unique:
            raise NotConfigured
        try:
            return cls(crawler, key_function(config))
        except ConfigurationError as error:
            fail_quietly(crawler, error)
            raise

    def open_spider(self) -> None:
        assert self.crawler.engine is not None
        scheduler: Any = self.crawler.engine.scheduler
        if isinstance(getattr(scheduler, "frontier", None), Frontier):
            self._seen = Known(scheduler.frontier, scheduler.on_damage)
        elif self.crawler.settings["JOBDIR"]:
            logger.warning(
                "%s forgets at the end of the process: only ResilientScheduler keeps it",
                _SETTING,
            )

    def process_item(self, item: Any) -> Any:
        again = current().again
        value = self._key_of(item) if is_item(item) and not again else None
        if value is None:
            return item
        key = _hashed(type(item), value)
        if key in self._under_way:
            return self._after_others(item, key, value)
        return self._first_of(item, key, value)

    async def _after_others(self, item: Any, key: bytes, value: Any) -> Any:
        """Wait for one like it that is in later pipelines: it may be dropped, or fail there."""
        while (other := self._under_way.get(key)) is not None:
            await other.wait()
        return self._first_of(item, key, value)

    def _first_of(self, item: Any, key: bytes, value: Any) -> Any:
        if key in self._seen:
            raise DropItem(f"Duplicate item, known by {value!r}")
        self._under_way[key] = asyncio.Event()
        when_written(partial(self._written, key), partial(self._ended, key))
        return item

    def _written(self, key: bytes) -> None:
        self._seen.add(key)
        self._ended(key)

    def _ended(self, key: bytes) -> None:
        self._under_way.pop(key).set()


def key_function(config: Config) -> Callable[[Any], Any]:
    """What tells an item apart by ``RESILIENCE_UNIQUE``, None for one that has nothing of it.

    Raises :exc:`~scrapy_resilience.exceptions.ConfigurationError` for a path to no function.
    """
    fields = config.unique
    if len(fields) == 1 and "." in fields[0]:
        return _loaded(fields[0])

    def key_of(item: Any) -> dict[str, Any] | None:
        values = ItemAdapter(item)
        found = {name: values.get(name) for name in fields}
        return found if any(value is not None for value in found.values()) else None

    return key_of


def _loaded(path: str) -> Callable[[Any], Any]:
    try:
        found: Any = load_object(path)
    except (ImportError, NameError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{_SETTING}={path!r}: use names of fields, or the import path of a function "
            f"({error})."
        ) from None
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigurationError(f"{_SETTING}={path!r}: use a function that is not async.")
    return found  # type: ignore[no-any-return]


def _hashed(kind: type, value: Any) -> bytes:
    """The same in each run; items of two classes are never alike."""
    try:
        data = canonical_bytes([kind.__module__, kind.__qualname__, value])
    except UnserializableError:
        raise ValueError(
            f"{_SETTING}: {value!r} can't tell items apart: use plain values, such as texts "
            f"and numbers"
        ) from None
    return _MARK + blake2b(data, digest_size=16).digest()
