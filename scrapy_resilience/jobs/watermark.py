"""A note beside the store that tells when the store goes back behind our back.

The latest commits are in SQLite's write-ahead log only. When a killed job loses that log, or
a bit of it, SQLite ignores what comes behind the damage: what is left is a sound store of an
older moment, perhaps of the very first one, and the job would write again what its feeds
hold. So commits are counted, in the store and, when each is durable, in a file of its own:
the store has at least as many. A kill between the two leaves the file behind, which is fine.

An older copy of the store beneath a newer log is a mixture of two moments. So the commits that
the store has without its log are noted as well: it has at least as many.

A kill takes no commit. A power loss may take those that were not forced to the disk, and only
it: so the note names the boot of the operating system, and the latest commit that was forced.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.files.layout import STORE, WATERMARK
from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.statements import commits_without_log

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Note", "noter", "open_current", "read", "write"]

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_WIDTH: Final = 99
"""Three numbers and a UUID: each note covers the one before."""


class Note(NamedTuple):
    """What is known of a store."""

    commits: int = 0
    """It has as many at the least."""
    forced: int = 0
    """It has as many after a power loss, too."""
    folded: int = 0
    """It has as many without its log."""
    boot: str = ""
    """In which boot of the operating system that was so; empty where that is unknown."""

    def lacking(self, commits: int) -> int:
        """How many commits a store lacks that has so many."""
        return max(self.commits - commits, 0)

    def is_damage(self, commits: int) -> bool:
        """Whether it is more than what a power loss may take."""
        return commits < (self.commits if self._is_of_this_boot() else self.forced)

    def is_mixture(self, folded: int) -> bool:
        """Whether a store that has so many without its log is an older one."""
        return self._is_of_this_boot() and 0 < folded < self.folded

    def _is_of_this_boot(self) -> bool:
        return self.boot != "" and self.boot == _boot()


@cache
def _boot() -> str:
    """Another text after each boot. Linux has one; elsewhere it is not known."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def read(jobdir: Path) -> Note:
    """What was noted; an empty note when nobody knows."""
    try:
        with (jobdir / WATERMARK).open(encoding="ascii") as file:
            text, check = file.read(2 * _WIDTH).rsplit(maxsplit=1)
        commits, forced, folded, *boot = text.split()
        if check != _check(text):
            return Note()
        return Note(int(commits), int(forced), int(folded), "".join(boot))
    except (OSError, ValueError):  # not there, damaged, or a kill came while it was written
        return Note()


def write(jobdir: Path, note: Note) -> None:
    """Write over what is there in one step: a kill leaves the note before or this one.

    Not having noted a commit, on a full disk, does no harm.
    """
    numbers = " ".join(f"{number:020d}" for number in note[:3])
    text = f"{numbers} {note.boot}".rstrip()
    with suppress(OSError):
        fd = open_own(jobdir / WATERMARK, os.O_WRONLY | os.O_CREAT)
        try:
            os.write(fd, f"{text:{_WIDTH}} {_check(text)}\n".encode())
        finally:
            os.close(fd)


def _check(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def noter(jobdir: Path) -> Callable[[int, bool], None]:
    """To be called with the number of each durable commit, and whether it was forced."""
    store = jobdir / STORE
    changed, folded, forced = 0, 0, read(jobdir).forced

    def note(commits: int, is_forced: bool) -> None:  # noqa: FBT001 - called in one place
        nonlocal changed, folded, forced
        if is_forced:
            forced = commits
        with suppress(OSError):  # the commit is durable, whatever becomes of its note
            now = store.stat().st_mtime_ns
            if now != changed:  # only folding the log in changes the file
                changed, folded = now, commits_without_log(store)
            write(jobdir, Note(commits, forced, folded, _boot()))

    return note


def open_current(
    jobdir: Path, *, read_only: bool = False, power_loss_safe: bool = False
) -> SQLiteStore:
    """The store of a job, whose commits are noted.

    Raises :exc:`DamagedError` for one that lacks some, and leaves it as it is.
    """
    noted = read(jobdir)  # before the store is: a running job goes on
    path = jobdir / STORE
    if path.exists():
        store = SQLiteStore(path, read_only=True)
        try:
            _refuse_older(store, noted)
        except BaseException:
            store.close()
            raise
        if read_only:
            return store
        store.close()
    return SQLiteStore(path, power_loss_safe=power_loss_safe, on_commit=noter(jobdir))


def _refuse_older(store: SQLiteStore, noted: Note) -> None:
    commits, path = store.commits(), store.path
    if noted.is_damage(commits):
        raise DamagedError(
            f"{path} lacks {noted.lacking(commits)} commits: its log {path}-wal was removed or "
            "is damaged, or an older copy was put back"
        )
    if noted.is_mixture(commits_without_log(path)):
        raise DamagedError(f"{path} is older than its log {path}-wal: a copy was put back")
