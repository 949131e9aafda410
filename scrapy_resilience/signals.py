"""Signals of commits, for pipelines that buffer and spiders that read a queue, and of others.

- :data:`checkpoint_prepare`: a commit has been sealed. It is written when all handlers have
  succeeded. A plain function runs at the very moment of the seal; a coroutine is awaited, for
  ``RESILIENCE_PREPARE_TIMEOUT`` seconds. One that fails is called again, and the commit waits.
- :data:`checkpoint_committed`: that commit is durable. Handlers may be coroutines; an error of
  theirs is logged and changes nothing, and neither does one that takes
  ``RESILIENCE_PREPARE_TIMEOUT`` seconds.

These two come without arguments, in turn: after each prepare its committed, or none after a
kill.

- :data:`breaker_changed`: the circuit breaker of a domain has another state. Arguments:
  ``domain``, ``old`` and ``new`` (``"closed"``, ``"open"``, ``"half_open"`` …) and ``reason``,
  a few words.

- :data:`selector_drift`: a field of a selector set is found less often than before, by another
  selector, or with values of a wrong shape. Arguments: ``alarm``
  (:class:`~scrapy_resilience.core.drift.Alarm`), ``candidates`` (a list of
  :class:`~scrapy_resilience.selectors.candidates.Candidate`), and the ``response`` and
  ``extraction`` that raised it.

- :data:`guard_breached`: something that is watched has become worse: a resource, or a component
  with a check. Arguments: ``name`` (``"memory"``, ``"disk"`` …), ``status`` (``"degraded"`` or
  ``"unhealthy"``) and ``detail``, a few words.
- :data:`guard_recovered`: it is healthy again. Arguments: ``name`` and ``detail``.

- :data:`crawl_event`: something has happened that the crawl's owner may want to know, and of
  which no other signal tells. Arguments: ``kind`` (``"hold"``, ``"given_up"``, ``"snapshot"``
  …), ``text``, one sentence, ``severity`` (``"info"``, ``"warning"`` or ``"error"``) and
  ``domain``, which may be empty. Send it for events of your own: they come into the event log.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "breaker_changed", "checkpoint_committed", "checkpoint_prepare", "crawl_event",
    "guard_breached", "guard_recovered", "selector_drift",
]  # fmt: skip

checkpoint_prepare: Final = object()
checkpoint_committed: Final = object()
breaker_changed: Final = object()
selector_drift: Final = object()
crawl_event: Final = object()
guard_breached: Final = object()
guard_recovered: Final = object()
