"""Names of the moments between two durable steps, where a test may end the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RESTORE_STEPS", "SQL_STEPS", "STEPS", "failpoint", "reached"]

STEPS: Final = (
    "job/created",
    "job/begun",
    "feed/known",
    "feed/opened",
    "feed/tail-kept",
    "feed/cut",
    "commit/sealed",
    "commit/prepared",
    "commit/written",
    "commit/done",
    "spool/exported",
    "spool/stored",
    "spool/published",
    "spool/removed",
    "close/committed",
    "close/last",
)

SQL_STEPS: Final = ("sql/written", "sql/committed")
"""Of a batch of the database sink."""

RESTORE_STEPS: Final = (
    "restore/loaded",
    "restore/prepared",
    "restore/kept",
    "restore/files",
    "restore/replaced",
)
"""Of going back to a snapshot."""

reached: list[Callable[[str], None]] = []
"""Called with the name of each step: empty but in tests."""


def failpoint(step: str) -> None:
    """The process is about to leave *step* behind."""
    for call in reached:
        call(step)
