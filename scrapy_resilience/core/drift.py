"""Drift: whether what a selector finds has changed, in share and not on a single page.

For each set, field and domain three yes-or-no series are kept: the page *filled* the field;
the value was *valid*; it came from the *usual* selector and not from one after it. The latest
N outcomes of a series, its window, are compared with all that left the window before, its
baseline: with h hits in a baseline of n, how likely is it to see this few hits in the window,
when nothing has changed? Below one in 10,000 it is an alarm.

With a baseline that is known exactly this is the one-sided binomial test. A young baseline
is not, so the beta-binomial distribution takes its place: the binomial, averaged over what the
true rate may be (Gelman et al., *Bayesian Data Analysis*, 2.5). The two agree from some
thousand outcomes on. A page in ten or more must be lost as well: a perfect baseline would turn
four odd pages of a category into an alarm.

While a series is in alarm its baseline stands still; it recovers when the window is as likely
as one in a hundred again. A series is three integers and the window a bit mask, so a domain
with five fields takes some kilobytes.
"""

from __future__ import annotations

from collections import OrderedDict
from math import exp, lgamma
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["KINDS", "Alarm", "DriftMonitor", "Observation", "Series", "chance"]

_ALARM: Final = 1e-4
_RECOVERED: Final = 0.01
_LEAST_DROP: Final = 0.1
_FORGET: Final = 100_000
"""Outcomes in a baseline, beyond which it is halved: what is old counts less and less."""
_TOLD: Final = 100
"""Outcomes that a fill rate which the set states is worth at least."""
_LEARN: Final = 20
"""Filled pages by which the usual selector of a field is known."""

KINDS: Final = ("fill", "valid", "fallback")
"""Of series, in the order in which they are stored."""


def chance(hits: int, size: int, base_hits: float, base_size: float) -> float:
    """How likely at most *hits* of *size* are, after *base_hits* of *base_size*."""
    a, b = base_hits + 1, base_size - base_hits + 1
    total = lgamma(size + 1) + lgamma(a + b) - lgamma(a) - lgamma(b) - lgamma(size + a + b)
    return sum(
        exp(total - lgamma(k + 1) - lgamma(size - k + 1) + lgamma(k + a) + lgamma(size - k + b))
        for k in range(hits + 1)
    )


class Series(msgspec.Struct):
    """The outcomes of one question: a baseline and, as bits, the window after it."""

    base_hits: float = 0
    base_size: float = 0
    bits: int = 0
    size: int = 0
    alarmed: bool = False

    def add(self, hit: bool, window: int, least: int) -> bool:  # noqa: FBT001 - the outcome
        """Take an outcome; True when it raises the alarm."""
        if self.size == window:
            if not self.alarmed:
                self._leave(self.bits >> (window - 1) & 1)
        else:
            self.size += 1
        self.bits = (self.bits << 1 | hit) & ((1 << window) - 1)
        if self.alarmed:
            self.alarmed = not (hit and self._chance() > _RECOVERED)
            return False
        if hit or self.base_size < least or self.rate > self.baseline - _LEAST_DROP:
            return False
        self.alarmed = self._chance() < _ALARM
        return self.alarmed

    def _leave(self, hit: int) -> None:
        self.base_hits += hit
        self.base_size += 1
        if self.base_size > _FORGET:
            self.base_hits /= 2
            self.base_size /= 2

    def _chance(self) -> float:
        return chance(self.bits.bit_count(), self.size, self.base_hits, self.base_size)

    @property
    def rate(self) -> float:
        """Share of hits in the window, from 0 to 1."""
        return self.bits.bit_count() / self.size if self.size else 1.0

    @property
    def baseline(self) -> float:
        """Share of hits before the window, from 0 to 1."""
        return self.base_hits / self.base_size if self.base_size else 1.0

    def restart(self) -> None:
        """Other selectors: the window begins anew, the baseline stays."""
        self.bits, self.size, self.alarmed = 0, 0, False


class _Field(msgspec.Struct):
    """What is known of a field on a domain."""

    ident: str
    fill: Series
    valid: Series = msgspec.field(default_factory=Series)
    fallback: Series = msgspec.field(default_factory=Series)
    places: dict[int, int] = {}
    """How often the selector at each place won, until the usual one is known."""
    usual: int = -1

    def learn(self, index: int) -> None:
        self.places[index] = self.places.get(index, 0) + 1
        if sum(self.places.values()) >= _LEARN:
            self.usual = max(self.places, key=lambda place: (self.places[place], -place))
            self.places = {}


class Observation(msgspec.Struct, frozen=True):
    """A field on a page: the place of the selector that found it, None for not found.

    *ident* is another one when the field has other selectors: its series begin anew then.
    """

    field: str
    ident: str
    index: int | None
    valid: bool = False
    expected_fill: float | None = None


class Alarm(msgspec.Struct, frozen=True):
    """A field that drifts.

    *kind*: ``fill``, found on fewer pages; ``valid``, found but of the wrong shape;
    ``fallback``, found by a selector after the usual one, whose place is *usual*. *rate* of
    the last *size* pages, where *baseline* is the rate before: shares from 0 to 1.
    """

    set: str
    version: str
    field: str
    domain: str
    kind: str
    rate: float
    baseline: float
    size: int
    usual: int

    def __str__(self) -> str:
        what = {"fill": "filled", "valid": "valid", "fallback": "from its usual selector"}
        return (
            f"{self.set} {self.version}, {self.field} on {self.domain}: {what[self.kind]} on "
            f"{self.rate:.0%} of the last {self.size} pages, {self.baseline:.0%} before"
        )


class DriftMonitor:
    """All series of a crawl; beyond *domains* the domain not seen for longest is forgotten."""

    def __init__(self, *, window: int = 50, baseline: int = 100, domains: int = 500) -> None:
        self.window = window
        self.baseline = baseline
        self.domains = domains
        self._fields: OrderedDict[tuple[str, str], dict[str, _Field]] = OrderedDict()
        self._changed: set[tuple[str, str]] | None = None
        """None while nobody has stored anything: all is new then, and nothing to forget."""

    def observe(
        self, name: str, version: str, domain: str, observations: Iterable[Observation]
    ) -> list[Alarm]:
        """Take what a set found on a page of a domain, and give the alarms that it raises."""
        known = self._known(name, domain)
        return [
            Alarm(
                name,
                version,
                each.field,
                domain,
                kind,
                series.rate,
                series.baseline,
                series.size,
                known[each.field].usual,
            )
            for each in observations
            for kind, series in self._take(known, each)
        ]

    def _known(self, name: str, domain: str) -> dict[str, _Field]:
        key, gone = (name, domain), None
        if key in self._fields:
            self._fields.move_to_end(key)
        else:
            self._fields[key] = {}
            if len(self._fields) > self.domains:
                gone = self._fields.popitem(last=False)[0]
        if self._changed is not None:
            self._changed |= {key, gone} if gone else {key}
        return self._fields[key]

    def _take(self, known: dict[str, _Field], seen: Observation) -> list[tuple[str, Series]]:
        state = known.get(seen.field)
        if state is None:
            told = seen.expected_fill
            worth = max(_TOLD, self.baseline)
            first = Series(told * worth, worth) if told is not None else Series()
            state = known[seen.field] = _Field(seen.ident, first)
        elif state.ident != seen.ident:
            state.ident, state.usual, state.places = seen.ident, -1, {}
            state.fill.restart()
            state.valid.restart()
            state.fallback = Series()
        outcomes = [("fill", state.fill, seen.index is not None)]
        if seen.index is not None:
            outcomes.append(("valid", state.valid, seen.valid))
            if state.usual < 0:
                state.learn(seen.index)
            else:
                outcomes.append(("fallback", state.fallback, seen.index <= state.usual))
        return [
            (kind, series)
            for kind, series, hit in outcomes
            if series.add(hit, self.window, self.baseline)
        ]

    def rates(self) -> list[dict[str, Any]]:
        """One row for each set, domain and field: its three rates now and before."""
        return [
            {
                "set": name,
                "domain": domain,
                "field": key,
                **{kind: round(getattr(state, kind).rate, 3) for kind in KINDS},
                **{f"{kind}_before": round(getattr(state, kind).baseline, 3) for kind in KINDS},
                "alarms": [kind for kind in KINDS if getattr(state, kind).alarmed],
            }
            for (name, domain), known in self._fields.items()
            for key, state in known.items()
        ]

    # --- state of a job ---

    def changed(self) -> dict[tuple[str, str], list[Any] | None]:
        """What changed since the last call, by set and domain; None for a forgotten one."""
        changed = set(self._fields) if self._changed is None else self._changed
        self._changed = set()
        return {
            key: [[name, *self._packed(state)] for name, state in self._fields[key].items()]
            if key in self._fields
            else None
            for key in changed
        }

    def restore(self, saved: Mapping[Any, Any]) -> None:
        """Go on from what :meth:`changed` gave; a window of another length begins anew."""
        self._changed = set()
        for (name, domain), known in saved.items():
            self._known(name, domain).update(
                {key: self._unpacked(*packed) for key, *packed in known}
            )

    def _unpacked(
        self, ident: str, usual: int, places: Mapping[int, int], window: int, *series: Any
    ) -> _Field:
        fill, valid, fallback = (
            Series(hits, base, int(bits, 16), size, alarmed)
            for hits, base, bits, size, alarmed in series
        )
        if window != self.window:
            for each in (fill, valid, fallback):
                each.restart()
        return _Field(ident, fill, valid, fallback, dict(places), usual)

    def _packed(self, state: _Field) -> list[Any]:
        return [state.ident, state.usual, state.places, self.window, *map(_row, _all(state))]


def _all(state: _Field) -> tuple[Series, Series, Series]:
    return state.fill, state.valid, state.fallback


def _row(series: Series) -> list[Any]:
    bits = f"{series.bits:x}"  # beyond 64 bits when the window is
    return [series.base_hits, series.base_size, bits, series.size, series.alarmed]
