"""Whether the job in a folder is the one that is to be run, and not another one or over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience.core.masking import counted, mask_value
from scrapy_resilience.exceptions import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scrapy_resilience.jobs.jobmeta import JobMeta
    from scrapy_resilience.settings import Config

__all__ = ["check_arguments", "check_spider"]


def check_spider(meta: JobMeta, spider: str, *, path: Path, config: Config) -> None:
    """Raises :exc:`CheckpointError` for another spider's job, and for one that has finished."""
    if meta.spider != spider:
        raise CheckpointError(
            f"{path} is a job of spider {meta.spider!r}, not of {spider!r}: "
            'use another JOBDIR (JOBDIR = "crawls/%(spider)s" gives each spider its own)'
        )
    if meta.finished and not config.rerun_start:
        raise CheckpointError(
            f"{path} has finished ({counted(meta.items, 'item')}): to start "
            'anew, set RESILIENCE_FINISHED_JOB="anew" or use another JOBDIR; to end '
            'without an error, set it to "skip"; to run start() again and fetch only what '
            "is new, set RESILIENCE_RERUN_START=True"
        )


def check_arguments(
    meta: JobMeta, now: Mapping[str, Any], *, path: Path, config: Config
) -> None:
    """Other arguments would make another crawl, whose items go into the same feeds.

    Raises :exc:`CheckpointError` unless the settings accept that.
    """
    then = now if meta.arguments is None else meta.arguments
    changed = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    if changed and config.changed_arguments == "refuse":
        told = "; ".join(
            f"{key} was {_shown(then, key)}, now {_shown(now, key)}" for key in changed
        )
        raise CheckpointError(
            f"{path} is a job with other spider arguments: {told}. Give the same "
            'ones, use another JOBDIR, or set RESILIENCE_CHANGED_ARGUMENTS="accept"'
        )


def _shown(arguments: Mapping[str, Any], key: str) -> str:
    return repr(mask_value(arguments[key], key)) if key in arguments else "not given"
