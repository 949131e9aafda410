"""ClassifiedRetryMiddleware, with the real gatekeeper: holds and letters are noted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ban_pages import CLOUDFLARE
from scrapy import Request, Spider
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import (
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotConfigured,
)
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.breaker import Outcome
from scrapy_resilience.downloadermiddlewares import retry as module
from scrapy_resilience.downloadermiddlewares.retry import (
    BannedError,
    ClassifiedRetryMiddleware,
    DroppedError,
)
from scrapy_resilience.exceptions import ConfigurationError, MaxRetriesExceededError
from scrapy_resilience.gates import retry_delays as tries
from scrapy_resilience.gates.gatekeeper import gatekeeper_of
from scrapy_resilience.handlers import abort, drop, hold, register_failure_handler, retry
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import Config

URL = "http://a.test/page"
DELAY = "resilience_delay"
FAST = pytest.approx(0.075)
"""The first delay of a domain that answers others, with half the jitter."""


class Letters(list):
    """Requests in flight that take notes."""

    def add(self, request, **letter):
        """Note it."""
        self.append({"url": request.url, **letter})


class Bench:
    """The middleware of one crawler, and what it told others.

    The domain has answered just now, unless it is not *well*.
    """

    def __init__(
        self, monkeypatch, clock, settings, *, ours=True, spider=Spider, issued=True, well=True
    ):
        self.time = clock
        monkeypatch.setattr(tries, "random", lambda: 0.5)
        monkeypatch.setattr(module, "close_spider", self._close)
        self.crawler = get_crawler(spider, settings)
        self.crawler.spider = self.crawler._create_spider("shop")
        scheduler = (
            SimpleNamespace(runs_jobs=True, issued=lambda _: issued) if ours else object()
        )
        self.closed = []
        self.crawler.engine = SimpleNamespace(
            scheduler=scheduler,
            _slot=SimpleNamespace(closing=None),
        )
        self.middleware = ClassifiedRetryMiddleware.from_crawler(self.crawler)
        self.gates = gatekeeper_of(self.crawler)
        self.gates.active, self.gates.scheduler = True, scheduler if ours else None
        self.held = []
        monkeypatch.setattr(
            self.gates, "hold", lambda _, seconds, reason: self.held.append((seconds, reason))
        )
        self.letters = self.middleware._letters = Letters()
        if well:
            self.be_well()

    def be_well(self):
        """Let the domain answer somebody."""
        request = Request("http://a.test/other")
        self.gates.acquire(request, self.time.now)
        self.gates.answered(request, HtmlResponse(request.url))

    def _close(self, crawler, reason):
        self.closed.append(reason)
        crawler.engine._slot.closing = True

    def stat(self, name):
        """The value of a stat."""
        return self.crawler.stats.get_value(name, 0)

    def send(self, request):
        """What becomes of a request on its way out."""
        return settle(self.middleware.process_request(request))

    def answer(self, status=503, request=None, body=b"", **headers):
        """What becomes of an answer."""
        request = Request(URL) if request is None else request
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = HtmlResponse(request.url, status=status, body=body, headers=named)
        return settle(self.middleware.process_response(request, response))

    def error(self, error, request=None):
        """What becomes of an exception."""
        request = Request(URL) if request is None else request
        return settle(self.middleware.process_exception(request, error))


def run(coroutine):
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


def settle(result):
    """The result of a hook, which may be a coroutine."""
    return run(result) if hasattr(result, "send") else result


@pytest.fixture
def bench(monkeypatch, fake_clock):
    """``bench(**settings)``."""

    def make(ours=True, spider=Spider, issued=True, well=True, **settings):  # noqa: FBT002
        how = {"ours": ours, "spider": spider, "issued": issued, "well": well}
        return Bench(monkeypatch, fake_clock, settings, **how)

    return make


def tried(times, **more):
    """A request that was retried so many times."""
    meta = {"retry_times": times, "resilience_failed_at": 900.0, **more.pop("meta", {})}
    return Request(URL, meta=meta, dont_filter=True, **more)


# --- what is retried ------------------------------------------------------------------


def test_a_good_answer_goes_through(bench):
    """A page is passed on, at once."""
    assert bench().answer(200).status == 200


def test_a_server_error_is_tried_again_later(bench):
    """The new request carries its delay to the frontier, and Scrapy's meta and stats."""
    b = bench()

    new = b.answer(503)

    assert (new.url, new.meta["retry_times"], new.meta[DELAY]) == (URL, 1, FAST)
    assert (new.dont_filter, new.priority) == (True, 0)
    assert b.stat("retry/count") == 1
    assert b.stat("retry/reason_count/503 Service Unavailable") == 1
    assert b.stat("resilience/failures/server_error") == 1
    assert b.held == []
    assert b.time.now == 1_000


def test_delays_grow(bench):
    """The second retry waits twice as long as the first, up to 1.6 s."""
    delays = [bench().answer(503, tried(times)).meta[DELAY] for times in range(7)]

    assert delays[:3] == pytest.approx([0.075, 0.15, 0.3])
    assert delays[5:] == pytest.approx([1.2, 1.2])


def test_a_domain_that_answers_nobody_has_the_policys_delays(bench):
    """Up to 2 s while its breaker is closed. Fast backoff is for who has answered lately."""
    b = bench()
    b.time.now += 31.0

    assert [b.answer(503, tried(times)).meta[DELAY] for times in (0, 1, 2)] == [1, 2, 2]
    b.be_well()
    assert b.answer(503).meta[DELAY] == FAST


def test_a_chosen_policy_has_its_delays_though_the_domain_answers(bench):
    """Whoever names one wants them."""
    b = bench(RESILIENCE_RETRY_POLICY="exponential_backoff")

    assert b.answer(503).meta[DELAY] == 1


def test_an_exception_is_tried_again(bench):
    """A timeout is retried, and counted by its class as Scrapy does."""
    b = bench()

    new = b.error(DownloadTimeoutError("slow"))

    assert new.meta["retry_times"] == 1
    assert b.stat("retry/reason_count/scrapy.exceptions.DownloadTimeoutError") == 1


@pytest.mark.parametrize("status", [400, 403, 404, 410, 501])
def test_permanent_answers_go_to_the_spider(bench, status):
    """What is permanent is not retried, and not ours to record."""
    b = bench()

    assert b.answer(status).status == status
    assert b.letters == []


def test_permanent_exceptions_are_recorded(bench):
    """An exception that nothing will change is a letter, and goes on to the errback."""
    b = bench()

    assert b.error(ZeroDivisionError("bug")) is None
    assert (b.letters[0]["kind"], b.letters[0]["failure_class"]) == ("permanent", "permanent")
    assert b.letters[0]["exception"] == "ZeroDivisionError: bug"


def test_ignored_requests_are_none_of_our_business(bench):
    """An IgnoreRequest is neither retried nor recorded."""
    b = bench()

    assert b.error(IgnoreRequest()) is None
    assert (b.letters, b.stat("retry/count")) == ([], 0)


@pytest.mark.parametrize("status", [520, 521, 425, 529])
def test_more_than_scrapys_list(bench, status):
    """Without a list of the user, the class of a status decides."""
    assert isinstance(bench().answer(status), Request)


def test_the_users_own_list(bench):
    """RETRY_HTTP_CODES of the user is what is retried: nothing else, and 404 if it says so."""
    b = bench(RETRY_HTTP_CODES=[404])

    assert isinstance(b.answer(404), Request)
    assert b.answer(503).status == 503


def test_the_users_own_exceptions(bench):
    """RETRY_EXCEPTIONS of the user is what is retried."""
    b = bench(RETRY_EXCEPTIONS=[ZeroDivisionError])

    assert isinstance(b.error(ZeroDivisionError()), Request)
    assert b.error(DownloadTimeoutError()) is None


def test_retry_enabled(bench):
    """RETRY_ENABLED=False takes the middleware out, as it does Scrapy's."""
    with pytest.raises(NotConfigured):
        bench(RETRY_ENABLED=False)


def test_dont_retry(bench):
    """Meta dont_retry is honoured for answers and exceptions."""
    b = bench()
    request = Request(URL, meta={"dont_retry": True})

    assert b.answer(503, request).status == 503
    assert b.error(DownloadTimeoutError(), request) is None
    assert b.stat("retry/count") == 0


def test_priority_adjust(bench):
    """RETRY_PRIORITY_ADJUST of the user and the meta key keep their meaning."""
    assert bench(RETRY_PRIORITY_ADJUST=-7).answer(503).priority == -7
    assert not bench(RETRY_PRIORITY_ADJUST=-7).gates.lane_names.has_retries
    assert bench(ours=False).answer(503).priority == -1
    assert bench().answer(503, Request(URL, meta={"priority_adjust": 3})).priority == 3


def test_the_same_stats_as_scrapys_own(bench):
    """The stats of retries that are given up are those of Scrapy's middleware."""
    b = bench(RETRY_TIMES=1)
    stock_crawler = get_crawler(Spider, {"RETRY_TIMES": 1})
    stock_crawler.spider = stock_crawler._create_spider("shop")
    stock = RetryMiddleware.from_crawler(stock_crawler)
    for request in (Request(URL), tried(1)):
        b.answer(502, request)
        b.error(DownloadTimeoutError(), request)
        stock.process_response(request, HtmlResponse(URL, status=502))
        stock.process_exception(request, DownloadTimeoutError())

    def retries(crawler):
        return {k: v for k, v in crawler.stats.get_stats().items() if k.startswith("retry/")}

    assert retries(b.crawler) == retries(stock_crawler)
    assert retries(b.crawler)["retry/max_reached"] == 2


# --- how often --------------------------------------------------------------------------


def limit(bench, request=None):
    """How many retries a request may have."""
    request = request or Request(URL)
    return bench.middleware._policies.of(request, bench.crawler.spider)[1]


class PatientSpider(Spider):
    """A spider with a policy of its own."""

    resilience_retry_policy = "aggressive"


class SettingSpider(Spider):
    """A spider that sets its policy."""

    custom_settings = {"RESILIENCE_RETRY_POLICY": "aggressive"}  # noqa: RUF012 - Scrapy's way


def test_precedence_of_policies(bench):
    """Request meta, then the spider, then the user's RETRY_TIMES, then the setting, if any."""
    by_meta = Request(URL, meta={"resilience_retry_policy": "conservative"})

    assert limit(bench()) is None
    assert limit(bench(RESILIENCE_RETRY_POLICY="aggressive")) == 9
    assert limit(bench(RESILIENCE_RETRY_POLICY="aggressive", RETRY_TIMES=4)) == 4
    assert limit(bench(spider=PatientSpider, RETRY_TIMES=4)) == 9
    assert limit(bench(spider=SettingSpider, RETRY_TIMES=4)) == 9
    assert limit(bench(spider=PatientSpider, RETRY_TIMES=4), by_meta) == 2


def test_max_retry_times(bench):
    """Scrapy's meta key max_retry_times goes before all of them, 0 too."""
    for times in (0, 7):
        assert (
            limit(bench(RETRY_TIMES=4), Request(URL, meta={"max_retry_times": times})) == times
        )


def test_a_wrong_max_retry_times(bench, caplog):
    """It is told of once and ignored: the failure itself reaches the errback, no TypeError."""
    b = bench(RETRY_TIMES=1)

    for _ in range(2):
        assert isinstance(b.answer(503, tried(0, meta={"max_retry_times": "x"})), Request)
        assert b.answer(503, tried(1, meta={"max_retry_times": "x"})).status == 503

    told = [line for line in caplog.messages if line.startswith("max_retry_times='x' of ")]
    assert len(told) == 1


def test_attributes_that_are_set_on_the_middleware(bench):
    """As in stock, max_retry_times and the two lists may be set on the object itself."""
    b = bench()
    b.middleware.max_retry_times = 1
    assert isinstance(b.answer(503, tried(0)), Request)
    assert b.answer(503, tried(1)).status == 503
    assert isinstance(b.answer(503, tried(1, meta={"max_retry_times": 2})), Request)
    b.middleware.max_retry_times = 5
    b.middleware.retry_http_codes.discard(503)
    assert b.answer(503, tried(0)).status == 503
    assert isinstance(b.answer(502, tried(0)), Request)
    b.middleware.exceptions_to_retry = (KeyError,)
    assert b.error(OSError("lost"), tried(0)) is None


def test_the_delays_are_those_of_the_policy(bench):
    """RETRY_TIMES changes how often is retried, not how late."""
    b = bench(RETRY_TIMES=9, RESILIENCE_RETRY_POLICY="conservative")

    assert b.answer(503).meta[DELAY] == 5


def test_an_unknown_policy_of_a_request(bench, caplog):
    """A request with an unknown policy has that of the settings, and one warning a name."""
    b = bench()

    for name in ("fast", "fast", "slow"):
        new = b.answer(503, Request(URL, meta={"resilience_retry_policy": name}))
        assert new.meta[DELAY] == FAST

    problem = "no retry policy has this name"
    assert caplog.text.count(f"resilience_retry_policy='fast': {problem}") == 1
    assert caplog.text.count(f"resilience_retry_policy='slow': {problem}") == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"RESILIENCE_RETRY_POLICY": "fast"},
            "RESILIENCE_RETRY_POLICY='fast': no retry policy",
        ),
        (
            {"RESILIENCE_RETRY_POLICIES": {"mine": {"base": -1}}},
            "RESILIENCE_RETRY_POLICIES['mine']",
        ),
        ({"RESILIENCE_FAILURE_PATTERNS": {"blocked": "("}}, "RESILIENCE_FAILURE_PATTERNS: '('"),
        ({"RESILIENCE_BODY_PATTERNS": {"bad": "x"}}, "RESILIENCE_BODY_PATTERNS: 'bad'"),
        ({"RESILIENCE_FAILURE_HANDLERS": {"blocked": "x.y"}}, "RESILIENCE_FAILURE_HANDLERS["),
        ({"RESILIENCE_RETRY_POLICIES": "x"}, "use a dict, or its JSON"),
    ],
)
def test_bad_settings_are_refused(bench, settings, problem):
    """A bad setting stops the crawl at its start, by its name."""
    with pytest.raises(ConfigurationError) as caught:
        bench(**settings)

    assert problem in str(caught.value)


def test_exhausted_answers(bench):
    """The last answer goes to the spider as with Scrapy, and is recorded."""
    b = bench(RETRY_TIMES=2)

    answer = b.answer(503, tried(2))
    assert answer.status == 503
    assert b.letters == [
        {
            "url": URL, "response": answer, "kind": "exhausted",
            "failure_class": "server_error",
            "reason": "HTTP 503", "attempts": 3, "status": 503, "exception": None,
        }
    ]  # fmt: skip


def test_exhausted_exceptions(bench):
    """The last exception goes to the errback as with Scrapy, and is recorded."""
    b = bench(RETRY_TIMES=2)

    assert b.error(DownloadTimeoutError("slow"), tried(2)) is None
    assert b.letters[0]["exception"] == "DownloadTimeoutError: slow"
    assert (b.letters[0]["kind"], b.letters[0]["status"]) == ("exhausted", None)


def test_a_domain_that_answers_nobody_takes_no_tries(bench):
    """An outage costs each page one try at most, that of its first failure."""
    b = bench(well=False)
    new = tried(2)

    for _ in range(5):
        new = b.answer(503, new)
        assert new.meta["retry_times"] == 2
    assert b.letters == []
    b.be_well()

    assert b.answer(503, new).meta["retry_times"] == 3


def test_tries_follow_the_domain(bench):
    """Without a number that somebody has chosen, retries that fail make them fewer."""
    b = bench()
    assert isinstance(b.answer(503, tried(9)), Request)

    for _ in range(100):
        retry = b.gates.gates.acquire("a.test", b.time.now, is_retry=True)
        b.gates.gates.settle(retry, Outcome.THROTTLED, b.time.now)
    b.gates.gates.gate("a.test", b.time.now).pace = None

    assert isinstance(b.answer(503, tried(1)), Request)
    assert b.answer(503, tried(2)).status == 503
    assert isinstance(b.answer(503, tried(2, meta={"max_retry_times": 3})), Request)


@pytest.mark.parametrize(
    ("settings", "meta", "retries"),
    [
        ({"RETRY_TIMES": 4}, {}, 4),
        ({}, {"max_retry_times": 1}, 1),
        ({"RESILIENCE_RETRY_POLICY": "aggressive"}, {}, 9),
        ({}, {"resilience_retry_policy": "conservative"}, 2),
    ],
)
def test_a_chosen_number_of_tries_is_kept(bench, settings, meta, retries):
    """It is as often as was said, whatever the domain is worth."""
    b = bench(**settings)

    assert isinstance(b.answer(503, tried(retries - 1, meta=meta)), Request)
    assert b.answer(503, tried(retries, meta=meta)).status == 503


def test_the_first_failure_is_remembered(bench):
    """Later retries of the request keep its time."""
    b = bench()

    first = b.answer(503)
    b.time.now += 60.0
    second = b.answer(503, first)

    assert second.meta["resilience_failed_at"] == 1_000.0


# --- throttling -------------------------------------------------------------------------


def test_retry_after_holds_the_page(bench):
    """While the domain answers others, only the page waits for as long as the server wants."""
    b = bench()

    assert b.answer(429, Retry_After="7").meta[DELAY] == 7
    assert b.held == []
    assert b.stat("resilience/retry/retry_after") == 1


def test_retry_after_holds_the_domain_that_answers_nothing_else(bench):
    """When the latest answers were pushbacks all, it is about the domain."""
    b = bench()
    for _ in range(8):
        ticket = b.gates.gates.acquire("a.test", b.time.now)
        b.gates.gates.settle(ticket, Outcome.THROTTLED, b.time.now)

    assert b.answer(429, Retry_After="7").meta[DELAY] == 7
    assert b.held == [(7, "HTTP 429")]


def test_retry_after_never_shortens_a_wait(bench):
    """Neither 0 nor 1 comes before the backoff of a throttled request."""
    for value in ("0", "1", "garbage"):
        b = bench(RESILIENCE_RETRY_POLICY="exponential_backoff")
        assert b.answer(429, Retry_After=value).meta[DELAY] == 5


def test_throttling_without_a_time(bench):
    """The page waits for its backoff: how fast others are asked is up to the pace."""
    b = bench()

    assert b.answer(429).meta[DELAY] == FAST
    assert b.held == []


def test_a_long_retry_after_holds(bench):
    """More than RESILIENCE_RETRY_AFTER_MAX is waited for all the same."""
    b = bench()

    assert b.answer(429, Retry_After="4000").meta[DELAY] == 4_000
    assert b.held == [(4_000, "HTTP 429")]


def test_a_long_retry_after_fails_where_that_is_wanted(bench):
    """With the action fail such a request is given up; a short wait is not."""
    b = bench(RESILIENCE_BREAKER_OPEN_ACTION="fail", RETRY_TIMES=3)

    assert isinstance(b.answer(429, Retry_After="300"), Request)
    assert b.answer(429, Retry_After="301").status == 429
    assert b.letters[0]["reason"] == "HTTP 429 (Retry-After is too long)"


# --- bans -------------------------------------------------------------------------------


def test_a_ban_page_is_retried(bench):
    """A challenge with HTTP 200 holds the domain and is tried again."""
    b = bench()

    new = b.answer(200, body=CLOUDFLARE)

    assert new.meta["retry_times"] == 1
    assert b.held == [(1, "ban page (Cloudflare, title)")]
    assert b.stat("retry/reason_count/ban page (Cloudflare, title)") == 1


@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_ban_page_never_gets_through(bench, status):
    """When all tries are used up an IgnoreRequest comes instead of the page."""
    b = bench()

    with pytest.raises(BannedError, match="ban page") as caught:
        b.answer(status, tried(2), body=CLOUDFLARE)

    assert isinstance(caught.value, (IgnoreRequest, MaxRetriesExceededError))
    assert (b.letters[0]["kind"], b.letters[0]["failure_class"]) == ("exhausted", "blocked")


def test_a_ban_page_does_not_get_through_with_dont_retry(bench):
    """dont_retry means no retry; a ban page with HTTP 200 is still no page."""
    with pytest.raises(BannedError):
        bench().answer(200, Request(URL, meta={"dont_retry": True}), body=CLOUDFLARE)


def test_a_page_that_is_bad_content(bench):
    """A body pattern makes a retry of a page with HTTP 200; the last one is passed on."""
    b = bench(RESILIENCE_BODY_PATTERNS={"content": "try again later"}, RETRY_TIMES=2)

    assert isinstance(b.answer(200, body=b"Try again later"), Request)
    assert b.answer(200, tried(2), body=b"Try again later").status == 200
    assert b.letters[0]["failure_class"] == "content"


# --- methods ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_post_is_not_repeated(bench, method):
    """What the server may have done already is recorded, not done twice."""
    b = bench()

    assert b.answer(503, Request(URL, method=method)).status == 503
    assert b.error(DownloadTimeoutError(), Request(URL, method=method)) is None
    assert [letter["kind"] for letter in b.letters] == ["exhausted"] * 2
    assert b.letters[0]["reason"] == f"HTTP 503 ({method} is not repeated)"
    assert b.stat("resilience/retry/not_repeatable") == 2


def test_post_is_repeated_when_it_was_not_sent(bench):
    """A refused connection did nothing: any method is tried again."""
    error = DownloadConnectionRefusedError()

    assert isinstance(bench().error(error, Request(URL, method="POST")), Request)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_methods_are_repeated(bench, method):
    """What may be done twice is."""
    assert isinstance(bench().answer(503, Request(URL, method=method)), Request)


def test_post_is_repeated_on_demand(bench):
    """A setting or the request's meta allows it, and meta goes first."""
    allowed = Request(URL, method="POST", meta={"resilience_retry_non_idempotent": True})
    forbidden = Request(URL, method="POST", meta={"resilience_retry_non_idempotent": False})
    on = {"RESILIENCE_RETRY_NON_IDEMPOTENT": True}

    assert isinstance(bench().answer(503, allowed), Request)
    assert isinstance(bench(**on).answer(503, Request(URL, method="POST")), Request)
    assert bench(**on).answer(503, forbidden).status == 503


# --- handlers -----------------------------------------------------------------------------


def with_handler(b, answer, failure_class="server_error"):
    """The bench with a handler that gives one answer."""
    register_failure_handler(b.crawler, failure_class, lambda *_: answer)
    return b


def test_a_handler_retries(bench):
    """retry(): in so many seconds, also beyond the policy's limit."""
    b = with_handler(bench(), retry(33))

    new = b.answer(503, tried(5))

    assert (new.meta["retry_times"], new.meta[DELAY]) == (6, 33)


def test_a_handler_holds(bench):
    """hold(): the domain waits, the try does not count."""
    b = with_handler(bench(), hold(60, "night"))

    new = b.answer(503, tried(2))

    assert (new.meta["retry_times"], new.meta[DELAY]) == (2, 60)
    assert b.held == [(60, "night")]


def test_a_handler_drops(bench):
    """drop(): an IgnoreRequest, and a letter with the reason."""
    b = with_handler(bench(), drop("not worth it"), "permanent")

    with pytest.raises(DroppedError, match="not worth it") as caught:
        b.answer(404)

    assert isinstance(caught.value, IgnoreRequest)
    assert (b.letters[0]["kind"], b.letters[0]["reason"]) == ("dropped", "not worth it")


def test_a_handler_aborts(bench, caplog):
    """abort(): the spider is closed, and the request stays for the next run."""
    b = with_handler(bench(), abort("no money"))

    others = [b.answer(503, tried(2)) for _ in range(3)]  # all that are under way are told

    assert b.closed == ["resilience_abort_handler"]
    assert [(new.url, new.meta["retry_times"]) for new in others] == [(URL, 2)] * 3
    assert caplog.text.count("A failure handler closes the spider: no money") == 1


def test_a_handler_that_says_nothing(bench):
    """None: as if there were none."""
    assert with_handler(bench(), None).answer(503).meta[DELAY] == FAST


# --- waiting ------------------------------------------------------------------------------


def test_another_scheduler_waits_in_the_process(bench):
    """Without our frontier the retry comes back when its time has come."""
    b = bench(ours=False)

    new = b.answer(503)

    assert DELAY not in new.meta
    assert b.time.now - 1_000 == FAST


def test_what_bypasses_the_scheduler_waits_in_the_process(bench):
    """A request of a media pipeline does not go to the frontier, nor does its retry."""
    b = bench(issued=False)

    assert DELAY not in b.answer(503).meta
    assert b.time.now - 1_000 == FAST


def test_a_wait_ends_when_the_spider_closes(bench):
    """Nobody waits for a retry of a crawl that is being closed."""
    b = bench(ours=False)
    b.time.call_later(2, b._close, b.crawler, "")

    b.answer(429, Retry_After="250")

    assert b.time.now == pytest.approx(1_002, abs=0.5)


def test_retries_under_way_are_capped(bench):
    """The sixth retry goes back to the frontier; a first try never does."""
    b = bench()
    under_way = [tried(1) for _ in range(5)]
    for request in under_way:
        assert b.send(request) is None

    late = b.send(tried(1))

    assert (late.url, late.meta["retry_times"]) == (URL, 1)
    assert late.meta[DELAY] > 0
    assert b.send(Request(URL)) is None
    assert b.stat("resilience/retry/paced") == 1


def test_a_place_is_free_when_a_retry_is_through(bench):
    """An answer and an exception free the place; so does a retry that is gone."""
    b = bench(RESILIENCE_RETRY_CONCURRENCY=1)
    first, second, third = (tried(1) for _ in range(3))

    assert b.send(first) is None
    b.answer(200, first)
    assert b.send(second) is None
    b.error(IgnoreRequest(), second)
    assert b.send(third) is None
    del third
    assert b.send(tried(1)) is None


def test_another_scheduler_waits_for_a_place(bench):
    """Without our frontier a retry waits in the process until it may go."""
    b = bench(ours=False, RESILIENCE_RETRY_CONCURRENCY=1)
    first = tried(1)
    b.send(first)
    waiting_one = b.middleware.process_request(tried(1))
    b.middleware._queue._under_way.clear()

    assert run(waiting_one) is None
    assert b.time.now > 1_000
    assert first is not None


def test_a_domain_without_budget_waits_longer(bench):
    """A domain that answers none has a reserve; beyond it each retry waits for its share."""
    b = bench()
    delays = [b.answer(503).meta[DELAY] for _ in range(70)]

    reserve = delays.count(FAST)
    late = delays[reserve:]
    assert 0 < reserve < 70
    assert late == sorted(late)
    assert late[0] >= 1
    assert late[-1] <= 60
    assert b.stat("resilience/retry/over_budget") == len(late)


def test_a_domain_that_answers_a_third_is_never_slowed_by_the_budget(bench):
    """Each answer brings three retries."""
    b = bench()
    for _ in range(200):
        assert b.answer(200).status == 200
        assert [b.answer(503).meta[DELAY] for _ in range(2)] == [FAST] * 2

    assert b.stat("resilience/retry/over_budget") == 0


def test_what_the_spider_takes_for_an_answer_costs_no_budget(bench):
    """It is not a failure of the domain, whose load the budget is about."""
    b = bench()
    request = Request(URL, meta={"handle_httpstatus_list": [503]})

    assert [b.answer(503, request).meta[DELAY] for _ in range(200)] == [FAST] * 200


def test_no_budget(bench):
    """RESILIENCE_RETRY_BUDGET=0 switches it off."""
    b = bench(RESILIENCE_RETRY_BUDGET=0)

    assert [b.answer(503).meta[DELAY] for _ in range(200)] == [FAST] * 200


# --- what is not ours to record --------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "meta"),
    [
        ({}, {"handle_httpstatus_list": [503]}),
        ({}, {"handle_httpstatus_all": True}),
        ({"HTTPERROR_ALLOW_ALL": True}, {}),
        ({"HTTPERROR_ALLOWED_CODES": [503]}, {}),
    ],
)
def test_what_reaches_the_callback_is_no_letter(bench, settings, meta):
    """The last answer is one that the spider handles, as it has said."""
    b = bench(RETRY_TIMES=2, **settings)

    assert b.answer(503, tried(2, meta=meta)).status == 503
    assert b.letters == []


def test_what_a_handler_drops_is_a_letter_though_its_status_is_handled(bench):
    """It does not reach the callback."""
    b = with_handler(bench(), drop("not worth it"))

    with pytest.raises(DroppedError):
        b.answer(503, Request(URL, meta={"handle_httpstatus_list": [503]}))

    assert b.letters[0]["kind"] == "dropped"


@pytest.mark.parametrize("caches", [True, False])
def test_retries_pass_by_the_http_cache(bench, caches):
    """A cached failure would be all that they get; without a cache their meta stays."""
    new = bench(HTTPCACHE_ENABLED=caches).answer(503)

    assert new.meta.get("dont_cache", False) is caches


def test_profiles():
    """Production is conservative with ten retries at a time, development quick and regular."""
    found = {name: Config(**values) for name, values in PROFILES.items()}

    assert [(c.retry_policy, c.retry_concurrency) for c in found.values()] == [
        ("exponential_backoff", 5),
        ("production", 10),
        ("production", 10),
        ("development", 3),
        ("development", 3),
    ]
