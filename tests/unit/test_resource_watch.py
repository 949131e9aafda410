"""Who is told of what the watchdog has seen."""

from __future__ import annotations

import gc
import logging

import pytest
from scrapy.utils.test import get_crawler

from scrapy_resilience import signals
from scrapy_resilience.core.readings import Disk, Reading
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.watchdog.memory_limit import check_memory_limit
from scrapy_resilience.guard.watchdog.watch import resource_watch_of
from scrapy_resilience.settings import Config
from scrapy_resilience.watchdog import check_thresholds, current_metrics, on_breach

MB = 1 << 20


def reading(memory=100, cpu=0.1, **values):
    """A reading of a process that may use 1,000 MB."""
    return Reading(memory=memory * MB, memory_limit=1000 * MB, cpu=cpu, **values)


@pytest.fixture
def crawler():
    """A crawler with a set of thresholds of its own."""
    thresholds = {"strict": {"memory_mb": 500}, "default": {"connections": 100}}
    return get_crawler(settings_dict={"RESILIENCE_THRESHOLDS": thresholds})


@pytest.fixture
def watch(crawler):
    """Its watch, and what its signals have said in ``watch.told``."""
    found = resource_watch_of(crawler)
    found.start()
    found.told = []

    def breached(name, status, detail):
        found.told.append((name, status, detail))

    def recovered(name, detail):
        found.told.append((name, "recovered", detail))

    def event(kind, text, severity):
        found.told.append((kind, severity, text))

    found.keep = [breached, recovered, event]
    crawler.signals.connect(breached, signals.guard_breached)
    crawler.signals.connect(recovered, signals.guard_recovered)
    crawler.signals.connect(event, signals.crawl_event)
    return found


def test_each_change_is_told_once(watch, caplog):
    """By a signal, an event and a line: worse, and well again, not what lies between."""
    caplog.set_level(logging.INFO)
    for now, memory in enumerate([100, 1050, 1060, 920, 870, 500, 500]):
        watch.take(30.0 * now, reading(memory))

    full = "105% of the memory in use: 1050 of the 1000 MB that it may use"
    well = "50% of the memory in use: 500 of the 1000 MB that it may use"
    assert watch.told == [
        ("memory", "unhealthy", full),
        ("resource", "warning", f"Memory is unhealthy: {full}"),
        ("memory", "recovered", well),
        ("resource", "info", f"Memory is healthy again: {well}"),
    ]
    assert caplog.messages == [watch.told[1][2], watch.told[3][2]]
    assert watch.findings["memory"].status == "healthy"


def test_from_degraded_to_unhealthy(watch):
    """Both are told."""
    for now, memory in enumerate([880, 880, 880, 1000]):
        watch.take(30.0 * now, reading(memory))
    assert [each[:2] for each in watch.told[::2]] == [
        ("memory", "degraded"),
        ("memory", "unhealthy"),
    ]


def test_a_busy_processor_only_informs(watch):
    """A healthy crawl uses its whole core."""
    for now in range(4):
        watch.take(30.0 * now, reading(cpu=1.0))
    assert watch.told[0][:2] == ("cpu", "unhealthy")
    assert watch.told[1][1] == "info"


def test_a_reading_of_the_memory_only(watch):
    """It judges nothing else: the rest of it is old."""
    for now in range(10):
        watch.take(30.0 * now, reading(1050, cpu=1.0, complete=False))
    assert {each[0] for each in watch.told} == {"memory", "resource"}
    assert watch.findings["cpu"].status == "unknown"


def test_what_can_not_be_seen_any_more(watch):
    """A breach does not stay for ever: it is told that it is unknown."""
    for now, memory in enumerate([1050, None, None, None, None]):
        watch.take(30.0 * now, reading(memory) if memory else Reading())
    assert watch.told[2] == ("memory", "recovered", "it can't be read")
    assert watch.told[3][2] == "Memory is unknown: it can't be read"


def test_the_default_set_may_be_changed(watch):
    """What a setting adds to it is watched, and told."""
    watch.take(0.0, reading(connections=100))
    assert watch.told[0] == ("connections", "unhealthy", "100 sockets open")


def test_callbacks_of_a_set(watch, crawler):
    """They hear of their set only, of what gets worse and of what is well again."""
    told = []
    on_breach(crawler, "strict", lambda what, finding: told.append((what, *finding)))
    for now, memory in enumerate([100, 600, 480, 400]):
        watch.take(30.0 * now, reading(memory))
    assert told == [
        ("memory_mb", "unhealthy", "600 MB of memory in use"),
        ("memory_mb", "healthy", "400 MB of memory in use"),
    ]
    assert watch.told == []


def test_listeners_that_fail(watch, crawler, caplog):
    """Each failure is logged, and the others hear of it."""
    heard = []

    def fail(*_):
        raise RuntimeError("boom")

    watch.on_reading += [fail, lambda now, reading: heard.append((now, reading))]
    on_breach(crawler, "default", fail)
    watch.take(5.0, reading(1050))
    assert heard == [(5.0, reading(1050))]
    assert caplog.text.count("A listener of the watchdog has failed") == 2
    assert watch.told[0][:2] == ("memory", "unhealthy")


def test_no_secret_of_a_path(watch):
    """What is told is masked and bounded."""
    disks = {"job": Disk("/data/x?api_key=hunter2&y", 0, 100)}
    watch.take(0.0, reading(disks=disks))
    assert watch.told[0][:2] == ("disk", "unhealthy")
    assert "hunter2" not in str(watch.told)


def test_a_crawler_that_has_gone(watch):
    """Nobody is told, and nothing fails."""
    watch._crawler = lambda: None
    watch.take(0.0, reading(1050))
    assert watch.told == []


def test_one_watch_of_a_crawler(crawler):
    """It is kept by those who ask; who only gives a callback need not."""
    heard = []
    watch = resource_watch_of(crawler)
    assert resource_watch_of(crawler) is watch
    assert resource_watch_of(get_crawler()) is not watch
    watch.reading = Reading()
    on_breach(crawler, "strict", lambda *told: heard.append(told))
    del watch
    gc.collect()
    watch = resource_watch_of(crawler)
    assert watch.reading is None
    watch.start()
    watch.take(0.0, reading(600))
    assert len(heard) == 1  # what was given stays, until the crawl ends
    watch.close()
    watch.take(0.0, reading(400))
    assert len(heard) == 1


# --- from code ----------------------------------------------------------------------------


def test_outside_of_a_crawl():
    """All is read at once; the set ``default`` is there."""
    found = current_metrics()
    assert found.used > 10 * MB
    assert set(found.disks) >= {"work"}
    names = {each.name: each.status for each in check_thresholds()}
    assert set(names) == {"memory", "disk", "cpu", "loop_lag", "open_files"}
    assert names["open_files"] == "healthy"


def test_a_crawler_that_does_not_run():
    """All is read at once, too."""
    thresholds = {"strict": {"memory_mb": 50_000}}
    crawler = get_crawler(settings_dict={"RESILIENCE_THRESHOLDS": thresholds})
    assert current_metrics(crawler).memory_limit <= 2048 * MB
    (found,) = check_thresholds("strict", crawler)
    assert found.name == "memory_mb"
    assert found.status == "healthy"
    assert found.detail.endswith("MB of memory in use")


def test_a_set_that_is_not_there(crawler):
    """The error says which there are."""
    with pytest.raises(ConfigurationError, match="no set 'strict': use one of 'default'"):
        check_thresholds("strict")
    with pytest.raises(ConfigurationError, match="no set 'x': use one of 'default', 'strict'"):
        check_thresholds("x", crawler)
    watch = resource_watch_of(crawler)
    on_breach(crawler, "x", print)  # its settings may not be complete
    with pytest.raises(ConfigurationError, match="no set 'x'"):
        watch.start()
    with pytest.raises(ConfigurationError, match="no set 'y'"):
        on_breach(crawler, "y", print)


# --- a limit that can't be kept -----------------------------------------------------------


def checked(**values):
    """Check the limit of settings with these values."""
    settings = get_crawler(settings_dict=values).settings
    check_memory_limit(settings, Config.from_settings(settings))


def test_a_limit_below_what_is_used():
    """The error has the figure of now."""
    with pytest.raises(
        ConfigurationError, match=r"MEMORY_LIMIT_MB=5: the process uses \d+ MB already"
    ):
        checked(RESILIENCE_MEMORY_LIMIT_MB=5)


def test_a_limit_that_leaves_no_room(monkeypatch):
    """It would ease off from the start."""
    module = "scrapy_resilience.guard.watchdog.memory_limit"
    monkeypatch.setattr(f"{module}.resident", lambda _: 93 * MB)
    checked(RESILIENCE_MEMORY_LIMIT_MB=110)
    with pytest.raises(ConfigurationError, match="=109: the process uses 93 MB already"):
        checked(RESILIENCE_MEMORY_LIMIT_MB=109)


def test_limits_that_are_fine(monkeypatch):
    """None, a large one, one of a watchdog that is off, and the default whatever is used."""
    checked(RESILIENCE_MEMORY_LIMIT_MB=0)
    checked(RESILIENCE_MEMORY_LIMIT_MB=100_000)
    checked(RESILIENCE_MEMORY_LIMIT_MB=5, RESILIENCE_WATCHDOG_ENABLED=False)
    monkeypatch.setattr(
        "scrapy_resilience.guard.watchdog.memory_limit.resident", lambda _: 5000 * MB
    )
    checked()


def test_where_nobody_knows_what_is_used(monkeypatch):
    """Nothing is refused."""
    monkeypatch.setattr(
        "scrapy_resilience.guard.watchdog.memory_limit.resident", lambda _: None
    )
    checked(RESILIENCE_MEMORY_LIMIT_MB=5)
