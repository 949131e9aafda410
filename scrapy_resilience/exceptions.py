"""Every error that scrapy_resilience raises.

The tree::

    ResilienceError
    ├── BrowserLostError     the browser, or the page in it, has ended under a request
    ├── BrowserUnavailableError  no browser could be had for a request, which was not sent
    ├── BudgetExceededError  a budget has no room
    ├── CircuitOpenError     a circuit breaker refuses a call
    ├── ConfigurationError   a setting has a value that is not allowed (also a ValueError)
    ├── MaxRetriesExceededError  the last of all tries has failed
    ├── PermanentFailureError  trying again would be in vain
    ├── ItemRefusedError     a feed's exporter can't write an item
    │   └── RowRefusedError      a database can't hold an item as it is
    ├── MissingLibraryError  a library of an extra is not installed (also an ImportError)
    ├── StuckDownloadError   no byte came for a request, and its handler has not given it up
    ├── WorkCancelledError   a callback, pipeline or middleware was cancelled, but by no stop
    │   └── WorkTimeoutError     it was cancelled because it has waited for too long
    ├── SelectorError        a selector set is missing, wrong or not what was stored
    └── CheckpointError      a job can't be opened, written or resumed
        ├── DamagedError     a stored file is not what was written
        ├── JobLockedError   another process is running the job
        ├── SinkError        a handler of ``checkpoint_prepare`` fails, for now
        ├── SnapshotError    a snapshot can't be made or read
        │   └── SnapshotKeyError  it is encrypted, and the key is missing or another one
        └── StorageError     nothing could be written for too long

This module imports nothing, so that every layer may raise from it.
"""

from __future__ import annotations

__all__ = [
    "BrowserLostError",
    "BrowserUnavailableError",
    "BudgetExceededError",
    "CheckpointError",
    "CircuitOpenError",
    "ConfigurationError",
    "DamagedError",
    "ItemRefusedError",
    "JobLockedError",
    "MaxRetriesExceededError",
    "MissingLibraryError",
    "PermanentFailureError",
    "ResilienceError",
    "RowRefusedError",
    "SelectorError",
    "SinkError",
    "SnapshotError",
    "SnapshotKeyError",
    "StorageError",
    "StuckDownloadError",
    "WorkCancelledError",
    "WorkTimeoutError",
]


class ResilienceError(Exception):
    """Root of the tree: catch it to catch everything of this package."""


class BrowserLostError(ResilienceError):
    """The browser of a request, or the page in it, has ended before there was an answer.

    What Playwright has said of it is the ``__cause__``.
    """


class BrowserUnavailableError(ResilienceError):
    """No browser could be had for a request: nothing was sent."""


class BudgetExceededError(ResilienceError):
    """A budget has no room for what was to be spent: it was not counted.

    :ivar resource: of which there is no more
    :ivar retry_after: the seconds until there may be room, None when there will be none
    """

    def __init__(self, message: str, resource: str, retry_after: float | None = None) -> None:
        super().__init__(message, resource, retry_after)
        self.message = message
        self.resource = resource
        self.retry_after = retry_after

    def __str__(self) -> str:
        when = "" if self.retry_after is None else f": room in {self.retry_after:.1f} s"
        return f"{self.message}{when}"


class CircuitOpenError(ResilienceError):
    """The circuit breaker *name* refuses a call.

    :ivar name: which breaker
    :ivar retry_after: the seconds until it may admit a call, None when it can't tell
    :ivar last_failure: the class and the message of the latest error that was a failure, in
        one line without URLs and passwords; empty when there is none
    """

    def __init__(
        self, name: str, retry_after: float | None = None, last_failure: str = ""
    ) -> None:
        super().__init__(name, retry_after, last_failure)
        self.name = name
        self.retry_after = retry_after
        self.last_failure = last_failure

    def __str__(self) -> str:
        when = "later" if self.retry_after is None else f"in {self.retry_after:.1f} s"
        after = f" after {self.last_failure}" if self.last_failure else ""
        return f"circuit breaker {self.name!r} is open{after}: try again {when}"


class ConfigurationError(ResilienceError, ValueError):
    """A setting has a value that is not allowed; the text names what to change."""


class MaxRetriesExceededError(ResilienceError):
    """All *attempts* have failed; the last error is the ``__cause__`` where there is one."""

    def __init__(self, message: str, attempts: int = 0) -> None:
        super().__init__(message)
        self.attempts = attempts


class PermanentFailureError(ResilienceError):
    """Trying again would be in vain; the error behind it is the ``__cause__``."""


class ItemRefusedError(ResilienceError):
    """The exporter of a feed can't write an item; what it raised is the ``__cause__``."""


class RowRefusedError(ItemRefusedError):
    """A table can't hold an item as it is; the text says which field, and why."""


class MissingLibraryError(ResilienceError, ImportError):
    """A library is not installed; the text names the extra that has it."""


class SelectorError(ResilienceError, ValueError):
    """A selector set is missing, wrong or not what was stored; the text says where."""


class CheckpointError(ResilienceError):
    """A job can't be opened, written or resumed; nothing was changed on disk."""


class DamagedError(CheckpointError):
    """A stored file is torn, has flipped bits, or is not what was written."""


class JobLockedError(CheckpointError):
    """Another process is running this job or writing this feed."""


class SinkError(CheckpointError):
    """A handler of ``checkpoint_prepare`` fails: its commit waits and it is called again."""


class StorageError(CheckpointError):
    """Nothing could be written for too long; the job stays at its last commit."""


class SnapshotError(CheckpointError):
    """A snapshot can't be made or read: it is damaged, foreign, or not there."""


class SnapshotKeyError(SnapshotError):
    """A snapshot is encrypted, and ``RESILIENCE_ENCRYPTION_KEY`` is empty or another one."""


class WorkCancelledError(ResilienceError):
    """A callback, a pipeline or a middleware was cancelled, and no stop has asked for it."""


class StuckDownloadError(ResilienceError):
    """No byte came for a request long after its time-out: it was cancelled.

    Download middlewares see a Scrapy ``DownloadTimeoutError`` that is one, too.
    """


class WorkTimeoutError(WorkCancelledError):
    """A callback, an errback or the pipelines of an item have waited for too long."""
