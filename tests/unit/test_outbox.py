"""The outbox: grouping, repeats, limits, retries, bounds, restarts."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scrapy_resilience.core.notices import EVERY_EVENT, SEVERITIES, Notice, Rule
from scrapy_resilience.core.outbox import KEPT, Outbox, fold

START = 1_700_000_000.0
ALL = Rule(frozenset({EVERY_EVENT}))
HOUR = 3600.0


def outbox(rules=None, **more):
    """An outbox with ids that count, and no jitter."""
    ids = count(1)
    told = {"new_id": lambda: f"id{next(ids)}", "random": lambda: 0.5, "group": 5.0}
    return Outbox(rules or {"hook": ALL}, **{**told, **more})


def tell(box, now, text="It rests", *, kind="pause", severity="info", domain=""):
    """An event."""
    return box.event(kind, text, severity, domain, now)


def send(box, now, name="hook"):
    """Send all that may go now; the notices."""
    found = []
    while (notice := box.next(name, now).notice) is not None:
        box.sent(name, notice, now)
        found.append(notice)
    return found


def saved(box):
    """What a commit takes, as it is read again."""
    found = []
    while (notice := box.changed()) is not None:
        found.append(msgspec.msgpack.decode(msgspec.msgpack.encode(notice), type=Notice))
    return found


# --- groups and repeats -------------------------------------------------------------------


def test_one_event():
    """It waits for others of its kind, is sent once, and is forgotten."""
    box = outbox()
    tell(box, START)

    assert box.next("hook", START) == (None, START + 5)
    [notice] = send(box, START + 5)
    assert (notice.id, notice.texts, notice.sent) == ("id1", ["It rests"], {"hook": START + 5})
    assert box.next("hook", START + 6) == (None, None)
    assert box.waiting() == 0


def test_many_of_a_kind():
    """Those within the time are one notice with their number, by severity."""
    box = outbox()
    for number in range(100):
        tell(box, START + number / 100, f"{number} is down", domain=f"d{number}")
    tell(box, START + 1, "up", severity="error")

    assert [(each.severity, each.count) for each in send(box, START + 6)] == [
        ("error", 1), ("info", 100),
    ]  # fmt: skip


def test_what_was_begun_takes_no_more():
    """A receiver that drops what has the same id must not miss anything."""
    box = outbox()
    tell(box, START)
    notice = box.next("hook", START + 5).notice
    tell(box, START + 6, "again")
    box.failed("hook", notice, START + 6, "it is down")
    tell(box, START + 7, "and again")

    assert [each.count for each in send(box, START + 100)] == [1, 2]


def test_repeats():
    """The same is not told again within an hour, unless something else was told between."""
    box = outbox(group=0)
    texts = ["down", "down", "up", "down", "down"]
    for number, text in enumerate(texts):
        tell(box, START + number, text)
        assert len(send(box, START + number)) == (number not in {1, 4})
    tell(box, START + 3 + HOUR, "down")
    assert len(send(box, START + 3 + HOUR)) == 1


def test_repeats_are_of_a_domain():
    """Two domains may say the same."""
    box = outbox(group=0)
    for domain in ("a", "b"):
        tell(box, START, "down", domain=domain)
    assert [each.count for each in send(box, START)] == [2]


def test_memory_of_repeats():
    """It is bounded."""
    box = outbox()
    for number in range(3000):
        tell(box, START, "down", domain=f"{number}")
    assert len(box._told) == 1000


# --- limits -------------------------------------------------------------------------------


def test_the_limit_of_an_hour():
    """Ten go at once, then one each six minutes; errors and the end have as many again."""
    box = outbox(group=0)
    for number in range(30):
        box.tell("pause", f"{number}", "info", START + number)
        box.tell("abort", f"{number}", "error", START + number)

    first = send(box, START + 30)
    assert [each.severity for each in first] == ["error"] * 10 + ["info"] * 10
    at = box.next("hook", START + 30).at
    assert START + 30 < at <= START + 30 + 360
    assert len(send(box, at)) == 2  # one of each
    assert box.waiting() == 38


@pytest.mark.parametrize("per_hour", [1, 10, 60])
def test_any_hour(per_hour):
    """In no hour go more than twice as many as may, the burst included."""
    box = outbox(group=0, per_hour=per_hour)
    times = []
    for minute in range(600):
        now = START + 60 * minute
        box.tell("pause", f"{minute}", "info", now)
        times += [now] * len(send(box, now))
    for start in times:
        assert sum(start <= at < start + HOUR for at in times) <= 2 * per_hour


def test_the_limit_outlives_a_restart():
    """A crawl that is started again and again tells no more than one that runs."""
    box = outbox(group=0)
    for number in range(10):
        box.tell("pause", f"{number}", "info", START)
    send(box, START)
    entries = saved(box)
    box = outbox(group=0)
    box.restore(entries, START + 60)
    box.tell("pause", "one more", "info", START + 60)

    assert send(box, START + 60) == []
    assert send(box, START + 360) != []


# --- failures -----------------------------------------------------------------------------


def fail(box, now, **more):
    """Try once; when the next try is."""
    box.failed("hook", box.next("hook", now).notice, now, "it is down", **more)
    return box.next("hook", now).at


def test_backoff():
    """Each try in vain makes the next one later, up to five minutes; a success ends that."""
    box, now = outbox(group=0), START
    tell(box, now)
    delays = []
    for _ in range(12):
        delays.append(fail(box, now) - now)
        now += delays[-1]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == 300
    assert box.channels["hook"].failures == 12

    [notice] = send(box, now)
    assert notice.id == "id1"
    assert (box.channels["hook"].failures, box.channels["hook"].problem) == (0, "")


def vague(**more):
    """An outbox whose channel does not say whom it has reached."""
    return outbox(group=0, vague={"hook"}, **more)


def tries(box, now, until):
    """When a channel that always fails is tried, up to *until*."""
    found = []
    while now is not None and now < until:
        notice, at = box.next("hook", now)
        if notice is not None:
            found.append(now)
            box.failed("hook", notice, now, "one of two has got it")
        now = now if notice is not None else at
    return found


def test_each_try_may_have_got_there():
    """Where a channel does not say so, it counts for the limit of an hour."""
    box = vague(per_hour=1)
    tell(box, START)

    assert len(tries(box, START, START + HOUR)) == 1


def test_what_may_have_got_there_is_given_up():
    """After a dozen tries in some hours, also where each run has some of them."""
    box = vague()
    tell(box, START)
    found = tries(box, START, START + 86_400)
    assert len(found) == 12
    assert 3 * HOUR < found[-1] - START < 6 * HOUR
    assert (box.waiting(), box.dropped) == (0, 1)

    box, now, count = vague(), START, 0
    tell(box, now)
    while box.waiting():
        count += len(tries(box, now, now + 60))
        again = vague()
        again.restore(saved(box), now + HOUR)
        box, now = again, now + HOUR
    assert count == 12


def test_what_may_have_got_there_holds_up_nothing():
    """Others of the channel go at once, before it is tried again."""
    box = vague()
    box.tell("abort", "one", "error", START)
    fail(box, START)
    box.tell("note", "two", "info", START + 1)

    assert [each.texts for each in send(box, START + 1)] == [["two"], ["one"]]


def test_a_try_that_was_none():
    """Nothing was sent: that is tried again for a week, as with other channels."""
    box, now = vague(), START
    tell(box, now)
    for _ in range(50):
        now = fail(box, now, begun=False)
    assert box.waiting() == 1
    assert len(send(box, now)) == 1


def test_what_a_receiver_asks_for():
    """Retry-After counts when it is longer, up to an hour."""
    for wanted, delay in ((0.1, 1), (50.0, 50), (1e9, HOUR)):
        box = outbox(group=0)
        tell(box, START)
        assert fail(box, START, retry_after=wanted) == START + delay


def test_a_clock_that_is_set_back():
    """By a day: neither a group nor a channel that has failed waits until it is there again."""
    box = outbox()
    tell(box, START)
    fail(box, START + 5)

    assert len(send(box, START - 86_400)) == 1

    tell(box, START, "It works")
    assert len(send(box, START - 86_400)) == 1


def test_a_channel_that_fails_holds_up_no_other():
    """Each has its own tries."""
    box = outbox({"hook": ALL, "mail": ALL}, group=0)
    tell(box, START)
    fail(box, START)

    assert len(send(box, START, "mail")) == 1
    assert box.waiting("hook") == 1
    assert box.waiting("mail") == 0


def test_what_is_refused():
    """It is dropped and counted, and the next one goes at once."""
    box = outbox(group=0)
    tell(box, START)
    tell(box, START, kind="note")
    box.failed("hook", box.next("hook", START).notice, START, "bad", rejected=True)

    assert box.dropped == 1
    assert len(send(box, START)) == 1


def test_what_is_too_old():
    """After a week of failures it is dropped."""
    box = outbox(group=0)
    tell(box, START)
    fail(box, START + KEPT - 1)
    assert box.waiting() == 1
    fail(box, START + KEPT + 400)
    assert (box.waiting(), box.dropped) == (0, 1)


# --- bounds -------------------------------------------------------------------------------


def test_a_full_outbox():
    """The oldest of the least severe ones is dropped."""
    box = outbox(most=3, group=0)
    for number, severity in enumerate(["warning", "info", "error", "info", "error", "error"]):
        box.tell("pause", f"{number}", severity, START + number)

    assert [each.texts[0] for each in box.notices.values()] == ["2", "4", "5"]
    assert box.dropped == 3


def test_nobody_asks_for_changes():
    """Without a job they are bounded, too."""
    box = outbox(most=10, group=0)
    for number in range(100):
        box.tell("pause", f"{number}", "info", START + HOUR * number)
        send(box, START + HOUR * number)
    assert len(box._changed) <= 20


# --- restarts -----------------------------------------------------------------------------


def test_a_restart():
    """What was not sent goes on with its id; what was sent does not come again."""
    box = outbox({"hook": ALL, "mail": ALL}, group=0)
    box.tell("pause", "one", "info", START)
    box.tell("pause", "two", "info", START)
    for notice in [box.next("hook", START).notice, box.next("mail", START).notice]:
        box.sent("hook" if notice.texts == ["one"] else "mail", notice, START)
    entries = saved(box)
    box.tell("pause", "three", "info", START)
    entries += saved(box)

    again = outbox({"hook": ALL, "mail": ALL})
    again.restore(entries, START + 60)
    left = {(each.id, tuple(each.left)) for each in box.notices.values()}
    assert {(each.id, tuple(each.left)) for each in again.notices.values()} == left
    assert saved(again) == []


def test_a_channel_that_is_gone():
    """What was for it is dropped, and said to be."""
    box = outbox({"hook": ALL, "mail": ALL}, group=0)
    tell(box, START)
    send(box, START)
    again = outbox()
    again.restore(saved(box), START)

    assert (again.waiting(), again.dropped) == (0, 1)
    assert [each.left for each in saved(again)] == [[]]


def test_old_notices_are_not_told():
    """A job that goes on after a week does not tell what was then."""
    box = outbox()
    tell(box, START)
    again = outbox()
    again.restore(saved(box), START + KEPT + 1)
    assert again.waiting() == 0


def test_folding():
    """Of each notice the last version is kept, and few of those that were sent."""
    box = outbox(group=0, per_hour=1000)
    entries = []
    for number in range(60):
        box.tell("pause", f"{number}", "info", START)
        entries += [(number, each) for each in saved(box)]
        if number < 50:
            send(box, START)
            entries += [(number, each) for each in saved(box)]
    folded = fold(entries)

    assert len(folded) == 30
    assert [commit for commit, _ in folded] == sorted(commit for commit, _ in folded)
    again = outbox()
    again.restore([each for _, each in folded], START)
    assert [each.texts[0] for each in again.notices.values()] == [str(n) for n in range(50, 60)]


# --- all of it ----------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Events, tries of all outcomes, commits and kills in any order; the clock jumps."""

    def __init__(self):
        super().__init__()
        self.ids = count()
        self.now = START
        self.stored = []
        self.owed = set()
        """(id, channel) of errors that are in a commit, and that nobody has refused."""
        self.got = set()
        self.refused = 0
        """Of this run."""
        self.busy = {}
        self.begin()

    def begin(self):
        """A run."""
        self.box = outbox(
            {"hook": ALL, "mail": Rule(severity="warning")},
            new_id=lambda: f"{next(self.ids)}", most=20, per_hour=5, vague={"mail"},
        )  # fmt: skip
        self.box.restore([msgspec.structs.replace(each) for each in self.stored], self.now)
        self.busy = {}
        self.refused = self.box.dropped

    @rule(
        kind=st.sampled_from(["pause", "abort", "hold"]),
        severity=st.sampled_from(SEVERITIES),
        text=st.sampled_from("abc"),
        domain=st.sampled_from(["", "a.test"]),
    )
    def event(self, kind, severity, text, domain):
        """Something happens."""
        self.box.event(kind, text, severity, domain, self.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 6.0, 400.0, 4000.0, -50.0]))
    def wait(self, seconds):
        """Time passes, or the clock is set back."""
        self.now += seconds

    @rule(name=st.sampled_from(["hook", "mail"]))
    def begin_to_send(self, name):
        """What has to be sent has to be sent to that channel, and is not there yet."""
        if name not in self.busy:
            notice, at = self.box.next(name, self.now)
            if notice is not None:
                assert name in notice.left
                self.busy[name] = notice
            else:
                assert at is None or at > self.now

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), outcome=st.sampled_from(["sent", "failed", "lost", "rejected"]))
    def end_to_send(self, data, outcome):
        """It is sent or not; *lost* is an answer that did not come."""
        name = data.draw(st.sampled_from(sorted(self.busy)))
        notice = self.busy.pop(name)
        if outcome in {"sent", "lost"}:
            self.got.add((notice.id, name))
        if outcome == "sent":
            self.box.sent(name, notice, self.now)
        else:
            rejected = outcome == "rejected"
            if rejected:
                self.refused += 1
                self.owed.discard((notice.id, name))
            self.box.failed(name, notice, self.now, "no", rejected=rejected)

    @rule()
    def commit(self):
        """What has changed is kept, and will not be lost."""
        self.stored += saved(self.box)
        for notice in self.box.notices.values():
            if notice.severity == "error":
                self.owed |= {(notice.id, name) for name in notice.left}

    @rule()
    def kill(self):
        """The process is another one, and has what was kept."""
        self.begin()

    @invariant()
    def it_is_bounded(self):
        """So is what waits, and each of it waits for a channel."""
        assert len(self.box.notices) <= 20
        assert len(self.box._changed) <= 40
        assert all(notice.left for notice in self.box.notices.values())
        begun = {key for channel in self.box.channels.values() for key in channel.begun}
        assert begun <= self.box.notices.keys()
        if self.box.dropped > self.refused:  # it was full
            self.owed.clear()

    def teardown(self):
        """Whatever waits is sent when all goes well; no error that was in a commit is lost."""
        for name, notice in self.busy.items():
            self.box.sent(name, notice, self.now)
            self.got.add((notice.id, name))
        self.box.flush()
        now = max(self.now, START)
        for _ in range(200):
            now += HOUR
            for name in ("hook", "mail"):
                self.got |= {(notice.id, name) for notice in send(self.box, now, name)}
        assert self.box.waiting() == 0
        assert self.owed <= self.got


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutbox = Machine.TestCase
