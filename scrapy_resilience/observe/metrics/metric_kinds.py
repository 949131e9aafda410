"""What a metric is: its name, its kind, its meaning, and where in the view it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping  # noqa: TC003 - of type aliases
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from scrapy_resilience.observe.view import DomainView, View

__all__ = ["PREFIX", "DomainMetric", "Histogram", "Metric", "Number", "of_stat"]

PREFIX: Final = "scrapy_resilience_"

Number: TypeAlias = "int | float"
Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Labelled: TypeAlias = "Mapping[str, Number] | Iterable[tuple[tuple[str, ...], Number]]"


@dataclass(frozen=True)
class Metric:
    """One number, or one for each value of its labels; None where it is not known."""

    short: str
    kind: Kind
    meaning: str
    read: Callable[[View], Number | Labelled | None]
    labels: tuple[str, ...] = ()
    of_job: bool = False
    """Whether the view counts all runs: what was there at the start is taken away."""

    @property
    def name(self) -> str:
        return PREFIX + self.short


@dataclass(frozen=True)
class DomainMetric:
    """One number for each domain; ``other`` has the sum, where there can be one."""

    short: str
    kind: Kind
    meaning: str
    read: Callable[[DomainView], Number | None]
    field: str = ""
    """That is added up for ``other``; empty where a sum would say nothing."""
    labels: tuple[str, ...] = ("domain",)

    @property
    def name(self) -> str:
        return PREFIX + self.short


@dataclass(frozen=True)
class Histogram:
    """Counts between bounds; ``read`` gives bounds, counts (one more than bounds), the sum."""

    short: str
    meaning: str
    read: Callable[[View], tuple[list[float], list[int], float]]
    of_job: bool = False
    kind: Kind = "histogram"
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return PREFIX + self.short


def of_stat(name: str) -> Callable[[View], Any]:
    """Reads a stat of the run."""
    return lambda view: view.stats.get(name, 0)
