"""Every error that scrapy_resilience raises.

The tree::

    ResilienceError
    ├── ConfigurationError   a setting has a value that is not allowed (also a ValueError)
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
    "CheckpointError",
    "ConfigurationError",
    "DamagedError",
    "JobLockedError",
    "ResilienceError",
    "SelectorError",
    "SinkError",
    "SnapshotError",
    "SnapshotKeyError",
    "StorageError",
]


class ResilienceError(Exception):
    """Root of the tree: catch it to catch everything of this package."""


class ConfigurationError(ResilienceError, ValueError):
    """A setting has a value that is not allowed; the text names what to change."""


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
