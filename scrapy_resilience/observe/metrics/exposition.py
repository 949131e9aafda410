"""The metrics of a crawl as text.

Made from a view, and from the registry of the user's own metrics where there is one. The
beginning of a line that was written once is kept: a library that builds objects first takes
forty times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.metricnames import is_name
from scrapy_resilience.observe.metrics.domain_labels import OTHER, DomainLabels
from scrapy_resilience.observe.metrics.metric_names import (
    DOMAIN_METRICS,
    HISTOGRAMS,
    LEFT_OUT,
    METRICS,
    PREFIX,
    USER_FAILED,
    DomainMetric,
    Histogram,
    Metric,
    defined,
)
from scrapy_resilience.observe.metrics.stat_metrics import StatName, StatNames
from scrapy_resilience.observe.metrics.text_format import head, labels_text, number_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from scrapy_resilience.observe.view import DomainView, View

    _Values: TypeAlias = str | tuple[str, ...]

__all__ = ["DomainLabels", "Exposition", "exposition"]

_MOST: Final = 100
"""Series of one metric, but for those of domains."""
_KEPT: Final = 10_000
"""Labels of the user's that are kept as text."""
_STAT: Final = "A stat of Scrapy or of another component."
_KINDS: Final = {"stateset": "gauge", "gaugehistogram": "unknown"}
"""What kinds of prometheus_client become that both formats do not have."""


def exposition(view: View, user_registry: Any = None, *, openmetrics: bool = False) -> bytes:
    """The metrics of *view*, once. A crawl keeps an :class:`Exposition`."""
    return Exposition().write(view, user_registry, openmetrics=openmetrics)


class Exposition:
    """What is kept of one crawl from one scrape to the next: its series and their names.

    :param labels: of each series, beside ``spider``
    :param domains: which domains have series of their own
    """

    def __init__(
        self, labels: Mapping[str, str] | None = None, domains: DomainLabels | None = None
    ) -> None:
        self.domains = domains or DomainLabels()
        self._labels = dict(labels or {})
        self._stats = StatNames(frozenset(metric.name for metric in defined()))
        self._heads: dict[tuple[str, bool], str] = {}
        self._before: dict[str, Any] = {}
        """What of the counts of the job is not of this run."""
        self._use("")

    def begin(self, view: View) -> None:
        """A run begins: what *view* counts of earlier ones is not its own."""
        for metric in (*METRICS, *HISTOGRAMS):
            if metric.of_job:
                self._before[metric.short] = metric.read(view)

    def write(self, view: View, registry: Any = None, *, openmetrics: bool = False) -> bytes:
        """The text of a view, in UTF-8; *registry* is one of prometheus_client."""
        if view.job.spider != self._spider:
            self._use(view.job.spider)
        self._openmetrics = openmetrics
        self._left_out = 0
        out: list[str] = []
        for metric in METRICS:
            found: Any = metric.read(view)
            before = self._before.get(metric.short)
            out += self._metric(metric, _less(found, before) if before else found)
        out += self._domains(view.domains)
        for histogram in HISTOGRAMS:
            bounds, counts, total = histogram.read(view)
            if before := self._before.get(histogram.short):
                counts = [now - then for now, then in zip(counts, before[1], strict=True)]
                total -= before[2]
            out += self._histogram(histogram, bounds, counts, total)
        stats = self._of_stats(view.stats)
        out += (line for lines in stats.values() for line in lines)
        if registry is not None:
            out += self._of_user(registry, stats.keys())
        out += self._metric(LEFT_OUT, self._left_out)
        if openmetrics:
            out.append("# EOF\n")
        return "".join(out).encode("utf-8", "replace")

    def _use(self, spider: str) -> None:
        """Begin anew: all lines hold the name of the spider."""
        self._spider = spider
        self._constant = labels_text({"spider": spider, **self._labels})
        self._series: dict[str, dict[_Values, str]] = {}
        """The beginnings of the lines of each metric, by the values of its labels."""
        self._rows: dict[str, list[str]] = {}
        """The same of all metrics of a domain."""
        self._row_labels: set[str] = set()
        self._of_users: dict[tuple[tuple[str, str], ...], str] = {}
        self._of_stat: dict[str, tuple[StatName, str]] = {}

    def _head(self, metric: Metric | DomainMetric | Histogram) -> str:
        return self._known_head(metric.name, metric.kind, metric.meaning)

    def _known_head(self, name: str, kind: str, meaning: str) -> str:
        key = (name, self._openmetrics)
        if key not in self._heads:
            self._heads[key] = self._new_head(name, kind, meaning)
        return self._heads[key]

    def _new_head(self, name: str, kind: str, meaning: str) -> str:
        return head(name, kind, meaning, openmetrics=self._openmetrics)

    # --- ours ---

    def _metric(self, metric: Metric, found: Any) -> list[str]:
        if found is None:
            return []
        known = self._series.get(metric.short)
        if known is None:
            known = self._series[metric.short] = {}
        if not metric.labels:
            begin = known.get("") or self._begin(metric, "", known)
            return [self._head(metric), f"{begin}{number_text(found)}\n"]
        out, rest = [self._head(metric)], 0
        for values, number in found.items() if isinstance(found, Mapping) else found:
            begin = known.get(values) or self._begin(metric, values, known)
            if begin:
                text = number if type(number) is int else number_text(number)
                out.append(f"{begin}{text}\n")
            else:
                rest += number
        if rest and metric.kind == "counter":
            labels = labels_text(dict.fromkeys(metric.labels, OTHER))
            out.append(f"{metric.name}{{{self._constant},{labels}}} {number_text(rest)}\n")
        return out

    def _begin(self, metric: Metric, values: _Values, known: dict[_Values, str]) -> str:
        """The beginning of a new line; empty when there are too many of the metric."""
        counts = metric.kind == "counter"
        if len(known) >= _MOST or (counts and values == OTHER):
            self._left_out += not counts
            return ""
        known[values] = self._unlike(metric, values, set(known.values()))
        return known[values]

    def _unlike(self, metric: Metric, values: _Values, taken: set[str]) -> str:
        """Texts that were cut or masked may have become alike."""
        key = (values,) if isinstance(values, str) else values
        named = dict(zip(metric.labels, key if metric.labels else (), strict=True))
        for number in range(len(taken) + 1):
            mark = f"~{number}" if number else ""
            labels = f",{labels_text(named, mark)}" if named else ""
            line = f"{metric.name}{{{self._constant}{labels}}} "
            if line not in taken:
                break
        return line

    def _domains(self, domains: Sequence[DomainView]) -> list[str]:
        rows = self.domains.rows(domains)
        begins = [self._domain(row.name) for row in rows]
        out = []
        for at, metric in enumerate(DOMAIN_METRICS):
            out.append(self._head(metric))
            # the last row is that of all others
            numbers = map(metric.read, rows if metric.field else rows[:-1])
            out += [
                f"{begin[at]}{number if type(number) is int else number_text(number)}\n"
                for begin, number in zip(begins, numbers)  # noqa: B905 - one may be shorter
                if number is not None
            ]
        return out

    def _domain(self, name: str) -> list[str]:
        if name not in self._rows:
            labels = labels_text({"domain": name})
            if labels in self._row_labels:
                labels = labels_text({"domain": name}, f"~{len(self._rows)}")
            self._row_labels.add(labels)
            end = f"{{{self._constant},{labels}}} "
            self._rows[name] = [metric.name + end for metric in DOMAIN_METRICS]
        return self._rows[name]

    def _histogram(
        self, metric: Histogram, bounds: Sequence[float], counts: Sequence[int], total: float
    ) -> list[str]:
        name, constant = metric.name, self._constant
        counted = list(accumulate(counts)) or [0] * (len(bounds) + 1)
        ends = [*(repr(float(bound)) for bound in bounds), "+Inf"]
        return [
            self._head(metric),
            *(
                f'{name}_bucket{{{constant},le="{end}"}} {count}\n'
                for end, count in zip(ends, counted, strict=True)
            ),
            f"{name}_count{{{constant}}} {counted[-1]}\n",
            f"{name}_sum{{{constant}}} {number_text(total)}\n",
        ]

    # --- of others ---

    def _of_stats(self, stats: Mapping[str, Any]) -> dict[str, list[str]]:
        """The lines of each metric that a stat which is a number becomes."""
        found: dict[str, list[str]] = {}
        known = self._of_stat
        for key, value in stats.items():
            if not isinstance(value, (int, float)):
                continue
            if key not in known:
                named = self._stats.find(key)
                if named is None:
                    continue
                label = f",{labels_text({named.label: named.value})}" if named.label else ""
                known[key] = named, f"{named.metric}{{{self._constant}{label}}} "
            named, begin = known[key]
            if named.metric not in found:
                found[named.metric] = [self._known_head(named.metric, named.kind, _STAT)]
            found[named.metric].append(f"{begin}{number_text(value)}\n")
        self._left_out += self._stats.pop_left_out()
        return found

    def _of_user(self, registry: Any, taken: Iterable[str]) -> list[str]:
        """The metrics of a registry of prometheus_client."""
        out: list[str] = []
        try:
            for family in registry.collect():
                out += self._family(family, taken)
        except Exception:  # noqa: BLE001 - a collector of the user's: ours are exported all the same
            return self._metric(USER_FAILED, 1)
        return out + self._metric(USER_FAILED, 0)

    def _family(self, family: Any, taken: Iterable[str]) -> Iterable[str]:
        kind = _KINDS.get(family.type, family.type)
        name = family.name + {"counter": "_total", "info": "_info"}.get(kind, "")
        if name in taken or name.startswith(PREFIX) or not is_name(name):
            self._left_out += 1
            return
        yield self._new_head(name, kind, family.documentation)
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = self._user_labels(sample.labels)
            if labels:
                yield f"{sample.name}{{{labels}}} {number_text(sample.value)}\n"
            else:
                self._left_out += 1

    def _user_labels(self, labels: Mapping[str, str]) -> str:
        """With ours, unless they are there already; empty where a name is not valid."""
        if not labels:
            return self._constant
        key = tuple(labels.items())
        if key not in self._of_users:
            if len(self._of_users) > _KEPT:
                self._of_users.clear()
            more = {"spider": self._spider, **self._labels, **labels}
            self._of_users[key] = labels_text(more) if all(map(is_name, labels)) else ""
        return self._of_users[key]


def _less(found: Any, before: Any) -> Any:
    """A number, or the numbers of labels, without those of before."""
    if isinstance(found, Mapping):
        return {name: max(0, number - before.get(name, 0)) for name, number in found.items()}
    return max(0, found - before)
