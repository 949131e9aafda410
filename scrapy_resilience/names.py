"""Names that users see: stats, meta keys, close reasons. Literals live here only.

Those of metrics are in :mod:`scrapy_resilience.observe.metrics.metric_names`.
"""

from __future__ import annotations

from typing import Final

# Request.meta -----------------------------------------------------------------
PREFIX_OF_META: Final = "resilience_"
"""How all of ours begin."""
META_DELAY: Final = "resilience_delay"
"""Seconds (int or float) that a request waits in the frontier before its first hand-out."""
SCRAPY_RETRY_TIMES: Final = "retry_times"
"""Scrapy's: how often a request was tried again."""
SCRAPY_REDIRECT_TIMES: Final = "redirect_times"
"""Scrapy's: how often a request was redirected."""
META_FAILED_AT: Final = "resilience_failed_at"
"""When a request that is tried again failed for the first time, in seconds since 1970."""
META_ANSWERS_BEFORE: Final = "resilience_answers_before"
"""How often its domain had answered when a request failed: a number of one run only."""
ATTEMPT_STATE: Final = (
    SCRAPY_RETRY_TIMES,
    META_FAILED_AT,
    META_ANSWERS_BEFORE,
    SCRAPY_REDIRECT_TIMES,
    "redirect_ttl",
)
"""Meta keys that tell of tries: a replay begins without them."""

META_UNCACHED: Final = "resilience_uncached"
"""On what HTTPCACHE must not answer with an old failure; it may keep the new answer."""
META_OPEN_ACTION: Final = "resilience_open_action"
"""``"hold"`` or ``"fail"``: what becomes of the request while its breaker is open."""

META_RETRY_POLICY: Final = "resilience_retry_policy"
"""Name of the retry policy of a request; an attribute of the spider has the same name."""
META_RETRY_NON_IDEMPOTENT: Final = "resilience_retry_non_idempotent"
"""Whether a POST or PATCH is retried as other requests are."""

META_TRACE_ID: Final = "resilience_trace_id"
"""The id by which everything about a request is found again; set when it is sent."""
META_REQUEST_ID: Final = "resilience_request_id"
"""The id of one try of it, in logs; set at each try, where logs ask for it."""

# Components of the user ---------------------------------------------------------
STORAGE_REPLACES: Final = "resilience_replaces"
"""Attribute of a storage: True when storing a feed once more leaves it there once."""

# Close reasons ----------------------------------------------------------------
REASON_STORAGE: Final = "resilience_storage"
REASON_ABORT_HANDLER: Final = "resilience_abort_handler"
REASON_FEED_LOCKED: Final = "resilience_feed_locked"
REASON_UNREADABLE: Final = "resilience_unreadable"
REASON_HELD: Final = "resilience_held"
REASON_SKIPPED: Final = "resilience_skipped"
"""The job had finished before, and a setting says to leave it so."""
REASON_START_ERROR: Final = "start_error"
"""Scrapy's own, when ``start()`` has raised an exception."""
FAILURES: Final = frozenset(
    {REASON_STORAGE, REASON_FEED_LOCKED, REASON_UNREADABLE, REASON_START_ERROR}
)
"""Close reasons with which the process ends with exit code 1."""
RESUMABLE: Final = frozenset(
    {"shutdown", "memusage_exceeded", REASON_HELD, REASON_ABORT_HANDLER}
)
"""Close reasons of a crawl that was stopped before its end, and has more to do."""
EXIT_FAILURE: Final = 1
EXIT_RESUMABLE: Final = 75
"""EX_TEMPFAIL of sysexits.h: not done, try again."""

# Stats ------------------------------------------------------------------------
STAT_COMMITS: Final = "resilience/checkpoint/commits"
STAT_ALIGNED: Final = "resilience/checkpoint/aligned"
STAT_UNALIGNED: Final = "resilience/checkpoint/unaligned"
STAT_DRAIN_MAX: Final = "resilience/checkpoint/drain_seconds_max"
STAT_SEAL_MAX: Final = "resilience/checkpoint/stall_seconds_max"
STAT_WRITE_MAX: Final = "resilience/checkpoint/write_seconds_max"
STAT_WRITE_ERRORS: Final = "resilience/checkpoint/write_errors"
STAT_PREPARE_ERRORS: Final = "resilience/checkpoint/prepare_errors"
STAT_COMMITTED_ERRORS: Final = "resilience/checkpoint/committed_errors"
STAT_STATE_ERRORS: Final = "resilience/checkpoint/state_errors"
STAT_SNAPSHOTS: Final = "resilience/snapshots/taken"
STAT_SNAPSHOTS_EMERGENCY: Final = "resilience/snapshots/emergency"
STAT_SNAPSHOT_ERRORS: Final = "resilience/snapshots/errors"
STAT_SNAPSHOT_MAX: Final = "resilience/snapshots/seconds_max"
STAT_SUPPRESSED_ITEMS: Final = "resilience/suppressed/items"
STAT_SUPPRESSED_REQUESTS: Final = "resilience/suppressed/requests"
STAT_REQUESTS_DONE: Final = "resilience/requests/done"
STAT_CONCURRENT_ITEMS: Final = "resilience/concurrent_items"
STAT_REQUESTS_REFUSED: Final = "resilience/requests/refused"
STAT_RESUMED: Final = "resilience/resumed"
STAT_UNREADABLE: Final = "resilience/requests/unreadable"
STAT_INCOMPLETE: Final = "resilience/incomplete"
STAT_DEAD_LETTERS: Final = "resilience/deadletters/"
STAT_DRIFT_ALARMS: Final = "resilience/drift/alarms"
STAT_DRIFT_CHANGES: Final = "resilience/drift/changes"
STAT_FALLBACKS: Final = "resilience/selectors/fallbacks"
STAT_COVERAGE_PREFIX: Final = "resilience/coverage/"
STAT_NORMALIZED: Final = "resilience/normalize/read/"
STAT_NORMALIZE_FAILED: Final = "resilience/normalize/unread/"
STAT_CONFIDENCE: Final = "resilience/confidence/"
STAT_CONFIDENCE_MEAN: Final = "resilience/confidence/mean"
STAT_CONFIDENCE_DOUBTFUL: Final = "resilience/confidence/doubtful"
STAT_CONFIDENCE_DROPPED: Final = "resilience/confidence/dropped"
STAT_CUT: Final = "resilience/shutdown/cut"
STAT_HELD: Final = "resilience/held"
STAT_HOLDS: Final = "resilience/holds"
STAT_BREAKER_OPENED: Final = "resilience/breaker/opened"
STAT_BREAKER_HALF_OPEN: Final = "resilience/breaker/half_open"
STAT_BREAKER_CLOSED: Final = "resilience/breaker/closed"
STAT_BREAKER_REJECTED: Final = "resilience/breaker/rejected"
STAT_BREAKER_CHECKS: Final = "resilience/breaker/checks"
STAT_PROXY_FAILURES: Final = "resilience/proxy/failures"
STAT_PROXY_SKIPPED: Final = "resilience/proxy/skipped"
STAT_GIVEN_UP: Final = "resilience/breaker/given_up"
STAT_FAILURES_PREFIX: Final = "resilience/failures/"
STAT_RETRY_AFTER: Final = "resilience/retry/retry_after"
STAT_RETRY_BUDGET: Final = "resilience/retry/over_budget"
STAT_RETRY_PACED: Final = "resilience/retry/paced"
STAT_RETRY_UNSAFE: Final = "resilience/retry/not_repeatable"
STAT_HANDLER_ERRORS: Final = "resilience/handlers/errors"
STAT_INJECTED: Final = "resilience/injected"
STAT_PUSHES: Final = "resilience/metrics/pushes"
STAT_PUSH_ERRORS: Final = "resilience/metrics/push_errors"
STAT_TEXTFILE_ERRORS: Final = "resilience/metrics/textfile_errors"
STAT_TRACES_SENT: Final = "resilience/traces/sent"
STAT_TRACES_LOST: Final = "resilience/traces/lost"
STAT_TOTAL_PREFIX: Final = "resilience/total/"
