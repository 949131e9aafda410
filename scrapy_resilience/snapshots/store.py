"""Snapshots: copies of a job's store, each in one sealed file, the newest of which are kept.

A commit makes the store go on; a snapshot lets it go back. Everything here blocks: call it
in a thread of its own, never in the event loop.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from itertools import chain, starmap
from typing import IO, TYPE_CHECKING, Any, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import reason
from scrapy_resilience.exceptions import SnapshotError, SnapshotKeyError
from scrapy_resilience.files.ownership import is_own, open_own
from scrapy_resilience.frontier.schema import SCHEMA
from scrapy_resilience.snapshots.about import (
    Snapshot,
    digits_of,
    ident_of,
    is_ident,
    snapshot_of,
)
from scrapy_resilience.snapshots.copying import copy_store, scratch_file
from scrapy_resilience.snapshots.places import open_place, sync_folder
from scrapy_resilience.snapshots.sealing import MAX_DETAILS, Reader, blocks_of, write
from scrapy_resilience.snapshots.unpacking import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from scrapy_resilience.settings import Config
    from scrapy_resilience.snapshots.about import About
    from scrapy_resilience.snapshots.places import Place

__all__ = ["Snapshot", "SnapshotStore", "store_of"]

logger = get_logger(__name__)

_SUFFIX: Final = ".snapshot"
_SCRATCH: Final = "snapshot.scratch"
_DRAFT: Final = ".draft"


def _is_good_anyhow(_: Path) -> None:
    """Nothing is known of the files."""


class SnapshotStore:
    """The snapshots in one place.

    *scratch* is a local folder for unfinished files, which must not be used by two at
    once: the JOBDIR.
    """

    def __init__(
        self,
        place: Place,
        scratch: Path,
        *,
        key: str = "",
        compress: bool = True,
        encrypt: bool = True,
        retention: int = 10,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.place = place
        self._scratch = scratch
        self._key = key
        self._compress = compress
        self._encrypt = encrypt
        self._retention = retention
        self._clock = clock
        self._good: set[str] = set()

    # --- making ---

    def create(
        self,
        source: Path,
        about: Callable[[Mapping[str, bytes]], About],
        *,
        kind: str = "manual",
        metadata: Mapping[str, Any] | None = None,
    ) -> Snapshot:
        """Copy the store at *source*, publish the copy, and forget the oldest ones.

        *about* is called with the named state of the moment that is copied. Raises
        :exc:`SnapshotError` for a store that is damaged, :exc:`OSError` when it can't be
        read or the copy can't be written.
        """
        user = dict(metadata or {})
        if len(json.dumps(user)) > MAX_DETAILS // 2:
            raise ValueError("the metadata of a snapshot may have 512 kB as JSON")
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return self._create(source, about, kind, user)
        except FileNotFoundError:  # a file that the job was done with in the meantime
            return self._create(source, about, kind, user)

    def _create(
        self,
        source: Path,
        about: Callable[[Mapping[str, bytes]], About],
        kind: str,
        user: dict[str, Any],
    ) -> Snapshot:
        with scratch_file(self._scratch / _SCRATCH) as copy, ExitStack() as stack:

            def look(state: Mapping[str, bytes]) -> tuple[About, list[tuple[IO[bytes], int]]]:
                of = about(state)
                # Opened now: the next commit may remove them while the store is copied.
                return of, [
                    (stack.enter_context((source.parent / name).open("rb")), size)
                    for name, size in of.files.items()
                ]

            of, files = copy_store(source, copy, look)
            now = self._clock()
            header: dict[str, Any] = {
                "id": self._new_id(of.job, now),
                "created": now.timestamp(),
                "spider": of.spider,
                "kind": kind,
                "schema": SCHEMA,
                "size": copy.stat().st_size,
                "progress": of.progress,
            }
            details = {"reason": of.reason, "metadata": user, "files": dict(of.files)}
            files.insert(0, (stack.enter_context(copy.open("rb")), header["size"]))
            header = self._publish(header, details, files)
        self._good.add(header["id"])
        try:
            self.prune(of.job)
        except (SnapshotError, OSError) as error:  # this one is made all the same
            logger.warning("Older snapshots can't be removed: %s", reason(error))
        return snapshot_of(header, details)

    def _publish(
        self,
        header: dict[str, Any],
        details: dict[str, Any],
        files: Iterable[tuple[IO[bytes], int]],
    ) -> dict[str, Any]:
        folder = self.place.drafts(self._scratch)
        job = header["id"].rpartition("-")[2]
        for leftover in folder.glob(f"*-{job}{_SUFFIX}{_DRAFT}"):
            with suppress(OSError):  # another user's, in a folder that is open to all
                leftover.unlink()
        name = header["id"] + _SUFFIX
        with scratch_file(folder / (name + _DRAFT)) as draft:
            with open(draft, "r+b", opener=open_own) as target:  # no link that came since
                source = chain.from_iterable(starmap(blocks_of, files))
                key = self._key if self._encrypt else ""
                compress = self._compress
                full = write(target, header, details, source, key=key, compress=compress)
                target.flush()
                os.fsync(target.fileno())
            self.place.publish(draft, name)
        return full

    def _new_id(self, job: str, now: datetime) -> str:
        """Later than each id of the job, also when the clock went back.

        A name of the future alone is not a snapshot: others may have put it there.
        """
        there = self.ids(job)
        digits = int(now.strftime("%Y%m%d%H%M%S%f"))
        later = (ident for ident in there if digits_of(ident) >= digits)
        good = (digits_of(ident) + 1 for ident in later if self._is_good(ident))
        digits = max([digits, *good])
        while (ident := ident_of(digits, job)) in there:
            digits += 1
        return ident

    # --- looking ---

    def ids(self, job: str | None = None) -> list[str]:
        """The ids of one job, or of all; the newest first."""
        names = self.place.names()
        found = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        end = "" if job is None else f"-{job}"
        return sorted(
            (each for each in found if is_ident(each) and each.endswith(end)), reverse=True
        )

    def newest(
        self, limit: int | None = None, *, job: str | None = None, verify: bool = False
    ) -> list[Snapshot]:
        """The newest first; with *verify* each is read in full, to find damage."""
        return [self._look(found, verify=verify) for found in self.ids(job)[:limit]]

    def _look(self, ident: str, *, verify: bool) -> Snapshot:
        """What a snapshot says of itself; for one that can't be used, why."""
        try:
            if verify:
                with self._reading(ident) as reader:
                    reader.check()
            with self._reading(ident) as reader:
                details = self._details(reader)
        except (SnapshotError, OSError) as error:
            return Snapshot(ident, problem=reason(error))
        return snapshot_of(reader.header, details)

    def _details(self, reader: Reader) -> dict[str, Any] | None:
        """None without the right key."""
        try:
            return reader.details(self._key)
        except SnapshotKeyError:
            return None

    @contextmanager
    def _reading(self, ident: str) -> Iterator[Reader]:
        if not is_ident(ident):
            raise SnapshotError(
                f"{ident!r} is not an id of a snapshot: `checkpoints` lists them"
            )
        try:
            file: IO[bytes] = self.place.open(ident + _SUFFIX)
        except FileNotFoundError:
            raise SnapshotError(f"there is no snapshot {ident} in {self.place}") from None
        with file:
            reader = Reader(file, ident)
            if reader.header.get("id") != ident:
                raise SnapshotError(f"the snapshot {ident} is another one, under a wrong name")
            if reader.header.get("encryption") is None:
                self._check_plain(ident, file)
            snapshot_of(reader.header, None)
            yield reader

    def _check_plain(self, ident: str, file: IO[bytes]) -> None:
        """Whoever has no key can't have made an encrypted one; a plain one may be anybody's."""
        if self._key and self._encrypt:
            raise SnapshotError(
                f"the snapshot {ident} is not encrypted, and RESILIENCE_ENCRYPTION_KEY is "
                "set: whoever can write there may have made it. If it is yours, from "
                "before you had a key, set RESILIENCE_SNAPSHOT_ENCRYPTION=False this once"
            )
        if not self.place.remote and not is_own(file.fileno()):
            raise SnapshotError(
                f"the snapshot {ident} is not encrypted, and belongs to another user or can be "
                "written by others: if you trust them, run chown and chmod go-w on it"
            )

    # --- going back ---

    def load(
        self,
        ident: str,
        target: Path,
        files: Path | None = None,
        check: Callable[[Path], None] = _is_good_anyhow,
    ) -> Snapshot:
        """Put the store that a snapshot holds at *target* (mode 0600), whole or not at all.

        What was at *target* is gone, with its write-ahead log. The job's other files go to
        the folder *files*, which is emptied first; *check* is called with it, and raises
        :exc:`DamagedError` where they were damaged when they were copied.
        Raises :exc:`SnapshotError`.
        """
        if files is not None:
            shutil.rmtree(files, ignore_errors=True)
        draft_path = target.with_name(target.name + _DRAFT)
        with self._reading(ident) as reader, scratch_file(draft_path) as draft:
            details = unpack(reader, self._key, draft, files, check)
            loaded = snapshot_of(reader.header, details)
            for log in ("-wal", "-shm"):  # of the old file: it must not be replayed onto ours
                target.with_name(target.name + log).unlink(missing_ok=True)
            draft.replace(target)
        sync_folder(target.parent)
        return loaded

    def load_newest(
        self,
        target: Path,
        job: str | None = None,
        files: Path | None = None,
        check: Callable[[Path], None] = _is_good_anyhow,
    ) -> tuple[Snapshot, list[SnapshotError]]:
        """The newest good snapshot, and what is wrong with the newer ones.

        Raises :exc:`SnapshotError` when there is none, and when the key is not the right one.
        """
        problems: list[SnapshotError] = []
        for ident in self.ids(job):
            found = self._load_or_why(ident, target, files, check)
            if isinstance(found, Snapshot):
                return found, problems
            problems.append(found)
        if problems:
            raise problems[0]
        raise SnapshotError(f"there is no snapshot in {self.place}")

    def _load_or_why(
        self, ident: str, target: Path, files: Path | None, check: Callable[[Path], None]
    ) -> Snapshot | SnapshotError:
        try:
            return self.load(ident, target, files, check)
        except SnapshotKeyError:
            raise
        except SnapshotError as error:
            return error

    # --- forgetting ---

    def prune(self, job: str) -> None:
        """Keep the newest good snapshots of a job, and remove what is older than those."""
        good = 0
        for ident in self.ids(job):
            if good >= self._retention:
                self.place.remove(ident + _SUFFIX)
                self._good.discard(ident)
            else:
                good += self._is_good(ident)

    def _is_good(self, ident: str) -> bool:
        """Whether it is whole and opens with the key; others may have made one that does not.

        Read once a run; a remote one, which its store has checked, no further than its details.
        """
        if (
            ident not in self._good
            and not self._look(ident, verify=not self.place.remote).readable
        ):
            return False
        self._good.add(ident)
        return True


def store_of(config: Config, jobdir: Path, place: str = "") -> SnapshotStore:
    """The snapshots of a job as the settings ask for them, or those in another *place*.

    Raises :exc:`ConfigurationError` for a place that can't be used.
    """
    return SnapshotStore(
        open_place(place or config.snapshot_dir or jobdir / "snapshots"),
        jobdir,
        key=config.encryption_key,
        compress=config.snapshot_compression,
        encrypt=config.snapshot_encryption,
        retention=config.snapshot_retention,
    )
