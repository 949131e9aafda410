"""Where the add-on puts its handler, and what it is told of browsers."""

from __future__ import annotations

import pytest
from scrapy.exceptions import DownloadFailedError
from scrapy.settings import Settings

from scrapy_resilience.browsers.errors import BrowserLost, BrowserUnavailable, is_lost
from scrapy_resilience.browsers.plug import make_browsers_durable
from scrapy_resilience.core.classify import Classifier
from scrapy_resilience.core.patterns import Patterns
from scrapy_resilience.exceptions import ConfigurationError

handler = pytest.importorskip("scrapy_playwright.handler")
STOCK = handler.ScrapyPlaywrightDownloadHandler


class Own(STOCK):
    """A user's own."""


class Older(STOCK):
    """One of a version that has other methods."""

    _create_page = property()


def plugged(**handlers):
    """The setting after the add-on has looked at it."""
    settings = Settings({"DOWNLOAD_HANDLERS": handlers})
    make_browsers_durable(settings)
    return settings.getdict("DOWNLOAD_HANDLERS")


def test_others_are_left_alone():
    """A handler of another kind, a path that is none and none at all stay as they are."""
    others = {"http": "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"}
    others |= {"https": "no.such.Thing", "ftp": None}
    assert plugged(**others) == others


def test_schemes_share_a_handler():
    """The same class serves both schemes, and is made once of them."""
    path = f"{STOCK.__module__}.{STOCK.__name__}"
    found = plugged(http=path, https=STOCK)
    assert found["http"] is found["https"]
    assert issubclass(found["http"], STOCK)
    assert plugged(**found) == found


def test_a_users_own_stays():
    """What a user's subclass overrides goes before scrapy-playwright's."""
    found = plugged(https=Own)["https"]
    assert issubclass(found, Own)


def test_without_a_reactor():
    """What can't run is refused, not tried."""
    settings = Settings(
        {"DOWNLOAD_HANDLERS": {"https": STOCK}, "TWISTED_REACTOR_ENABLED": False}
    )
    with pytest.raises(ConfigurationError, match="needs Twisted's reactor"):
        make_browsers_durable(settings)


def test_another_version(monkeypatch, caplog):
    """A handler that lacks what we need stays, and one line says so."""
    monkeypatch.delattr(STOCK, "_maybe_launch_browser")
    assert plugged(https=STOCK)["https"] is STOCK
    assert "has no _maybe_launch_browser" in caplog.text


@pytest.mark.parametrize(
    ("error", "unsent"), [(BrowserLost("gone"), False), (BrowserUnavailable("none"), True)]
)
def test_its_errors_are_ours(error, unsent):
    """A browser's end is transient, not the site's, and Scrapy's own retries know it."""
    classifier = Classifier(Patterns({}, "A"), Patterns({}, "B"))
    verdict = classifier.exception(error, of_download=True)
    assert verdict.failure_class == "transient"
    assert not verdict.counts_against_domain
    assert verdict.unsent is unsent
    assert isinstance(error, DownloadFailedError)


class Error(Exception):
    """As Playwright's is called."""


class TargetClosedError(Error):
    """Likewise."""


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (TargetClosedError("Page.goto: Target page, context or browser has been closed"), True),
        (Error("Page.content: Target crashed "), True),
        (Error("Page.goto: Page crashed"), True),
        (Error("Page.goto: net::ERR_CONNECTION_CLOSED at http://a/"), False),
        (Error("Page.goto: net::ERR_NAME_NOT_RESOLVED at http://a/"), False),
        (ValueError("the browser has been closed"), False),
    ],
)
def test_what_says_that_it_has_ended(error, lost):
    """Playwright's errors of an end are told from those of a site."""
    assert is_lost(error) is lost
