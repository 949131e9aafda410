"""Dead letters against a model: whatever is killed, a request is in one place only."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scrapy.settings import Settings
from store_contract import BrokenList, read

from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.commands.replay import replay
from scrapy_resilience.core.deadletter import About, Wanted
from scrapy_resilience.files.layout import STORE
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.in_flight import InFlightRequests
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.lane_names import LaneNames
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.settings import Config

PICKS = st.integers(0, 30)
PLACES = st.integers(0, 4)
codec = ValueCodec(allow_pickle=False)
LANES = LaneNames(Settings(), Domains(Settings(), Config()))


class Request:
    """A request as the engine knows it."""


def about(url):
    """Return what is told of a letter."""
    made = About.make(
        url=url, domain="a", now=0.0, kind="callback", failure_class="x", reason="r"
    )
    return codec.encode(made.row())


class LetterMachine(RuleBasedStateMachine):
    """The model knows of each URL what it wrote, and whether it is alive or given up."""

    @initialize()
    def begin(self):
        """Open an empty job."""
        self.folder = Path(tempfile.mkdtemp(prefix="letters"))
        self.made = self.replayed = 0
        self.store = None
        self.committed = {}, {}
        self._live()

    def _live(self):
        """Begin a run, at the last commit."""
        if self.store is not None:
            self.store.close()
        self.store = SQLiteStore(self.folder / STORE)
        self.store._writer.execute("PRAGMA synchronous=OFF")  # no power is lost here
        self.frontier = Frontier(self.store, limit=lambda _: 1000)
        self.in_flight = InFlightRequests(
            self.frontier,
            self.store.outputs(),
            codec.encode,
            codec.decode,
            self.store.last_letter(),
        )
        alive, letters = self.committed
        self.alive = {url: set(written) for url, written in alive.items()}
        self.letters = dict(letters)
        self.busy = {}  # request → url
        self.given_up = {}  # url → whether its replay begins anew
        self.sealed = None
        self._compare()

    def _compare(self):
        """The file holds what the model says was committed."""
        alive, letters = self.committed
        rows = [row for lane in range(20) for row in read(self.store, lane)]
        assert sorted(codec.decode(row.data)["url"] for row in rows) == sorted(alive)
        found = self.store.letters(0, 1000)
        assert {
            codec.decode(letter.request)["url"]: letter.record
            and codec.decode(letter.record)[0]
            for letter in found
        } == letters
        assert len(found) == len(letters)
        self.store.verify()

    @rule(count=st.integers(1, 3))
    def push(self, count):
        """Add requests."""
        for _ in range(count):
            url = f"http://a/{self.made}"
            self.made += 1
            self.frontier.push("a", codec.encode({"url": url, "meta": {"retry_times": 2}}))
            self.alive[url] = set()

    @precondition(lambda self: len(self.busy) < len(self.alive))
    @rule(count=st.integers(1, 3))
    def hand_out(self, count):
        """Take requests; each knows what an earlier run of it has written."""
        for _ in range(min(count, len(self.frontier))):
            self._hand_out()

    def _hand_out(self):
        row = self.frontier.pop(0.0).row
        request, url = Request(), codec.decode(row.data)["url"]
        self.in_flight.handed_out(request, row)
        assert self.in_flight.under_way[request].written == self.alive[url]
        self.busy[request] = url

    def _pick(self, pick):
        return list(self.busy)[pick % len(self.busy)]

    @precondition(lambda self: self.busy)
    @rule(pick=PICKS, place=PLACES)
    def write(self, pick, place):
        """A feed takes an item."""
        request = self._pick(pick)
        self.in_flight.under_way[request].item_written(place)
        self.alive[self.busy[request]].add(place)

    @precondition(lambda self: self.busy)
    @rule(pick=PICKS, anew=st.integers(0, 3).map(lambda n: n == 0))
    def give_up(self, pick, anew):
        """Give a request up, which is under way still; the first time counts."""
        request = self._pick(pick)
        url = self.busy[request]
        assert self.in_flight.give_up(request, about(url), pytest.fail, anew=anew)
        self.given_up.setdefault(url, anew)

    @precondition(lambda self: self.busy)
    @rule(pick=PICKS)
    def end(self, pick):
        """End a request: it is done, or a letter."""
        request = self._pick(pick)
        url = self.busy.pop(request)
        self.in_flight.collect(set(self.busy))
        written = self.alive.pop(url)
        if url in self.given_up:
            keeps = written and not self.given_up.pop(url)
            self.letters[url] = sorted(written) if keeps else None

    @precondition(lambda self: len(self.busy) < len(self.alive))
    @rule(places=st.lists(PLACES, max_size=2), reasons=st.lists(st.booleans(), max_size=2))
    def work(self, places, reasons):
        """Take a request through its whole life, which may be given up for some reasons."""
        self.hand_out(1)
        for place in places:
            self.write(len(self.busy) - 1, place)
        for anew in reasons:
            self.give_up(len(self.busy) - 1, anew)
        self.end(len(self.busy) - 1)

    @precondition(lambda self: self.sealed is None)
    @rule()
    def seal(self):
        """Take what the next commit writes."""
        changes = self.frontier.seal()
        self.in_flight.contribute(changes)
        meta = {"dead_letters": len(self.letters), "finished": not self.alive}
        changes.state = {META: codec.encode(meta)}
        alive = {url: set(written) for url, written in self.alive.items()}
        self.sealed = changes, (alive, dict(self.letters))

    @precondition(lambda self: self.sealed is not None)
    @rule()
    def fail(self):
        """Meet an error in the middle of a commit; a later rule writes it again."""
        changes, _ = self.sealed
        letters, changes.letters = changes.letters, BrokenList(changes.letters)
        with pytest.raises(OSError, match="no space"):
            self.store.commit(changes)
        changes.letters = letters

    @precondition(lambda self: self.sealed is not None)
    @rule(dies=st.integers(0, 3).map(lambda n: n == 0))
    def commit(self, *, dies):
        """Write what was sealed, and perhaps die before anybody knows."""
        changes, self.committed = self.sealed
        self.store.commit(changes)
        if dies:
            self._live()
            return
        self.frontier.committed(changes)
        self.sealed = None

    @precondition(lambda self: self.frontier.changed)
    @rule()
    def commit_all(self):
        """Seal and write at once."""
        if self.sealed is None:
            self.seal()
        self.commit(dies=False)

    @precondition(lambda self: self.committed[0] or self.committed[1])
    @rule(dies=st.integers(0, 3).map(lambda n: n == 3))
    def crash(self, *, dies):
        """Go back to the last commit."""
        if dies:
            self._live()

    @precondition(lambda self: self.committed[1])
    @rule()
    def replay(self):
        """Die, and put every letter back."""
        alive, letters = self.committed
        self.store.close()
        self.store = None
        found, _ = replay(str(self.folder), Wanted(), LANES)
        assert found["replayed"] == len(letters)
        self.replayed += len(letters)
        self.committed = {**alive, **{url: set(w or ()) for url, w in letters.items()}}, {}
        self._live()
        meta = JobMeta.of(self.store.state())
        assert (meta.dead_letters, meta.finished) == (0, False)

    def teardown(self):
        """End everything: nothing is left of what was not given up."""
        if getattr(self, "store", None) is None:
            return
        target(float(self.replayed), label="replayed letters")
        while len(self.frontier):
            self._hand_out()
        self.busy.clear()
        self.in_flight.collect(set())
        if self.sealed is None:
            changes = self.frontier.seal()
            self.in_flight.contribute(changes)
            self.store.commit(changes)
            assert read(self.store, 1) == []
            assert self.store.outputs() == {}
        self.store.close()
        shutil.rmtree(self.folder)


def test_a_request_is_alive_given_up_or_done_whatever_is_killed():
    """After any crash each request is pending, a letter, or done, as of the last commit."""
    run_state_machine_as_test(
        LetterMachine,
        settings=settings(
            max_examples=settings.default.max_examples // 2,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_meets_every_case(monkeypatch):
    """Some thousand random steps replay letters with and without a record, and crash."""
    monkeypatch.setattr(f"{__name__}.target", lambda *_, **__: None)
    rng = random.Random(1)
    machine = LetterMachine()
    machine.begin()

    def pick():
        return rng.randrange(30)

    acts = [
        *[lambda: machine.push(rng.randint(1, 3))] * 3,
        *[lambda: len(machine.frontier) and machine.hand_out(rng.randint(1, 3))] * 3,
        *[lambda: machine.busy and machine.write(pick(), rng.randrange(5))] * 3,
        *[lambda: machine.busy and machine.give_up(pick(), anew=rng.random() < 0.2)] * 4,
        *[lambda: machine.busy and machine.end(pick())] * 4,
        *[lambda: machine.sealed is None and machine.seal()] * 2,
        *[lambda: machine.sealed and machine.commit(dies=rng.random() < 0.1)] * 2,
        lambda: machine.sealed and machine.fail(),
        lambda: rng.random() < 0.1 and machine.crash(dies=True),
        lambda: rng.random() < 0.2 and machine.committed[1] and machine.replay(),
    ]
    with_record = 0
    for _ in range(4000):
        rng.choice(acts)()
        with_record += any(machine.committed[1].values())
    machine.teardown()

    assert machine.replayed > 40
    assert with_record > 50
