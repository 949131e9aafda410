"""Lanes that belong together, as those of one domain do."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy_resilience.frontier.lane import Lane

__all__ = ["Groups"]


class Groups:
    """Which lanes are in which group. *group_of* gives that of a lane, by its name.

    Most groups have one lane with their own name: it is not noted.
    """

    def __init__(self, lanes: dict[str, Lane], group_of: Callable[[str], str]) -> None:
        self._lanes = lanes
        self._of = group_of
        self._others: dict[str, dict[Lane, None]] = {}

    def add(self, lane: Lane) -> None:
        group = self._of(lane.name)
        if group != lane.name:
            self._others.setdefault(group, {})[lane] = None

    def remove(self, lane: Lane) -> None:
        group = self._of(lane.name)
        if group != lane.name and (others := self._others.get(group)) is not None:
            others.pop(lane, None)
            if not others:
                del self._others[group]

    def left(self, group: str) -> int:
        """How many requests of *group* wait, delayed ones included."""
        own = self._lanes.get(group)
        left = 0
        if own is not None and self._of(group) == group:
            left = own.waiting + own.delayed
        for lane in self._others.get(group, ()):
            left += lane.waiting + lane.delayed
        return left

    def of(self, lanes: Iterable[Lane], most: int) -> list[str]:
        """The groups of the first *most* lanes."""
        return list(dict.fromkeys(self._of(lane.name) for lane in islice(lanes, most)))
