"""Every error that scrapy_resilience raises.

The tree::

    ResilienceError
    ├── ConfigurationError   a setting has a value that is not allowed (also a ValueError)
    └── CheckpointError      a job can't be opened, written or resumed
        ├── JobLockedError   another process is running the job
        └── SnapshotError    a snapshot can't be made or read
            └── SnapshotKeyError  it is encrypted, and the key is missing or another one

This module imports nothing, so that every layer may raise from it.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "JobLockedError",
    "ResilienceError",
    "SnapshotError",
    "SnapshotKeyError",
]


class ResilienceError(Exception):
    """Root of the tree: catch it to catch everything of this package."""


class ConfigurationError(ResilienceError, ValueError):
    """A setting has a value that is not allowed; the text names what to change."""


class CheckpointError(ResilienceError):
    """A job can't be opened, written or resumed; nothing was changed on disk."""


class JobLockedError(CheckpointError):
    """Another process is running this job or writing this feed."""


class SnapshotError(CheckpointError):
    """A snapshot can't be made or read: it is damaged, foreign, or not there."""


class SnapshotKeyError(SnapshotError):
    """A snapshot is encrypted, and ``RESILIENCE_ENCRYPTION_KEY`` is empty or another one."""
