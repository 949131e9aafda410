"""From what Scrapy's downloader gives or raises to a verdict of the core."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrapy.http import Response, TextResponse

from scrapy_resilience.core.classify import Classifier, Verdict
from scrapy_resilience.core.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.settings import Config

__all__ = ["Judge"]


class Judge:
    """Judges responses, their bodies decompressed, and exceptions.

    Raises :exc:`~scrapy_resilience.exceptions.ConfigurationError` for a bad pattern.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._classifier = Classifier(
            Patterns(config.failure_patterns, "RESILIENCE_FAILURE_PATTERNS"),
            Patterns(config.body_patterns, "RESILIENCE_BODY_PATTERNS"),
            config.ban_detection,
        )
        self._clock = clock

    def __call__(self, outcome: Response | BaseException) -> Verdict:
        if not isinstance(outcome, Response):
            return self._classifier.exception(outcome)
        body, charset = b"", "utf-8"
        if isinstance(outcome, TextResponse):
            body = outcome.body
            if self._classifier.body_patterns:
                charset = outcome.encoding
        return self._classifier.response(
            outcome.status, outcome.headers, body, self._clock(), charset
        )
