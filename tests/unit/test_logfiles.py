"""Log files that rotate, that several processes share, and that can't always be written."""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
import sys

import pytest

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.logs import logfiles
from scrapy_resilience.observe.logs.log_days import DAY, date_of, expired, past_name
from scrapy_resilience.observe.logs.logfiles import LogFiles, RotatingFile

NOON = 20_000 * DAY + DAY / 2
TODAY, YESTERDAY = date_of(20_000), date_of(19_999)


def record(text="line", created=NOON, level=logging.INFO):
    """Make a record of a moment."""
    made = logging.LogRecord("a", level, "p", 1, text, (), None)
    made.created = created
    return made


@pytest.fixture
def make(tmp_path):
    """Return a function that opens the file app.log, once more for each call."""
    made = []

    def open_one(**options):
        file = RotatingFile(tmp_path / "app.log", **{"most": 1000, "days": 30, **options})
        made.append(file)
        return file

    yield open_one
    for file in made:
        file.close()


def names(folder):
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_lines_are_appended(make, tmp_path):
    """What was there stays."""
    (tmp_path / "app.log").write_text("before\n")
    os.utime(tmp_path / "app.log", (NOON, NOON))
    make().emit(record())

    assert (tmp_path / "app.log").read_text() == "before\nline\n"


def test_midnight(make, tmp_path):
    """The first line of a day puts aside what the day before has left."""
    file = make()
    for created in (NOON, NOON + DAY / 2 - 0.1, NOON + DAY / 2):
        file.emit(record(str(created), created))

    assert names(tmp_path) == ["app.log", f"app.log.{TODAY}"]
    assert (tmp_path / "app.log").read_text() == f"{NOON + DAY / 2}\n"


def test_a_file_of_an_earlier_day(make, tmp_path):
    """It is put aside under the day on which it was last written."""
    (tmp_path / "app.log").write_text("before\n")
    os.utime(tmp_path / "app.log", (NOON - DAY, NOON - DAY))
    make().emit(record())

    assert (tmp_path / f"app.log.{YESTERDAY}").read_text() == "before\n"
    assert (tmp_path / "app.log").read_text() == "line\n"


def test_size(make, tmp_path):
    """A file that has grown too large is put aside; several of a day have numbers."""
    file = make(most=10)
    for number in range(7):
        file.emit(record(f"line {number}"))

    found = [f"app.log.{TODAY}", f"app.log.{TODAY}.1", f"app.log.{TODAY}.2"]
    assert names(tmp_path) == ["app.log", *found]
    assert (tmp_path / found[1]).read_text() == "line 2\nline 3\n"


def test_old_files_are_removed(make, tmp_path):
    """Those of more days ago than are kept; nothing else."""
    kept = [f"app.log.{date_of(19_970)}", "app.log.old", "error.log.2020-01-01", "x.log"]
    for name in [*kept, f"app.log.{date_of(19_969)}", f"app.log.{date_of(19_000)}.3"]:
        (tmp_path / name).touch()
    file = make(most=1)
    file.emit(record())
    file.emit(record())

    assert names(tmp_path) == sorted([*kept, "app.log", f"app.log.{TODAY}"])


def test_names_of_days():
    """A name is not given twice."""
    assert past_name("a.log", TODAY, {f"a.log.{TODAY}", f"a.log.{TODAY}.1"}) == (
        f"a.log.{TODAY}.2"
    )
    assert list(
        expired("a.log", {"a.log", "a.log.1970-01-01", "b.log.1970-01-01"}, 40, 30)
    ) == ["a.log.1970-01-01"]


def test_two_processes_share_a_file(make, tmp_path):
    """One puts it aside, the other goes on in the new one, and no line is lost."""
    one, other = make(most=20), make(most=20)
    for second in range(20):
        for file in (one, other):
            file.emit(record(f"{second:02}", NOON + second))
    texts = [path.read_text() for path in tmp_path.iterdir()]

    assert sorted("".join(texts).split()) == sorted(2 * [f"{n:02}" for n in range(20)])
    assert len(texts) > 3


_WRITER = """
import logging, sys
from pathlib import Path
from scrapy_resilience.observe.logs.logfiles import RotatingFile
file = RotatingFile(Path(sys.argv[1]), most=20_000, days=30)
for number in range(400):
    text = f"{sys.argv[2]} {number} " + "x" * (number % 100) * 10
    file.handle(logging.makeLogRecord({"msg": text}))
"""


@pytest.mark.slow
def test_real_processes(tmp_path):
    """Lines of processes that write and rotate at the same time are whole, and all there."""
    path = str(tmp_path / "app.log")
    commands = [[sys.executable, "-c", _WRITER, path, str(number)] for number in range(3)]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    lines = [line for each in tmp_path.iterdir() for line in each.read_text().splitlines()]

    assert all(re.fullmatch(r"\d \d+ x*", line) for line in lines)
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines) == 1200


def test_a_file_that_was_taken_away(make, tmp_path):
    """By logrotate, or by hand: it is made anew."""
    file = make()
    file.emit(record("first"))
    (tmp_path / "app.log").rename(tmp_path / "elsewhere")
    file.emit(record("second", NOON + 2))

    assert (tmp_path / "app.log").read_text() == "second\n"


# --- trouble ----------------------------------------------------------------------


def test_a_full_disk(make, tmp_path, monkeypatch, caplog):
    """Lines are lost until there is room, which is said once; none is torn for good."""
    file, real, room = make(), os.write, [100, 2]

    def write(fd, data):
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: room.pop(0)])

    monkeypatch.setattr(logfiles.os, "write", write)
    for number in range(4):
        file.emit(record(str(number) * 5))
    monkeypatch.undo()
    file.emit(record("after"))

    assert (tmp_path / "app.log").read_text() == "00000\n11\nafter\n"
    assert file.lost == 3
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 1
    assert told[0].endswith(
        "can't be written, and its lines are lost until it can: No space left on device"
    )


def test_a_folder_that_was_taken_away(make, tmp_path, caplog):
    """Lines are lost until it is back."""
    file = make()
    (tmp_path / "app.log").unlink()
    tmp_path.rename(tmp_path.with_suffix(".gone"))
    for number in range(3):
        file.emit(record(str(number), NOON + 2 * number))
    tmp_path.mkdir()
    file.emit(record("after", NOON + 9))

    assert (tmp_path / "app.log").read_text() == "after\n"
    assert file.lost == 3
    assert len(caplog.records) == 1


def test_a_file_that_can_not_be_renamed(make, tmp_path, monkeypatch, caplog):
    """It grows on, and that is said once."""
    file = make(most=10)
    monkeypatch.setattr(type(tmp_path), "rename", _refuse)
    for number in range(9):
        file.emit(record(f"line {number}"))

    assert len((tmp_path / "app.log").read_text().split()) == 2 * (9 - file.lost)
    assert file.lost < 4
    assert len(caplog.records) == 1


def _refuse(*_):
    raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "folder"])
def test_what_is_no_log_file(tmp_path, kind):
    """The error comes at the start, names the folder, and nothing waits for a pipe."""
    folder = tmp_path / "logs"
    if kind == "file":
        folder.touch()
    else:
        folder.mkdir()
        path = folder / "error.log"
        {
            "link": lambda: path.symlink_to(tmp_path / "other"),
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
        }[kind]()
    before = list(logging.root.handlers)

    with pytest.raises(ConfigurationError, match=r"The log folder '.*logs' can't be written: "):
        LogFiles(folder, (), logging.Formatter(), level=10, most=1000, days=30)

    assert logging.root.handlers == before


@pytest.mark.parametrize("prefix", ["", "../x", "a/b", "a..b", "app", "error", "\x00"])
def test_names_that_can_not_name_a_file(tmp_path, prefix):
    """They are refused, and named."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_LOG_FILES: "):
        LogFiles(tmp_path, [prefix], logging.Formatter(), level=10, most=1000, days=30)


def test_which_file_has_which_line(tmp_path):
    """All are in app.log, errors in error.log, those of a logger and below it in its own."""
    files = LogFiles(
        tmp_path / "new" / "logs",
        ["shop.prices"],
        logging.Formatter(),
        level=logging.INFO,
        most=1000,
        days=30,
        only=lambda made: "secret" not in made.getMessage(),
    )
    for name in ("shop", "shop.prices", "shop.prices.eu", "shop.pricesless"):
        logging.getLogger(name).warning(name)
    logging.getLogger("shop.prices").debug("too little")
    logging.getLogger("other").error("wrong")
    logging.getLogger("other").error("secret")
    files.close()
    logging.getLogger("shop").warning("too late")
    found = {path.name: path.read_text().split() for path in (tmp_path / "new/logs").iterdir()}

    assert found == {
        "app.log": ["shop", "shop.prices", "shop.prices.eu", "shop.pricesless", "wrong"],
        "error.log": ["wrong"],
        "shop.prices.log": ["shop.prices", "shop.prices.eu"],
    }
