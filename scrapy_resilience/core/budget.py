"""A budget: how much of a resource, or of money, may be spent in any window."""

from __future__ import annotations

from difflib import get_close_matches
from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.core.spending import (
    DOLLARS,
    KNOWN,
    PROXY_REQUESTS,
    REQUESTS,
    is_amount,
    units,
)
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy_resilience.core.spending import Prices, Spend

__all__ = ["Budget", "parse_budgets"]

ACTIONS: Final = ("pause", "warn", "close")
EACH: Final = "*"
_PERIODS: Final = {"hour": 3600.0, "day": 86_400.0, "job": inf}
_ARTICLES: Final = {"hour": "an hour", "day": "a day", "job": "in this job"}
_KEYS: Final = ("resource", "limit", "per", "action", "domain", "proxy", "spider")
HOURLY: Final = "hourly"
_HOURLY: Final = (
    ("llm_tokens", 100_000), ("browser_minutes", 60), ("requests", 1_000), (DOLLARS, 1.0),
)  # fmt: skip
"""The preset of this name."""


class Budget(msgspec.Struct, frozen=True):
    """*limit* of a resource in any *seconds*; inf for all runs of a job together."""

    resource: str
    limit: float
    seconds: float
    per: str
    """The same in words, behind the limit: ``an hour``."""
    action: str = "pause"
    domain: str = ""
    """Which one; ``*`` for each by itself, empty for all together. Likewise *proxy*."""
    proxy: str = ""

    @property
    def scope(self) -> str:
        """``job``, ``domain`` or ``proxy``."""
        return "domain" if self.domain else "proxy" if self.proxy else "job"

    def window_of(self, domain: str, proxy: str) -> str | None:
        """The name of the window that counts what is spent there; None where none does."""
        if self.domain:
            wanted, given = self.domain, domain
        elif self.proxy:
            wanted, given = self.proxy, proxy
        else:
            return ""
        if wanted == EACH:
            return given or None
        return wanted if wanted == given else None

    def weight(self, spends: Iterable[Spend]) -> int:
        """How much of the limit is spent."""
        weight, resource = 0, self.resource
        for name, counted, cost in spends:  # a sum of a generator takes twice as long
            if resource == name:
                weight += counted
            elif resource == DOLLARS:
                weight += cost
        return weight

    def text(self, name: str = "") -> str:
        """``1,000 requests an hour for a.example``; *name* is that of a window."""
        number = f"{self.limit:,.15g}"
        if self.resource != DOLLARS:
            of = f"{number} "
        else:
            cents = f"{self.limit:,.2f}"
            of = f"${cents if float(cents.replace(',', '')) == self.limit else number}"
        what = "" if self.resource == DOLLARS else self.resource.replace("_", " ")
        each = f"each {self.scope}" if EACH in {self.domain, self.proxy} else ""
        whose = name or each or self.domain or self.proxy
        return f"{of}{what} {self.per}{f' for {whose}' if whose else ''}"


# --- from settings --------------------------------------------------------------------


def parse_budgets(
    given: Iterable[Any], prices: Prices, spider: str = "", where: str = "budgets"
) -> list[Budget]:
    """The budgets of a spider, of any where it has no name.

    Raises :exc:`ConfigurationError` for one that can't be meant.
    """
    found: list[Budget] = []
    for number, each in enumerate(given):
        place = f"{where}[{number}]"
        for table in _tables(each, place):
            budget = _budget(table, prices, place)
            if table.get("spider", EACH) in {EACH, spider} or not spider:
                found.append(budget)
    return found


def _tables(given: Any, place: str) -> list[Mapping[str, Any]]:
    """A preset is several."""
    more: dict[str, Any] = {}
    if isinstance(given, dict) and "preset" in given:
        more = dict(given)
        given = more.pop("preset")
        if wrong := more.keys() - {"action", "spider"}:
            raise ConfigurationError(
                f"{place}: {', '.join(map(str, wrong))}: a preset takes action and spider only."
            )
    if isinstance(given, dict):
        return [given]
    if given != HOURLY:
        raise ConfigurationError(f"{place}={given!r}: use a dict, or {HOURLY!r}.")
    return [
        {"resource": name, "limit": limit, "per": "hour", **more} for name, limit in _HOURLY
    ]


def _budget(table: Mapping[str, Any], prices: Prices, place: str) -> Budget:
    for key in table:
        if key not in _KEYS:
            close = get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Use {', '.join(_KEYS)}."
            raise ConfigurationError(f"{place}: {key!r} is no part of a budget.{hint}")
    for key in ("resource", "domain", "proxy", "spider"):
        if not isinstance(table.get(key, ""), str):
            raise ConfigurationError(f"{place}: {key}={table[key]!r}: use a text.")
    seconds, per = _period(table.get("per", "hour"), place)
    action = table.get("action", "pause")
    if action not in ACTIONS:
        raise ConfigurationError(
            f"{place}: action={action!r}: use one of {', '.join(ACTIONS)}."
        )
    budget = Budget(
        resource=_resource(table.get("resource", ""), prices, place),
        limit=_limit(table.get("limit"), place),
        seconds=seconds,
        per=per,
        action=action,
        domain=table.get("domain", "").strip().lower(),
        proxy=table.get("proxy", "").strip().lower(),
    )
    _check(budget, prices, place)
    return budget


def _period(per: Any, place: str) -> tuple[float, str]:
    if isinstance(per, str) and per in _PERIODS:
        return _PERIODS[per], _ARTICLES[per]
    if not is_amount(per) or per <= 0:
        raise ConfigurationError(
            f"{place}: per={per!r}: use hour, day, job or seconds above 0."
        )
    return float(per), f"in {per:g} s"


def _limit(limit: Any, place: str) -> float:
    if not is_amount(limit) or units(limit) < 1:
        raise ConfigurationError(f"{place}: limit={limit!r}: use a number above 0.")
    return float(limit)


def _resource(name: str, prices: Prices, place: str) -> str:
    known = {*KNOWN, *prices, DOLLARS}
    if not name.strip():
        raise ConfigurationError(
            f"{place}: resource={name!r}: name one, such as requests or usd."
        )
    if name not in known and (close := get_close_matches(name, known, n=1, cutoff=0.75)):
        raise ConfigurationError(f"{place}: resource={name!r}: did you mean {close[0]!r}?")
    return name


def _check(budget: Budget, prices: Prices, place: str) -> None:
    """What contradicts itself."""
    for key in ("domain", "proxy"):
        if "://" in getattr(budget, key) or "@" in getattr(budget, key):  # not to be shown
            form = "a host" if key == "domain" else "host:port"
            raise ConfigurationError(f"{place}: {key}: use {form}, no URL and no password.")
    if budget.domain and budget.proxy:
        raise ConfigurationError(f"{place}: use domain or proxy, not both.")
    if budget.seconds == inf and budget.scope == "job" and budget.action == "pause":
        raise ConfigurationError(
            f"{place}: a budget of the whole job never moves, and a pause would have no end: "
            "use the action close or warn."
        )
    least = _of_a_request(budget, prices)
    if units(least) > units(budget.limit):
        raise ConfigurationError(
            f"{place}: limit={budget.limit:g}: not one request fits into it ({least:g})."
        )


def _of_a_request(budget: Budget, prices: Prices) -> float:
    """What the cheapest request takes of the limit."""
    if budget.resource == DOLLARS:
        return prices.get(REQUESTS, 0.0)
    return 1.0 if budget.resource in {REQUESTS, PROXY_REQUESTS} else 0.0
