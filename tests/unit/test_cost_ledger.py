"""The file of costs: what was claimed is there, whatever becomes of process and disk."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scrapy_resilience.core.budget import parse_budgets
from scrapy_resilience.core.budget_claims import Refusal
from scrapy_resilience.core.spending import Prices
from scrapy_resilience.core.spending_records import CLAIM, Folded
from scrapy_resilience.exceptions import BudgetExceededError
from scrapy_resilience.files.layout import COSTS
from scrapy_resilience.guard.cost import ledger_file
from scrapy_resilience.guard.cost.keeping import KeptLedger
from scrapy_resilience.guard.cost.ledger_file import read_ledger
from scrapy_resilience.guard.cost.stored import stored_costs
from scrapy_resilience.guard.cost.tracker import CostTracker, OpenClaim

any_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
HOUR = {"resource": "requests", "limit": 5, "per": "hour"}


class Run:
    """A run of a job: its ledger, until it is killed."""

    def __init__(self, folder, *budgets, prices=None):
        prices = Prices({"requests": 0.01, **(prices or {})})
        self.tracker = CostTracker.of(prices, parse_budgets(budgets, prices))
        self.kept = KeptLedger(folder / COSTS, self.tracker)
        self.tracker.opener = lambda: self.kept
        self.open = []

    def claim(self, domain="a.test", proxy=""):
        """Whether a request may go."""
        found = self.tracker.claim(1, domain, proxy)
        if isinstance(found, OpenClaim):
            self.open.append(found)
        return found

    def end(self):
        self.tracker.end(self.open.pop(0))

    def kill(self):
        """Nothing is flushed."""
        self.kept._file.close()

    @property
    def requests(self):
        return self.amount("requests")

    def amount(self, resource):
        found = {each.name: each.amount for each in self.tracker.usage().resources}
        return found.get(resource, 0)


def spent(folder, wall, resource="requests"):
    """What a command sees."""
    found = {each.name: each.amount for each in stored_costs(folder, wall).resources}
    return found.get(resource, 0)


# --- runs -------------------------------------------------------------------------------------


def test_a_kill_gives_nothing_back(tmp_path, fake_clock):
    """What was claimed is spent, and holds until its window has passed since the restart."""
    run = Run(tmp_path, HOUR)
    for _ in range(5):
        run.claim()
    assert isinstance(run.claim(), Refusal)
    run.kill()
    fake_clock.advance(1800)

    run = Run(tmp_path, HOUR)
    assert run.requests == 5
    assert run.claim().seconds(run.tracker.now()) == pytest.approx(3600)
    assert run.tracker.usage().total == pytest.approx(0.05)


def test_what_has_ended_leaves_in_its_time(tmp_path, fake_clock):
    """A clean end keeps when each one has ended."""
    run = Run(tmp_path, HOUR)
    for _ in range(5):
        run.claim()
        run.end()
        fake_clock.advance(60)
    run.tracker.close()
    fake_clock.advance(3600 - 300)

    run = Run(tmp_path, HOUR)
    assert run.claim().seconds(run.tracker.now()) < 0.001
    fake_clock.advance(1)
    assert isinstance(run.claim(), OpenClaim)
    assert isinstance(run.claim(), Refusal)


@pytest.mark.parametrize("step", [-86_400, -3600, 3600, 86_400])
def test_a_clock_that_is_set_changes_no_window(tmp_path, fake_clock, step):
    """A process goes by the monotonic clock, and notes how the time of day stands to it."""
    run = Run(tmp_path, HOUR)
    for _ in range(4):
        run.claim()
        run.end()
    fake_clock.wall = lambda: fake_clock.now + step
    with_step = pytest.MonkeyPatch()
    with_step.setattr("scrapy_resilience._clock.wall", fake_clock.wall)
    try:
        fake_clock.advance(60)
        run.claim()
        run.kill()
        fake_clock.advance(60)
        run = Run(tmp_path, HOUR)
        assert isinstance(run.claim(), Refusal)
        fake_clock.advance(3600 - 60)
        assert isinstance(run.claim(), OpenClaim)
    finally:
        with_step.undo()


def test_a_clock_that_was_set_back_between_two_runs(tmp_path, fake_clock):
    """Windows stand still until it is where it was."""
    run = Run(tmp_path, HOUR)
    for _ in range(5):
        run.claim()
    run.kill()
    fake_clock.now -= 500_000

    run = Run(tmp_path, HOUR)
    assert run.claim().seconds(run.tracker.now()) == pytest.approx(3600)


@pytest.mark.usefixtures("fake_clock")
class Amount(float):
    """As numpy's numbers are."""


class Count(int):
    """Likewise."""


class Name(str):
    """A text of somebody's own."""

    __slots__ = ()


@pytest.mark.parametrize("amount", [Amount(2), Count(2)])
def test_numbers_and_texts_of_other_classes(tmp_path, amount):
    """They are counted as what they are, and written down."""
    run = Run(tmp_path, prices={"llm_tokens": 1})
    run.tracker.track(Name("llm_tokens"), amount, domain=Name("a.test"))
    run.tracker.track("llm_tokens", 1, domain="a\udcff.test")
    run.kill()

    assert Run(tmp_path).amount("llm_tokens") == 3


def test_the_first_bytes_of_a_job(tmp_path):
    """They open the file, which must not forget them."""
    tracker = CostTracker.of(Prices({"bytes": 1}), ())
    tracker.opener = lambda: KeptLedger(tmp_path / COSTS, tracker)
    tracker.end(tracker.claim(0, "a.test", ""), 1_000)

    assert [each.amount for each in tracker.usage().resources if each.name == "bytes"] == [
        1_000
    ]


def test_an_end_while_it_is_made_smaller(tmp_path):
    """What was made is closed, and the next run does not need it."""
    run = Run(tmp_path)
    descriptor = os.open(tmp_path / "costs.new", os.O_CREAT | os.O_RDWR)
    work = SimpleNamespace(result=lambda: (descriptor, 0))
    run.kept.close()
    run.kept._adopt(work)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_it_can_not_be_made_smaller(tmp_path, caplog):
    """Whatever is the reason, it is not tried at each commit."""
    run = Run(tmp_path)

    def fail():
        raise MemoryError

    run.kept._adopt(SimpleNamespace(result=fail))

    assert "can't be made smaller: MemoryError()" in caplog.text


def test_what_is_void_costs_nothing(tmp_path):
    """In this run and the next."""
    run = Run(tmp_path, HOUR)
    for _ in range(3):
        run.claim()
    run.tracker.void(run.open.pop())
    assert run.requests == 2
    run.kill()

    assert Run(tmp_path, HOUR).requests == 2


@pytest.mark.usefixtures("fake_clock")
def test_budgets_and_prices_may_change(tmp_path):
    """What was spent keeps its cost, and counts in budgets that came later."""
    run = Run(tmp_path, prices={"requests": 0.5})
    for _ in range(3):
        run.claim()
    run.tracker.track("llm_tokens", 100)
    run.kill()

    run = Run(tmp_path, {**HOUR, "limit": 4}, prices={"requests": 0.01})
    assert run.tracker.usage().total == pytest.approx(1.501)
    assert isinstance(run.claim(), OpenClaim)
    assert isinstance(run.claim(), Refusal)


def test_what_is_too_old_is_only_a_sum(tmp_path, fake_clock):
    """Entries that no window can hold become one at the next start."""
    run = Run(tmp_path, HOUR)
    for _ in range(5):
        run.claim()
        run.end()
    run.tracker.close()
    size = (tmp_path / COSTS).stat().st_size
    fake_clock.advance(90_000)

    run = Run(tmp_path, HOUR)
    assert run.requests == 5
    assert isinstance(run.claim(), OpenClaim)
    assert (tmp_path / COSTS).stat().st_size < size


@pytest.mark.parametrize("whose", [{}, {"domain": "*"}, {"domain": "a.test"}, {"proxy": "*"}])
def test_a_budget_of_the_job_forgets_nothing(tmp_path, fake_clock, whose):
    """However old it is, and however often the job is started since, or its file shrunk."""
    budget = {"resource": "requests", "limit": 3, "per": "job", "action": "close", **whose}
    run = Run(tmp_path, budget, HOUR)
    for _ in range(3):
        run.claim(proxy="p:1")
        run.end()
    run.tracker.close()

    for _ in range(3):
        fake_clock.advance(90_000)
        run = Run(tmp_path, budget, HOUR)
        smaller(run)
        assert isinstance(run.claim(proxy="p:1"), Refusal)
        assert run.requests == 3
        run.kill()


def test_a_budget_of_the_job_that_came_later(tmp_path, fake_clock):
    """It counts what the job has spent before."""
    run = Run(tmp_path, HOUR)
    for _ in range(3):
        run.claim()
    run.tracker.close()
    for _ in range(2):
        fake_clock.advance(90_000)
        run = Run(tmp_path, HOUR)
        run.kill()

    job = {"resource": "requests", "limit": 4, "per": "job", "action": "close"}
    run = Run(tmp_path, job)
    assert isinstance(run.claim(), OpenClaim)
    assert isinstance(run.claim(), Refusal)


def test_a_command_sees_what_was_claimed(tmp_path, fake_clock):
    """While the job runs, and after that: with its budgets."""
    run = Run(tmp_path, {**HOUR, "domain": "*"})
    run.claim()
    run.claim("b.test")

    view = stored_costs(tmp_path, fake_clock.now)
    assert view.total == pytest.approx(0.02)
    assert {each.name: each.used for each in view.budgets} == {"a.test": 1, "b.test": 1}
    assert {each.name for each in view.domains} == {"a.test", "b.test"}


@pytest.mark.usefixtures("fake_clock")
def test_what_is_told_again(tmp_path, monkeypatch):
    """Not what was spent before the start, but that domains share."""
    monkeypatch.setattr("scrapy_resilience.core.budget_claims.WINDOWS", 1)
    budget = {**HOUR, "limit": 1, "domain": "*"}
    run = Run(tmp_path, budget)
    run.claim("a.test")
    run.claim("b.test")
    assert {each.percent for each in run.tracker.take_news()} == {0, 100}
    run.kill()

    run = Run(tmp_path, budget)
    assert [each.percent for each in run.tracker.take_news()] == [0]


# --- the disk ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_clock")
def test_a_torn_end_is_cut(tmp_path, caplog):
    """One line says so; what is whole counts."""
    run = Run(tmp_path, HOUR)
    for _ in range(3):
        run.claim()
    run.kill()
    with (tmp_path / COSTS).open("ab") as file:
        file.write(b"\x20\x00\x00\x00torn")

    assert Run(tmp_path, HOUR).requests == 3
    assert caplog.text.count("are no records") == 1


@pytest.mark.usefixtures("fake_clock")
def test_damage_in_the_middle(tmp_path):
    """What comes behind it is found."""
    run = Run(tmp_path, HOUR)
    run.claim()
    length = (tmp_path / COSTS).stat().st_size
    for _ in range(4):
        run.claim()
    run.kill()
    data = bytearray((tmp_path / COSTS).read_bytes())
    data[length + 10] ^= 0xFF
    (tmp_path / COSTS).write_bytes(data)

    assert Run(tmp_path, HOUR).requests == 4


@pytest.mark.usefixtures("fake_clock")
def test_a_file_of_any_length(tmp_path, monkeypatch, caplog):
    """It is read to its end, and by a command, too; nothing of it is cut off."""
    monkeypatch.setattr(ledger_file, "_PIECE", 700)
    monkeypatch.setattr(ledger_file, "_AHEAD", 500)
    budget = {**HOUR, "limit": 1000}
    run = Run(tmp_path, budget)
    for _ in range(100):
        run.claim()
    run.kill()

    assert spent(tmp_path, run.tracker.now()) == 100
    run = Run(tmp_path, budget)
    assert (run.requests, caplog.text) == (100, "")
    smaller(run)
    run.kill()
    assert Run(tmp_path, budget).requests == 100


@any_folder
@given(st.data())
def test_pieces_are_read_as_the_whole(monkeypatch, data):
    """Wherever they end, and wherever the file is damaged."""
    for name, value in {"_SEARCHED": 30, "_LONGEST_FRAME": 40, "_AHEAD": 80}.items():
        monkeypatch.setattr(ledger_file, name, value)
    records = [(CLAIM, number, 7.0, 1, "a.test", "") for number in range(5)]
    whole = bytearray(b"".join(map(ledger_file.frame, map(msgspec.msgpack.encode, records))))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        whole[place] ^= data.draw(st.integers(1, 255))
    borders = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole))))})
    pieces = [bytes(whole[begin:end]) for begin, end in pairwise(borders)]

    once, several = read_ledger([bytes(whole)]), read_ledger(pieces)
    assert (several.length, several.lost) == (once.length, once.lost)
    assert several.folded.totals.resources == once.folded.totals.resources


@any_folder
@given(st.binary(max_size=300))
def test_any_bytes(data):
    """Nothing is made of what nobody has written."""
    assert read_ledger([data]).folded.totals.resources == {}


@example([[7, 0, None, None]])
@given(st.lists(st.lists(st.one_of(st.integers(-3, 12), st.text(max_size=3), st.none()))))
def test_records_of_another_version(records):
    """They are left out."""
    folded = Folded()
    for record in records:
        folded.take(record)
    assert folded.totals.cost >= 0


class Disk:
    """A disk that may be full."""

    def __init__(self, monkeypatch):
        self.full = False
        self._write = os.write
        monkeypatch.setattr(ledger_file.os, "write", self.write)

    def write(self, fd, data):
        if self.full:
            self._write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(fd, data)


@pytest.mark.usefixtures("fake_clock")
def test_a_full_disk(tmp_path, monkeypatch, caplog):
    """What is limited is refused until it can be written; what is not is counted, and told."""
    disk = Disk(monkeypatch)
    run = Run(tmp_path, HOUR)
    run.claim()
    disk.full = True

    assert run.claim() is None
    assert run.tracker.track("llm_tokens", 7)
    assert "No space left" in run.tracker.trouble
    with pytest.raises(BudgetExceededError, match="can't be written"):
        run.tracker.track("requests", 1, enforce=True)
    assert caplog.text.count("can't be written") == 1

    disk.full = False
    assert isinstance(run.claim(), OpenClaim)
    assert run.tracker.trouble == ""
    run.kill()
    run = Run(tmp_path, HOUR)
    assert (run.requests, run.amount("llm_tokens")) == (2, 7)


@pytest.mark.usefixtures("fake_clock")
def test_a_disk_that_is_full_at_the_start(tmp_path, monkeypatch):
    """The file is not made smaller, and loses nothing."""
    disk = Disk(monkeypatch)
    run = Run(tmp_path, HOUR)
    for _ in range(3):
        run.claim()
    run.kill()
    disk.full = True

    run = Run(tmp_path, HOUR)
    assert run.requests == 3
    assert run.claim() is None
    disk.full = False
    assert isinstance(run.claim(), OpenClaim)
    run.kill()
    assert Run(tmp_path, HOUR).requests == 4


def test_others_files_are_not_used(tmp_path):
    """A link leads anywhere."""
    (tmp_path / COSTS).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="link"):
        Run(tmp_path, HOUR)
    assert not (tmp_path / "elsewhere").exists()


# --- a file that has grown --------------------------------------------------------------------


def smaller(run, between=lambda: None):
    """Make the file smaller, as a commit has it done in a thread."""
    file = run.kept._file
    made = file.draft(run.tracker.now() - 86_400)()
    between()
    file.adopt(*made)


@pytest.mark.usefixtures("fake_clock")
def test_made_smaller_while_it_runs(tmp_path):
    """Sums, open claims and what comes meanwhile are kept, each once."""
    run = Run(tmp_path, {**HOUR, "limit": 100})
    for number in range(20):
        run.claim(f"d{number % 3}.test")
    for _ in range(10):
        run.end()
    smaller(run, lambda: [run.claim("late.test"), run.end()])
    for _ in range(10):
        run.end()
    run.claim()
    run.kill()

    run = Run(tmp_path, {**HOUR, "limit": 100})
    assert run.requests == 22
    assert run.tracker.usage().budgets[0].used == 22
    assert {each.name: each.amounts["requests"] for each in run.tracker.usage().domains} == {
        "d0.test": 7,
        "d1.test": 7,
        "d2.test": 6,
        "late.test": 1,
        "a.test": 1,
    }


def test_a_large_file_becomes_small(tmp_path, fake_clock, monkeypatch):
    """Of many entries neighbours are merged, and all count."""
    monkeypatch.setattr("scrapy_resilience.core.spending_records._KEPT", 50)
    run = Run(tmp_path, {**HOUR, "limit": 10_000})
    for _ in range(2_000):
        fake_clock.now += 0.5
        run.claim()
        run.end()
    before = (tmp_path / COSTS).stat().st_size
    smaller(run)
    assert (tmp_path / COSTS).stat().st_size < before / 10
    assert not (tmp_path / f"{COSTS}.new").exists()
    run.kill()

    run = Run(tmp_path, {**HOUR, "limit": 10_000})
    assert run.tracker.usage().budgets[0].used == 2_000
    fake_clock.advance(3600 - 500)
    assert run.tracker.usage().budgets[0].used == pytest.approx(1_000, abs=50)


@pytest.mark.usefixtures("fake_clock")
def test_a_kill_while_it_is_made_smaller(tmp_path):
    """The draft is removed, and the file is as it was."""
    run = Run(tmp_path, HOUR)
    run.claim()
    run.kept._file.draft(0)()
    run.claim()
    run.kill()
    assert (tmp_path / f"{COSTS}.new").exists()

    assert Run(tmp_path, HOUR).requests == 2
    assert not (tmp_path / f"{COSTS}.new").exists()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "claim", "end", "void", "token", "kill", "smaller", "wait"]),
        st.sampled_from(["a.test", "b.test"]),
    ),
    max_size=40,
)


@any_folder
@given(STEPS, st.integers(0, 3))
def test_the_ledger_counts_what_was_sent(tmp_path_factory, steps, torn):
    """Over kills, damage to the end and files made smaller: never less, nor anything else."""
    from scrapy_resilience.testing import FakeClock, use_clock  # noqa: PLC0415

    folder, clock = tmp_path_factory.mktemp("job"), FakeClock()
    budget = {"resource": "requests", "limit": 4, "per": 50, "domain": "*"}
    with use_clock(clock):
        run, sent, tokens, seen = Run(folder, budget), 0, 0, []
        for kind, domain in steps:
            clock.now += 7
            if kind == "claim" and isinstance(run.claim(domain), OpenClaim):
                sent += 1
                seen.append((clock.now, domain))
            elif kind == "end" and run.open:
                run.end()
            elif kind == "void" and run.open and (claim := run.open.pop()):
                run.tracker.void(claim)
                sent -= 1
                seen.remove(next(each for each in reversed(seen) if each[1] == claim.domain))
            elif kind == "token":
                run.tracker.track("llm_tokens", 3)
                tokens += 3
            elif kind == "smaller":
                smaller(run)
            elif kind == "kill":
                run.kill()
                with (folder / COSTS).open("ab") as file:
                    file.write(b"\x09\x00\x00"[:torn])
                run = Run(folder, budget)
            assert (run.requests, run.amount("llm_tokens")) == (sent, tokens)
        run.kill()
        assert spent(folder, clock.now) == sent
    for begin, domain in seen:
        inside = sum(begin <= at <= begin + 50 and name == domain for at, name in seen)
        assert inside <= 4
