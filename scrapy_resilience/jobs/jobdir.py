"""Which folder a ``JOBDIR`` names, and what becomes of a job that has finished.

A dated ``JOBDIR`` (``crawls/%(spider)s/%(date)s``) names a new folder each day; a job of an
earlier day that has not finished comes first. With ``RESILIENCE_FINISHED_JOB = "anew"`` the
folder stays the same: the job that has finished is put aside beside it, under the time of
its end, and is removed when enough later ones are there.
"""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from datetime import datetime, timezone
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import CheckpointError, ConfigurationError, ResilienceError
from scrapy_resilience.failpoints import failpoint
from scrapy_resilience.files.layout import LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.watermark import open_current

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["begin_anew", "expand", "filled", "finished_meta"]

logger = get_logger(__name__)

_FORMS: Final = {"date": "%Y-%m-%d", "time": "%H-%M-%S"}
"""Of what placeholders stand for: the start of the job, in UTC."""
_PLACEHOLDER: Final = re.compile(r"%\((date|time)\)s")
_UNKNOWN: Final = re.compile(r"%\((?!(?:spider|date|time)\)s)\w*\)?\w?")
_ENDED: Final = "%Y-%m-%dT%H-%M-%SZ"
_ASIDE: Final = re.compile(r"\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?")


def expand(template: str, spider: str, now: float) -> str:
    """Put the spider's name, the date and the time in the place of their names.

    With a date or a time: the newest job of that name that has not finished, or else a new
    one. *now* is in seconds since 1970. Other text stays as it is.

    Raises :exc:`ConfigurationError` for a name that is none: spiders would share the folder.
    """
    if (unknown := _UNKNOWN.search(template)) is not None:
        raise ConfigurationError(
            f"JOBDIR={template!r}: nothing takes the place of {unknown[0]}: use %(spider)s, "
            "%(date)s or %(time)s"
        )
    template = template.replace("%(spider)s", spider)
    if not _PLACEHOLDER.search(template):
        return template
    for path in _of_that_name(template):
        if (path / STORE).is_file() and finished_meta(path) is None:
            return str(path)
    return filled(template, spider, now)


def filled(template: str, spider: str, now: float) -> str:
    """*template* with the spider's name, and the date and the time of *now* in UTC."""
    template = template.replace("%(spider)s", spider)
    moment = datetime.fromtimestamp(now, timezone.utc)
    return _PLACEHOLDER.sub(lambda name: moment.strftime(_FORMS[name[1]]), template)


def _of_that_name(template: str) -> Iterator[Path]:
    """The folders that the template has named so far, the newest first."""
    words = _PLACEHOLDER.split(template)  # text, name, text, name, text …
    wildcard, pattern = "", ""
    seen: set[str] = set()
    for text, name in zip(words[::2], [*words[1::2], ""], strict=True):
        wildcard += escape(text)
        pattern += re.escape(text)
        if name:
            wildcard += "*"
            pattern += f"(?P={name})" if name in seen else rf"(?P<{name}>[\d-]+)"
            seen.add(name)
    paths = glob(wildcard)  # noqa: PTH207 - a template is one text, not a folder and a pattern
    dated = [found for path in paths if (found := re.fullmatch(pattern, path))]
    dated.sort(key=lambda found: [found[name] for name in _FORMS if name in seen], reverse=True)
    return (Path(found[0]) for found in dated)


def finished_meta(path: Path) -> JobMeta | None:
    """What the job in *path* says of itself if it has finished, else None.

    A store that can't be read has not finished: whoever opens it says what is wrong.
    """
    if not (path / STORE).is_file():
        return None
    try:
        with closing(open_current(path, read_only=True)) as store:
            meta = JobMeta.of(store.state())
    except (ResilienceError, OSError, ValueError):
        return None
    return meta if meta.finished else None


def begin_anew(path: Path, kept: int) -> None:
    """Put a job that has finished aside, so that *path* is free; keep so many of them.

    Raises :exc:`CheckpointError` when it can't be moved, or is running.
    """
    if finished_meta(path) is None:
        return
    place = path.resolve()  # a link to a folder stays
    lock = FileLock(place / LOCK)
    lock.acquire()
    try:
        meta = finished_meta(place)
        if meta is None:  # another process was faster
            return
        aside = _free_name(place, meta.last_checkpoint or 0.0)
        try:
            place.rename(aside)
        except OSError as error:
            raise CheckpointError(
                f"{path} has finished and can't be put aside as {aside}: {error}. Use a JOBDIR "
                "whose parent folder can be written and is on the same disk"
            ) from error
        failpoint("anew/aside")
        place.mkdir(mode=0o700)
    finally:
        lock.release()
    logger.info(
        "%s has finished (%s, %s): it is in %s now, and begins anew",
        path,
        counted(meta.items, "item"),
        counted(meta.dead_letters, "dead letter"),
        aside,
    )
    _remove_oldest(place, kept)


def _free_name(place: Path, ended: float) -> Path:
    name = datetime.fromtimestamp(ended, timezone.utc).strftime(f"{place.name}.{_ENDED}")
    aside = place.with_name(name)
    number = 1
    while aside.exists():
        number += 1
        aside = place.with_name(f"{name}-{number}")
    return aside


def _remove_oldest(place: Path, kept: int) -> None:
    """Only what :func:`begin_anew` has put there; what can't be removed is told."""
    aside = [
        path
        for path in place.parent.glob(f"{escape(place.name)}.*")
        if _ASIDE.fullmatch(path.name[len(place.name) :]) and (path / STORE).is_file()
    ]
    aside.sort(key=lambda path: (path.stat().st_mtime, path.name), reverse=True)
    for path in aside[kept:]:
        shutil.rmtree(path, onerror=_tell)


def _tell(_function: object, path: str, reason: tuple[object, BaseException, object]) -> None:
    logger.warning("%s of an old job can't be removed: %s", path, reason[1])
