"""Feeds that can't be cut: items wait in a spool, and the feed is produced from it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from scrapy.extensions.feedexport import (
    FeedSlot,
    FileFeedStorage,
    FTPFeedStorage,
    GCSFeedStorage,
    S3FeedStorage,
)

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.feeds import spool
from scrapy_resilience.feeds.cutting import cut, lock_feed
from scrapy_resilience.feeds.dry_run import Trial
from scrapy_resilience.feeds.items import DeferringSlot
from scrapy_resilience.files.append_file import sync_path
from scrapy_resilience.files.plainfile import opener, remove_folders
from scrapy_resilience.names import STORAGE_REPLACES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typing_extensions import Self

    from scrapy_resilience.feeds.records import FeedRecord
    from scrapy_resilience.jobs.job import Job

__all__ = [
    "SpooledSlot",
    "local_path",
    "part_of",
    "replaces",
    "target_base",
]

logger = get_logger(__name__)

_BREATH: Final = 100
"""Items between two turns of the event loop while a feed is produced."""
_PART: Final = ".part"


class SpooledSlot(DeferringSlot):
    """Takes the place of one of Scrapy's slots: its items go to a spool.

    :meth:`produce` gives all of them to a slot that *make_target* makes, whose exporter and
    storage are Scrapy's own.
    """

    def __init__(
        self,
        make_target: Callable[[], FeedSlot],
        record: FeedRecord,
        job: Job,
    ) -> None:
        self._make_target = make_target
        target = make_target()
        vars(self).update(vars(target))
        self._trial = Trial(self)
        self.record = record
        self.refused: dict[int, Exception] = {}
        """By their place, items that the exporter took on trial only."""
        self.stored = False
        """Whether the storage has confirmed all items."""
        self.committed = False
        """Of a full batch: whether all of its items are."""
        self._folder = folder = job.path
        self._values = job.values
        self._waits, self._timeout = job.waits, job.config.feed_timeout
        self._power_loss_safe = job.config.power_loss_safe
        self.local = local_path(target)
        self.replaces = bool(replaces(target.storage))
        """Whether storing the feed once more leaves it there once."""
        self.itemcount = record.items
        self.spool = folder / record.path
        self.file: Any = spool.open_spool(self.spool)
        self._guard = None if self.local is None else _lock(part_of(self.local), self.local)
        self.exporter: Any = self

    def start_exporting(self) -> None:
        """The spool is open."""

    def finish_exporting(self) -> None:
        """The spool has no end."""

    def add(self, data: bytes) -> None:
        spool.append(self.file, data)

    async def produce(self, store: Callable[[FeedSlot], Awaitable[None]]) -> None:
        """Export all items to a new target, and await *store*, which finishes and stores it."""
        try:
            self.file.settle()
            while not await self._produce(store):
                pass
        except Exception:
            logger.exception("The feed %s can't be produced", mask_uri(self.uri))
        if not self.stored:
            logger.error(
                "The items of the feed %s stay in %s: run the job again to store them",
                mask_uri(self.uri),
                self.spool,
            )

    async def _store(self, work: Any) -> None:
        who = f"the storage of {mask_uri(self.uri)}"
        await self._waits.bounded(work, who, self._timeout, level=logging.INFO)

    async def _produce(self, store: Callable[[FeedSlot], Awaitable[None]]) -> bool:
        """False when an item was refused: the feed is begun anew without it."""
        target = self._make_target()
        sync = self._power_loss_safe
        with _Storing(
            target.storage, self.local, self._begin_part, self._store, sync=sync
        ) as storing:
            try:
                whole = await self._export(target)
            except BaseException:
                _abandon(target)
                raise
            if not whole:
                _abandon(target)
                return False
            failpoint("spool/exported")
            await store(target)
        self.stored = storing.confirmed
        return True

    async def _export(self, target: FeedSlot) -> bool:
        """Whether the exporter has taken all items, as it did on trial."""
        target.start_exporting()
        target.itemcount = self.itemcount - len(self.refused)
        exporter: Any = target.exporter
        for number, data in enumerate(spool.read(self.spool), 1):
            item = self._values.decode(data)
            try:
                if number not in self.refused:
                    exporter.export_item(item)
            except OSError:  # a full disk: it is not the item's fault
                raise
            except Exception as error:
                logger.exception("An item can't be written to %s", mask_uri(self.uri))
                self.refused[number] = error
                return False
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        return True

    def _begin_part(self, local: Path) -> Path:
        """Begin the file that replaces the local one once it is whole."""
        part, base = part_of(local), self.record.target_base
        if base and not self.record.produced:
            cut(local, base, self._folder)  # what others have written behind it
        if self.record.keeps_old and not (base or self.record.produced):
            _put_aside(local)
        self.record.produced = True
        with open(part, "wb", opener=opener) as new:
            if local.exists():
                shutil.copymode(local, part)
            if base:
                with open(local, "rb", opener=opener) as old:
                    _copy(old, new, base)
        return part

    def discard(self) -> None:
        """Nothing is to be stored."""
        if self.local is not None:
            part_of(self.local).unlink(missing_ok=True)
            remove_folders(self.local, self.record.folders)

    def tell_of_refused(self) -> None:
        """Their requests are done: they are listed, and can't be replayed."""
        for error in self.refused.values():
            letters_of(self.crawler).add_encoded(
                None,
                url="",
                kind="pipeline",
                failure_class="pipeline",
                reason="a feed has refused the item",
                exception=error,
            )

    def close(self) -> None:
        """Nothing more will be written or produced."""
        if self._trial is not None:
            self._trial.close()
        for file in (self.file, self._guard):
            if file is not None:
                file.close()


def _abandon(target: FeedSlot) -> None:
    """Close the file of a feed that will not be whole."""
    for file in (target.file, getattr(target.file, "file", None)):  # a compressor's, and its
        if file is not None:
            with contextlib.suppress(Exception):
                file.close()


def part_of(local: Path) -> Path:
    """The file beside a local feed that becomes the feed once it is whole."""
    return local.with_name(local.name + _PART)


def _put_aside(local: Path) -> None:
    """Give the feed of a finished job another name, beside the one that will be replaced."""
    if not local.is_file() or not local.stat().st_size:
        return
    at = datetime.fromtimestamp(local.stat().st_mtime, timezone.utc)
    aside = local.with_name(f"{local.name}.{at:%Y%m%dT%H%M%S.%fZ}")
    if not aside.exists():
        try:
            os.link(local, aside)
        except OSError:  # a file system without links
            shutil.copy2(local, aside)
    logger.warning(
        "%s has the items of this run alone: those of the finished job are in %s",
        local,
        aside.name,
    )


def _lock(part: Path, local: Path) -> IO[bytes]:
    """Keep other jobs off a local file that is not there yet."""
    if local.is_dir():  # which no file can replace
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(local))
    part.parent.mkdir(parents=True, exist_ok=True)
    file = open(part, "ab", opener=opener)  # noqa: SIM115 - open as long as the slot is
    lock_feed(file, local)
    return file


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size and (data := source.read(min(size, 2**20))):
        target.write(data)
        size -= len(data)


class _Storing:
    """While a context lasts, a storage writes beside a local file, and says if it succeeds."""

    def __init__(
        self,
        storage: Any,
        local: Path | None,
        begin_part: Callable[[Path], Path],
        bounded: Callable[[Any], Awaitable[None]],
        *,
        sync: bool,
    ) -> None:
        self.confirmed = False
        self._sync = sync
        self._storage, self._store = storage, storage.store
        self._local, self._begin_part = local, begin_part
        self._bounded = bounded

    def __enter__(self) -> Self:
        if self._local is not None:
            self._storage.path = str(self._begin_part(self._local))
            self._storage.write_mode = "ab"
        self._storage.store = self._store_and_confirm
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.store = self._store

    async def _store_and_confirm(self, file: Any) -> None:
        await self._bounded(self._store(file))
        failpoint("spool/stored")
        if self._local is not None:
            await asyncio.to_thread(self._publish, self._local)
        failpoint("spool/published")
        self.confirmed = True

    def _publish(self, local: Path) -> None:
        part = part_of(local)
        if self._sync:
            sync_path(part)
        part.replace(local)
        if self._sync:
            sync_path(local)


def replaces(storage: Any) -> bool | None:
    """Whether storing a feed once more leaves it there once; None where nobody can know.

    A class of the user's says so itself: what it overrides of Scrapy's may change it.
    """
    told = getattr(storage, STORAGE_REPLACES, None)
    if told is not None:
        return bool(told)
    if type(storage) is FTPFeedStorage:
        return storage.overwrite
    known = {FileFeedStorage, S3FeedStorage, GCSFeedStorage}
    return True if type(storage) in known else None


def local_path(slot: FeedSlot) -> Path | None:
    """The local file that a feed becomes: None for remote ones, pipes and the like.

    A folder of that name is not a pipe: nothing can be written there, and opening it says so.
    """
    if type(slot.storage) is not FileFeedStorage:
        return None
    path = Path(slot.storage.path).resolve()  # a link stays one
    return path if path.is_file() or path.is_dir() or not path.exists() else None


def target_base(slot: FeedSlot) -> int:
    """How much of the local file stays in front of the feed."""
    path = local_path(slot)
    storage: Any = slot.storage
    if path is None or storage.write_mode == "wb" or not path.exists():
        return 0
    return path.stat().st_size
