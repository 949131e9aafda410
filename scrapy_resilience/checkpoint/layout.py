"""Names of a job's files, and of its own values in the store."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from scrapy_resilience.checkpoint.state import OWN
from scrapy_resilience.exceptions import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DAMAGED",
    "GATES",
    "LOCK",
    "META",
    "STORE",
    "TOTALS",
    "WITNESS",
    "refuse_strange_files",
]

STORE: Final = "resilience.db"
LOCK: Final = "resilience.lock"
DAMAGED: Final = "resilience.damaged"
"""There when a run has found the store to be damaged; it says how."""
WITNESS: Final = "resilience.commits"
"""How many commits the store has at the least."""

META: Final = OWN + "job"
TOTALS: Final = OWN + "totals"
GATES: Final = OWN + "gates"
"""A map of domain to what :meth:`.Gates.changed` gives."""


def refuse_strange_files(jobdir: Path) -> None:
    """A pipe in the place of a file would be waited for, a link would lead elsewhere.

    Raises :exc:`CheckpointError`, before any of them is opened.
    """
    for path in sorted(jobdir.glob("resilience.*")):
        with suppress(FileNotFoundError):  # a job that runs has removed it
            if not stat.S_ISREG(path.lstat().st_mode):
                raise CheckpointError(
                    f"{path} is no regular file: put back what was there, or use another JOBDIR"
                )
