"""SQLite's WAL and flock need a local file system."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scrapy_resilience._log import get_logger

__all__ = ["file_system", "file_system_of", "is_remote", "warn_if_remote"]

logger = get_logger(__name__)

_REMOTE: Final = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.s3",
)
_MOUNTS: Final = Path("/proc/self/mounts")


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds *path*, by the lines of Linux's *mounts*."""
    best = ("", "")
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        folder = point.replace("\\040", " ")
        if path.resolve().is_relative_to(folder) and len(folder) >= len(best[0]):
            best = folder, kind
    return best[1]


def file_system_of(path: Path) -> str:
    """The same, by what is mounted now; empty on other systems than Linux."""
    if not _MOUNTS.exists():
        return ""
    return file_system(path, _MOUNTS.read_text(encoding="utf-8", errors="replace"))


def is_remote(kind: str) -> bool:
    """Whether a file system of this type is on a network."""
    return kind.startswith(_REMOTE)


def warn_if_remote(path: Path) -> None:
    """One line for a JOBDIR on a network: locks and commits may not hold there."""
    kind = file_system_of(path)
    if is_remote(kind):
        logger.warning(
            "%s is on a %s file system: a job may be damaged there. Use a local disk.",
            path,
            kind,
        )
