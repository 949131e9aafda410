"""Signals of a job's commits, for pipelines that buffer and spiders that read a queue.

- :data:`checkpoint_prepare`: a commit has been sealed. It is written when all handlers have
  succeeded. A plain function runs at the very moment of the seal; a coroutine is awaited, for
  ``RESILIENCE_PREPARE_TIMEOUT`` seconds. One that fails is called again, and the commit waits.
- :data:`checkpoint_committed`: that commit is durable. Handlers may be coroutines; an error of
  theirs is logged and changes nothing.

Both come without arguments, in turn: after each prepare its committed, or none after a kill.
"""

from __future__ import annotations

from typing import Final

__all__ = ["checkpoint_committed", "checkpoint_prepare"]

checkpoint_prepare: Final = object()
checkpoint_committed: Final = object()
