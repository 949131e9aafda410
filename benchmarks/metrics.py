"""How long the event loop is held by one scrape, with a thousand domains and every feature."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.report import Outcome
from scrapy_resilience.observe import view as parts
from scrapy_resilience.observe.metrics.domain_labels import DomainLabels
from scrapy_resilience.observe.metrics.exposition import Exposition

if TYPE_CHECKING:
    from benchmarks.crawls import Options

__all__ = ["every_feature", "run"]

DOMAINS: Final = 1_000
_BAR, _MOON = 5.0, 1.0
"""Milliseconds."""
_LARGEST: Final = 1_000_000
"""Bytes."""


def every_feature(domains: int) -> parts.View:
    """A view in which nothing is empty."""
    numbers = random.Random(1)  # noqa: S311 - the same each time
    spans = ["processor", "servers", "gate", "frontier", "callbacks", "commit"]
    cause = parts.Cause(seconds=60, shares=[parts.Share(cause=c, share=1 / 6) for c in spans])
    return parts.View(
        job=parts.JobView(spider="shops", ident="1", path="/srv/crawls/shops"),
        progress=parts.Progress(done=10**6, pending=10**5, pages=10**6, items=10**6),
        traffic=parts.Traffic(
            requests=10**6, statuses={str(status): 1000 for status in range(200, 240)},
            failures=dict.fromkeys(("transient", "throttled", "server_error"), 100),
            exceptions={f"twisted.internet.error.E{at}": 10 for at in range(30)},
            latency=parts.Latency(bounds=[n / 10 for n in range(1, 13)], counts=[100] * 13),
        ),
        domains=[_domain(at, numbers) for at in range(domains)],
        accounting=parts.Accounting(minute=cause, hour=cause, job=cause),
        errors=[parts.ErrorGroup(number=at, kind=f"Error{at}", count=at) for at in range(100)],
        items=parts.Items(
            coverage=[parts.FieldCoverage(item="Product", field=f"field{at}", share=0.5)
                      for at in range(50)],
            drift=[parts.Drifting(set="product", field=f"f{at}", domain="a", kind="", since=0)
                   for at in range(20)],
            confidence=parts.Confidence(mean=0.7, counts=[1000] * 10),
            unread={f"field{at}": 10 for at in range(20)},
        ),
        cost=parts.CostView(
            resources=[parts.ResourceCost(name=f"r{at}", amount=at) for at in range(10)],
            budgets=[
                parts.BudgetView(resource="usd", limit=5, used=1, text=f"$5.00 for {at}")
                for at in range(100)
            ],
        ),
        checkpoint=parts.Checkpoint(enabled=True, last=1.0, commits=10**5),
        health=parts.Health(components=[parts.Component(name=f"c{at}") for at in range(10)]),
        stats={f"component/{at}/count": at for at in range(200)},
    )  # fmt: skip


def _domain(at: int, numbers: random.Random) -> parts.DomainView:
    return parts.DomainView(
        name=f"shop-{at:04}.example.com", requests=numbers.randrange(10**6),
        answers=numbers.randrange(10**6), failures=numbers.randrange(1000),
        retries=numbers.randrange(1000), bytes=numbers.randrange(10**10),
        latency=numbers.random(), pending=numbers.randrange(10**4), rate=5.0,
    )  # fmt: skip


def _registry() -> CollectorRegistry:
    """Metrics of a user, too: 100 counters and a histogram."""
    registry = CollectorRegistry()
    prices = Counter("shop_prices", "Prices.", ["currency"], registry=registry)
    for at in range(100):
        prices.labels(f"C{at}").inc()
    Histogram("shop_seconds", "Time.", registry=registry).observe(1)
    return registry


def run(options: Options) -> Outcome:
    """With the default number of series, with the user's, with a series for each domain."""
    outcome = Outcome(f"one scrape of {DOMAINS:,} domains, every feature on")
    rounds = 20 if options.quick else 200
    view = every_feature(DOMAINS)
    sides = {
        "50 domains have series": (50, None),
        "the same, and 100 of the user's": (50, _registry()),
        "1,000 domains have series": (2 * DOMAINS, None),
    }
    for label, (places, registry) in sides.items():
        writer = Exposition(domains=DomainLabels(places))
        text = writer.write(view, registry)
        taken = []
        for _ in range(rounds):
            for domain in view.domains:
                domain.requests += 1
            started = time.process_time()
            text = writer.write(view, registry)
            taken.append((time.process_time() - started) * 1000)
        lines = sum(not line.startswith(b"#") for line in text.splitlines())
        spent = median(taken)
        outcome.rows.append(
            {
                "what": label,
                "series": lines,
                "bytes": len(text),
                "ms": round(spent, 2),
                "least": round(min(taken), 2),
            }
        )
        outcome.bar(f"{label}, ms of the loop", f"{spent:.2f} of {_BAR:g}", met=spent <= _BAR)
        outcome.bar(f"{label}, bytes", f"{len(text):,}", met=len(text) <= _LARGEST)
        if places == 50:  # noqa: PLR2004 - the default
            outcome.bar(f"{label}, moonshot", f"{spent:.2f} of {_MOON:g}", met=spent <= _MOON)
    outcome.data = {"rows": outcome.rows}
    return outcome
