"""How far an item can be trusted: ``ConfidenceCalculator().calculate(content=…, …).overall``.

Of use outside Scrapy too; how it is weighed stands in `scrapy_resilience.core.confidence`.
"""

from __future__ import annotations

from scrapy_resilience.core.confidence import WEIGHTS, Confidence, ConfidenceCalculator

__all__ = ["WEIGHTS", "Confidence", "ConfidenceCalculator"]
