"""The settings of a crawl and its items: part of the ``Config`` of :mod:`.settings`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - types are read at run time
from dataclasses import dataclass
from typing import Any

from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings_values import setting

__all__ = ["CrawlConfig"]


@dataclass(frozen=True, init=False, repr=False, eq=False)  # those are of the whole
class CrawlConfig:
    """The job, its checkpoints, gates, retries and pipelines."""

    enabled: bool = setting(True, "Master switch of the add-on.")
    profile: str = setting("default", "Set of defaults to start from.", choices=tuple(PROFILES))
    config_file: str = setting("", "JSON or TOML file with settings, or empty.")
    scheduler_enabled: bool = setting(True, "Use ResilientScheduler.")
    checkpoint_enabled: bool = setting(True, "Commit the crawl's progress to the JOBDIR.")
    feeds_enabled: bool = setting(True, "Write feeds of all kinds exactly once.")
    cookies_enabled: bool = setting(
        True, "Keep cookies in the checkpoint, those of browser contexts too."
    )
    deadletters_enabled: bool = setting(True, "Record the requests that were given up.")
    filter_redirects: bool = setting(
        False, "Drop a redirect to a page that was requested before, as Scrapy does."
    )
    uvloop_enabled: bool = setting(
        True, "Run `scrapy crawl` and `runspider` on uvloop when it is installed."
    )
    download_handler: str = setting(
        "scrapy",
        "What downloads http and https: what DOWNLOAD_HANDLERS says, or Scrapy's experimental "
        "handler on `aiohttp`, which is faster.",
        choices=("scrapy", "aiohttp"),
    )
    checkpoint_interval: float = setting(5.0, "Seconds between two commits.", minimum=0.01)
    checkpoint_align_timeout: float = setting(
        1.0,
        "Seconds that a commit waits for running callbacks and pipelines to end.",
        minimum=0,
    )
    checkpoint_max_changes: int = setting(
        20_000, "Changed requests after which a commit comes early.", minimum=1
    )
    prepare_timeout: float = setting(
        30.0,
        "Seconds that one handler of checkpoint_prepare may take, and all of "
        "checkpoint_committed.",
        minimum=0.01,
    )
    handler_timeout: float = setting(
        300.0,
        "Seconds that a failure handler may take, and the close of a duplicate filter; what "
        "takes longer has failed.",
        minimum=0.01,
    )
    feed_timeout: float = setting(
        3600.0,
        "Seconds that the storage of a feed which is produced at the close may take; its items "
        "stay in the JOBDIR then.",
        minimum=0.01,
    )
    storage_timeout: float = setting(
        300.0,
        "Seconds that commits may fail before the crawl closes with resilience_storage.",
        minimum=0,
    )
    power_loss_safe: bool = setting(
        False, "Force feeds and the store to the disk at each commit."
    )
    shutdown_timeout: float = setting(
        30.0,
        "Seconds from SIGINT or SIGTERM to the end of the process; 0 cuts off at once.",
        minimum=0,
    )
    snapshot_enabled: bool = setting(
        True, "Copy the job to snapshots, from which it can be restored."
    )
    snapshot_interval: float = setting(
        300.0, "Seconds between two snapshots; 0 makes none by time.", minimum=0
    )
    snapshot_items: int = setting(
        0, "Scraped items after which a snapshot is made; 0 makes none by items.", minimum=0
    )
    snapshot_retention: int = setting(
        10, "How many good snapshots of a job are kept.", minimum=1
    )
    snapshot_dir: str = setting(
        "",
        "Folder of the snapshots, or a URL such as `s3://bucket/folder` with the extra "
        "`fsspec`; empty for `snapshots` in the JOBDIR.",
    )
    snapshot_timeout: float = setting(
        3600.0,
        "Seconds that a snapshot may take; the crawl goes on without it then.",
        minimum=0.01,
    )
    snapshot_compression: bool = setting(True, "Compress snapshots with zstd.")
    snapshot_encryption: bool = setting(
        True,
        "Encrypt snapshots, and restore none that is plain, when RESILIENCE_ENCRYPTION_KEY is "
        "set.",
    )
    encryption_key: str = setting(
        "",
        "Secret text with which snapshots are encrypted; set it in the environment.",
        minimum=16,
        secret=True,
    )
    allow_pickle: bool = setting(
        True, "Pickle what has no plain form; when off, such requests stay in memory."
    )
    gc_freeze: bool = setting(
        True, "Keep what exists when the crawl starts out of garbage collections."
    )
    rerun_start: bool = setting(
        False, "On resume, run all of start() again, not only what it has not done yet."
    )
    finished_job: str = setting(
        "refuse",
        "What a crawl does with a job that has finished: `refuse` is an error, `skip` ends at "
        "once with exit code 0, `anew` puts the job aside and begins again.",
        choices=("refuse", "skip", "anew"),
    )
    finished_jobs_kept: int = setting(
        3, "Finished jobs that `anew` keeps beside the JOBDIR.", minimum=0
    )
    changed_arguments: str = setting(
        "refuse",
        "What a crawl does when its spider arguments (`-a`) are not those of the job that it "
        "resumes: `refuse` is an error, `accept` goes on with the new ones.",
        choices=("refuse", "accept"),
    )
    gates_enabled: bool = setting(
        True, "Gate domains: circuit breakers, holds, rate limits and slow start."
    )
    breaker_enabled: bool = setting(True, "Circuit breakers for each domain.")
    breaker_failure_threshold: int = setting(
        5,
        "Failures in a row that open a breaker, at least: of a domain that is flaky, and "
        "answers all the same, more. 0 turns this off.",
        minimum=0,
    )
    breaker_failure_rate: float = setting(
        0.0,
        "Share of failures in the window that opens a breaker as well; 0 turns this off.",
        minimum=0,
        maximum=1,
    )
    breaker_window: float = setting(
        60.0, "Seconds of which shares of failures and slow calls are taken.", minimum=0.01
    )
    breaker_min_calls: int = setting(
        20, "Requests in the window below which no share counts.", minimum=1
    )
    breaker_first_trial: float = setting(
        1.0,
        "Seconds after which an open breaker makes its first trial request; each that fails "
        "makes the wait half as long again. 0 waits for RESILIENCE_BREAKER_RECOVERY_TIMEOUT "
        "at once.",
        minimum=0,
    )
    breaker_recovery_timeout: float = setting(
        300.0,
        "Seconds between two trial requests at most. Without early trials: before the first "
        "one, and each that fails doubles them.",
        minimum=0.001,
    )
    breaker_max_recovery_timeout: float = setting(
        3600.0,
        "Seconds between two trial requests at most, without early trials.",
        minimum=0.001,
    )
    breaker_half_open_max: int = setting(
        3, "Trial requests of a half-open breaker, one at a time.", minimum=1
    )
    breaker_success_threshold: int = setting(
        1, "Trial requests that must succeed for a breaker to close.", minimum=1
    )
    breaker_trial_timeout: float = setting(
        20.0, "Seconds after which a trial request without an answer has failed.", minimum=0.001
    )
    breaker_open_action: str = setting(
        "hold",
        "What becomes of requests while a breaker is open: they wait, or fail with "
        "CircuitOpenError.",
        choices=("hold", "fail"),
    )
    breaker_give_up_after: tuple[float, ...] = setting(
        (60.0, 3600.0),
        "Seconds after which the requests of a domain that is down go to the dead letters: of "
        "one that has never answered, and of one that has. One number is for both.",
        minimum=0,
    )
    breaker_max_trips: int = setting(
        -1,
        "How often in a row a domain may reopen before its requests go to the dead letters; "
        "0 gives it up when it opens for the first time, -1 for any number.",
        minimum=-1,
    )
    breaker_statuses: tuple[int, ...] = setting(
        (), "Statuses that alone count as failures of a domain; empty for what its class says."
    )
    breaker_exceptions: tuple[str, ...] = setting(
        (), "Import paths of exceptions that alone count; empty for a network that fails."
    )
    breaker_slow_call_duration: float = setting(
        0.0, "Seconds from which a response counts as slow; 0 turns this off.", minimum=0
    )
    breaker_slow_call_rate: float = setting(
        1.0,
        "Share of slow responses in the window that opens a breaker.",
        minimum=0.001,
        maximum=1,
    )
    breaker_domain: str = setting(
        "host",
        "What a breaker is for: the `host`, the `registered` domain, or the import path of a "
        "function that takes a request and gives a name.",
    )
    breaker_domains: Mapping[str, Any] = setting(
        dict, "Other breaker settings for some domains: domain → name without prefix → value."
    )
    hold_timeout: float = setting(
        3600.0,
        "Seconds for which a crawl waits when nothing but held requests is left, before it "
        "closes with resilience_held.",
        minimum=0,
    )
    bypass_timeout: float = setting(
        10.0,
        "Seconds that a request which did not come from the scheduler waits for its domain.",
        minimum=0,
    )
    rate_limits: Mapping[str, Any] = setting(
        dict, 'Domain → rate, such as "60/m" or "60/m burst 10"; "*" is for all others.'
    )
    adaptive_rate: bool = setting(
        True, "Ask a domain that throttles as fast as it answers, and faster again in time."
    )
    crawl_delay_max: float = setting(
        60.0,
        "Seconds of robots.txt's Crawl-delay that are heeded at most, with ROBOTSTXT_OBEY; "
        "0 ignores it.",
        minimum=0,
    )
    slow_start: float = setting(
        1.0,
        "Seconds for which a domain that has not answered yet gets one request only; 0 turns "
        "this off.",
        minimum=0,
    )
    concurrent_items: int = setting(
        1, "CONCURRENT_ITEMS that the add-on sets until pipelines are seen to wait.", minimum=1
    )
    retry_enabled: bool = setting(True, "Use ClassifiedRetryMiddleware for retries.")
    retry_policy: str = setting(
        "exponential_backoff", "Name of the policy that says how often and how late is retried."
    )
    retry_policies: Mapping[str, Any] = setting(
        dict, 'Policies of your own, such as `{"patient": {"attempts": 8, "base": 10}}`.'
    )
    retry_after_max: float = setting(
        300.0,
        "Seconds of Retry-After above which a request is given up, where the domain's action "
        "is `fail`; where it is `hold`, the domain is held as long as it asks for.",
        minimum=0,
    )
    retry_concurrency: int = setting(
        5, "How many retries are downloaded at a time; those that wait don't count.", minimum=1
    )
    retry_budget: float = setting(
        3.0,
        "Retries of a domain for each of its answers, above which retries wait longer; "
        "0 for no budget.",
        minimum=0,
    )
    retry_non_idempotent: bool = setting(
        False, "Retry POST and PATCH also where the server may have acted on them already."
    )
    failure_patterns: Mapping[str, Any] = setting(
        dict, "Failure class to patterns, searched in exceptions and in `HTTP <status>`."
    )
    body_patterns: Mapping[str, Any] = setting(
        dict, "Failure class to patterns, searched in the beginning of each text body."
    )
    ban_detection: bool = setting(True, "Take challenges and captchas for failures.")
    failure_handlers: Mapping[str, Any] = setting(
        dict, "Failure class to the path of a function that says what is done."
    )
    inject: tuple[Any, ...] = setting((), "Rules of failures to inject, for tests.")
    # --- selectors, drift, coverage ---
    selectors_dir: str = setting(
        "selectors",
        "Folder of the project's selector sets, where new versions go; empty for none.",
    )
    drift_enabled: bool = setting(
        True, "Watch what selector sets find, and raise an alarm when a field drifts."
    )
    drift_window: int = setting(
        50,
        "Pages of a domain, the latest ones, that are compared with those before.",
        minimum=20,
    )
    drift_baseline: int = setting(
        100,
        "Pages of a domain that must have come before a field can be said to drift.",
        minimum=20,
    )
    drift_domains: int = setting(
        500,
        "Domains whose fields are watched; the one not seen for longest goes first.",
        minimum=1,
    )
    drift_action: str = setting(
        "report",
        "What an alarm does to the set: nothing, back to an older version, or forward to one "
        "with the working fallback first.",
        choices=("report", "rollback", "promote"),
    )
    coverage_enabled: bool = setting(
        True, "Count how many items have each of their fields, nested ones too."
    )
    # --- pipelines ---
    normalize: Mapping[str, Any] = setting(
        dict,
        'Field to type of value, such as `{"price": "price"}`, or to a dict with `type`, `to` '
        'and hints; "*" has hints for all fields.',
    )
    unique: tuple[str, ...] = setting(
        (),
        "Fields whose values together tell items apart, or the import path of a function that "
        "takes an item and gives what does: later items alike are dropped. Empty for none.",
    )
    confidence_field: str = setting(
        "", "Field that gets the confidence of its item; empty for stats only."
    )
    confidence_minimum: float = setting(
        0.75, "Confidence below which an item is doubtful.", minimum=0, maximum=1
    )
    confidence_action: str = setting(
        "flag",
        "What becomes of a doubtful item: it is flagged, so that a feed may take or leave it, "
        "or dropped.",
        choices=("flag", "drop"),
    )
    confidence_weights: Mapping[str, Any] = setting(
        dict, 'Other weights of the factors, such as `{"speed": 0}`.'
    )
