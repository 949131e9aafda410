"""Logs outside of a crawl: the functions that users call."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from scrapy_resilience import logs
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.logs import log_calls, log_context

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


@pytest.fixture(autouse=True)
def _as_before():
    """Leave no handler, level or context behind."""
    level = logging.root.level
    yield
    logs._take_away()
    logging.root.setLevel(level)
    log_context.leave()
    log_context._wanted = False


@pytest.fixture
def lines(caplog):
    """Return a function that gives the lines that were logged, decoded."""
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(logs.JsonFormatter())
    return lambda: [json.loads(line) for line in caplog.text.splitlines() if line[0] == "{"]


def run(coroutine):
    """The result of a coroutine that waits for turns of the loop only."""
    found = []

    def turns():
        found.append((yield from coroutine.__await__()))

    list(turns())
    return found[0]


# --- setup_logging ----------------------------------------------------------------


def test_to_stderr(capsys):
    """Where that is no terminal, it is JSON; calling it again replaces what was there."""
    logs.setup_logging("WARNING")
    logs.setup_logging("info")
    logging.getLogger("a").info("hello")
    logging.getLogger("a").debug("too little")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == [
        "hello"
    ]


def test_for_people(capsys):
    """Without JSON lines are short, and without colours where there is no terminal."""
    logs.setup_logging(json=False)
    logging.getLogger("a").info("hello")

    assert capsys.readouterr().err[12:] == " INFO     hello  a\n"


def test_to_files(tmp_path):
    """They hold JSON; a second folder takes the place of the first."""
    for name in ("one", "two"):
        logs.setup_logging(log_dir=tmp_path / name, files=["shop"])
        logging.getLogger("shop").error(name)

    for name in ("one", "two"):
        for file in ("app.log", "error.log", "shop.log"):
            text = (tmp_path / name / file).read_text()
            assert json.loads(text)["message"] == name


def test_what_is_refused(tmp_path):
    """An unknown level and a folder that can't be written; what was there stays."""
    (tmp_path / "file").touch()
    logs.setup_logging(log_dir=tmp_path / "good")
    with pytest.raises(ConfigurationError, match="level='loud'"):
        logs.setup_logging("loud")
    with pytest.raises(ConfigurationError, match="can't be written: "):
        logs.setup_logging(log_dir=tmp_path / "file")
    logging.getLogger("a").error("still there")

    assert "still there" in (tmp_path / "good" / "app.log").read_text()


# --- loggers and contexts ---------------------------------------------------------


def test_a_logger_with_fields(lines):
    """They are in each line, beside those of the line, which go first."""
    logger = logs.get_logger("shop", component="prices", sku="A")
    logger.info("one")
    logger.warning("two", extra={"sku": "B"})

    found = [(each["component"], each["sku"], each["logger_name"]) for each in lines()]
    assert found == [("prices", "A", "shop"), ("prices", "B", "shop")]


def test_a_context_is_set_and_cleared(lines):
    """It is in all lines in between, and grows with each call."""
    logger = logs.get_logger("shop")
    logs.set_request_context(trace_id="t", user_id=7)
    logs.set_request_context(order="A")
    logger.info("inside")
    logs.clear_request_context()
    logger.info("outside")

    inside, outside = lines()
    assert (inside["trace_id"], inside["user_id"], inside["order"]) == ("t", 7, "A")
    assert (outside["trace_id"], outside["user_id"], outside.get("order")) == (None, None, None)


def test_tasks_have_contexts_of_their_own(lines):
    """What one sets is not seen in another; what a task begins inherits it."""
    logger = logs.get_logger("shop")

    async def work(user):
        logs.set_request_context(user_id=user)
        await asyncio.sleep(0)
        await asyncio.create_task(inner())

    async def inner():
        logger.info("inner")

    async def main():
        await asyncio.gather(*map(work, range(5)))
        logger.info("main")

    thread = Thread(target=asyncio.run, args=(main(),))  # here a loop runs already
    thread.start()
    thread.join()

    found = [each["user_id"] for each in lines() if each["logger_name"] == "shop"]
    assert (sorted(found[:-1]), found[-1]) == ([0, 1, 2, 3, 4], None)


# --- decorators -------------------------------------------------------------------


class Work:
    """Functions of each kind, which take a second at each step."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(log_calls, "perf_counter", lambda: self.now)

    def plain(self, value):
        """Do it."""
        self.now += 1
        return 10 / value

    async def awaited(self, value):
        """Do it later."""
        await asyncio.sleep(0)
        return self.plain(value)

    def generated(self, value):
        """Do it twice, and give back what it was sent."""
        sent = yield self.plain(1)
        yield self.plain(value)
        return sent

    async def streamed(self, value):
        """Do it twice, later."""
        yield self.plain(1)
        yield await self.awaited(value)

    def call(self, kind, value, decorate):
        """Call the function of a kind, decorated; a consumer takes its time."""
        function = decorate(getattr(self, kind))
        if kind == "plain":
            return [function(value)]
        if kind == "awaited":
            return [run(function(value))]
        if kind == "generated":
            return [self._slowly(output) for output in function(value)]
        return run(self._collect(function(value)))

    def _slowly(self, output):
        self.now += 100
        return output

    async def _collect(self, outputs):
        return [self._slowly(output) async for output in outputs]


@pytest.fixture
def work(monkeypatch):
    """Return functions that are timed by a clock of their own."""
    return Work(monkeypatch)


KINDS = {"plain": 1, "awaited": 1, "generated": 2, "streamed": 2}
"""And how many seconds each takes for itself."""


def of_this_module(found):
    """Without what asyncio says of itself."""
    return [each for each in found if each["logger_name"] == __name__]


@pytest.mark.parametrize("kind", KINDS)
def test_execution_time(kind, lines, work):
    """It is logged in the name of the function, at the end of its last step."""
    outputs = work.call(kind, 2, logs.log_execution_time())

    (found,) = of_this_module(lines())
    assert outputs == [10.0, 5.0][-KINDS[kind] :]
    assert found["duration_ms"] == KINDS[kind] * 1000
    assert found["message"] == f"Work.{kind} took {KINDS[kind] * 1000}.0 ms"
    assert (found["module"], found["function_name"]) == ("test_logs", kind)
    assert found["line_number"] == getattr(Work, kind).__code__.co_firstlineno


@pytest.mark.parametrize("kind", KINDS)
def test_execution_time_of_what_fails(kind, lines, work):
    """It is logged, and the exception goes on."""
    with pytest.raises(ZeroDivisionError):
        work.call(kind, 0, logs.log_execution_time)

    (found,) = of_this_module(lines())
    assert found["message"] == f"Work.{kind} has failed after {KINDS[kind] * 1000}.0 ms"


@pytest.mark.parametrize("kind", KINDS)
def test_exceptions(kind, lines, work):
    """They are logged with a traceback, and go on."""
    with pytest.raises(ZeroDivisionError):
        work.call(kind, 0, logs.log_exceptions())

    (found,) = of_this_module(lines())
    assert (found["level"], found["function_name"]) == ("ERROR", kind)
    assert "ZeroDivisionError" in found["exception"]


@pytest.mark.parametrize("kind", KINDS)
def test_exceptions_that_end_here(kind, lines, work):
    """None comes in place of a result; a generator ends."""
    outputs = work.call(kind, 0, logs.log_exceptions(reraise=False))

    assert outputs == ([None] if KINDS[kind] == 1 else [10.0])
    assert len(of_this_module(lines())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_exception(kind, lines, work):
    """Nothing is logged, and nothing changes."""
    assert work.call(kind, 2, logs.log_exceptions) == [10.0, 5.0][-KINDS[kind] :]
    assert of_this_module(lines()) == []


def test_what_ends_a_task_is_no_exception(lines):
    """A cancellation goes on, and is not logged."""

    @logs.log_exceptions(reraise=False)
    async def work():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(work())
    assert of_this_module(lines()) == []


def test_generators_are_talked_to(lines):
    """What is sent and thrown in arrives, what is returned comes back, a close closes."""
    closed = []

    @logs.log_execution_time
    def work():
        try:
            sent = yield 1
            try:
                yield sent
            except KeyError as error:
                yield error
        finally:
            closed.append(True)
        return "over"

    talk = work()
    assert (next(talk), talk.send("hello")) == (1, "hello")
    assert isinstance(talk.throw(KeyError()), KeyError)
    with pytest.raises(StopIteration) as over:
        next(talk)
    assert over.value.value == "over"
    left = work()
    next(left)
    left.close()
    assert closed == [True, True]
    assert len(lines()) == 2


def test_asynchronous_generators_are_talked_to():
    """As others are."""
    closed = []

    @logs.log_execution_time
    async def work():
        try:
            sent = yield 1
            try:
                yield sent
            except KeyError as error:
                yield error
        finally:
            closed.append(True)

    async def main():
        talk = work()
        assert (await talk.asend(None), await talk.asend("hello")) == (1, "hello")
        assert isinstance(await talk.athrow(KeyError()), KeyError)
        await talk.aclose()

    run(main())
    assert closed == [True]


def test_a_logger_of_ones_own(lines):
    """It may be one of get_logger(), whose fields are in the line."""

    @logs.log_execution_time(logs.get_logger("shop", component="prices"))
    def work():
        """Do it."""

    work()

    (found,) = lines()
    assert (found["logger_name"], found["component"]) == ("shop", "prices")
    assert (work.__name__, work.__doc__) == ("work", "Do it.")


def test_what_can_not_be_decorated():
    """It is refused where it is written."""
    with pytest.raises(TypeError, match="can't be called"):
        logs.log_execution_time()(3)


def script(folder):
    """Run Python in a folder; Scrapy is not loaded for it."""
    source = "; import sys; sys.exit('scrapy' in sys.modules)"
    command = [sys.executable, "-c", f"exec(open('script.py').read()){source}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_the_script_of_the_guide(tmp_path):
    """It needs no Scrapy, and does what the guide says."""
    source = (SNIPPETS / "logs_script.py").read_text("utf-8")
    (tmp_path / "script.py").write_text(source, "utf-8")
    found = script(tmp_path)
    stored = (tmp_path / "logs" / "app.log").read_text("utf-8").splitlines()

    assert [json.loads(line) for line in stored] == found
    told = [(line["component"], line["user_id"], line["trace_id"]) for line in found]
    assert told == [
        ("importer", 7, "A-1"), (None, 7, "A-1"),
        ("importer", 7, "A-2"), (None, 7, "A-2"), (None, 7, "A-2"),
        ("importer", None, None),
    ]  # fmt: skip
    assert (tmp_path / "logs" / "error.log").read_text("utf-8") == stored[4] + "\n"
    assert len((tmp_path / "logs" / "shop.prices.log").read_text("utf-8").splitlines()) == 3
