"""How the stats of Scrapy and of other components become metrics: one rule for all.

``scrapy_`` and the key, with ``_`` for whatever is no letter or digit; a counter ends with
``_total``. What follows a prefix of :data:`_PREFIXES`, or a part of the key that ends with
``_count``, is a label: ``downloader/response_status_count/200`` is
``scrapy_downloader_response_status_count_total{status="200"}``.

A stat is a counter unless a word of its key says that it is something else, such as ``max`` or
``mean``. Its value does not matter: it may be 0 now and 0.5 later.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from zlib import crc32

from scrapy_resilience import names

__all__ = ["StatName", "StatNames", "stat_name"]


class StatName(NamedTuple):
    """A metric that a stat becomes."""

    metric: str
    kind: str
    label: str = ""
    value: str = ""


_PREFIXES: Final = {
    "spider_exceptions/": "exception",
    "log_count/": "level",
    names.STAT_FAILURES_PREFIX: "class",
    names.STAT_DEAD_LETTERS: "kind",
    names.STAT_NORMALIZED: "field",
    names.STAT_NORMALIZE_FAILED: "field",
}
_LABELS: Final = {
    "downloader/exception_type_count": "exception",
    "downloader/request_method_count": "method",
    "item_dropped_reasons_count": "reason",
    "request_depth_count": "depth",
    "retry/reason_count": "reason",
}
"""Names of labels; others are called ``status`` or ``kind``."""
_NO_LABELS: Final = frozenset({"spider_exceptions/count"})
_LEFT_OUT: Final = names.STAT_TOTAL_PREFIX
_COUNT: Final = re.compile(r"(.*_count)/(.+)", re.DOTALL)
_GAUGES: Final = frozenset(
    "average avg concurrent coverage current elapsed free held incomplete last limit max mean "
    "median memory memusage min minute pending per percent rate ratio resumed second share "
    "size startup time usage".split()
)
"""Words of keys whose numbers are not counted upwards."""
_LONGEST: Final = 200


def stat_name(key: str) -> StatName | None:
    """The metric of a stat; None for one that says the same as others do."""
    if key.startswith(_LEFT_OUT):
        return None
    stem, label, value = _split(key)
    words = [word for word in re.split(r"[^A-Za-z0-9]+", stem) if word]
    kind = "counter" if _counts(words) else "gauge"
    metric = "_".join(("scrapy", *words)) if words else f"scrapy_{crc32(key.encode()):08x}"
    if len(metric) > _LONGEST:
        metric = f"{metric[:_LONGEST]}_{crc32(key.encode('utf-8', 'replace')):08x}"
    return StatName(f"{metric}_total" if kind == "counter" else metric, kind, label, value)


def _split(key: str) -> tuple[str, str, str]:
    """The part of a key that names the metric, its label, and the label's value."""
    if key in _NO_LABELS:
        return key, "", ""
    for prefix, label in _PREFIXES.items():
        if key.startswith(prefix) and len(key) > len(prefix):
            return prefix, label, key[len(prefix) :]
    if found := _COUNT.fullmatch(key):
        stem = found[1]
        kind = "status" if stem.endswith("status_count") else "kind"
        return stem, _LABELS.get(stem, kind), found[2]
    return key, "", ""


def _counts(words: list[str]) -> bool:
    """``retry/max_reached`` counts requests."""
    return not _GAUGES & {word.lower() for word in words} or words[-1].lower() == "reached"


class StatNames:
    """Those of one crawl: no two stats have one name, and a stat keeps its own.

    :param taken: names that are no stat's
    """

    def __init__(self, taken: frozenset[str], most: int = 1_000) -> None:
        self._taken = taken
        self._most = most
        self._known: dict[str, StatName | None] = {}
        self._used: dict[tuple[str, str], str] = {}
        """The stem of each metric, and the key of each sample."""
        self._left_out = 0

    def pop_left_out(self) -> int:
        """How many stats had no name since the last time: there were too many."""
        left_out, self._left_out = self._left_out, 0
        return left_out

    def find(self, key: str) -> StatName | None:
        """The metric of a stat; None for one that has none."""
        if key not in self._known:
            if len(self._known) >= self._most:
                self._left_out += 1
                return None
            self._known[key] = self._choose(key)
        return self._known[key]

    def _choose(self, key: str) -> StatName | None:
        found = stat_name(key)
        if found is None or found.metric in self._taken:
            return None
        if self._is_free(found):
            return found
        mark = f"_{crc32(key.encode('utf-8', 'replace')):08x}"
        stem = found.metric.removesuffix("_total")
        ending = found.metric[len(stem) :]
        found = found._replace(metric=f"{stem}{mark}{ending}")
        return found if self._is_free(found) else None

    def _is_free(self, found: StatName) -> bool:
        """A metric has one label at most, always the same, and each value once."""
        label = self._used.setdefault((found.metric, ""), found.label)
        sample = (found.metric, f"={found.value}")
        if label != found.label or sample in self._used:
            return False
        self._used[sample] = ""
        return True
