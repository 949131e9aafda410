"""Notices outside of a crawl: what a job has left unsent, and a try of each channel."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from scrapy_resilience import _clock
from scrapy_resilience.core.notices import Notice
from scrapy_resilience.core.outbox import Outbox
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import JOURNAL, LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.guard.notify.notifier import Notifier
from scrapy_resilience.guard.notify.saved_outbox import keep
from scrapy_resilience.guard.notify.senders import sender_of
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.watermark import open_current
from scrapy_resilience.observe.record.journal import Journal
from scrapy_resilience.observe.record.journalfile import JournalFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrapy_resilience.guard.notify.channels import Channel
    from scrapy_resilience.settings import Config

__all__ = ["Tried", "send_left", "try_channels"]


class Tried(NamedTuple):
    """A channel, and what came of it."""

    channel: str
    sent: int
    left: int
    problem: str


async def try_channels(channels: Iterable[Channel], config: Config) -> list[Tried]:
    """Send a test notice to each."""
    found = []
    for channel in channels:
        notice = Notice(
            id=uuid4().hex, time=_clock.wall(), kind="test", severity="info",
            texts=["This is a test: notices of crawls will come here"],
        )  # fmt: skip
        sender = sender_of(channel, config.notify_secret)
        outcome = await sender.send(notice, config.notify_timeout)
        found.append(
            Tried(
                channel.name, int(not outcome.problem), int(bool(outcome.problem)), outcome[0]
            )
        )
    return found


async def send_left(
    path: Path, channels: list[Channel], chosen: list[Channel], config: Config
) -> list[Tried]:
    """Send what the job in *path* has left, in ``RESILIENCE_NOTIFY_TIMEOUT`` seconds.

    To those of the *channels* that are *chosen*. Raises :exc:`CheckpointError` where there is
    no job, or it runs, and OSError.
    """
    check_jobdir(path)
    if not (path / STORE).is_file():
        raise CheckpointError(f"{path} is not a job of scrapy_resilience: it has no {STORE}")
    lock = FileLock(path / LOCK)
    lock.acquire()
    try:
        with closing(open_current(path, read_only=True)) as store:
            meta = JobMeta.of(store.state())
        return await _send(path, meta, channels, chosen, config)
    finally:
        lock.release()


async def _send(
    path: Path, meta: JobMeta, channels: list[Channel], chosen: list[Channel], config: Config
) -> list[Tried]:
    file = JournalFile(path / JOURNAL, meta.ident, meta.commits)
    journal = Journal(
        file.read.batches, file=file, job=meta.ident, commits=lambda: meta.commits
    )
    outbox = Outbox(
        {channel.name: channel.rule for channel in channels},
        new_id=lambda: uuid4().hex,
        random=random.random,
        per_hour=config.notify_per_hour,
        vague={channel.name for channel in channels if channel.is_vague},
    )

    keep(outbox, journal)
    senders = {each.name: sender_of(each, config.notify_secret) for each in chosen}
    notifier = Notifier(outbox, senders)
    await notifier.finish(config.notify_timeout)
    journal.prepare()
    journal.written()
    await journal.ended()
    return [
        Tried(
            name,
            outbox.channels[name].sent,
            outbox.waiting(name),
            outbox.channels[name].problem,
        )
        for name in senders
    ]
