"""Names that users see: stats, meta keys, close reasons. Literals live here only."""

from __future__ import annotations

from typing import Final

# Request.meta -----------------------------------------------------------------
META_DELAY: Final = "resilience_delay"
"""Seconds (int or float) that a request waits in the frontier before its first hand-out."""

# Close reasons ----------------------------------------------------------------
REASON_STORAGE: Final = "resilience_storage"
REASON_FEED_LOCKED: Final = "resilience_feed_locked"
REASON_UNREADABLE: Final = "resilience_unreadable"
FAILURES: Final = frozenset({REASON_STORAGE, REASON_FEED_LOCKED, REASON_UNREADABLE})
"""Close reasons with which the process ends with exit code 1."""
RESUMABLE: Final = frozenset({"shutdown", "memusage_exceeded"})
"""Scrapy's close reasons for a crawl that was stopped from outside before its end."""
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
STAT_STATE_ERRORS: Final = "resilience/checkpoint/state_errors"
STAT_SNAPSHOTS: Final = "resilience/snapshots/taken"
STAT_SNAPSHOTS_EMERGENCY: Final = "resilience/snapshots/emergency"
STAT_SNAPSHOT_ERRORS: Final = "resilience/snapshots/errors"
STAT_SNAPSHOT_MAX: Final = "resilience/snapshots/seconds_max"
STAT_SUPPRESSED_ITEMS: Final = "resilience/suppressed/items"
STAT_SUPPRESSED_REQUESTS: Final = "resilience/suppressed/requests"
STAT_REQUESTS_DONE: Final = "resilience/requests/done"
STAT_RESUMED: Final = "resilience/resumed"
STAT_UNREADABLE: Final = "resilience/requests/unreadable"
STAT_DRIFT_ALARMS: Final = "resilience/drift/alarms"
STAT_DRIFT_CHANGES: Final = "resilience/drift/changes"
STAT_COVERAGE_PREFIX: Final = "resilience/coverage/"
STAT_CUT: Final = "resilience/shutdown/cut"
STAT_TOTAL_PREFIX: Final = "resilience/total/"
