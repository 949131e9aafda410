"""What was spent: amounts of resources, and what they cost.

Amounts and dollars are whole numbers of millionths of millionths (:func:`units`), so that a
million small sums are exact and a limit is reached where it is, not beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BYTES", "DOLLARS", "KNOWN", "OTHER", "PROXY_REQUESTS", "REQUESTS", "Prices", "Spend",
    "Sums", "Totals", "amount_of", "is_amount", "units",
]  # fmt: skip

DOLLARS: Final = "usd"
"""Stands for the money that all resources cost together."""
REQUESTS: Final = "requests"
PROXY_REQUESTS: Final = "proxy_requests"
BYTES: Final = "bytes"
KNOWN: Final = (
    REQUESTS, PROXY_REQUESTS, BYTES, "browser_minutes", "llm_tokens", "search_requests",
)  # fmt: skip
"""Resources that need not be declared."""
_DEFAULTS: Final = {
    "llm_tokens": 0.00001,
    "browser_minutes": 0.001,
    "proxy_requests": 0.0001,
    "search_requests": 0.001,
}
"""Dollars for one of each."""
_UNITS: Final = 10**12
_MOST: Final = 1e15
"""Of one amount: more is an error of whoever tells it."""
OTHER: Final = "other"
"""Stands for all domains, or proxies, that are not counted apart."""
NAMES: Final = 10_000
"""Domains, and proxies, that are counted apart."""


def units(amount: float) -> int:
    """An amount, or dollars, as it is counted."""
    return amount * _UNITS if isinstance(amount, int) else round(amount * _UNITS)


def amount_of(counted: int) -> float:
    """What :func:`units` was given."""
    return counted / _UNITS


def is_amount(value: Any) -> bool:
    """Whether it is a number, not negative, and not beyond reason."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST
    )


class Spend(NamedTuple):
    """Some of a resource, and its cost; both in :func:`units`."""

    resource: str
    units: int
    cost: int


class Prices(Mapping[str, float]):
    """Dollars for one of each resource that has a price.

    Raises :exc:`ConfigurationError` for a price that is none. None takes a default away.
    """

    def __init__(self, given: Mapping[str, Any], where: str = "prices") -> None:
        found: dict[str, float] = {**_DEFAULTS}
        for name, price in given.items():
            if price is None:
                found.pop(name, None)
                continue
            if name == DOLLARS or not str(name).strip():
                raise ConfigurationError(f"{where}: {name!r} is no name of a resource.")
            if not is_amount(price) or price <= 0:
                raise ConfigurationError(
                    f"{where}: {name}={price!r}: use dollars above 0, or None for no price."
                )
            found[name] = float(price)
        self._prices = found

    @classmethod
    def exactly(cls, prices: Mapping[str, float]) -> Prices:
        """These, without defaults."""
        found = cls({})
        found._prices = dict(prices)
        return found

    def __getitem__(self, resource: str) -> float:
        return self._prices[resource]

    def __iter__(self) -> Any:
        return iter(self._prices)

    def __len__(self) -> int:
        return len(self._prices)

    def spend(self, resource: str, amount: float) -> Spend:
        """So much of a resource, at its price."""
        price = self._prices.get(resource)
        return Spend(resource, units(amount), 0 if price is None else units(amount * price))


Sums = dict[str, list[int]]
"""Units and cost of each resource."""


def _add(sums: Sums, spend: Spend, sign: int) -> None:
    found = sums.get(spend.resource)
    if found is None:
        found = sums[spend.resource] = [0, 0]
    found[0] += sign * spend.units
    found[1] += sign * spend.cost


class Totals:
    """Of a job: all together, by domain, and by proxy; the first 10,000 of each are named."""

    def __init__(self) -> None:
        self.resources: Sums = {}
        self.domains: dict[str, Sums] = {}
        self.proxies: dict[str, Sums] = {}

    def add(self, spends: Iterable[Spend], domain: str, proxy: str, sign: int = 1) -> None:
        """Count, or with *sign* -1 take back what was not spent after all."""
        by_domain = self._of(self.domains, domain) if domain else None
        by_proxy = self._of(self.proxies, proxy) if proxy else None
        for spend in spends:
            _add(self.resources, spend, sign)
            if by_domain is not None:
                _add(by_domain, spend, sign)
            if by_proxy is not None:
                _add(by_proxy, spend, sign)

    @property
    def cost(self) -> int:
        """In :func:`units` of dollars."""
        return sum(cost for _, cost in self.resources.values())

    @staticmethod
    def _of(named: dict[str, Sums], name: str) -> Sums:
        found = named.get(name)
        if found is None:
            if len(named) >= NAMES:
                name = OTHER
            found = named.setdefault(name, {})
        return found
