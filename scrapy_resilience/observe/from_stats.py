"""Parts of a view that are in Scrapy's stats already: of this run, or of all runs of a job."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import names
from scrapy_resilience.core.masking import clipped
from scrapy_resilience.observe.view import Checkpoint, Confidence, FieldCoverage, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Grouped", "checkpoint_of", "confidence_of", "number", "plain"]

_STATUS: Final = "downloader/response_status_count/"
_EXCEPTION: Final = "downloader/exception_type_count/"
_PREFIXES: Final[tuple[str, ...]] = (
    _STATUS, _EXCEPTION, names.STAT_FAILURES_PREFIX, names.STAT_COVERAGE_PREFIX,
    names.STAT_NORMALIZE_FAILED,
)  # fmt: skip
_LONGEST: Final = 200
"""Characters of a text, and of a name."""
_MOST: Final = 2_000
"""Stats of a view, and those of one prefix: the first ones."""


class Grouped:
    """Stats with the ones that come in groups apart: they are looked through once."""

    def __init__(self, stats: Mapping[Any, Any]) -> None:
        self._stats = stats
        self._groups: dict[str, dict[str, float]] = {prefix: {} for prefix in _PREFIXES}
        with_room = _PREFIXES
        for key, value in stats.items():
            if not (isinstance(key, str) and key.startswith(with_room)):
                continue
            if isinstance(value, (int, float)) and self._fills(key, value):
                with_room = tuple(p for p in _PREFIXES if len(self._groups[p]) < _MOST)

    def _fills(self, key: str, value: float) -> bool:
        """Put a stat into its group. Whether that is full then."""
        prefix = next(each for each in _PREFIXES if key.startswith(each))
        group, name = self._groups[prefix], _name(key[len(prefix) :])
        group[name] = group.get(name, 0) + value
        return len(group) >= _MOST

    def _counts(self, prefix: str) -> dict[str, int]:
        return {name: _whole(value) for name, value in self._groups[prefix].items()}

    def traffic(self) -> Traffic:
        """What went over the network; the latency is known to the crawl only."""
        stats = self._stats
        return Traffic(
            requests=number(stats, "downloader/request_count"),
            request_bytes=number(stats, "downloader/request_bytes"),
            responses=number(stats, "downloader/response_count"),
            response_bytes=number(stats, "downloader/response_bytes"),
            statuses=self._counts(_STATUS),
            failures=self._counts(names.STAT_FAILURES_PREFIX),
            exceptions=self._counts(_EXCEPTION),
            retries=number(stats, "retry/count"),
            given_up=number(stats, "retry/max_reached"),
        )

    def coverage(self) -> list[FieldCoverage]:
        """How many items have each field; a type whose name has a slash is none of Python's."""
        found = []
        for key, share in self._groups[names.STAT_COVERAGE_PREFIX].items():
            item, _, field = key.partition("/")
            found.append(FieldCoverage(item=item, field=field, share=float(share)))
        return found

    def unread(self) -> dict[str, int]:
        """Values that no normalizer could read, by field."""
        return self._counts(names.STAT_NORMALIZE_FAILED)


def checkpoint_of(stats: Mapping[str, Any]) -> Checkpoint:
    """What the stats of this run say of its commits and snapshots."""
    return Checkpoint(
        commits=number(stats, names.STAT_COMMITS),
        unaligned=number(stats, names.STAT_UNALIGNED),
        write_errors=number(stats, names.STAT_WRITE_ERRORS),
        drain_max=seconds(stats, names.STAT_DRAIN_MAX),
        stall_max=seconds(stats, names.STAT_SEAL_MAX),
        write_max=seconds(stats, names.STAT_WRITE_MAX),
        snapshots=number(stats, names.STAT_SNAPSHOTS),
        snapshot_errors=number(stats, names.STAT_SNAPSHOT_ERRORS),
    )


def confidence_of(stats: Mapping[str, Any]) -> Confidence:
    """Scores of items, as far as the pipeline counts them in stats."""
    mean = stats.get(names.STAT_CONFIDENCE_MEAN)
    return Confidence(
        mean=float(mean) if isinstance(mean, (int, float)) else None,
        doubtful=number(stats, names.STAT_CONFIDENCE_DOUBTFUL),
        dropped=number(stats, names.STAT_CONFIDENCE_DROPPED),
    )


def plain(stats: Mapping[Any, Any]) -> dict[str, Any]:
    """The first two thousand numbers and texts, masked and bounded."""
    told = (
        (key, value)
        for key, value in stats.items()
        if isinstance(key, str) and isinstance(value, (int, float, str))
    )
    return {
        _name(key): clipped(value, _LONGEST) if isinstance(value, str) else value
        for key, value in islice(told, _MOST)
    }


def number(stats: Mapping[str, Any], key: str) -> int:
    """A count; 0 where there is none, or something else."""
    value = stats.get(key)
    return _whole(value) if isinstance(value, (int, float)) else 0


def _whole(value: float) -> int:
    try:
        return int(value)
    except (OverflowError, ValueError):  # what is infinite is no count
        return 0


def seconds(stats: Mapping[str, Any], key: str) -> float:
    value = stats.get(key)
    return round(float(value), 6) if isinstance(value, (int, float)) else 0.0


@lru_cache(2 * _MOST)
def _name(key: str) -> str:
    """The name of a stat may hold a URL: it is masked once."""
    return clipped(key, _LONGEST)
