"""Names of a job's files, and of its own values in the store."""

from __future__ import annotations

from typing import Final

from scrapy_resilience.checkpoint.state import OWN

__all__ = [
    "BATCHES",
    "DAMAGED",
    "GATES",
    "LOCK",
    "META",
    "STORE",
    "TOTALS",
    "WAITING",
    "WITNESS",
]

STORE: Final = "resilience.db"
LOCK: Final = "resilience.lock"
DAMAGED: Final = "resilience.damaged"
"""There when a run has found the store to be damaged; it says how."""
WITNESS: Final = "resilience.commits"
"""How many commits the store has at the least."""
BATCHES: Final = "resilience.batches"
"""Which feeds were begun when, and which are let go."""
WAITING: Final = "resilience.waiting"
"""There while a run waits for something that does not come back; it says for what."""

META: Final = OWN + "job"
TOTALS: Final = OWN + "totals"
GATES: Final = OWN + "gates"
"""A map of domain to what :meth:`.Gates.changed` gives."""
