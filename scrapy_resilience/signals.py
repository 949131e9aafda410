"""Signals of commits, for pipelines that buffer and spiders that read a queue, and of gates.

- :data:`checkpoint_prepare`: a commit has been sealed. It is written when all handlers have
  succeeded. A plain function runs at the very moment of the seal; a coroutine is awaited, for
  ``RESILIENCE_PREPARE_TIMEOUT`` seconds. One that fails is called again, and the commit waits.
- :data:`checkpoint_committed`: that commit is durable. Handlers may be coroutines; an error of
  theirs is logged and changes nothing.

Both come without arguments, in turn: after each prepare its committed, or none after a kill.

- :data:`breaker_changed`: the circuit breaker of a domain has another state. Arguments:
  ``domain``, ``old`` and ``new`` (``"closed"``, ``"open"``, ``"half_open"`` …) and ``reason``,
  a few words.
"""

from __future__ import annotations

from typing import Final

__all__ = ["breaker_changed", "checkpoint_committed", "checkpoint_prepare"]

checkpoint_prepare: Final = object()
checkpoint_committed: Final = object()
breaker_changed: Final = object()
