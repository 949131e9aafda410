"""What is done around the work of Scrapy's engine, and what of it must be there."""

from __future__ import annotations

import ast
import asyncio
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import pytest_twisted
from engines import engine_of
from scrapy import Request
from scrapy.exceptions import DownloadCancelledError, DropItem, IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.signals import request_scheduled
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import succeed
from twisted.python.failure import Failure

from scrapy_resilience._scrapy import private_names as needs
from scrapy_resilience._scrapy.hooks import NOTHING, Hooks, hooks_of
from scrapy_resilience.exceptions import ConfigurationError, WorkCancelledError

NAMES = [
    (path, name)
    for table in (needs.REPLACED, needs.READ)
    for path, names in table.items()
    for name in names
]
SOURCES = sorted(Path(needs.__file__).parent.glob("*.py"))


class Lacking:
    """An object without one of its attributes."""

    def __init__(self, whole, name):
        self._whole, self._name = whole, name

    def __getattr__(self, name):
        """Look it up, but for the one."""
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._whole, name)


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_a_scrapy_without_a_name_is_refused(path, name):
    """The sentence says which, and what to do; a pipeline manager of before needs less."""
    engine = engine_of()
    owner, _, last = path.rpartition(".")
    lacking = Lacking(needs.find(engine, path), name)
    if owner:
        setattr(needs.find(engine, owner), last, lacking)
    else:
        engine = lacking

    if name == "process_item_async":
        needs.check_engine(engine)
        return
    with pytest.raises(ConfigurationError) as caught:
        needs.check_engine(engine)

    assert f"has no {path}.{name}" in str(caught.value)
    assert "Upgrade scrapy_resilience, or use Scrapy" in str(caught.value)


def test_an_engine_of_today_has_all():
    """Nothing is missing."""
    needs.check_engine(engine_of())


def test_each_private_name_that_is_used_is_listed():
    """What the package touches of the engine's is in the tables that are checked."""
    listed = {name for _, name in NAMES} | set(needs.OVERRIDDEN)
    ours = {"_parsers", "_engine", "_apply_settings", "_getframe"}  # of other owners
    used = {
        node.attr
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in {"self", "cls"}
    }

    assert "_slot" in used
    assert used <= listed | ours


def test_each_method_is_replaced_once():
    """Whoever asks, there is one set of hooks for an engine; others' engines keep theirs."""
    engine, other = engine_of(), engine_of()
    hooks = hooks_of(engine)

    assert hooks_of(engine) is hooks
    for path, names in needs.REPLACED.items():
        for name in names:
            method = vars(needs.find(engine, path))[name]
            assert method.func.__self__ is hooks
            assert method.args[0].__self__ is needs.find(engine, path)
            assert name in vars(Hooks)
            assert name not in vars(needs.find(other, path))


def test_what_scrapy_has_no_attribute_for():
    """A handler that ignores a request keeps it from arriving, and this is told."""
    engine, refused, arrived = engine_of(), [], []
    hooks = hooks_of(engine)

    class Scheduler:
        def enqueue_request(self, request):
            hooks.arriving.discard(request)
            arrived.append(request.url)
            return True

    def ignore(request):
        if "no" in request.url:
            engine._schedule_request(Request("http://a.test/instead"))
            raise IgnoreRequest

    engine._slot.scheduler = Scheduler()
    engine.crawler.signals.connect(ignore, request_scheduled)
    engine._schedule_request(Request("http://a.test/first"))
    hooks.refused = lambda: refused.append(True)
    for name in ("yes", "no", "no", "yes"):
        engine._schedule_request(Request(f"http://a.test/{name}"))

    assert [url.rpartition("/")[2] for url in arrived] == [
        "first", "yes", "instead", "instead", "yes",
    ]  # fmt: skip
    assert refused == [True, True]
    assert not hooks.arriving


def test_what_a_middleware_has_returned():
    """It is scheduled within a context that knows both; a response is not."""
    engine, seen = engine_of(), []
    old, new = Request("http://a.test/old"), Request("http://a.test/new")
    engine._handle_downloader_output = lambda result, _: seen.append(result)
    hooks = hooks_of(engine)

    @contextmanager
    def replacing(*requests):
        seen.append(requests)
        yield
        seen.append("done")

    engine._handle_downloader_output(new, old)
    hooks.replacing = replacing
    engine._handle_downloader_output(new, old)
    engine._handle_downloader_output(Response("http://a.test"), old)

    assert seen[:4] == [new, (new, old), new, "done"]
    assert len(seen) == 5


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("download_request_async", DownloadCancelledError),
        ("download_async", DownloadCancelledError),
        ("call_spider_async", WorkCancelledError),
        ("scrape_response_async", WorkCancelledError),
        ("_scrape", WorkCancelledError),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
async def test_a_cancellation_that_nobody_asked_for(method, error, cut):
    """It is an error like any other; one that a cut has made goes on to who has begun it."""
    engine = engine_of()
    owner = next(path for path, names in needs.REPLACED.items() if method in names)

    async def cancelled(*_):
        raise asyncio.CancelledError

    setattr(needs.find(engine, owner), method, cancelled)
    hooks = hooks_of(engine)
    hooks.instead = lambda request: request
    request = Request("http://a.test")
    arguments = {"download_request_async": (request,)}.get(method, (None, request))
    if cut:
        hooks.canceller.cut()
        error = None if method in {"download_async", "_scrape"} else asyncio.CancelledError

    async def outcome():
        try:
            result = await getattr(needs.find(engine, owner), method)(*arguments)
        except (Exception, asyncio.CancelledError) as caught:  # noqa: BLE001
            return type(caught)
        return request if result is request else None

    found = await deferred_from_coro(outcome())

    assert found is (request if cut and method == "download_async" else error)


@pytest_twisted.ensureDeferred
async def test_a_failed_download():
    """It is told; a response is not."""
    engine, failed, scraped = engine_of(), [], []

    async def scrape(result, _):
        scraped.append(result)

    engine.scraper._scrape = scrape
    hooks_of(engine).download_failed = lambda _, error: failed.append(error)
    failure = Failure(OSError("away"))

    async def main():
        await engine.scraper._scrape(failure, Request("http://a.test"))
        await engine.scraper._scrape(Response("http://a.test"), Request("http://a.test"))

    await deferred_from_coro(main())

    assert failed == [failure.value]
    assert len(scraped) == 2


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("refused", [False, True])
async def test_an_errback_has_one_context(refused):
    """Also where a spider middleware has refused the response."""
    engine, entered = engine_of(), []

    @contextmanager
    def context(_, component):
        entered.append(component)
        yield

    def refuse(_):
        raise IgnoreRequest

    hooks_of(engine).context = context
    if refused:
        engine.scraper.spidermw.methods["process_spider_input"].append(refuse)
    request = Request("http://a.test", callback=lambda _: None, errback=lambda _: None)
    result = Response("http://a.test") if refused else Failure(OSError("away"))

    await deferred_from_coro(engine.scraper._scrape(result, request))

    assert entered == (["callback", "errback"] if refused else ["errback"])


def test_a_context_with_nothing_to_do():
    """Of two contexts, one that has nothing to do is not entered, and neither is made twice."""
    hooks, asked = hooks_of(engine_of()), []

    def first(_, component):
        asked.append("first")
        return NOTHING if component == "second" else nullcontext("first")

    def second(_, component):
        asked.append("second")
        return NOTHING if component == "first" else nullcontext("second")

    hooks.surround(first)
    hooks.surround(second)
    for component in ("first", "second"):
        assert hooks.context(Request("http://a.test"), component).enter_result == component
    assert asked == ["first", "second"] * 2


def test_an_answer_is_told():
    """A response, with the request that was downloaded; no other request, and no failure."""
    engine, told = engine_of(), []
    response = Response("http://a.test")
    answers = [Request("http://a.test/elsewhere"), response, Failure(OSError("away"))]
    engine._download = lambda _: succeed(answers.pop(0))
    hooks = hooks_of(engine)
    hooks.answered = lambda *what: told.append(what)
    request = Request("http://a.test")

    for _ in range(3):
        engine._download(request).addErrback(lambda _: None)

    assert told == [(request, response)]


@pytest_twisted.ensureDeferred
async def test_the_network_is_told_of(caplog):
    """What goes, and what comes; who fails stops nobody, and a failure is no answer."""
    engine, told = engine_of(), []
    request, response = Request("http://a.test"), Response("http://a.test")
    answers = [response, OSError("away")]

    async def download(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    engine.downloader.handlers.download_request_async = download
    hooks = hooks_of(engine)
    hooks.sent += [lambda _: 1 / 0, told.append]
    hooks.downloaded += [lambda *_: 1 / 0, lambda *what: told.append(what)]

    assert await engine.downloader.handlers.download_request_async(request) is response
    assert told == [request, (request, response)]
    assert caplog.text.count("ZeroDivisionError: ") == 2
    with pytest.raises(OSError, match="away"):
        await engine.downloader.handlers.download_request_async(request)

    assert told == [request, (request, response), request]


@pytest_twisted.ensureDeferred
async def test_an_item_is_told_of(caplog):
    """When it is through its pipelines, as it is then; one that is dropped is not."""
    told = []

    class Pipelines:
        """Two of them, in one."""

        async def process_item_async(self, item):
            if item == "bad":
                raise DropItem("bad")
            return item.upper()

    engine = engine_of(itemproc=Pipelines())
    hooks_of(engine).scraped += [lambda _: 1 / 0, told.append]

    assert await engine.scraper.itemproc.process_item_async("good") == "GOOD"
    with pytest.raises(DropItem):
        await engine.scraper.itemproc.process_item_async("bad")

    assert told == ["GOOD"]
    assert "ZeroDivisionError: " in caplog.text


@pytest_twisted.ensureDeferred
async def test_who_fails_to_hear_of_an_end(caplog):
    """The others hear of it, and the engine does not notice."""
    engine, told = engine_of(), []

    async def scrape(*_):
        pass

    engine.scraper._scrape = scrape
    request = Request("http://a.test")
    hooks_of(engine).ended += [lambda *_: 1 / 0, lambda *what: told.append(what)]

    await deferred_from_coro(engine.scraper._scrape(Response("http://a.test"), request))

    assert told == [(request, True)]
    assert "ZeroDivisionError: " in caplog.text


NOBODYS = Request("http://a.test", callback=NO_CALLBACK)


@pytest.mark.parametrize(
    ("is_scheduled", "request_", "told"),
    [
        (lambda _: False, Request("http://a.test"), True),
        (lambda _: True, NOBODYS, False),
        (None, Request("http://a.test"), False),
        (None, NOBODYS, True),
    ],
)
def test_a_download_for_nobody(is_scheduled, request_, told):
    """It is told when it has ended; another request in its place is not its end."""
    engine, ended, failed = engine_of(), [], []
    error = OSError("away")
    answers = [Request("http://a.test/elsewhere"), Response("http://a.test"), Failure(error)]
    engine._download = lambda _: succeed(answers.pop(0))
    hooks = hooks_of(engine)
    hooks.is_scheduled = is_scheduled
    hooks.bypassed = lambda _, error: ended.append(error)
    hooks.bypassing_failed = lambda _, error: failed.append(error)

    for _ in range(3):
        engine._download(request_).addErrback(lambda _: None)

    assert ended == ([None, error] if told else [])
    assert failed == ([error] if told else [])


@pytest_twisted.ensureDeferred
async def test_what_a_callback_puts_out():
    """Its requests are told with its own; items are not."""
    engine, told = engine_of(), []
    engine.crawl = lambda **_: None
    hooks = hooks_of(engine)
    hooks.put_out = lambda *requests: told.append(requests)
    page, child = Request("http://a.test"), Request("http://a.test/child")
    response = Response("http://a.test", request=page)

    await deferred_from_coro(engine.scraper._process_spidermw_output_async(child, response))
    await deferred_from_coro(engine.scraper._process_spidermw_output_async(None, response))

    assert told == [(child, page)]
