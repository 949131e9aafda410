"""Whether a crawl could keep which pages it has seen: its store is looked at, in a copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock
from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import shown
from scrapy_resilience.doctor.places import unwritable
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.jobs.jobdir import expand
from scrapy_resilience.seen.schema import connect
from scrapy_resilience.seen.skipping import store_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.dryrun.checks import Subject

__all__ = ["check_seen_store"]

_SETTING: Final = "RESILIENCE_SEEN_STORE"
_LARGEST: Final = 200_000_000
"""Bytes of a store that is copied to be looked at."""


def check_seen_store(subject: Subject) -> Iterator[Finding]:
    """What a crawl would be refused for is a problem."""
    template = subject.config.seen_store
    if not template or ("%(spider)s" in template and not subject.spider):
        return
    path = store_path(subject.config, subject.spider)
    if why := _in_job(path, subject) or unwritable(path) or _no_store(path):
        yield Finding("seen", "problem", shown(why), f"change {_SETTING}")
    elif path.exists():
        yield Finding("seen", "ok", f"{path} is a store that can be used")
    else:
        yield Finding("seen", "ok", f"{path} can be made")


def _in_job(path: Path, subject: Subject) -> str:
    template = str(subject.settings["JOBDIR"] or "")
    if not template:
        return ""
    job = Path(expand(template, subject.spider, _clock.wall())).absolute()
    if not path.is_relative_to(job):
        return ""
    return f"{path} lies in the JOBDIR, and is for all jobs: put it beside that"


def _no_store(path: Path) -> str:
    """To read it SQLite would write beside it."""
    if not path.exists() or not path.stat().st_size or path.stat().st_size > _LARGEST:
        return ""
    with TemporaryDirectory(prefix="resilience-") as folder:
        copy = Path(folder, path.name)
        for end in ("", "-wal"):
            if Path(f"{path}{end}").is_file():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        try:
            connect(copy, read_only=True).close()
        except CheckpointError as error:
            return str(error).replace(str(copy), str(path))
    return ""
