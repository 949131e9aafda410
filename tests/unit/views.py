"""A large view of a crawl, as a broad one makes it, for the tests of all its faces."""

from __future__ import annotations

import math
import random

from guard_parts import NOW, abort, browsers, cost, guard, resources

from scrapy_resilience.observe.view import (
    Accounting,
    Cause,
    Checkpoint,
    Component,
    Confidence,
    DomainView,
    Drifting,
    ErrorGroup,
    EventView,
    FieldCoverage,
    Health,
    Items,
    JobView,
    Latency,
    Progress,
    Series,
    Share,
    Traffic,
    View,
)

HOSTILE = (
    "<script>window.hurt = 1</script>",
    '"><img src=x onerror="window.hurt = 1">',
    "</script><script>window.hurt = 1</script>",
    "<!--<script>",
    "javascript:window.hurt=1",
    "\x1b[2J\x1b]0;owned\x07red",
    "\u202egpj.exe\u2066 \u200b",
    "NUL \x00 and \u2028 line \u2029 ends",
    "{{7*7}} ${7*7} %s %(name)s \\u003cb\\u003e &lt;b&gt;",
    "Ω" * 500,
)
"""Texts that a page, an URL or an exception may bring, each harmless where it is only shown."""
HISTORY = (
    "time", "pages_per_second", "items_per_second", "errors_per_second", "retries_per_second",
    "bytes_per_second", "pending", "held", "under_way", "memory", "loop_lag",
)  # fmt: skip
"""Columns of a series: rates, then what was so at the end of the span, then peaks."""


def large_view(*, domains: int = 1000, history: bool = True, hostile: bool = True) -> View:
    """A crawl of *domains* domains on its third day, rate-limited, some of them down."""
    rng = random.Random(7)
    texts = HOSTILE if hostile else ()
    found = [*_troubled(), *(_healthy(number, rng) for number in range(domains))][:domains]
    found += [DomainView(name=text, waits_for=text, failures=3) for text in texts]
    return View(
        time=NOW,
        job=_job(),
        progress=_progress(),
        traffic=_traffic(),
        domains=found,
        domains_known=domains + 4_318,
        breakers={"open": 2, "half_open": 1},
        accounting=_accounting(),
        errors=[*_errors(), *(_hostile_error(20 + at, text) for at, text in enumerate(texts))],
        items=_items(texts),
        checkpoint=Checkpoint(
            enabled=True, last=NOW - 3.2, commits=51_811, unaligned=212, write_errors=1,
            drain_max=0.412, stall_max=0.031, write_max=1.207, store_bytes=418_203_648,
            snapshots=864, snapshot_errors=1,
        ),
        guard=guard(texts),
        browsers=browsers(texts),
        cost=cost(texts),
        abort=abort(texts),
        resources=resources(),
        health=_health(),
        events=[*(_hostile_event(text) for text in texts), *_events()],
        settings={
            "RESILIENCE_PROFILE": "production",
            "RESILIENCE_RATE_LIMITS": {"a.example": "5/s", "b.example": "60/min"},
            "RESILIENCE_BREAKER_STATUSES": [500, 502, 503, 504],
            **{f"RESILIENCE_NAMED_{at}": text for at, text in enumerate(texts)},
        },
        stats={
            "start_time": "2026-11-26 11:58:02", "response_received_count": 1_931_204,
            "item_scraped_count": 1_702_911, "log_count/ERROR": 312,
        },
        history=_history(rng) if history else [],
    )  # fmt: skip


def _job() -> JobView:
    return JobView(
        spider="shops", path="/data/crawls/shops", ident="5b0c1f2e", run=3,
        started=NOW - 2.9 * 86_400, running_seconds=2.9 * 86_400, state="running",
        sentence="412,096 requests are left; 2 domains are left alone until they answer.",
    )  # fmt: skip


def _progress() -> Progress:
    return Progress(
        done=1_948_733, pending=412_096, under_way=14, held=38_442, dead_letters=1_207,
        pages=1_931_204, items=1_702_911, dropped=4_410, duplicates=88_123,
        pages_per_second=8.4, items_per_second=7.1, seconds_left=49_060.0,
    )  # fmt: skip


def _traffic() -> Traffic:
    return Traffic(
        requests=2_011_480, request_bytes=1_206_888_000, responses=1_989_322,
        response_bytes=143_187_329_024,
        statuses={"200": 1_921_004, "301": 31_022, "404": 12_900, "429": 8_211, "503": 14_880},
        failures={"transient": 9_120, "throttled": 8_211, "server_error": 14_880,
                  "permanent": 12_900, "blocked": 310, "content": 44},
        exceptions={"twisted.internet.error.TimeoutError": 6_020,
                    "twisted.internet.error.DNSLookupError": 41},
        retries=31_904, given_up=1_163,
        latency=Latency(
            bounds=[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
            counts=[81_003, 402_110, 803_221, 402_903, 180_220, 83_100, 24_009, 9_120,
                    3_300, 336],
            total=802_390.5,
        ),
    )  # fmt: skip


def _troubled() -> list[DomainView]:
    """Those in trouble, each for another reason."""
    return [
        DomainView(
            name="a.example", requests=904_311, answers=902_110, failures=2_201, retries=2_011,
            bytes=61_203_441_001, latency=0.212, pending=311_200, under_way=5,
            waits_for="rate limit: 5/s", next_try=NOW + 0.2, rate=5.0, critical=True,
        ),
        DomainView(
            name="b.example", requests=40_211, answers=25_331, failures=14_880, retries=9_040,
            bytes=2_100_233_120, latency=4.81, pending=38_400, under_way=0, breaker="open",
            opened=4, waits_for="breaker: 5 failures in a row (503)", next_try=NOW + 252,
        ),
        DomainView(
            name="c.example", requests=8_200, answers=6_013, failures=2_187, retries=2_102,
            bytes=410_233_120, latency=1.4, pending=2_004, under_way=1, breaker="half_open",
            opened=2, waits_for="breaker: waits for the answer to a trial request",
        ),
        DomainView(
            name="d.example", requests=60_110, answers=59_101, failures=1_009, retries=1_009,
            bytes=4_410_233_120, latency=0.4, pending=12_004, waits_for="Retry-After",
            next_try=NOW + 1_790, rate=0.8,
        ),
        DomainView(
            name="gone.example", requests=12, failures=12, retries=9, breaker="open", opened=7,
            waits_for="breaker: never answered", given_up=True,
        ),
    ]  # fmt: skip


def _healthy(number: int, rng: random.Random) -> DomainView:
    requests = int(400_000 / (number + 3) ** 0.9)
    failures = int(requests * rng.random() * 0.02)
    return DomainView(
        name=f"shop-{number:04}.{rng.choice(('example', 'test'))}", requests=requests,
        answers=requests - failures, failures=failures, retries=int(failures * 0.8),
        bytes=requests * rng.randrange(8_000, 90_000), latency=rng.uniform(0.04, 2.5),
        pending=rng.randrange(0, 400), under_way=1 if number < 9 else 0,
    )  # fmt: skip


def _accounting() -> Accounting:
    def spent(seconds: float, gate: float) -> Cause:
        rest = 1 - gate
        return Cause(
            seconds=seconds,
            shares=[
                Share(cause="gate", share=gate, detail="rate limit", domains=["a.example"]),
                Share(cause="servers", share=rest * 0.6, domains=["b.example", "d.example"]),
                Share(cause="processor", share=rest * 0.25),
                Share(cause="callbacks", share=rest * 0.1),
                Share(cause="commit", share=rest * 0.05),
            ],
        )

    return Accounting(
        minute=spent(60, 0.55),
        hour=spent(3_600, 0.61),
        job=spent(2.9 * 86_400, 0.48),
        sentence="61 % of the last hour waited for the rate limit of a.example, 5/s.",
    )


def _errors() -> list[ErrorGroup]:
    return [
        ErrorGroup(
            number=1, place="shops/spiders/shops.py:88 in parse_product", kind="AttributeError",
            message="'NoneType' object has no attribute 'strip'", count=251,
            domains={"shop-0003.example": 204, "shop-0011.test": 40, "other": 7},
            first=NOW - 200_000, last=NOW - 41, url="https://shop-0003.example/p/18823",
            trace_id="6f1d3cb1a40f4c6aa1d1b1f0c5a2e9d4", has_page=True,
        ),
        ErrorGroup(
            number=2, kind="server_error", message="HTTP 503", count=14_880,
            domains={"b.example": 14_880}, first=NOW - 250_000, last=NOW - 12,
            url="https://b.example/list?page=<number>",
            trace_id="0d4c8b7a3f5e4d2c9b8a7f6e5d4c3b2a", has_page=True, has_evidence=True,
        ),
        ErrorGroup(
            number=3, kind="twisted.internet.error.TimeoutError", count=6_020,
            message="User timeout caused connection failure: took longer than <number> seconds",
            domains={"c.example": 3_010, "d.example": 1_400, "other": 1_610},
            first=NOW - 250_400, last=NOW - 3, url="https://c.example/slow",
            trace_id="a1b2c3d4e5f60718293a4b5c6d7e8f90",
        ),
        ErrorGroup(
            number=4, place="shops/pipelines.py:31 in process_item", kind="ValueError",
            message="could not convert string to float: <text>", count=61,
            domains={"shop-0042.example": 61}, first=NOW - 90_000, last=NOW - 7_300,
            url="https://shop-0042.example/p/9", trace_id="ffeeddccbbaa99887766554433221100",
        ),
    ]  # fmt: skip


def _hostile_error(number: int, text: str) -> ErrorGroup:
    return ErrorGroup(
        number=number, place=text, kind=text, message=text, count=1, domains={text: 1},
        first=NOW - 9_000, last=NOW - 8_000, url=text, trace_id=text, has_page=True,
    )  # fmt: skip


def _items(texts: tuple[str, ...]) -> Items:
    fields = {"name": 1.0, "price": 0.97, "currency": 0.97, "rating": 0.61, "image": 0.92,
              "sku": 0.44, "availability": 0.08}  # fmt: skip
    latest = [
        {
            "name": f"Kettle {number}",
            "price": "1,234.56",
            "url": f"https://a.example/p/{number}",
        }
        for number in range(4)
    ]
    return Items(
        coverage=[FieldCoverage(item="Product", field=name, share=share)
                  for name, share in fields.items()],
        drift=[
            Drifting(set="ecommerce_product", field="rating", domain="shop-0011.test",
                     kind="found less often", since=NOW - 5_400),
            *(Drifting(set=text, field=text, domain=text, kind=text, since=NOW)
              for text in texts),
        ],
        confidence=Confidence(
            mean=0.78, doubtful=20_411, dropped=310,
            counts=[310, 1_204, 4_011, 9_120, 20_411, 61_000, 203_004, 602_110, 601_741,
                    200_000],
        ),
        unread={"price": 412, "date": 77},
        latest=[*({text[:80]: text} for text in texts[:1]), *latest],
    )  # fmt: skip


def _health() -> Health:
    told = {
        "processor": ("healthy", "63 % of a core"),
        "memory": ("healthy", "584 MB of 2,048 MB"),
        "disk": ("healthy", "38.7 GB free"),
        "event loop": ("healthy", "longest delay 0.02 s"),
        "store": ("healthy", "last commit 3 s ago"),
        "breakers": ("degraded", "2 domains are left alone"),
    }
    components = [
        Component(name=name, status=status, detail=detail, checked=NOW - 4)
        for name, (status, detail) in told.items()
    ]
    return Health(status="degraded", ready=True, components=components)


def _events() -> list[EventView]:
    told = [
        (48, "breaker", "error", "opened: 5 failures in a row (503)", "b.example"),
        (110, "hold", "warning", "Retry-After: 1,800 s", "d.example"),
        (301, "snapshot", "info", "snapshot of 418 MB written", ""),
        (5_400, "drift", "warning", "rating of ecommerce_product is found less often",
         "shop-0011.test"),
        (9_000, "breaker", "info", "closed again", "c.example"),
        (70_000, "commit", "error", "a commit failed once: disk I/O error", ""),
        (2.9 * 86_400, "run", "info", "run 3 began", ""),
    ]  # fmt: skip
    return [
        EventView(time=NOW - age, kind=kind, severity=severity, text=text, domain=domain,
                  number=len(told) - at)
        for at, (age, kind, severity, text, domain) in enumerate(told)
    ]  # fmt: skip


def _hostile_event(text: str) -> EventView:
    return EventView(time=NOW, kind=text[:20], text=text, domain=text, severity="warning")


def _history(rng: random.Random) -> list[Series]:
    """Ten minutes, six hours and a week: about 4,060 rows in all."""
    return [
        Series(seconds=seconds, columns=list(HISTORY), rows=[
            _row(NOW - (rows - row) * seconds, rng) for row in range(rows)
        ])
        for seconds, rows in ((1.0, 600), (15.0, 1_440), (300.0, 2_016))
    ]  # fmt: skip


def _row(time: float, rng: random.Random) -> list[float | None]:
    if NOW - 200_000 < time < NOW - 180_000:  # nobody ran it then
        return [time, *([None] * (len(HISTORY) - 1))]
    pages = 7 + 3 * math.sin(time / 9_000) + rng.uniform(-1.5, 1.5)
    failures = max(0.0, rng.uniform(-0.3, 0.6) + (2.5 if NOW - 220 < time < NOW - 120 else 0))
    memory = 520e6 + 60e6 * math.sin(time / 40_000)
    return [
        time, round(pages, 3), round(pages * 0.85, 3), round(failures, 3),
        round(failures * 0.7, 3), round(pages * 74_000), 412_096.0, 38_442.0, 14.0,
        round(memory), 0.018,
    ]  # fmt: skip
