"""The parts of a large view that are about guards; *texts* are put wherever some may come."""

from __future__ import annotations

from scrapy_resilience.observe.view import (
    AbortView,
    BrowsersView,
    BudgetView,
    ChannelView,
    ConditionView,
    CostShare,
    CostView,
    DiskView,
    FailureView,
    GuardView,
    LadderView,
    PauseView,
    ResourceCost,
    Resources,
    StuckView,
)

NOW = 1_795_953_600.0
"""When a view was taken: 29 November 2026, 12:00 UTC."""


def resources() -> Resources:
    """A crawl with browsers, one of whose disks does not answer."""
    return Resources(
        cpu=0.63, cpu_share=0.42, memory=612_368_384, memory_limit=2_147_483_648,
        children_memory=1_203_765_248, browser_memory=1_050_673_152, children=9, browsers=7,
        memory_pressure=0.012, disk_free=38_654_705_664,
        disks=[
            DiskView(purpose="job", path="/data/crawls", free=38_654_705_664,
                     total=214_748_364_800),
            DiskView(purpose="temp", path="/data/temp", free=1_610_612_736, total=8_589_934_592,
                     stale=True),
        ],
        loop_lag=0.018, threads=9, open_files=143, open_files_limit=1_024, connections=37,
    )  # fmt: skip


def browsers(texts: tuple[str, ...]) -> BrowsersView:
    """One browser, some of whose pages have crashed."""
    return BrowsersView(
        used=True, running=1, contexts=2, pages=7, waiting=3, places=4, started=12, crashes=2,
        killed=1, replaced=8, recycled=214, page_crashes=5, timeouts=61, left_open=4,
        orphans=3, failure=" ".join(texts),
    )  # fmt: skip


def guard(texts: tuple[str, ...]) -> GuardView:
    """Short of memory, near a budget, and one channel of notices is down."""
    return GuardView(
        sentence="Eased off: 1,816 of 2,048 MB of memory are used: 8 requests at a time "
        "instead of 16. 92 % of the budget of $5.00 an hour are spent.",
        pauses=[PauseView(reason=text, text=text, since=NOW) for text in texts],
        concurrency=8,
        most=16,
        ladders=[
            LadderView(
                resource="memory", rung="fewer", since=NOW - 312, used=1_904_214_016,
                high=1_825_361_100, limit=2_147_483_648,
                text="1,816 of 2,048 MB of memory are used: 8 requests at a time instead of 16",
                climbed={"clean": 4, "fewer": 2},
            ),
            LadderView(resource="disk", used=38_654_705_664, high=536_870_912),
            LadderView(resource="cpu", used=0.004, high=0.5),
        ],
        stuck=[
            StuckView(kind="callback", since=NOW - 95,
                      text="parse_product of https://c.example/p/3 has run for 95 s"),
            *(StuckView(kind=text, text=text, since=NOW) for text in texts),
        ],
        breaches={"memory": 4, "redis": 1, **dict.fromkeys(texts, 1)},
        recoveries={"memory": 3, "redis": 1, **dict.fromkeys(texts, 1)},
        channels=[
            ChannelView(name="slack", waiting=0, sent=12),
            ChannelView(name="mail", waiting=3, sent=9, failures=4,
                        problem="the server has refused the connection"),
            *(ChannelView(name=text, waiting=1, problem=text) for text in texts),
        ],
        dropped_notices=2,
    )  # fmt: skip


def cost(texts: tuple[str, ...]) -> CostView:
    """Most of it for one domain; the budget of the hour is nearly spent."""
    return CostView(
        total=310.25,
        resources=[
            ResourceCost(name="llm_tokens", amount=30_900_000, cost=309, price=0.00001),
            ResourceCost(name="proxy_requests", amount=12_500, cost=1.25, price=0.0001),
        ],
        domains=[
            CostShare(name="a.example", cost=201.4, amounts={"llm_tokens": 20_140_000}),
            CostShare(name="shop-0003.example", cost=41.02, amounts={"llm_tokens": 4_102_000}),
            *(CostShare(name=text, cost=1, amounts={text: 1}) for text in texts),
        ],
        proxies=[CostShare(name="http://proxy.example:8080", cost=1.25,
                           amounts={"proxy_requests": 12_500})],
        budgets=[
            BudgetView(
                resource="usd", limit=5, per="an hour", action="pause", used=4.61,
                left=0.39, text="$5.00 an hour",
            ),
            BudgetView(
                resource="llm_tokens", limit=100_000, per="an hour", action="warn",
                used=61_200, left=38_800, text="100,000 llm tokens an hour",
            ),
            *(BudgetView(resource=text, limit=1, used=0.5, scope="domain", name=text,
                         text=f"1 an hour for {text}") for text in texts),
        ],
        per_item=0.00018,
        projected=22.5,
    )  # fmt: skip


def abort(texts: tuple[str, ...]) -> AbortView:
    """One condition is met, and one is near."""
    return AbortView(
        policy="production",
        conditions=[
            ConditionView(name="failure_rate", value=0.24, limit=0.3,
                          text="24% of the last requests failed"),
            ConditionView(name="failures_in_a_row", value=2, limit=30,
                          text="2 failures in a row"),
            ConditionView(name="no_item_for", value=4, limit=900, text="no item for 4 s"),
            ConditionView(name="cost", value=310.25, text="a cost of 310.25"),
            ConditionView(name="coverage.price", value=0.41, limit=0.5, met=True,
                          text="41% of the last items have the field"),
            *(ConditionView(name=text, value=0.5, limit=1, text=text) for text in texts),
        ],
        operations=1_948_733,
        needed=10,
        judged=NOW - 31,
        acted=["coverage.price", *texts],
        failures=[
            FailureView(time=NOW - 60, category="login", source="shops/spiders/shops.py:40",
                        message="the session has ended"),
            *(FailureView(time=NOW, category=text, source=text, message=text)
              for text in texts),
        ],
    )  # fmt: skip
