"""Scrapy's own log handler, in another format, whoever puts a new one in its place."""

from __future__ import annotations

import gc
import io
import json
import logging
from types import SimpleNamespace

import pytest
from scrapy import Spider
from scrapy.settings import Settings
from scrapy.utils import log
from scrapy.utils.test import get_crawler

from scrapy_resilience.extensions import logs
from scrapy_resilience.extensions.logs import begin_logs
from scrapy_resilience.observe.logs import scrapy_stream
from scrapy_resilience.observe.logs.log_formats import json_for, pretty_for
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import Config


class Terminal(io.StringIO):
    """A stream that people read."""

    encoding = "utf-8"

    def isatty(self):
        """Say so."""
        return True


@pytest.fixture
def install():
    """Return a function that does what each new ``Crawler`` does, with a stream of its own."""
    level, before = logging.root.level, list(logging.root.handlers)

    def new_handler(stream):
        log.install_scrapy_root_handler(Settings({"LOG_LEVEL": "INFO"}))
        log.get_scrapy_root_handler().setStream(stream)
        return stream

    yield new_handler
    log._uninstall_scrapy_root_handler()
    for handler in set(logging.root.handlers) - set(before):
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)
    scrapy_stream._keeper.users.clear()


def say(text="hello"):
    """Log a line."""
    logging.getLogger("somebody").info(text)


def is_json(stream):
    """Whether each line of a stream is."""
    lines = stream.getvalue().splitlines()
    found = [line.startswith("{") and bool(json.loads(line)) for line in lines]
    assert found
    return all(found)


def begin(*crawlers, **settings):
    """What the add-on does for crawls; whether lines say their request."""
    config = Config(**settings)
    return [begin_logs(crawler, Settings(), config) for crawler in crawlers]


def test_a_new_handler_has_the_format_too(install):
    """From its first line on, until the last crawl that wants it has ended."""
    one, other = get_crawler(Spider), get_crawler(Spider)
    install(io.StringIO())
    assert begin(one, other, log_json=True) == [True, True]
    for _ in range(2):
        stream = install(io.StringIO())
        say()
        assert is_json(stream)
    logs._end_logs(one)
    stream = install(io.StringIO())
    say()
    assert is_json(stream)
    logs._end_logs(other)
    stream = install(io.StringIO())
    say()
    assert not is_json(stream)


def test_a_format_that_is_expected(install):
    """The handler that is about to be made has it, until a crawl says otherwise."""
    crawler = get_crawler(Spider)
    scrapy_stream.expect_format(json_for)
    stream = install(io.StringIO())
    say()
    assert is_json(stream)
    assert begin(crawler) == [False]
    stream.truncate(0)
    stream.seek(0)
    say()
    assert not is_json(stream)


def test_a_crawl_that_was_refused(install, tmp_path, caplog):
    """Its files are closed when nobody has it any more."""
    install(io.StringIO())
    caplog.set_level(logging.CRITICAL, "scrapy")  # records are kept, and some have the crawler
    crawler = get_crawler(Spider)
    begin(crawler, log_dir=str(tmp_path / "logs"), log_json=True)
    assert len(logs._folders) == 1
    del crawler
    gc.collect()

    assert not logs._folders
    assert not scrapy_stream._keeper.users


def test_without_a_handler_of_scrapys(caplog):
    """It is said, once for each crawl."""
    begin(get_crawler(Spider), log_json=True)

    (told,) = [each.getMessage() for each in caplog.records]
    assert "and this process has none" in told


def test_encodings():
    """What can't be written in the encoding of the stream is escaped."""
    record = logging.makeLogRecord({"msg": "日"})
    for encoding, ascii_only in {
        "ascii": True,
        "UTF-8": False,
        "utf8": False,
        None: False,
    }.items():
        handler = logging.StreamHandler(SimpleNamespace(encoding=encoding))
        assert json_for(handler).format(record).isascii() == ascii_only


def test_a_terminal(monkeypatch):
    """Only there lines are for people; with colours, unless somebody wants none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    record = logging.makeLogRecord({"msg": "hello", "levelname": "INFO"})
    terminal = logging.StreamHandler(Terminal())

    assert pretty_for(logging.StreamHandler(io.StringIO())) is None
    assert pretty_for(logging.NullHandler()) is None
    assert "\x1b[32m" in pretty_for(terminal).format(record)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in pretty_for(terminal).format(record)


def test_a_pretty_log(install):
    """It is for the terminal only: a file of Scrapy's stays as it is."""
    crawler = get_crawler(Spider)
    terminal, file = install(Terminal()), io.StringIO()
    begin(crawler, log_pretty=True)
    say()
    install(file)
    say()

    assert "[somebody]" not in terminal.getvalue()
    assert "[somebody] INFO: hello" in file.getvalue()


def test_profiles():
    """Lines are for people in development, and not in tests, whose log programs read."""
    assert PROFILES["development"]["log_pretty"]
    assert not any(profile.get("log_json") for profile in PROFILES.values())
    assert "log_pretty" not in PROFILES["testing"]


def test_files_without_a_folder(caplog):
    """Whoever asks for files is told that there are none."""
    begin(get_crawler(Spider), log_files=("shop",))

    assert [
        r.getMessage() for r in caplog.records if "RESILIENCE_LOG_DIR" in r.getMessage()
    ] == ["RESILIENCE_LOG_FILES writes no files without RESILIENCE_LOG_DIR: name a folder"]
