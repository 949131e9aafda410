"""How far the items of a crawl can be trusted, for those who only look."""

from __future__ import annotations

from typing import Final

from scrapy_resilience._scrapy.of_crawlers import OfCrawlers

__all__ = ["Weighed", "weighed_in"]

_STEPS: Final = 10


class Weighed:
    """The items that were weighed, in all runs."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        """Of their scores."""
        self.histogram = [0] * _STEPS
        """Items by confidence, from 0 to 1 in ten steps."""

    def add(self, confidence: float) -> None:
        self.count += 1
        self.sum += confidence
        self.histogram[min(int(confidence * _STEPS), _STEPS - 1)] += 1

    @property
    def mean(self) -> float:
        return self.sum / self.count


weighed_in: Final[OfCrawlers[Weighed]] = OfCrawlers("weighed")
"""Crawlers with a :class:`.ConfidencePipeline`."""
