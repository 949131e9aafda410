"""Names of the files of a job."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADDRESS",
    "BATCHES",
    "COSTS",
    "DAMAGED",
    "ERRORS",
    "JOURNAL",
    "LOCK",
    "SCRAPYS_QUEUE",
    "STORE",
    "WAITING",
    "WATERMARK",
]

STORE: Final = "resilience.db"
SCRAPYS_QUEUE: Final = "requests.queue"
"""A folder of Scrapy's own scheduler."""
LOCK: Final = "resilience.lock"
DAMAGED: Final = "resilience.damaged"
"""There when a run has found the store to be damaged; it says how."""
WATERMARK: Final = "resilience.commits"
"""How many commits the store has at the least."""
BATCHES: Final = "resilience.batches"
"""Which feeds were begun when, and which are let go."""
JOURNAL: Final = "resilience.journal"
"""What a job has told of itself, commit by commit."""
ERRORS: Final = "errors"
"""A folder with a sample of each group of errors."""
COSTS: Final = "resilience.costs"
"""What was spent."""
WAITING: Final = "resilience.waiting"
"""There while a run waits for something that does not come back; it says for what."""
ADDRESS: Final = "resilience.http"
"""There while a run has an endpoint; it says where."""
