"""Whether what a crawl writes to can be written, and will still be there tomorrow.

Nothing is opened to find that out: it is asked for rights and for what the system says.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import counted, mask_uri
from scrapy_resilience.doctor.remote_feeds import WAYS, judge_remote
from scrapy_resilience.files.feed_places import fixed_part, local_path
from scrapy_resilience.files.filesystem import file_system_of, is_remote
from scrapy_resilience.observe.health.disks import crawl_folders, read_disks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scrapy_resilience.core.readings import Disk
    from scrapy_resilience.dryrun.checks import Subject

__all__ = [
    "check_disks", "check_feeds", "check_files", "check_jobdir_place", "judge_disk",
    "judge_file_system", "unwritable",
]  # fmt: skip

_MB: Final = 1 << 20
_FEW_FILES: Final = 10_000
_LIBRARIES: Final = {
    "s3": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
}
"""By the scheme of a feed: the module that it needs, and what to install."""


# --- files ---


def unwritable(path: Path) -> str:
    """Why a file can't be written there; empty when it can. Its folders may be made first."""
    if path.is_dir():
        return f"{path} is a folder"
    if path.exists():
        return "" if os.access(path, os.W_OK) else f"{path} can't be written by this user"
    above = next(each for each in path.absolute().parents if os.path.lexists(each))
    if not above.is_dir():
        return f"{above} is not a folder"
    return "" if os.access(above, os.W_OK | os.X_OK) else f"no file can be made in {above}"


def check_feeds(subject: Subject) -> Iterator[Finding]:
    """The feeds of ``FEEDS`` and ``FEED_URI``."""
    settings = subject.settings
    uris = [*map(str, settings.getdict("FEEDS")), *filter(None, [settings["FEED_URI"]])]
    for uri in map(str, uris):
        parts = urlsplit(uri)
        if parts.scheme in _LIBRARIES and not _has(_LIBRARIES[parts.scheme][0]):
            advice = f"run pip install {_LIBRARIES[parts.scheme][1]}"
            yield Finding("feeds", "problem", f"{mask_uri(uri)} can't be stored", advice)
        elif (path := local_path(uri)) is not None:
            yield _judged("feeds", path)
        elif parts.scheme != "stdout" and uri != "-":
            yield judge_remote(uri, parts.scheme, settings, WAYS)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of a package above it
        return False


def _judged(about: str, template: str) -> Finding:
    place = Path(template) if "%" not in template else fixed_part(template) / "x"
    why = unwritable(place)
    if why:
        return Finding(about, "problem", why, "change the path, or its rights")
    return Finding(about, "ok", f"{template} can be written")


def check_files(subject: Subject) -> Iterator[Finding]:
    """The report, the textfile, and log files."""
    config, settings = subject.config, subject.settings
    named = {
        "report": config.report,
        "metrics": config.metrics_textfile,
        "logs": str(Path(config.log_dir) / "x") if config.log_dir else "",
        "log": str(settings["LOG_FILE"] or ""),
    }
    for about, template in named.items():
        if template:
            yield _judged(about, template)


# --- the job's file system ---


def check_jobdir_place(subject: Subject) -> Iterator[Finding]:
    """On what it is, and whether a job can be made there."""
    template = str(subject.settings["JOBDIR"] or "")
    if not template:
        return
    folder = fixed_part(template)
    why = unwritable(folder / "x") if not folder.exists() or folder.is_dir() else ""
    if folder.exists() and not folder.is_dir():
        why = f"{folder} is not a folder"
    if why:
        yield Finding(
            "jobdir", "problem", f"JOBDIR: {why}", "use a folder that this user may write"
        )
        return
    kind = file_system_of(folder)
    yield from judge_file_system(template, kind)


def judge_file_system(template: str, kind: str) -> Iterator[Finding]:
    """*kind* is that of a mount, such as ``ext4``; empty where it is not known."""
    if is_remote(kind):
        yield Finding(
            "jobdir",
            "warning",
            f"JOBDIR {template} is on a {kind} file system, where locks may not hold",
            "use a local disk, and RESILIENCE_SNAPSHOT_DIR for copies on the network",
        )
    elif kind in {"tmpfs", "ramfs"}:
        yield Finding(
            "jobdir",
            "warning",
            f"JOBDIR {template} is in memory ({kind}): it is gone after a reboot",
            "use a folder on a disk",
        )
    elif kind in {"overlay", "aufs"}:
        yield Finding(
            "jobdir",
            "note",
            f"JOBDIR {template} is in a layer of a container: it goes when the container does",
            "mount a volume there if a job is to outlive its container",
        )
    else:
        yield Finding(
            "jobdir", "ok", f"{template} can be written" + (f" ({kind})" if kind else "")
        )


# --- disks ---


def check_disks(subject: Subject) -> Iterator[Finding]:
    """Those of the job, the feeds and temporary files."""
    jobdir = str(subject.settings["JOBDIR"] or "")
    job = fixed_part(jobdir) if jobdir else None
    feeds = map(str, subject.settings.getdict("FEEDS"))
    disks: Mapping[str, Disk] = read_disks(crawl_folders(job, feeds))
    for purpose, disk in disks.items():
        yield judge_disk(purpose, disk, subject.config.disk_reserve_mb, _free_files(disk.path))


def _free_files(path: str) -> int | None:
    """How many more files a disk can have; None where there is no such limit."""
    if not hasattr(os, "statvfs"):
        return None
    found = os.statvfs(path)
    return found.f_favail if found.f_files else None


def judge_disk(purpose: str, disk: Disk, reserve_mb: float, files: int | None) -> Finding:
    """*files*: how many more it can have; None for any number."""
    reserve = disk.reserve(reserve_mb)
    free = f"{disk.free / _MB:,.0f} MB are free on the disk of {purpose} ({disk.path})"
    if reserve and disk.free < reserve:
        return Finding(
            "disk",
            "problem",
            f"{free}: a crawl would pause until there are {reserve / _MB:,.0f} MB",
            "make room, or use another disk",
        )
    if files is not None and files < _FEW_FILES:
        few = f"the disk of {purpose} ({disk.path}) has room for {counted(files, 'file')} more"
        return Finding("disk", "warning", few, "remove small files there")
    return Finding("disk", "ok", free)
