"""A job of Scrapy's own scheduler, read without changing a byte of it.

After a clean stop a JOBDIR holds ``requests.queue`` (for each download slot a folder, in
it for each priority a queue, ``0s`` for start requests, and ``active.json``, which names
them all), ``requests.seen`` and ``spider.state``. Scrapy's queues are consumed by being
read, so the three forms that they have on disk are read here; what the bytes mean is left
to Scrapy and pickle.
"""

from __future__ import annotations

import json
import marshal
import os
import pickle
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import md5, sha256
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.request import request_from_dict

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import SCRAPYS_QUEUE as _QUEUE
from scrapy_resilience.files.ownership import check_own
from scrapy_resilience.frontier.codec import RequestCodec, ValueCodec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scrapy import Request, Spider

__all__ = ["ScrapyJobdir", "StockRequest"]

_ACTIVE: Final = "active.json"
_SEEN: Final = "requests.seen"
_STATE: Final = "spider.state"
_SIZE: Final = struct.Struct(">L")
_SQLITE: Final = b"SQLite format 3\0"
_PICKLE: Final = b"\x80"
_ANEW: Final = (
    f"remove {_QUEUE}, {_SEEN} and {_STATE} from it to start anew, or use another JOBDIR"
)


class _TornError(Exception):
    """A file does not hold what it says that it holds."""


class StockRequest(NamedTuple):
    """A pending request as the frontier takes it."""

    slot: str
    payload: bytes
    priority: int
    start: bool


@dataclass
class ScrapyJobdir:
    """What Scrapy left in the JOBDIR *path*."""

    path: Path
    requests: list[StockRequest] = field(default_factory=list)
    """Those of one slot and priority in the order in which they were made."""
    unfiltered_starts: list[Request] = field(default_factory=list)
    """The pending outputs of ``start()`` that no fingerprint tells from new ones."""
    fingerprints: set[bytes] = field(default_factory=set)
    state: Any = None
    """``spider.state``, None without one."""
    moves_state: bool = False
    is_read: bool = False

    @classmethod
    def find(cls, path: Path) -> ScrapyJobdir | None:
        job = cls(path)
        return job if any(job._files()) else None

    def _files(self) -> Iterator[Path]:
        found = (self.path / _QUEUE).rglob("*")
        return (file for file in sorted(found) if file.is_file())

    @property
    def digest(self) -> str:
        """Tells this job from one that is run in the same folder later."""
        found = sha256()
        for file in self._files():
            status = file.stat()
            when = status.st_mtime_ns if file.name == _ACTIVE else 0
            found.update(f"{file.relative_to(self.path)} {status.st_size} {when}\n".encode())
        return found.hexdigest()

    # --- reading ---

    def read(self, spider: Spider, values: ValueCodec) -> None:
        """Raises :exc:`CheckpointError` for what can't be imported; all is read, or nothing."""
        self._check_trust(allowed=values.allow_pickle)
        codec = RequestCodec(spider, values)
        for queue in self._queues():
            for data in self._whole(queue, _records(queue)):
                self._add(queue, data, spider, codec)
        seen = self.path / _SEEN
        if seen.is_file():
            self.fingerprints.update(self._whole(seen, _fingerprints(seen.read_bytes())))
        state = self.path / _STATE
        if state.is_file():
            self.state = self._load(state, state.read_bytes())
        self.is_read = True

    def _check_trust(self, *, allowed: bool) -> None:
        if not allowed:
            raise CheckpointError(
                f"{self.path} holds a job of Scrapy's own scheduler, whose files are pickles, "
                "and RESILIENCE_ALLOW_PICKLE is off: allow them to import it, or use another "
                "JOBDIR"
            )
        parts = (self.path / _QUEUE, self.path / _SEEN, self.path / _STATE)
        queue = sorted((self.path / _QUEUE).rglob("*"))
        for part in (self.path, *parts, *queue):
            if part.exists():
                check_own(part, self.path)

    def _queues(self) -> list[Path]:
        """The queues that ``active.json`` names; it is written last, at a clean stop only."""
        active = self.path / _QUEUE / _ACTIVE
        try:
            named = _names(json.loads(active.read_bytes()))
        except FileNotFoundError:
            raise self._unclean(f"{active} is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise self._torn(active, str(error)) from error
        found = {}
        for file in self._files():
            queue = _queue_of(file.relative_to(self.path / _QUEUE))
            if file != active:
                found[queue] = self.path / _QUEUE / queue
                if (_folder_key(queue), queue.name) not in named:
                    raise self._unclean(f"{active} does not name {queue}")
        return list(found.values())

    def _add(self, queue: Path, data: bytes, spider: Spider, codec: RequestCodec) -> None:
        stored = self._load(queue, data)
        try:
            request = request_from_dict(stored, spider=spider)
            payload = codec.encode(request)
        except Exception as error:  # whatever a constructor does with what is not for it
            raise self._unreadable(queue, error) from error
        start = bool(request.meta.get("is_start_request"))
        slot = request.meta.get("download_slot")
        if slot is None:
            slot = urlparse_cached(request).hostname or ""
        self.requests.append(StockRequest(slot, payload, request.priority, start))
        if start and request.dont_filter:
            self.unfiltered_starts.append(request)

    def _load(self, file: Path, data: bytes) -> Any:
        try:
            # our own files, and nobody else's: see _check_trust()
            return (pickle if data.startswith(_PICKLE) else marshal).loads(data)
        except Exception as error:  # pickle raises whatever the classes raise
            raise self._unreadable(file, error) from error

    def _whole(self, file: Path, found: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from found
        except (
            _TornError, struct.error, sqlite3.Error, OSError, ValueError, KeyError, TypeError,
        ) as error:  # fmt: skip
            raise self._torn(file, str(error)) from error

    # --- refusals ---

    def _unclean(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} holds a job that Scrapy's own scheduler did not close in order "
            f"({why}), and what was under way is lost: {_ANEW}"
        )

    def _torn(self, file: Path, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} holds a job of Scrapy's own scheduler, and {file} is damaged "
            f"({why}): {_ANEW}"
        )

    def _unreadable(self, file: Path, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{file} holds what today's code can't read ({error}): bring that code back, "
            "finish the job with RESILIENCE_ENABLED=False, or use another JOBDIR"
        )

    # --- afterwards ---

    def move_aside(self) -> Path:
        """Keep the files in a folder of the JOBDIR; the queue goes last, in one step."""
        folder = self.path / "stock"
        number = 1
        while (folder / _QUEUE).exists():
            number += 1
            folder = self.path / f"stock.{number}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in (_SEEN, *([_STATE] if self.moves_state else []), _QUEUE):
            if (self.path / name).exists():
                (self.path / name).rename(folder / name)
        return folder


def _names(active: Any) -> set[tuple[str, str]]:
    """(folder's key, queue's name) of each queue that may be there."""
    slots = active.items() if isinstance(active, dict) else [(None, active)]
    return {
        ("" if slot is None else md5(slot.encode(), usedforsecurity=False).hexdigest(), name)
        for slot, priorities in slots
        for priority in priorities
        for name in (f"{priority:d}", f"{priority:d}s")
    }


def _folder_key(queue: Path) -> str:
    """A slot's folder is its name with other letters, and a digest of the right ones."""
    parent = queue.parent.name
    return parent.rpartition("-")[2] if parent else ""


def _queue_of(file: Path) -> Path:
    """A queue that is first in, first out is a folder."""
    return file.parent if file.name == "info.json" or file.name.startswith("q") else file


def _records(queue: Path) -> Iterator[bytes]:
    """What was pushed to a queue and not popped, the oldest first."""
    if queue.is_dir():
        yield from _fifo(queue)
        return
    with queue.open("rb") as file:
        head = file.read(len(_SQLITE))
        yield from _sqlite(queue) if head == _SQLITE else _lifo(file)


def _fifo(folder: Path) -> Iterator[bytes]:
    info = json.loads((folder / "info.json").read_bytes())
    (chunk, _, offset), last, count = info["tail"], info["head"][0], 0
    while chunk <= last:
        with (folder / f"q{chunk:05d}").open("rb") as file:
            file.seek(offset)
            while size := file.read(_SIZE.size):
                if count == info["size"]:
                    raise _TornError(f"more than {count} requests")
                yield _exactly(file, _SIZE.unpack(size)[0])
                count += 1
        chunk, offset = chunk + 1, 0
    if count != info["size"]:
        raise _TornError(f"{count} requests instead of {info['size']}")


def _lifo(file: IO[bytes]) -> Iterator[bytes]:
    """The size of each record stands behind it: what comes last is found first."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    (wanted,) = _SIZE.unpack(_exactly(file, _SIZE.size))
    places = []
    while end > _SIZE.size:
        file.seek(max(end - _SIZE.size, 0))
        (size,) = _SIZE.unpack(_exactly(file, _SIZE.size))
        end -= _SIZE.size + size
        places.append((end, size))
    if len(places) != wanted or end != _SIZE.size:
        raise _TornError(f"{len(places)} requests instead of {wanted}")
    for place, size in reversed(places):
        file.seek(place)
        yield _exactly(file, size)


def _sqlite(path: Path) -> Iterator[bytes]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        for (item,) in connection.execute("SELECT item FROM queue ORDER BY id"):
            yield item


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _TornError("its end is missing")
    return data


def _fingerprints(data: bytes) -> Iterator[bytes]:
    """Each stands behind its length, in two bytes."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        fingerprint = data[place + 2 : place + 2 + size]
        if not size or len(fingerprint) != size:
            raise _TornError("its end is missing")
        yield fingerprint
        place += 2 + size
