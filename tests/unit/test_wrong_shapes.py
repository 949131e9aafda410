"""Commands on a store whose values decode, and are not what this version writes."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import asdict
from itertools import chain

import pytest
from scrapy.settings import Settings
from snapshot_samples import make_store

from scrapy_resilience.checkpoint.state import GATES, META
from scrapy_resilience.commands.resilience import Command
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter

values = ValueCodec()
WRONG = [None, -1.5, 2**60, "text", ["a", "b"], {"a": {"b": 1}}]
FEED = FeedRecord(
    "a.csv", "a.csv", "/nowhere/a.csv", 0, existed=False, overwrite=False, batch_id=1
)
GATE = {
    "state": "open",
    "trips": 1,
    "failures": 2,
    "until": 1e10,
    "open_time": 5.0,
    "usual": {"failed": 1.0, "count": 2.0},
    "last_failure": "503",
    "held_until": 1e10,
    "held_for": 5.0,
    "hold_reason": "asked for",
    "pace": {"rate": 2.0, "searching": True},
}
ABOUT = {
    "url": "http://a.example/",
    "domain": "a.example",
    "class": "permanent",
    "kind": "permanent",
    "reason": "404",
    "attempts": 1,
    "status": 404,
    "exception": None,
    "first": 1.0,
    "last": 2.0,
}
META_OF_JOB = {"spider": "shop", "created": 1.5, "runs": 1, "pending": 1, "done": 2}
REQUEST = {"url": "http://a.example/", "priority": 1, "meta": {"download_slot": "a.example"}}
PARTS = {
    "gate": GATE,
    "about": ABOUT,
    "request": REQUEST,
    "feed": asdict(FEED),
    "meta": META_OF_JOB,
}
LETTERS = [
    ("deadletters", *options) for options in ((), ("--json",), ("--domain", "a.example"))
]
BREAKERS = [("breakers", *rest) for rest in ((), ("open", "a.example"), ("reset", "a.example"))]
FEEDS = [("feeds",), ("feeds", "forget", "a.csv")]
COMMANDS = {
    "gate": [*BREAKERS, ("replay",)],
    "about": [*LETTERS, ("replay",)],
    "request": [("replay",)],
    "feed": FEEDS,
    "meta": [("status",), *FEEDS, ("replay",)],
}


def variants(good):
    """Yield a value with each field, or all of it, of a wrong shape."""
    yield from WRONG
    for name in good:
        for wrong in WRONG:
            yield {**good, name: wrong}


def fill(folder, parts):
    """Make a job of which one part is wrong."""
    path = make_store(folder)
    state = {
        f"{GATES}/a.example": values.encode(["a.example", parts["gate"]]),
        FEED.name: values.encode(parts["feed"]),
        META: values.encode(parts["meta"]),
    }
    letter = Letter(1, values.encode(parts["request"]), values.encode(parts["about"]))
    with closing(SQLiteStore(path)) as store:
        store.commit(Changes(state=state, letters=[letter]))
    return path


def run(folder, name, *rest):
    """Run the command in this process."""
    command = Command()
    command.settings = Settings({})
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    command.run(*reversed(parser.parse_known_args([name, str(folder), *rest])))
    return command.exitcode


def test_the_sample_is_good(tmp_path):
    """Nothing is refused where nothing is wrong."""
    fill(tmp_path, PARTS)

    for command in dict.fromkeys(chain(*COMMANDS.values())):
        assert run(tmp_path, *command) == 0, command


@pytest.mark.parametrize("part", PARTS)
def test_a_wrong_shape_is_shown_or_refused_in_one_line(tmp_path, capsys, part):
    """No command ends in a traceback, whatever a value is."""
    failed = []
    for number, wrong in enumerate(variants(PARTS[part])):
        folder = tmp_path / str(number)
        folder.mkdir(mode=0o700)
        fill(folder, {**PARTS, part: wrong})
        for command in COMMANDS[part]:
            try:
                code = run(folder, *command)
            except Exception as error:  # noqa: BLE001 - each is a finding
                failed.append((wrong, command, repr(error)))
                continue
            told = capsys.readouterr().err
            if code and told.count("\n") != 1:
                failed.append((wrong, command, told))
    assert not failed, "\n".join(map(str, failed[:20]))
