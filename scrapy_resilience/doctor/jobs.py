"""Whether the job in a JOBDIR could be run now: it is looked at, and left as it is.

Even to read a database SQLite writes beside it, so what is read is a copy.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from scrapy_resilience import _clock
from scrapy_resilience.commands.tables import shown_time
from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import counted
from scrapy_resilience.doctor.clock import judge_last_commit
from scrapy_resilience.doctor.places import check_jobdir_place
from scrapy_resilience.files.layout import LOCK, STORE, WATERMARK
from scrapy_resilience.files.lock import is_locked
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.jobs.identity import check_arguments, check_spider
from scrapy_resilience.jobs.jobdir import expand
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.watermark import open_current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.dryrun.checks import Subject

__all__ = ["check_job", "meta_of"]

_LARGEST: Final = 200_000_000
"""Bytes of a store that is copied to be looked at."""
_WITH_IT: Final = (STORE, f"{STORE}-wal", WATERMARK)


def check_job(subject: Subject) -> Iterator[Finding]:
    """Raises what a run of it would be refused for."""
    yield from check_jobdir_place(subject)
    template = str(subject.settings["JOBDIR"] or "")
    if not template or ("%(spider)s" in template and not subject.spider):
        return
    path = Path(expand(template, subject.spider, _clock.wall()))
    check_jobdir(path)
    if not (path / STORE).is_file():
        yield Finding("job", "ok", f"{path} has no job yet")
    elif is_locked(path / LOCK):
        yield Finding(
            "job", "warning", f"{path}: a process runs this job now", "wait for its end"
        )
    elif (path / STORE).stat().st_size > _LARGEST:
        yield Finding(
            "job", "note", f"{path} has a job, which is too large to be looked into here"
        )
    else:
        yield from _judge(path, subject)


def meta_of(path: Path) -> JobMeta:
    """What a job that nobody runs says of itself. Raises :exc:`CheckpointError`."""
    with TemporaryDirectory(prefix="resilience-") as folder:
        for name in _WITH_IT:
            if (path / name).is_file():
                shutil.copy(path / name, folder)
        with closing(open_current(Path(folder), read_only=True)) as store:
            return JobMeta.of(store.state())


def _judge(path: Path, subject: Subject) -> Iterator[Finding]:
    meta, config = meta_of(path), subject.config
    yield from judge_last_commit(_clock.wall(), meta.last_checkpoint)
    if subject.spider and not (meta.finished and config.finished_job != "refuse"):
        check_spider(meta, subject.spider, path=path, config=config)
        if not meta.finished:
            check_arguments(meta, subject.arguments, path=path, config=config)
    if meta.finished:
        then = {"anew": "the next run begins anew", "skip": "the next run does nothing"}
        what = f"{path} has finished: {then.get(config.finished_job, 'a run is refused')}"
        yield Finding("job", "note" if config.finished_job == "refuse" else "ok", what)
        return
    left = counted(meta.pending, "request")
    when = "" if meta.last_checkpoint is None else f" as of {shown_time(meta.last_checkpoint)}"
    yield Finding("job", "ok", f"the next run goes on with {path}: {left} left{when}")
