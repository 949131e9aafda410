"""From what Scrapy's downloader gives or raises to a verdict of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from scrapy.http import Response, TextResponse
from scrapy.utils.misc import load_object

from scrapy_resilience import _clock
from scrapy_resilience.core.classify import Classifier, Verdict
from scrapy_resilience.core.failures import BLOCKED
from scrapy_resilience.core.patterns import Patterns
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy_resilience.settings import Config

__all__ = ["Judge"]


class Judge:
    """Judges responses, their bodies decompressed, and exceptions.

    Raises :exc:`~scrapy_resilience.exceptions.ConfigurationError` for a bad pattern, and for
    a path that leads to no exception.
    """

    def __init__(self, config: Config) -> None:
        self._classifier = Classifier(
            Patterns(config.failure_patterns, "RESILIENCE_FAILURE_PATTERNS"),
            Patterns(config.body_patterns, "RESILIENCE_BODY_PATTERNS"),
            config.ban_detection,
        )
        self._statuses = frozenset(map(_status, config.breaker_statuses))
        self._exceptions = tuple(map(_exception, config.breaker_exceptions))

    def __call__(self, outcome: Response | BaseException) -> Verdict:
        verdict = self._judge(outcome)
        counts = self._counts(outcome, verdict)
        if counts is not verdict.counts_against_domain:
            return replace(verdict, counts_against_domain=counts)
        return verdict

    def _counts(self, outcome: Response | BaseException, verdict: Verdict) -> bool:
        """Where the settings say which failures are the domain's; a ban always is one."""
        if isinstance(outcome, Response):
            if self._statuses and verdict.failure_class != BLOCKED:
                return outcome.status in self._statuses
        elif self._exceptions and not verdict.ignored:
            return isinstance(outcome, self._exceptions)
        return verdict.counts_against_domain

    def _judge(self, outcome: Response | BaseException) -> Verdict:
        if not isinstance(outcome, Response):
            return self._classifier.exception(outcome, of_download=True)
        body, charset = b"", "utf-8"
        if isinstance(outcome, TextResponse):
            body = outcome.body
            if self._classifier.body_patterns:
                charset = outcome.encoding
        return self._classifier.response(
            outcome.status, outcome.headers, body, _clock.wall(), charset
        )


def _status(status: int) -> int:
    if not 100 <= status < 600:  # noqa: PLR2004 - HTTP
        raise ConfigurationError(
            f"RESILIENCE_BREAKER_STATUSES: {status} is not an HTTP status: use 100 to 599."
        )
    return status


def _exception(path: str) -> type[BaseException]:
    setting = f"RESILIENCE_BREAKER_EXCEPTIONS={path!r}"
    try:
        found = load_object(path)
    except (ImportError, NameError, ValueError) as error:
        raise ConfigurationError(f"{setting}: {error}.") from None
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ConfigurationError(f"{setting}: use the import path of an exception.")
    return found
