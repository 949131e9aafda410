"""The settings of what guards a crawl: part of the ``Config`` of :mod:`.settings`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - types are read at run time
from dataclasses import dataclass
from typing import Any

from scrapy_resilience.settings_values import setting

__all__ = ["GuardConfig"]


@dataclass(frozen=True, init=False, repr=False, eq=False)  # those are of the whole
class GuardConfig:
    """Watchdogs, stuck things, abort policies, notifications and costs."""

    # --- the watchdog ---
    watchdog_enabled: bool = setting(
        True, "Watch memory, disks, the processor and open files, and ease off before it hurts."
    )
    watchdog_interval: float = setting(
        30.0,
        "Seconds between two looks of the watchdog. Memory is looked at far more often.",
        minimum=0.1,
    )
    memory_limit_mb: float = setting(
        2048.0,
        "MB (2**20 bytes) that the process and its children may use, browsers included; 0: no"
        " limit but that of the container and the machine.",
        minimum=0,
    )
    cpu_limit_percent: float = setting(
        80.0,
        "Percent of the processors that are allowed from which on they are degraded: that"
        " informs.",
        minimum=1,
        maximum=100,
    )
    thresholds: Mapping[str, Any] = setting(
        dict,
        "Sets of thresholds by name, each a dict of one number or two (degraded from, unhealthy"
        " from) by what is measured; the set `default` is that of the watchdog.",
    )
    watchdog_heals: bool = setting(
        True,
        "Ease off under pressure: clean up, fewer requests at a time, a pause, and in the end a"
        " snapshot and a close that can be resumed. False: only tell.",
    )
    memory_caches: tuple[str, ...] = setting(
        (),
        "Paths of functions with `functools.lru_cache`, of dicts and the like, or of"
        " functions that clear something: they are cleared when memory is short.",
    )
    memory_patience: float = setting(
        60.0,
        "Seconds that a pause for memory may bring nothing, a sixth of that once nothing is"
        " under way. Then the crawl is closed with the reason `resilience_memory`.",
        minimum=0.6,
    )
    disk_reserve_mb: float = setting(
        500.0,
        "MB (2**20 bytes), but at most 2 % of a disk: when less is free on one that the crawl"
        " writes to, it is paused. 0: never.",
        minimum=0,
    )
    disk_patience: float = setting(
        600.0,
        "Seconds that a pause for a full disk may last. Then the crawl is closed with the"
        " reason `resilience_disk`.",
        minimum=1,
    )
    cpu_close_after: float = setting(
        0.0,
        "Seconds after which a crawl is closed with the reason `resilience_cpu` whose event"
        " loop is late by its own work, though it asks for less at a time. 0: never.",
        minimum=0,
    )
    adaptive_concurrency: bool = setting(
        False,
        "Raise and lower the number of requests at a time, from CONCURRENT_REQUESTS on, as"
        " long as that makes the crawl faster and the event loop is not late.",
    )
    adaptive_concurrency_max: int = setting(
        100, "The most requests at a time that it may come to.", minimum=1
    )
    # --- stuck things ---
    stuck_timeout: float = setting(
        30.0,
        "Seconds beyond its own download_timeout after which a request of which no byte comes "
        "is cancelled and tried again, whatever its download handler does; 0: never.",
        minimum=0,
    )
    blocked_after: float = setting(
        5.0,
        "Seconds for which one call may block the event loop before it is reported with its "
        "file and line; 0: never.",
        minimum=0,
    )
    callback_timeout: float = setting(
        300.0,
        "Seconds that a callback, an errback or the pipelines of an item may wait for one "
        "thing before it is reported where they wait; 0: for ever.",
        minimum=0,
    )
    callback_timeout_action: str = setting(
        "report",
        "What becomes of them then: nothing more, or they are cancelled, and their request is "
        "a dead letter.",
        choices=("report", "cancel"),
    )
    stall_timeout: float = setting(
        600.0,
        "Seconds in which nothing of a crawl ends although something ought to before it is "
        "reported and healed; 0: never.",
        minimum=0,
    )
    stall_close: bool = setting(
        False, "Close a crawl that is healed in vain: with `resilience_stalled`, to be resumed."
    )
    # --- components ---
    components: Mapping[str, Any] = setting(
        dict,
        "Components of yours: name → {`check`: import path, `recover`: import path}, functions "
        "that take the crawler and say how well something is, and make it well again.",
    )
    recover_timeout: float = setting(
        30.0, "Seconds that it may take to make a component well again.", minimum=0.1
    )
    recover_delay: float = setting(
        10.0,
        "Seconds between the first try to make a component well again and the second one; "
        "twice as many after each one more, up to ten minutes.",
        minimum=0.1,
    )
    # --- abort policies ---
    abort_policy: str = setting(
        "off",
        "Name of the abort policy; on: conservative, or what the profile has; off: none.",
    )
    abort_policies: Mapping[str, Any] = setting(
        dict, "Abort policies of your own, and changes to the built-in ones."
    )
    abort_interval: float = setting(
        60.0, "Seconds between two looks at the conditions of the abort policy.", minimum=0.1
    )
    abort_after: int = setting(
        10,
        "Requests that must have ended, well or not, before the policy is judged.",
        minimum=1,
    )
    abort_window: int = setting(
        200,
        "Requests or items, the last ones, that a failure rate, a field's share and the mean"
        " confidence are of.",
        minimum=10,
        maximum=100_000,
    )
    abort_timeout: float = setting(
        5.0, "Seconds that a function of an abort policy may take.", minimum=0.01
    )
    abort_fails: bool = setting(
        False, "Whether a crawl that an abort policy has ended exits with code 1, and not 75."
    )
    incomplete_exit_code: int = setting(
        0,
        "Exit code of a crawl that would end with 0 and has given something up, or that a limit"
        " of your own has ended early.",
        minimum=0,
        maximum=125,
    )
    # --- notifications ---
    notify_enabled: bool = setting(
        True, "Send notices to the channels of RESILIENCE_NOTIFY, if there are any."
    )
    notify: tuple[str | dict[str, Any], ...] = setting(
        (),
        "Where notices go: URLs, or dicts with `url`, `name`, `events`, `severity` and "
        "`attach_report`; set them in the environment, where it may be one URL, or several "
        "with spaces between them.",
        secret=True,
    )
    notify_secret: str = setting(
        "",
        "Secret text that signs what is sent to webhooks; set it in the environment.",
        minimum=16,
        secret=True,
    )
    notify_per_hour: int = setting(
        10,
        "Notices an hour that a channel is sent; as many again that are errors or the end of a "
        "crawl.",
        minimum=1,
        maximum=10_000,
    )
    notify_group: float = setting(
        5.0, "Seconds within which events of one kind become one notice.", minimum=0
    )
    notify_repeat_after: float = setting(
        3600.0,
        "Seconds for which the same is not told again, unless something else has happened.",
        minimum=0,
    )
    notify_open_after: float = setting(
        600.0, "Seconds for which a breaker is open until that is told.", minimum=0
    )
    notify_timeout: float = setting(
        10.0,
        "Seconds by which the end of a crawl may be delayed for notices; those that are left "
        "are sent by the next run of the job.",
        minimum=0,
        maximum=600,
    )
    # --- costs and budgets ---
    prices: Mapping[str, Any] = setting(
        dict, "Resource → dollars for one of it, beside the defaults; None for no price."
    )
    budgets: tuple[Any, ...] = setting(
        (), 'How much may be spent: a list of dicts, or `"hourly"` (how-to: costs).'
    )
    # --- browsers ---
    browser_enabled: bool = setting(
        True, "Make the pages of scrapy-playwright, where it is used, as durable as others."
    )
    browser_context_pages: int = setting(
        100, "Pages after which a browser context is replaced; 0: never.", minimum=0
    )
    browser_context_max_age: float = setting(
        3600.0, "Seconds after which a browser context is replaced; 0: never.", minimum=0
    )
    browser_context_idle: float = setting(
        60.0,
        "Seconds without a page after which a browser context is closed, and fewer as memory "
        "fills; 0: never.",
        minimum=0,
    )
    browser_keep_storage: bool = setting(
        True, "Whether a context that is replaced hands on its local storage with its cookies."
    )
    browser_screenshots: bool = setting(
        True,
        "Whether the first error of each group keeps how its page looked in the browser, and "
        "what its console said.",
    )
    browser_contexts: int = setting(
        10,
        "Contexts after which a browser is replaced if its memory has grown; 0: never.",
        minimum=0,
    )
    browser_memory_growth: float = setting(
        1.5, "How many times its first memory a browser may use then.", minimum=1
    )
    browser_max_age: float = setting(
        0.0, "Seconds after which a browser is replaced; 0: never.", minimum=0
    )
    browser_max_crashes: int = setting(
        5,
        "How often in a row a browser may end, or not start, without showing a page before the "
        "crawl closes with resilience_browser.",
        minimum=1,
    )
    browser_launch_timeout: float = setting(
        30.0, "Seconds in which a browser must have started.", minimum=1
    )
    browser_answer_timeout: float = setting(
        30.0,
        "Seconds in which a browser must open or close a page before it is killed; sooner if "
        "it does not use the processor.",
        minimum=2,
    )
