"""Stats of all runs of a job, from those of the runs before and of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["add_stats"]

_OF_ALL: Final = {"coverage", "mean", "per"}
"""In keys of what is not a sum: it is taken over all runs already, or is a rate."""


def add_stats(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Counters add up; maxima and minima stay such; anything else is the latest value.

    A key is a maximum or a minimum when one of the words it is made of is ``max`` or
    ``min``, as in Scrapy's ``request_depth_max``, but not ``retry/max_reached``, which counts
    requests. Memory is never a sum, and neither are shares, means and rates.
    """
    total = dict(before)
    for key, value in now.items():
        old = total.get(key)
        total[key] = value if old is None else _add(key, old, value)
    return total


def _add(key: str, old: Any, new: Any) -> Any:
    if key == "start_time":
        return old
    key = str(key)  # Scrapy's collector takes any
    if key.startswith("memusage/"):
        return max(old, new)
    words = key.replace("/", "_").split("_")
    if _OF_ALL & set(words) or not (_is_number(old) and _is_number(new)):
        return new
    if "max" in words and "reached" not in words:
        return max(old, new)
    if "min" in words:
        return min(old, new)
    return old + new


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
