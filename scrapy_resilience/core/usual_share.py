"""A domain's usual share of failures, and the run of failures that is implausible for it.

Runs that independent failures of probability *p* make by chance have a length at which one in
a million calls is the last of such a run: ``p ** n = 1e-6``. That is the threshold, with a
little room, and *p* estimated from the outcomes so far, the present run included: so the
threshold grows during a run, and a domain whose every page fails once does not open its
breaker again and again. A cumulated sum (CUSUM; Page, Biometrika 41, 1954) finds the same
domains, and needs the share as well. A rule in time ("no success for 30 s") needs no share,
but sends 800 requests to a domain that fails fast. ``python -m benchmarks outages`` prints
the operating curve.
"""

from __future__ import annotations

from math import isnan, log
from typing import Any, Final

__all__ = ["UsualShare"]

_DECAY: Final = 0.99
"""Of what is known, with each outcome: the last hundred count."""
_MOST: Final = 1 / (1 - _DECAY)
"""All that is known, after very many outcomes."""
_PRIOR_FAILURES: Final = 1.0
_PRIOR_CALLS: Final = 20.0
"""With 10, a domain that dies after its first answer gets 59 requests and not 28; with 30, one
whose every page fails once is held twice and not once."""
_HIGHEST: Final = 0.75
"""Above it every domain is down: runs of 52."""
_EVIDENCE: Final = log(1e6)
_ROOM: Final = 0.98


class UsualShare:
    """Failures and successes, each decayed by one per cent with each outcome."""

    __slots__ = ("_failures", "_successes")

    def __init__(self, failures: float = 0.0, successes: float = 0.0) -> None:
        self._failures = failures
        self._successes = successes

    @classmethod
    def after(cls, successes: int) -> UsualShare:
        """What is known after so many successes, and no failure."""
        return cls(0.0, (1 - _DECAY**successes) * _MOST)

    def add(self, *, failed: bool) -> None:
        """Count an outcome."""
        self._failures = self._failures * _DECAY + failed
        self._successes = self._successes * _DECAY + (not failed)

    @property
    def share(self) -> float:
        """Of failures, from 0 to 0.75; 5 % where nothing is known."""
        calls = self._failures + self._successes + _PRIOR_CALLS
        return min((self._failures + _PRIOR_FAILURES) / calls, _HIGHEST)

    @property
    def implausible_run(self) -> float:
        """Failures in a row from which the domain is down rather than flaky."""
        return _EVIDENCE / log(_ROOM / self.share)

    def dump(self) -> list[float]:
        """What :meth:`load` takes."""
        return [round(self._failures, 2), round(self._successes, 2)]

    @classmethod
    def load(cls, data: Any) -> UsualShare:
        """What :meth:`dump` gave; what can't be that is as if nothing was known."""
        try:
            failures, successes = map(float, data)
        except (TypeError, ValueError, OverflowError):
            return cls()
        if isnan(failures + successes):
            return cls()
        return cls(*(min(max(each, 0.0), _MOST) for each in (failures, successes)))
