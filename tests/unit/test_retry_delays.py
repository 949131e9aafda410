"""What a failure costs its page, and how often that is tried again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy import Request, Spider
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import HtmlResponse
from scrapy.utils.test import get_crawler

from scrapy_resilience.core.backoff import RetryPolicy
from scrapy_resilience.core.gate import KnownPage
from scrapy_resilience.gates.gatekeeper import Gatekeeper
from scrapy_resilience.gates.policies import Choice
from scrapy_resilience.gates.retry_delays import Tries

URL = "http://a.test/page"


def make(**settings):
    """A gatekeeper with RESILIENCE_ settings."""
    settings = {f"RESILIENCE_{name}": value for name, value in settings.items()}
    return Gatekeeper(get_crawler(Spider, settings))


def page(status=200, body=b"", **more):
    """An answer."""
    return HtmlResponse(URL, status=status, body=body, **more)


@pytest.fixture
def holding(fake_clock):  # noqa: ARG001 - it goes by it
    """``holding(**settings)``: a gatekeeper whose scheduler holds requests."""

    def make_holding(**settings):
        keeper = make(**settings)
        keeper.active = True
        keeper.scheduler = SimpleNamespace(issued=lambda _: True)
        return keeper

    return make_holding


def costs(keeper, result, **meta):
    """Whether a failure costs a page a try."""
    request = Request(URL, meta=meta)
    return Tries(keeper).costs_one(request, result, keeper.judge(request, result))


def answer(keeper, url="http://a.test/other"):
    """The domain answers somebody."""
    request = Request(url)
    keeper.acquire(request, 0.0)
    keeper.answered(request, page())


def test_a_failure_of_the_domain_costs_no_try(holding):
    """Nobody else was answered since the page failed before."""
    keeper = holding()

    assert not costs(keeper, page(503))
    assert not costs(keeper, DownloadTimeoutError())
    answer(keeper)
    assert costs(keeper, page(503))
    before = keeper.known(Request(URL)).answers
    assert not costs(keeper, page(503), resilience_answers_before=before)
    answer(keeper, "http://b.test/")
    assert not costs(keeper, page(503), resilience_answers_before=before)


@pytest.mark.parametrize(
    ("result", "meta"),
    [
        (page(500), {}),
        (page(503), {"handle_httpstatus_list": [503]}),
        (page(404), {}),
        (ZeroDivisionError(), {}),
    ],
)
def test_a_failure_of_the_page_costs_a_try(holding, result, meta):
    """Whatever else the domain answers."""
    assert costs(holding(), result, **meta)


def test_a_failure_of_a_proxy_costs_a_try(holding):
    """Another proxy may do better: its page does not wait for the domain."""
    keeper = holding()
    request = Request(URL)
    keeper.blame_proxy(request)

    assert Tries(keeper).costs_one(request, page(503), keeper.judge(request, page(503)))


def test_where_nobody_holds_requests_each_try_counts(holding):
    """Without our scheduler, past it, with the action fail, without breakers that open."""
    bypassing, passive = holding(), holding()
    bypassing.scheduler.issued = lambda _: False
    passive.active = False

    assert costs(make(), page(503))
    assert costs(bypassing, page(503))
    assert costs(passive, page(503))
    assert costs(holding(BREAKER_ENABLED=False), page(503))
    assert costs(holding(BREAKER_FAILURE_THRESHOLD=0), page(503))
    assert costs(holding(BREAKER_FAILURE_THRESHOLD=0, BREAKER_FAILURE_RATE=0.5), page(503))
    assert costs(holding(BREAKER_OPEN_ACTION="fail"), page(503))
    by_hand = holding()
    by_hand.gates.gate("a.test", 0.0).breaker.disable()
    assert costs(by_hand, page(503))
    assert costs(holding(), page(503), resilience_open_action="fail")


def delay(keeper, attempts=8, *, named=False, **meta):
    """Seconds after so many tries that have timed out."""
    request, error = Request(URL, meta=meta), DownloadTimeoutError()
    choice = Choice(RetryPolicy(), None, named)
    return Tries(keeper).delay(request, choice, keeper.judge(request, error), attempts)


def test_the_last_page_of_a_domain_does_not_wait_for_minutes(holding, fake_clock):
    """Nobody is answered any more, as nobody is asked: a breaker that is closed finds out."""
    keeper = holding()
    answer(keeper)
    assert delay(keeper) <= 1.6

    fake_clock.advance(60)

    assert delay(keeper) == 2
    assert delay(keeper, named=True) >= 30
    assert delay(keeper, resilience_open_action="fail") >= 30
    keeper.known(Request(URL)).breaker.force_open()
    assert delay(keeper) >= 30


def test_a_page_that_has_failed_again_asks_whether_it_is_alone(holding, monkeypatch):
    """Not one that fails for the first time, that fails for good, or that is throttled."""
    keeper, asked = holding(), []
    answer(keeper)
    monkeypatch.setattr(Gatekeeper, "ask_if_alone", lambda _, request: asked.append(request))
    again = Request(URL, meta={"resilience_failed_at": 1.0})
    passed = again.replace(meta={**again.meta, "resilience_open_action": "fail"})

    for request in (Request(URL), again, passed):
        for result in (DownloadTimeoutError(), page(429)):
            Tries(keeper).ask_if_alone(request, keeper.judge(request, result))

    assert asked == [again]
    keeper.known(again).known_page = KnownPage("http://another.host.of.a.test/")
    Tries(keeper).ask_if_alone(again, keeper.judge(again, DownloadTimeoutError()))
    assert asked == [again]
