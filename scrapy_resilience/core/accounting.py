"""Why a crawl is not faster: what its time was spent on.

Each *sample* covers the seconds since the one before. It says what they were spent on, as
weights of :class:`Key`: the processor's part of the time, and of the rest what each download
slot was used for, or waited for (:func:`spread`). Weights only matter against each other: a
sample counts as much as the time that it covers, so that a loop that was blocked for a minute
is a minute, however few samples were taken in it.

Samples are kept as sums: sixty of a second each, sixty of a minute each, and one of the job.
Nothing here knows a clock: *now* is an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BLOCKED", "CALLBACKS", "CAUSES", "COMMIT", "DELAYED", "FRONTIER", "GATE", "HAND_OUT",
    "OTHER_WORK", "PACED", "PER_DOMAIN", "PROCESSOR", "SERVERS", "START", "Key", "Part",
    "Spans", "Sum", "spread",
]  # fmt: skip

PROCESSOR: Final = "processor"
"""The loop's thread computes, or would if the machine let it."""
SERVERS: Final = "servers"
"""Requests are under way, or as many as a domain may have."""
GATE: Final = "gate"
"""Requests wait for their domain, or for their time."""
FRONTIER: Final = "frontier"
"""Nothing is left to ask for that is not under way."""
CALLBACKS: Final = "callbacks"
"""Callbacks, pipelines and other code of the user are waited for."""
COMMIT: Final = "commit"
"""A commit is aligned, or can't be written."""
CAUSES: Final = (PROCESSOR, SERVERS, GATE, FRONTIER, CALLBACKS, COMMIT)

OTHER_WORK: Final = "other work"
"""Of the processor: it was busy with something else than the crawl."""
HAND_OUT: Final = "hand-out"
"""Of the processor: requests may go, and the loop has not come to it yet."""
PER_DOMAIN: Final = "limit of a domain"
"""Of servers: more requests wait, and their domains have all under way that they may."""
BLOCKED: Final = "a call that blocks"
"""Of callbacks: the loop stood still, and did not compute."""
START: Final = "start()"
"""Of the frontier: ``start()`` has not put out more yet."""
DELAYED: Final = "delay of requests"
"""Of gates: requests wait for their own time, as retries do."""
PACED: Final = "download delay"
"""Of gates: ``DOWNLOAD_DELAY`` or AutoThrottle."""

_MOST: Final = 64
"""Keys of one sum, beyond which the lightest ones lose their domain."""
_KEPT: Final = 32
_TINY: Final = 1e-12
"""Of the heaviest weight of a sample: what is less is nothing."""
_DOMAINS: Final = 3
_SPAN: Final = 60


class Key(NamedTuple):
    """What time was spent on: a cause, which of its kinds, and for which domain."""

    cause: str
    detail: str = ""
    domain: str = ""


class Part(NamedTuple):
    """The part that a cause has of a span, what of it weighs most, and for whom."""

    cause: str
    share: float
    detail: str
    detail_share: float
    """How much of :attr:`share` is this *detail*'s."""
    domains: list[str]


def spread(
    free: float, wanted: Mapping[Key, float], rest: Key | None = None
) -> dict[Key, float]:
    """What *free* slots wait for, where *wanted* says how many each cause would fill.

    Where more is wanted than there is, each cause has its share; what nobody wants is for
    *rest*, and without it the same.
    """
    total = sum(wanted.values())
    if rest is not None and total < free:
        found = dict(wanted)
        found[rest] = found.get(rest, 0.0) + free - total
        return found
    return {key: free * weight / total for key, weight in wanted.items()} if total else {}


class Sum(msgspec.Struct):
    """Seconds, and what they were spent on: the weights add up to them."""

    seconds: float = 0.0
    weights: dict[Key, float] = {}

    def add(self, seconds: float, weights: Mapping[Key, float]) -> None:
        """Count a sample; one without time or weights is none."""
        least = _TINY * max(weights.values(), default=0.0)
        heavy = {key: weight for key, weight in weights.items() if weight > least >= 0}
        total = sum(heavy.values())
        if not (seconds > 0 and isfinite(seconds) and total > 0 and isfinite(total)):
            return
        self.seconds += seconds
        for key, weight in heavy.items():
            self.weights[key] = self.weights.get(key, 0.0) + seconds * weight / total
        if len(self.weights) > _MOST:
            self._fold()

    def merge(self, other: Sum) -> None:
        """Count what *other* has counted."""
        self.add(other.seconds, other.weights)

    def _fold(self) -> None:
        """Take domains, and where that is not enough details, from what weighs least."""
        for length in (2, 1):
            if len(self.weights) <= _KEPT:
                return
            kept = dict(sorted(self.weights.items(), key=lambda pair: -pair[1]))
            for key in [*kept][_KEPT - len(CAUSES) :]:
                weight, short = kept.pop(key), Key(*key[:length])
                kept[short] = kept.get(short, 0.0) + weight
            self.weights = kept

    def parts(self) -> list[Part]:
        """What it was spent on, the largest part first."""
        by_cause: dict[str, dict[Key, float]] = {}
        for key, weight in self.weights.items():
            by_cause.setdefault(key.cause, {})[key] = weight
        total = sum(self.weights.values())
        found = [self._part(cause, keys, total) for cause, keys in by_cause.items()]
        return sorted(found, key=lambda part: (-part.share, part.cause))

    @staticmethod
    def _part(cause: str, keys: Mapping[Key, float], total: float) -> Part:
        details = _summed((key.detail, weight) for key, weight in keys.items())
        whole = sum(details.values())
        detail = next(iter(details), "")
        domains = _summed(
            (key.domain, weight)
            for key, weight in keys.items()
            if key.domain and (key.detail == detail or cause != GATE)
        )
        top = [*domains][:_DOMAINS]
        return Part(cause, whole / total, detail, details[detail] / whole, top)

    # --- across runs ---

    def dump(self) -> dict[str, Any]:
        """As plain values."""
        weights = [[*key, round(weight, 3)] for key, weight in self.weights.items()]
        return {"seconds": round(self.seconds, 3), "weights": weights}

    @classmethod
    def load(cls, seconds: float, weights: Iterable[tuple[str, str, str, float]]) -> Sum:
        """What :meth:`dump` gave; a cause that is not known is left out."""
        known = {Key(*key): weight for *key, weight in weights if key[0] in CAUSES}
        found = cls()
        found.add(seconds, known)
        return found


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The sum of each name, the largest first."""
    found: dict[str, float] = {}
    for name, weight in pairs:
        found[name] = found.get(name, 0.0) + weight
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


class _Ring:
    """The sums of the last sixty spans of *width* seconds."""

    def __init__(self, width: float) -> None:
        self._width = width
        self._sums: dict[int, Sum] = {}

    def add(self, now: float, seconds: float, weights: Mapping[Key, float]) -> None:
        number = max(int(now // self._width), next(reversed(self._sums), 0))
        self._sums.setdefault(number, Sum()).add(seconds, weights)
        self._drop(number)

    def _drop(self, number: int) -> None:
        """Forget what is too old; the sums are in the order of their numbers."""
        while (oldest := next(iter(self._sums), number)) <= number - _SPAN:
            del self._sums[oldest]

    def sum(self, now: float) -> Sum:
        self._drop(int(now // self._width))
        found = Sum()
        for each in self._sums.values():
            found.merge(each)
        return found


class Spans:
    """The last minute, the last hour, and the whole job."""

    def __init__(self) -> None:
        self._minute, self._hour = _Ring(1.0), _Ring(float(_SPAN))
        self.job = Sum()

    def add(self, now: float, seconds: float, weights: Mapping[Key, float]) -> None:
        """Count a sample that has ended *now* and covers *seconds*."""
        self._minute.add(now, seconds, weights)
        self._hour.add(now, seconds, weights)
        self.job.add(seconds, weights)

    def minute(self, now: float) -> Sum:
        return self._minute.sum(now)

    def hour(self, now: float) -> Sum:
        return self._hour.sum(now)
