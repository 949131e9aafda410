"""The seam of dead letters, and what the middleware puts into it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.downloadermiddlewares import robotstxt
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.spidermiddlewares.httperror import HttpError
from scrapy.utils.test import get_crawler
from twisted.python.failure import Failure

from scrapy_resilience.core.deadletter import About
from scrapy_resilience.deadletters import letters_of
from scrapy_resilience.frontier.codec import RequestCodec, ValueCodec
from scrapy_resilience.frontier.in_flight import InFlightRequests
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import Changes, MemoryStore
from scrapy_resilience.spidermiddlewares.deadletters import DeadLettersMiddleware

TOLD = {"kind": "exhausted", "failure_class": "transient", "reason": "no answer"}
URL = "http://me:secret@a.test/1"


@pytest.fixture
def crawler():
    """Return a crawler without a job."""
    crawler = get_crawler(Spider)
    crawler.spider = crawler._create_spider("books")
    return crawler


@pytest.fixture
def letters(crawler):
    """Return its dead letters."""
    return letters_of(crawler)


@pytest.fixture
def middleware(crawler):
    """Return the middleware of the crawler."""
    return DeadLettersMiddleware.from_crawler(crawler)


class Job:
    """Requests in flight with a store, to which letters are attached."""

    def __init__(self, crawler):
        values = ValueCodec()
        self.crawler = crawler
        self.codec = RequestCodec(crawler.spider, values)
        self.frontier = Frontier(MemoryStore(), limit=lambda _: 9)
        self.in_flight = InFlightRequests(self.frontier, {}, values.encode, values.decode)
        letters_of(crawler).attach(self.in_flight, self.codec, 0)

    def hand_out(self, request):
        """Push a request and take it out."""
        self.frontier.push("a", self.codec.encode(request))
        self.in_flight.handed_out(request, self.frontier.pop(0.0).row)

    def commit(self):
        """Return the letters of a commit."""
        changes = Changes()
        self.in_flight.collect(())
        self.in_flight.contribute(changes)
        letters_of(self.crawler).count_letters(changes.letters)
        return changes.letters


@pytest.fixture
def job(crawler):
    """Return a job that is open."""
    return Job(crawler)


def stats(crawler):
    """Return the stats of dead letters."""
    return {k: v for k, v in crawler.stats.get_stats().items() if k.startswith("resilience/")}


# --- the seam -----------------------------------------------------------------------


def test_all_components_share_the_letters_of_a_crawler(crawler, letters):
    """Whoever asks gets the same object, and another crawler another one."""
    assert letters_of(crawler) is letters
    assert letters_of(get_crawler(Spider)) is not letters


def test_without_a_job_letters_are_counted_and_the_newest_kept(crawler, letters):
    """Memory is bounded; the stats count all."""
    for number in range(1500):
        letters.add(Request(f"http://a.test/{number}"), **TOLD)

    assert len(letters.kept) == 1000
    assert letters.kept[-1].url == "http://a.test/1499"
    assert stats(crawler) == {
        "resilience/deadletters/transient": 1500,
        "resilience/incomplete": 1500,
    }


def test_a_request_has_one_letter(crawler, letters):
    """The first reason of a request object counts, also without a job."""
    request = Request(URL)
    letters.add(request, **TOLD)
    letters.add(request, **{**TOLD, "failure_class": "http"})
    letters.add(Request(URL), **TOLD)

    assert stats(crawler)["resilience/deadletters/transient"] == 2
    assert letters.count == 2


def test_what_is_told_of_a_request(letters):
    """Domain and attempts come from the request, and no secret does."""
    letters.add(Request(URL, meta={"retry_times": 2}), status=503, first=5.0, **TOLD)

    (about,) = letters.kept
    assert (about.domain, about.attempts, about.status, about.first) == ("a.test", 3, 503, 5.0)
    assert about.url == "http://***@a.test/1"
    assert about.last > 5.0


def test_the_first_failure_is_that_of_the_first_retry(letters):
    """The retry middleware has noted it in the request."""
    letters.add(Request(URL, meta={"resilience_failed_at": 7.0}), **TOLD)

    assert letters.kept[0].first == 7.0
    assert letters.kept[0].last > 7.0


def test_a_meta_key_of_another_kind(letters):
    """A user's mistake in the meta costs no letter."""
    letters.add(Request(URL, meta={"retry_times": "two"}), **TOLD)

    assert letters.kept[0].attempts == 1


def test_letters_can_be_off():
    """No component records one then."""
    letters = letters_of(get_crawler(Spider, {"RESILIENCE_DEADLETTERS_ENABLED": False}))

    letters.add(Request(URL), **TOLD)
    letters.add_encoded(None, url=URL, **TOLD)

    assert (list(letters.kept), letters.count) == ([], 0)


def test_a_robots_txt_is_no_letter(letters):
    """Scrapy goes on without it, so that no page is missing; the spider's own is one."""
    robots = Request("http://a.test/robots.txt", meta={"dont_obey_robotstxt": True})
    letters.add(robots.replace(callback=NO_CALLBACK), **TOLD)
    assert letters.count == 0

    letters.add(robots, **TOLD)
    letters.add(Request(robots.url), **TOLD)
    assert letters.count == 2


def test_in_a_job_a_letter_waits_for_its_request(crawler, job, letters):
    """It is counted in the commit in which the request is done, with the bytes of its row."""
    request = Request(URL, meta={"a": 1})
    job.hand_out(request)
    request.meta["download_slot"] = "set while it ran"
    letters.add(request, **TOLD)
    assert stats(crawler) == {}

    (letter,) = job.commit()

    assert job.codec.decode(letter.request).meta == {"a": 1}
    assert About.load(ValueCodec().decode(letter.about)).reason == "no answer"
    assert stats(crawler)["resilience/deadletters/transient"] == 1


def test_a_request_that_bypasses_the_scheduler(job, letters):
    """Its letter is in the next commit, once."""
    request = Request(URL)
    letters.add(request, **TOLD)
    letters.add(request, **TOLD)

    (letter,) = job.commit()

    assert job.codec.decode(letter.request).url == URL
    assert job.commit() == []


@pytest.mark.parametrize("callback", [lambda _: None, NO_CALLBACK])
def test_a_request_that_can_not_be_replayed_is_listed_all_the_same(job, letters, callback):
    """Its letter has no bytes: nothing can be stored, or no callback waits for the answer."""
    letters.add(Request(URL, callback=callback), **TOLD)

    assert [letter.request for letter in job.commit()] == [None]


def test_the_bytes_of_a_row(job, letters):
    """Rows that are given up without being handed out keep their bytes as they are."""
    letters.add_encoded(b"bytes", url=URL, **TOLD)

    (letter,) = job.commit()

    assert letter.request == b"bytes"
    about = About.load(ValueCodec().decode(letter.about))
    assert (about.domain, about.url) == ("a.test", "http://***@a.test/1")


def test_letters_of_earlier_runs_count(crawler, letters):
    """A job that holds letters is incomplete from its start."""
    letters.attach(None, None, 3)

    assert stats(crawler) == {"resilience/incomplete": 3}


# --- the middleware -----------------------------------------------------------------


def http_error(status, **meta):
    """Return a response with its request, and the error that Scrapy raises for it."""
    response = Response(URL, status=status, request=Request(URL, meta=meta))
    return response, HttpError(response, "Ignoring non-200 response")


@pytest.mark.parametrize(
    ("status", "meta", "kind"),
    [
        (404, {}, "permanent"),
        (404, {"retry_times": 1}, "permanent"),
        (503, {}, "permanent"),
        (503, {"retry_times": 2}, "exhausted"),
    ],
)
def test_an_http_error_that_nobody_handles(middleware, letters, status, meta, kind):
    """Permanent, or exhausted when Scrapy's own retries were used up on that status."""
    middleware.process_spider_exception(*http_error(status, **meta))

    (about,) = letters.kept
    assert (about.kind, about.failure_class, about.status) == (kind, "http", status)


def test_what_a_retry_middleware_has_recorded_is_not_recorded_again(middleware, letters):
    """Its letter is the first."""
    response, error = http_error(503, retry_times=2)
    letters.add(response.request, **TOLD)
    middleware.process_spider_exception(response, error)

    assert [about.reason for about in letters.kept] == ["no answer"]


def test_other_exceptions_are_left_to_the_signal(middleware, letters):
    """Another middleware may still handle them."""
    middleware.process_spider_exception(http_error(200)[0], ValueError())

    assert letters.count == 0


def raised(error):
    """Return an exception as it was raised here."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_download_that_failed(middleware, letters):
    """What nothing else has recorded is recorded, whatever the exception."""
    middleware._failed(Request(URL), raised(OSError("reset")))
    middleware._failed(Request(URL, meta={"retry_times": 1}), raised(OSError("reset")))

    assert [about.kind for about in letters.kept] == ["permanent", "exhausted"]
    assert letters.kept[0].exception == "OSError: reset"


def test_ignored_requests(middleware, letters):
    """What a middleware of the user ignores is recorded with its reason."""
    middleware._failed(Request(URL), raised(IgnoreRequest("fenced")))
    middleware._failed(Request(URL), raised(IgnoreRequest()))

    assert [about.kind for about in letters.kept] == ["ignored"] * 2
    assert letters.kept[0].reason == "fenced"


def test_an_exception_that_can_not_say_what_it_is(middleware, letters):
    """A class of the user's whose text fails costs its text, and no letter."""

    class Speechless(IgnoreRequest):
        def __str__(self):
            raise ZeroDivisionError

    middleware._failed(Request(URL), raised(Speechless()))

    (about,) = letters.kept
    assert (about.kind, about.reason) == ("ignored", "a middleware has ignored it")


def test_requests_that_robots_txt_forbids(middleware, letters, crawler):
    """What Scrapy ignores because it was told to is no dead letter."""
    middleware._failed(Request(URL), raised_by_robots(crawler))

    assert letters.count == 0


def raised_by_robots(crawler):
    """Return what Scrapy's own middleware raises."""
    crawler.settings.frozen = False
    crawler.settings.set("ROBOTSTXT_OBEY", "1")

    class Parser:
        def allowed(self, *_):
            return False

    robots = robotstxt.RobotsTxtMiddleware(crawler)
    with pytest.raises(IgnoreRequest) as caught:
        robots.process_request_2(Parser(), Request(URL))
    return caught.value


def spider_error(middleware, response):
    """Send Scrapy's signal."""
    middleware._spider_error(Failure(ValueError("no")), response)


def test_a_callback_that_raises(middleware, job):
    """It has the response's status, and a replay leaves out what was written."""
    request = Request(URL)
    job.hand_out(request)
    job.in_flight.under_way[request].item_written(0)
    spider_error(middleware, Response(URL, status=201, request=request))

    (letter,) = job.commit()
    about = About.load(ValueCodec().decode(letter.about))

    assert (about.kind, about.failure_class, about.status) == ("callback", "callback", 201)
    assert about.exception == "ValueError: no"
    assert letter.record is not None


def test_an_errback_that_raises(middleware, job):
    """A replay may reach the callback: it repeats everything."""
    request = Request(URL)
    job.hand_out(request)
    job.in_flight.under_way[request].item_written(0)
    failure = Failure(OSError())
    failure.request = request
    spider_error(middleware, failure)

    (letter,) = job.commit()
    about = About.load(ValueCodec().decode(letter.about))

    assert (about.kind, about.failure_class) == ("callback", "errback")
    assert letter.record is None


def test_start_that_raises_is_no_letter(middleware, letters):
    """The job goes on with start() by itself."""
    spider_error(middleware, None)

    assert letters.count == 0


def test_an_item_of_start_whose_pipeline_raises(middleware, letters):
    """There is no request to replay: it is listed."""
    middleware._item_error(Failure(ValueError("no")), None)

    assert [(about.kind, about.url) for about in letters.kept] == [("pipeline", "")]


@pytest.mark.parametrize(
    ("job_found", "advice"),
    [
        (None, "With a JOBDIR they can be replayed"),
        (SimpleNamespace(path="crawls/a"), "`scrapy resilience deadletters crawls/a`"),
    ],
)
def test_the_close_says_where_letters_are(crawler, monkeypatch, caplog, job_found, advice):
    """The command is named only where there is a job that it can look at."""
    monkeypatch.setattr(f"{DeadLettersMiddleware.__module__}.job_of", lambda _: job_found)
    letters_of(crawler).add(Request(URL), **TOLD)
    DeadLettersMiddleware.from_crawler(crawler)._closed()

    (message,) = caplog.messages
    assert "Requests given up: 1." in message
    assert advice in message


def test_the_close_asks_for_our_scheduler_where_there_is_a_jobdir(caplog, tmp_path):
    """A JOBDIR of another scheduler has no letters: to ask for one would mislead."""
    stock = "scrapy.core.scheduler.Scheduler"
    crawler = get_crawler(Spider, {"JOBDIR": str(tmp_path), "SCHEDULER": stock})
    letters_of(crawler).add(Request(URL), **TOLD)
    DeadLettersMiddleware.from_crawler(crawler)._closed()

    (message,) = caplog.messages
    assert "With ResilientScheduler they can be replayed" in message


def test_the_middleware_can_be_left_out():
    """RESILIENCE_DEADLETTERS_ENABLED=False turns it off."""
    crawler = get_crawler(Spider, {"RESILIENCE_DEADLETTERS_ENABLED": False})

    with pytest.raises(NotConfigured):
        DeadLettersMiddleware.from_crawler(crawler)


@pytest.mark.parametrize("reason", [
    "resilience_memory", "resilience_disk", "resilience_cpu", "resilience_stalled",
    "resilience_budget", "resilience_abort_handler", "resilience_abort_x", "memusage_exceeded",
    "closespider_timeout", "closespider_timeout_no_item", "closespider_pagecount_no_item",
    "cancelled", "shutdown", "anything",
])  # fmt: skip
def test_each_reason_that_is_no_end(letters, reason):
    """Whoever closes the spider, and with nothing left that is known: it is incomplete."""
    letters.ended(reason)
    assert letters.incomplete == 1


def test_an_end(letters):
    """It is complete, unless something is left."""
    letters.ended("finished")
    assert letters.incomplete == 0
    letters.ended("finished", left=2)
    assert letters.incomplete == 2
