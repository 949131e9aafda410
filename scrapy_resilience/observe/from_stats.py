"""Parts of a view that are in Scrapy's stats already: of this run, or of all runs of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import names
from scrapy_resilience.core.masking import shown
from scrapy_resilience.observe.view import Checkpoint, Confidence, FieldCoverage, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "checkpoint_of", "confidence_of", "coverage_of", "number", "plain", "traffic_of",
    "unread_of",
]  # fmt: skip

_STATUS: Final = "downloader/response_status_count/"
_EXCEPTION: Final = "downloader/exception_type_count/"
_LONGEST: Final = 200
"""Characters of a text, and of a name."""


def traffic_of(stats: Mapping[str, Any]) -> Traffic:
    """What went over the network; the latency is known to the crawl only."""
    return Traffic(
        requests=number(stats, "downloader/request_count"),
        request_bytes=number(stats, "downloader/request_bytes"),
        responses=number(stats, "downloader/response_count"),
        response_bytes=number(stats, "downloader/response_bytes"),
        statuses=below(stats, _STATUS),
        failures=below(stats, names.STAT_FAILURES_PREFIX),
        exceptions=below(stats, _EXCEPTION),
        retries=number(stats, "retry/count"),
        given_up=number(stats, "retry/max_reached"),
    )


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


def coverage_of(stats: Mapping[str, Any]) -> list[FieldCoverage]:
    """How many items have each field; a type whose name has a slash is none of Python's."""
    found = []
    for key, share in _below(stats, names.STAT_COVERAGE_PREFIX):
        item, _, field = key.partition("/")
        found.append(FieldCoverage(item=shown(item), field=shown(field), share=float(share)))
    return found


def confidence_of(stats: Mapping[str, Any]) -> Confidence:
    """Scores of items, as far as the pipeline counts them in stats."""
    mean = stats.get(names.STAT_CONFIDENCE_MEAN)
    return Confidence(
        mean=float(mean) if isinstance(mean, (int, float)) else None,
        doubtful=number(stats, names.STAT_CONFIDENCE_DOUBTFUL),
        dropped=number(stats, names.STAT_CONFIDENCE_DROPPED),
    )


def unread_of(stats: Mapping[str, Any]) -> dict[str, int]:
    """Values that no normalizer could read, by field."""
    return below(stats, names.STAT_NORMALIZE_FAILED)


def plain(stats: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers and texts, masked and bounded."""
    found: dict[str, Any] = {}
    for key, value in stats.items():
        name = key if key.isascii() and key.isprintable() else shown(key)
        if isinstance(value, (bool, int, float)):
            found[name[:_LONGEST]] = value
        elif isinstance(value, str):
            found[name[:_LONGEST]] = shown(value[:_LONGEST])
    return found


def number(stats: Mapping[str, Any], key: str) -> int:
    """A count; 0 where there is none, or something else."""
    value = stats.get(key)
    return int(value) if isinstance(value, (int, float)) else 0


def seconds(stats: Mapping[str, Any], key: str) -> float:
    value = stats.get(key)
    return round(float(value), 6) if isinstance(value, (int, float)) else 0.0


def below(stats: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """The counts whose keys begin with *prefix*, by the rest of the key."""
    return {shown(key): int(value) for key, value in _below(stats, prefix)}


def _below(stats: Mapping[str, Any], prefix: str) -> list[tuple[str, float]]:
    length = len(prefix)
    return [
        (key[length:], value)
        for key, value in stats.items()
        if key.startswith(prefix) and isinstance(value, (int, float))
    ]
