"""The notifier: nobody waits for a channel, and no channel for another."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from scrapy_resilience import _clock, names
from scrapy_resilience.core.notices import EVERY_EVENT, Rule
from scrapy_resilience.core.outbox import Outbox
from scrapy_resilience.guard.notify.notifier import Notifier
from scrapy_resilience.guard.notify.outcomes import SENT, Outcome
from scrapy_resilience.testing import FakeClock

DOWN = Outcome("it is down")


class Sender:
    """Answers in turn, the last one for ever; None is for no answer."""

    def __init__(self, *answers):
        self.answers = answers
        self.got = []
        self.hangs = 0

    async def send(self, notice, seconds):
        """Note it, and answer."""
        answer = self.answers[min(len(self.got), len(self.answers) - 1)]
        self.got.append((notice.id, notice.kind, _clock.wall()))
        if answer is None:
            self.hangs += 1
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(scenario, **senders):
    """Run a coroutine function with a notifier, its stats and a clock that stands still."""

    async def main():
        clock, ids, stats = FakeClock(1e9), count(), []
        with _clock.use(clock):
            box = Outbox(
                dict.fromkeys(senders, Rule(frozenset({EVERY_EVENT}))),
                new_id=lambda: f"{next(ids)}", random=lambda: 0.5, group=0,
            )  # fmt: skip
            notifier = Notifier(box, senders, stats.append)
            await scenario(notifier, clock)
            await notifier.finish(0)
        return stats

    with ThreadPoolExecutor(1) as pool:  # a loop of its own, beside that of pytest-twisted
        return pool.submit(asyncio.run, main()).result()


async def turn():
    """Let all tasks go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def tell(notifier, kind="pause"):
    """An event."""
    notifier.outbox.event(kind, kind, "info", "", _clock.wall())
    notifier.look()


def test_a_channel_that_hangs():
    """Another one gets everything, and the first one is sent one thing at a time."""

    async def scenario(notifier, _):
        notifier.start()
        for kind in "abc":
            tell(notifier, kind)
            await turn()

    hangs, fine = Sender(None), Sender(SENT)
    run(scenario, hangs=hangs, fine=fine)
    assert [kind for _, kind, _ in hangs.got] == ["a"]
    assert [kind for _, kind, _ in fine.got] == ["a", "b", "c"]


def test_nothing_before_the_start():
    """The loop may not run yet."""

    async def scenario(notifier, _):
        tell(notifier)
        await turn()
        assert sender.got == []
        notifier.start()
        await turn()
        assert len(sender.got) == 1

    sender = Sender(SENT)
    run(scenario, hook=sender)


def test_tries(caplog):
    """They come later each time, with the same id; two lines tell of it, and stats count."""

    async def scenario(notifier, clock):
        notifier.start()
        tell(notifier)
        for _ in range(40):
            await turn()
            clock.advance(0.25)

    caplog.set_level("INFO")
    sender = Sender(DOWN, DOWN, ValueError("https://s3cr3t"), SENT)
    stats = run(scenario, hook=sender)
    assert [at - 1e9 for *_, at in sender.got] == [0, 1, 3, 7]
    assert len({key for key, *_ in sender.got}) == 1
    assert stats == [names.STAT_NOTIFY_ERRORS] * 3 + [names.STAT_NOTIFIED]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "it is down" in caplog.records[0].getMessage()
    assert "s3cr3t" not in caplog.text


def test_what_is_given_up(caplog):
    """By a channel that does not say whom it has reached: the first try is told, and that."""

    async def scenario(notifier, clock):
        notifier.outbox.channels["mail"].is_vague = True
        notifier.start()
        tell(notifier)
        for _ in range(400):
            await turn()
            clock.advance(60)
        assert (notifier.outbox.waiting(), notifier.outbox.dropped) == (0, 1)

    sender = Sender(DOWN)
    run(scenario, mail=sender)
    assert len(sender.got) == 12
    assert [record.getMessage() for record in caplog.records] == [
        "Notices do not get to the channel mail: it is down. They are tried again",
        "A notice is given up that the channel mail has never taken as a whole: it is down",
    ]


@pytest.mark.parametrize(("seconds", "sent"), [(0, 0), (2.5, 2), (60, 3)])
def test_the_end(seconds, sent):
    """What can be sent in time is, with tries; then nothing is waited for."""

    async def scenario(notifier, _):
        for kind in "abc":
            tell(notifier, kind)
        await notifier.finish(seconds)
        assert len([each for each in sender.got if each]) >= sent

    sender = Sender(SENT, DOWN, SENT)
    run(scenario, hook=sender)


def test_the_end_waits_for_nobody():
    """A channel that hangs is left, and its notice stays."""

    async def scenario(notifier, _):
        notifier.start()
        tell(notifier)
        await turn()
        await asyncio.wait_for(notifier.finish(0.05), 60)
        assert notifier.outbox.waiting() == 1

    run(scenario, hook=Sender(None))
