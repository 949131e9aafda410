"""``scrapy resilience deadletters``, ``replay`` and ``breakers``, without a process."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tracemalloc
from contextlib import closing
from dataclasses import asdict

import pytest
from scrapy.exceptions import UsageError
from scrapy.settings import Settings

from scrapy_resilience.checkpoint.state import GATES, META, StateRegistry
from scrapy_resilience.commands.resilience import Command
from scrapy_resilience.core.deadletter import About
from scrapy_resilience.files.layout import DAMAGED, LOCK, STORE
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter
from scrapy_resilience.gates.lane_names import domain_of, is_of_browser, slot_of
from scrapy_resilience.jobs.jobmeta import JobMeta

codec = ValueCodec()
HOSTILE = "http://a.test/\x1b]0;owned\x07\x1b[2J?\u202e<script>alert(1)</script>"


class Unpicklable:
    """A value whose pickle must not be read by a command."""

    def __reduce__(self):
        return pytest.fail, ("a command has unpickled something",)


def letter(number, url="http://a.test/", *, request=None, record=None, **more):
    """Return a letter of the request *request*, of one for *url* by default."""
    told = {
        "domain": "a.test",
        "now": 1e9,
        "kind": "permanent",
        "failure_class": "http",
        "reason": "HTTP 404",
    }
    about = About.make(url=url, **{**told, **more})
    data = codec.encode({"url": url} if request is None else request)
    return Letter(number, data, codec.encode(about.row()), record)


@pytest.fixture
def job(tmp_path):
    """Return a function that makes a job of letters, and gives its folder."""

    def make(*letters, breakers=None, **meta):
        meta = {"spider": "books", "dead_letters": len(letters), **meta}
        state = {META: codec.encode(meta)}
        if breakers is not None:
            registry = StateRegistry({}, codec)
            registry.register_map(GATES, lambda: breakers)
            state |= registry.changed()
        with closing(SQLiteStore(tmp_path / STORE)) as store:
            store.commit(Changes(letters=list(letters), state=state))
        return tmp_path

    return make


def run(*args, **settings):
    """Run the command; return its exit code."""
    command = Command()
    command.settings = Settings(settings)
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    opts, rest = parser.parse_known_args([str(arg) for arg in args])
    command.run([arg for arg in rest if arg], opts)
    return command.exitcode


@pytest.fixture
def say(capsys):
    """Return a function that runs the command well and gives what it prints."""

    def said(*args, **settings):
        assert run(*args, **settings) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return said


@pytest.fixture
def refuse(capsys):
    """Return a function that runs the command, which fails in one line, and gives that."""

    def refused(*args):
        assert run(*args) == 1
        found = capsys.readouterr()
        assert (found.out, found.err.count("\n")) == ("", 1)
        return found.err

    return refused


def opened(folder):
    """Open the store of a job to read it."""
    return closing(SQLiteStore(folder / STORE, read_only=True))


def meta_of(folder):
    """Return what a job says of itself."""
    with opened(folder) as store:
        return asdict(JobMeta.of(store.state()))


# --- deadletters --------------------------------------------------------------------


def test_a_job_without_letters(job, say):
    """The table says so, JSON is an empty list, CSV has its header."""
    folder = job()

    assert say("deadletters", folder) == "no dead letters\n"
    assert json.loads(say("deadletters", folder, "--json")) == []
    assert say("deadletters", folder, "--csv").startswith("url,domain,kind,class,reason,")


def test_hostile_text_does_not_reach_the_terminal(job, say):
    """Control characters of a URL, a reason or an exception are written out in every form."""
    folder = job(letter(1, HOSTILE, reason=HOSTILE, exception=HOSTILE, failure_class="\x1b[2J"))

    for form in ((), ("--json",), ("--csv",)):
        out = say("deadletters", folder, *form)
        assert all(line.isprintable() for line in out.split("\n")), form
        assert out.isascii()
    assert json.loads(say("deadletters", folder, "--json"))[0]["url"] == HOSTILE


def test_a_spreadsheet_takes_nothing_for_a_formula(job, say):
    """Cells that begin like one are quoted."""
    folder = job(letter(1, reason='=cmd|"/C calc"!A0', exception="@SUM(1)"))

    (row,) = csv.DictReader(io.StringIO(say("deadletters", folder, "--csv")))

    assert row["reason"] == '\'=cmd|"/C calc"!A0'
    assert row["exception"] == "'@SUM(1)"


def test_headers_and_credentials_are_not_shown(job, say, tmp_path):
    """A request's headers, cookies and body are in no list; its URL is masked."""
    secret = {"url": "http://u:hunter2@a.test/", "headers": {"Authorization": "hunter2"}}
    folder = job(letter(1, secret["url"], request=secret))
    outs = [say("deadletters", folder, *form) for form in ((), ("--json",), ("--csv",))]
    for name in ("x.jsonl", "x.csv"):
        say("deadletters", folder, "--output", tmp_path / name)
        outs.append((tmp_path / name).read_text())

    assert all("http://***@a.test/" in out and "hunter2" not in out for out in outs)


class Closed(io.StringIO):
    """A pipe that nobody reads any more."""

    def write(self, text):
        raise BrokenPipeError

    def fileno(self):
        return 1


class ClosedWhenFull(Closed):
    """The same behind a buffer."""

    def write(self, text):
        return len(text)

    def flush(self):
        raise BrokenPipeError


@pytest.mark.parametrize("pipe", [Closed, ClosedWhenFull])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_who_has_seen_enough_of_a_report(job, monkeypatch, pipe, form):
    """``status | head`` ends without an error, now or when Python ends."""
    folder = job()
    given = []
    monkeypatch.setattr(sys, "stdout", pipe())
    monkeypatch.setattr("os.dup2", lambda *files: given.append(files))

    assert run("status", folder, *form) == 0
    assert len(given) == 1


def test_a_reader_who_has_seen_enough(job, monkeypatch):
    """A pipe that closes ends the list at once, without an error."""
    reads = []
    page = SQLiteStore.letters

    def letters(self, after, limit):
        reads.append(after)
        return page(self, after, limit)

    folder = job(*(letter(number) for number in range(1, 5001)))
    monkeypatch.setattr(SQLiteStore, "letters", letters)
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr("os.dup2", lambda *_: None)

    assert run("deadletters", folder, "--json") == 0
    assert reads == [0]


def test_lists_stream(job, monkeypatch):
    """A list of 30 pages of letters takes the memory of some pages."""
    monkeypatch.setattr("scrapy_resilience.commands.deadletters._PAGE", 40)
    folder = job(*(letter(number, "http://a.test/" + "x" * 300) for number in range(1, 1_201)))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "write", len)
    run("deadletters", folder)  # loads what it needs

    for form in ("--json", "--csv", "--kind=permanent"):
        tracemalloc.start()
        assert run("deadletters", folder, form) == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 500_000, form  # all of them take 1.2 MB


def test_an_export_is_whole_or_not_there(job, tmp_path, monkeypatch, refuse):
    """A file that can't be written to its end leaves the one that was there."""
    folder = job(letter(1), letter(2))
    (tmp_path / "x.jsonl").write_text("before")

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("scrapy_resilience.commands.deadletters.json.dumps", fail)
    assert "no space" in refuse("deadletters", folder, "--output", tmp_path / "x.jsonl")

    assert (tmp_path / "x.jsonl").read_text() == "before"
    assert not (tmp_path / "x.jsonl.part").exists()


def test_a_link_in_the_place_of_a_draft_is_not_followed(job, tmp_path):
    """An export in a folder that others can write to goes over no file of the user."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "x.jsonl.part").symlink_to(precious)

    assert run("deadletters", job(letter(1)), "--output", tmp_path / "x.jsonl") == 0

    assert precious.read_text() == "mine"
    assert (tmp_path / "x.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("form", ["", "--csv"])
def test_a_terminal_that_knows_ascii_only(job, monkeypatch, form):
    """What it can't show is escaped."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "ascii"))

    assert run("deadletters", job(letter(1, "http://caf\u00e9.test/")), form) == 0

    assert b"http://caf\\xe9.test/" in written.getvalue()


@pytest.mark.parametrize("command", ["deadletters", "replay", "breakers"])
def test_what_is_no_job(command, tmp_path, refuse):
    """A folder without a store is refused and left as it is."""
    assert "is not a job" in refuse(command, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_wrong_usage(job):
    """A filter that can't fit says so."""
    with pytest.raises(UsageError, match="--kind is one of permanent, exhausted"):
        run("deadletters", job(), "--kind", "sad")


# --- replay -------------------------------------------------------------------------


def test_a_replay_begins_anew(job, say):
    """Counters of tries are gone; everything else of the request is as it was."""
    request = {
        "url": "http://a.test/",
        "meta": {"retry_times": 2, "redirect_times": 20, "redirect_ttl": 0, "a": (1, {2})},
        "priority": -3,
        "cb_kwargs": {"x": Unpicklable()},
        "callback": "parse_it",
    }
    folder = job(letter(1, request=request, record=b"record"), finished=True, clean=True)

    found = json.loads(say("replay", folder, "--json"))

    assert found == {"job": str(folder), "replayed": 1, "kept": 0, "dead_letters": 0}
    with opened(folder) as store:
        ((lane, name, rows),) = store.lanes()
        (row,) = store.read(lane, -(2**63), -(2**63))
        assert store.letters(0, 9) == []
        assert store.outputs() == {str(row.number): b"record"}
    assert (name, rows, row.rank) == ("a.test", 1, 6)
    before = codec.encode(request)
    assert row.data[-60:] == before[-60:]  # with the pickle, as it was
    plain = ValueCodec(allow_pickle=False)
    assert b"retry_times" not in row.data
    assert b"redirect_t" not in row.data
    del request["cb_kwargs"]
    assert plain.encode((1, {2})) in row.data


def test_a_finished_job_goes_on(job, say):
    """It is no longer finished, does not run start() again, and its feeds are the user's."""
    folder = job(letter(1), letter(2, kind="exhausted"), finished=True, clean=True)

    say("replay", folder, "--kind", "exhausted")

    meta = meta_of(folder)
    assert (meta["finished"], meta["replayed"], meta["start_done"]) == (False, True, True)
    assert (meta["dead_letters"], meta["pending"]) == (1, 1)


def test_a_stopped_job_goes_on_with_start(job, say):
    """What start() has not done yet comes too."""
    folder = job(letter(1), finished=False)

    say("replay", folder)

    assert not meta_of(folder)["start_done"]


def test_a_filter_that_fits_nothing_changes_nothing(job, say):
    """The store is as before."""
    folder = job(letter(1), finished=True)
    before = (folder / STORE).read_bytes()

    assert "replayed 0 requests, 1 dead letter left" in say("replay", folder, "--class", "x")

    assert (folder / STORE).read_bytes() == before


def test_what_has_no_bytes_stays(job, say):
    """A request that lived in memory only, and one that is damaged, are kept and counted."""
    folder = job(
        letter(1)._replace(request=None),
        letter(2)._replace(request=b"\xc1"),
        letter(3)._replace(request=codec.encode(7)),
        letter(4),
    )

    out = say("replay", folder)

    assert "replayed 1 request, 3 dead letters left" in out
    assert "3 requests can't be replayed" in out
    with opened(folder) as store:
        assert [left.number for left in store.letters(0, 9)] == [1, 2, 3]


def test_many_letters_are_replayed_page_by_page(job, say):
    """Each page is a commit; all are there in the end, once."""
    folder = job(*(letter(n, f"http://h{n % 7}.test/{n}") for n in range(1, 2501)))

    assert "replayed 2500 requests, 0 dead letters left" in say("replay", folder)

    with opened(folder) as store:
        store.verify()
        urls = [
            codec.decode(row.data)["url"]
            for lane, _, _ in store.lanes()
            for row in store.read(lane, -(2**63), -(2**63))
        ]
    assert len(set(urls)) == len(urls) == 2500


def test_a_damaged_job_is_not_replayed(job, refuse):
    """The next crawl goes back to a snapshot first."""
    folder = job(letter(1))
    (folder / DAMAGED).write_text("a row is not what was written")

    assert "a row is not what was written" in refuse("replay", folder)


def test_a_job_in_use_is_not_changed(job, refuse, say):
    """Replay and a forced breaker are refused, naming the process; lists only read."""
    folder = job(letter(1), breakers={"a.test": {"state": "open"}})
    lock = FileLock(folder / LOCK)
    lock.acquire()
    try:
        assert "is in use by process" in refuse("replay", folder)
        assert "is in use by process" in refuse("breakers", folder, "open", "a.test")
        say("deadletters", folder)
        say("breakers", folder)
    finally:
        lock.release()


# --- breakers -----------------------------------------------------------------------

OPEN = {
    "state": "open",
    "until": 1e9,
    "open_time": 600.0,
    "trips": 3,
    "last_failure": "HTTP 503\x1b[2J",
}
HELD = {
    "held_until": 4e9,
    "held_for": 60.0,
    "hold_reason": "HTTP 429",
    "pace": {"rate": 0.5},
}


def breakers_of(folder):
    """Return what the gates of the next run find."""
    with opened(folder) as store:
        return StateRegistry(store.state(), codec).load_map(GATES)


def test_breakers_are_listed(job, say):
    """Each domain with its state, its hold and its last failure; hostile words are escaped."""
    folder = job(breakers={"b.test": OPEN, "a.test": HELD})

    lines = say("breakers", folder).splitlines()

    assert lines[1].split() == [
        *(
            "a.test",
            "closed",
            "-",
            "0",
            "2096-10-02",
            "07:06:40+00:00",
            "HTTP",
            "429",
            "0.5/s",
            "-",
        ),
    ]
    assert lines[2].split()[:5] == ["b.test", "open", "2001-09-09", "01:46:40+00:00", "3"]
    assert lines[2].endswith(r"HTTP 503\x1b[2J")


def test_a_domain_that_is_well_is_not_listed(job, say):
    """A hold that is over, or some failures, keep nobody from asking."""
    folder = job(
        breakers={
            "a.test": {"held_until": 1e9, "held_for": 60.0, "hold_reason": "HTTP 429"},
            "b.test": {"state": "closed", "failures": 2, "last_failure": "HTTP 503"},
            "c.test": {"pace": {"rate": 0.5}},
            "d.test": OPEN,
        }
    )

    rows = json.loads(say("breakers", folder, "--json"))

    assert [row["domain"] for row in rows] == ["c.test", "d.test"]


@pytest.mark.parametrize(
    ("rate", "shown"), [(0.5, "0.5/s"), (3.14159, "3.1/s"), (151.7, "150/s"), (900.0, "900/s")]
)
def test_a_rate_has_two_digits_and_no_exponent(job, say, rate, shown):
    """What a fast site got is not a 1.5e+02/s."""
    folder = job(breakers={"a.test": {"pace": {"rate": rate}}})

    assert say("breakers", folder).splitlines()[1].split()[-2] == shown


def test_breakers_as_json(job, say):
    """Each row has all keys, and nothing of what only the breaker itself can use."""
    folder = job(breakers={"b.test": OPEN, "a.test": HELD})

    held, opened = json.loads(say("breakers", folder, "--json"))

    assert held == {
        "domain": "a.test",
        "state": "closed",
        "until": None,
        "trips": 0,
        "held_until": 4e9,
        "hold_reason": "HTTP 429",
        "rate": 0.5,
        "last_failure": "",
    }
    assert opened.keys() == held.keys()
    assert (opened["state"], opened["until"], opened["trips"]) == ("open", 1e9, 3)


def test_no_breakers(job, say):
    """A job whose domains are all well has nothing to list."""
    folder = job()

    assert say("breakers", folder) == "no breakers\n"
    assert json.loads(say("breakers", folder, "--json")) == []


def test_a_breaker_is_forced_open(job, say):
    """Known or not, its domain is left alone from the next run on; the rest stays."""
    folder = job(breakers={"a.test": {**OPEN, **HELD}, "b.test": OPEN})

    said = say("breakers", folder, "open", "A.test")
    say("breakers", folder, "open", "new.test")
    say("breakers", folder, "open", "new.test")

    assert said.splitlines()[1].split()[:4] == ["a.test", "forced", "open", "-"]
    found = breakers_of(folder)
    assert found["b.test"] == OPEN
    assert found["new.test"] == {"state": "forced_open"}
    changed = found["a.test"]
    assert (changed["state"], changed["trips"]) == ("forced_open", 3)
    assert (changed["hold_reason"], changed["pace"]) == ("HTTP 429", {"rate": 0.5})
    assert "until" not in changed


@pytest.mark.parametrize("known", [OPEN, HELD, {**OPEN, **HELD}, {"state": "forced_open"}])
def test_a_reset(job, say, refuse, known):
    """Breaker, hold and slower pace of a domain are gone; an unknown one is an error."""
    folder = job(breakers={"a.test": known, "b.test": OPEN})

    assert "a.test" not in say("breakers", folder, "reset", "a.test")

    assert breakers_of(folder) == {"b.test": OPEN}
    assert "there is no breaker of 'a.test'" in refuse("breakers", folder, "reset", "a.test")


TRIPPED = {**OPEN, "state": "closed", "failures": 4}


@pytest.mark.parametrize("known", [OPEN, TRIPPED, {**OPEN, "pace": {"rate": 0.5}}])
def test_a_replay_gives_its_domains_a_fresh_breaker(job, say, known):
    """What has failed before does not count against the new tries; others stay as they are."""
    folder = job(
        letter(1, "http://A.test:8000/x", kind="held"),
        letter(2, "http://b.test/", kind="exhausted"),
        breakers={"a.test": known, "b.test": known, "c.test": known},
    )

    say("replay", folder, "--kind", "held")

    assert breakers_of(folder) == {"b.test": known, "c.test": known}


def test_a_replay_leaves_a_hold_and_a_forced_breaker(job, say, fake_clock):
    """What the server has asked for, and what was said by hand, stands."""
    forced = {"state": "forced_open", "trips": 3}
    folder = job(
        *(letter(n, f"http://{host}.test/") for n, host in enumerate("abc", 1)),
        breakers={"a.test": {**OPEN, **HELD}, "b.test": forced, "c.test": HELD},
    )

    say("replay", folder)

    found = breakers_of(folder)
    assert found["b.test"] == forced
    for domain in ("a.test", "c.test"):
        assert found[domain] == {
            "held_until": fake_clock.now + 60,  # its longest
            "held_for": 60,
            "hold_reason": "HTTP 429",
        }


def test_a_hold_that_is_over_is_gone_after_a_replay(job, say):
    """It would keep nobody from asking."""
    over = {"held_until": 1e9, "held_for": 60.0, "hold_reason": "HTTP 429"}
    folder = job(letter(1), breakers={"a.test": over})

    say("replay", folder)

    assert breakers_of(folder) == {}


def test_a_replay_finds_registered_domains_and_names_of_a_function(job, say):
    """RESILIENCE_BREAKER_DOMAIN may give other names than hosts: a letter says which."""
    reason = "Shop A did not recover: HTTP 503"
    folder = job(
        letter(1, "http://news.a.co.uk/", kind="held"),
        letter(2, "http://x.test/", kind="held", reason=reason),
        breakers={"a.co.uk": OPEN, "Shop A": OPEN, "co.test": OPEN},
    )

    say("replay", folder)

    assert breakers_of(folder) == {"co.test": OPEN}


def test_a_replay_goes_through_the_gates_of_its_domain(job, say):
    """By the settings of the project: a rate limit, a hold and a breaker are its domain's."""
    of_a_slot = {"url": "http://x.test/", "meta": {"download_slot": "mine"}}
    of_a_browser = {"url": "http://x.test/", "meta": {"playwright": True}}
    folder = job(
        letter(1, "http://news.a.co.uk/"),
        letter(2, request=of_a_slot),
        letter(3, request=of_a_browser),
        letter(4, request={"url": "no URL"}),
    )

    say("replay", folder, RESILIENCE_BREAKER_DOMAIN="registered")

    with closing(SQLiteStore(folder / STORE)) as store:
        lanes = [name for _, name, _ in store.lanes()]
    assert {(slot_of(lane), domain_of(lane), is_of_browser(lane)) for lane in lanes} == {
        ("news.a.co.uk", "a.co.uk", False),
        ("mine", "x.test", False),
        ("x.test", "x.test", True),
    }


def test_breakers_of_many_pages_of_letters(job, say):
    """Each is forgotten in the commit of its letters."""
    letters = [letter(n, f"http://h{n}.test/") for n in range(1, 2501)]
    folder = job(*letters, breakers={f"h{n}.test": OPEN for n in range(1, 2502)})

    say("replay", folder)

    assert breakers_of(folder) == {"h2501.test": OPEN}


def meta_after_replay(folder, say):
    """Replay the only letter; return its request's meta."""
    say("replay", folder)
    with opened(folder) as store:
        ((lane, _, _),) = store.lanes()
        (row,) = store.read(lane, -(2**63), -(2**63))
    return codec.decode(row.data).get("meta", {})


@pytest.mark.parametrize(
    ("told", "asks"),
    [
        ({"kind": "exhausted"}, True),
        ({"kind": "permanent"}, True),
        ({"kind": "held"}, True),
        ({"kind": "dropped"}, True),
        ({"kind": "callback", "failure_class": "errback"}, True),
        ({"kind": "callback", "failure_class": "callback"}, False),
        ({"kind": "pipeline", "failure_class": "pipeline"}, False),
    ],
)
@pytest.mark.parametrize("request_", [None, {"url": "http://a.test/", "meta": {"x": 1}}])
def test_a_replay_asks_the_site_and_not_the_cache(job, say, told, asks, request_):
    """HTTPCACHE has the failure; a page whose callback failed may well come from there."""
    meta = meta_after_replay(job(letter(1, request=request_, **told)), say)

    assert meta.get("dont_cache", False) is asks
    assert ("x" in meta) is (request_ is not None)


def test_names_of_a_function_are_taken_as_they_are(job, say):
    """RESILIENCE_BREAKER_DOMAIN may give names with capitals."""
    folder = job(breakers={"Shop A": OPEN})

    say("breakers", folder, "reset", "Shop A")

    assert breakers_of(folder) == {}


def test_an_unknown_action_is_wrong_usage(job):
    """The ways to call this command are named, and no others."""
    with pytest.raises(UsageError) as caught:
        run("breakers", job(), "shut", "a.test")

    assert "breakers <jobdir> open <domain>" in str(caught.value)
    assert "status" not in str(caught.value)
