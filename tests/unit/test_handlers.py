"""Failure handlers: what may be registered, and what may be answered."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from scrapy import Request, Spider
from scrapy.utils.test import get_crawler

from scrapy_resilience import handlers
from scrapy_resilience.core.failures import Verdict
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.handlers import Answer, FailureHandlers, drop, hold, retry

REQUEST = Request("http://a.test/")
VERDICT = Verdict("throttled", "HTTP 429")


def on_throttled(request, verdict, attempts, spider):
    """A handler that a setting names."""
    return retry(attempts, f"{verdict.reason} {request.url} {spider.name}")


def run(coroutine):
    """The result of a coroutine."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(60)


@pytest.fixture
def spider():
    """A spider with a crawler."""
    return get_crawler(Spider)._create_spider("shop")


def ask(handler, spider, verdict=VERDICT):
    """What one handler answers, through the registry."""
    found = FailureHandlers()
    found.register("throttled", handler)
    return run(found.ask(REQUEST, verdict, 2, spider))


def test_a_handler_is_told_everything(spider):
    """It gets the request, the verdict, the number of tries and the spider."""
    assert ask(on_throttled, spider) == retry(2, "HTTP 429 http://a.test/ shop")


def test_a_handler_may_be_a_coroutine_function(spider):
    """An asynchronous handler is awaited."""

    async def handler(*_args):
        return drop("no")

    assert ask(handler, spider) == drop("no")


def test_other_classes_go_on_as_usual(spider):
    """A class without a handler has the default."""
    assert ask(on_throttled, spider, Verdict("transient", "x")) is None
    assert run(FailureHandlers().ask(REQUEST, VERDICT, 1, spider)) is None


def broken(*_args):
    """A handler with a bug."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "handler", [broken, lambda *_: "retry", lambda: None, lambda *_: hold(-1)]
)
def test_a_handler_that_fails_is_logged(spider, caplog, handler):
    """An exception, a wrong answer or a wrong signature: a log, a stat, and the default."""
    assert ask(handler, spider) is None
    assert "The failure handler of throttled failed" in caplog.text
    assert spider.crawler.stats.get_value("resilience/handlers/errors") == 1


def test_handlers_of_the_setting(spider):
    """A path is loaded; what code has registered stays."""
    found = FailureHandlers()
    found.register("blocked", lambda *_: drop("code"))
    path = f"{__name__}.on_throttled"
    found.load({"throttled": on_throttled, "blocked": on_throttled})

    assert path
    assert run(found.ask(REQUEST, VERDICT, 1, spider)).action == "retry"
    assert run(found.ask(REQUEST, Verdict("blocked", "x"), 1, spider)).action == "drop"


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ({"slow": "x.y"}, "'slow' is not a failure class: use one of transient"),
        ({"blocked": "nowhere.at.all"}, "['blocked']='nowhere.at.all': No module named"),
        ({"blocked": "os.nothing"}, "['blocked']='os.nothing': "),
        ({"blocked": "nodots"}, "['blocked']='nodots': "),
        ({"blocked": 5}, "['blocked']=5: use a function, or its import path"),
        ({"blocked": "os.sep"}, "use a function, or its import path"),
    ],
)
def test_bad_handlers_are_refused(paths, problem):
    """The error names the setting, the class and the path."""
    with pytest.raises(ConfigurationError) as caught:
        FailureHandlers().load(paths)

    assert str(caught.value).startswith("RESILIENCE_FAILURE_HANDLERS")
    assert problem in str(caught.value)


def test_registering_for_a_class_that_is_none(spider):
    """register_failure_handler checks the class."""
    with pytest.raises(ConfigurationError, match="'slow' is not a failure class"):
        handlers.register_failure_handler(spider.crawler, "slow", on_throttled)


def test_registering_replaces(spider):
    """The last handler that code registers is the one."""
    for action in (drop("a"), drop("b")):
        handlers.register_failure_handler(
            spider.crawler, "throttled", lambda *_, answer=action: answer
        )

    found = handlers.handlers_of(spider.crawler)

    assert run(found.ask(REQUEST, VERDICT, 1, spider)) == drop("b")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [retry, hold])
def test_answers_take_seconds(make, seconds):
    """A delay is a number of at least 0."""
    with pytest.raises(ValueError, match="use seconds, 0 or more"):
        make(seconds)


def test_answers_are_values():
    """Answers can be compared, for tests of handlers."""
    assert hold(3, "night") == Answer("hold", 3.0, "night")
    assert handlers.abort("over").action == "abort"
