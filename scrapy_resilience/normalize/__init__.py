"""Values from the strings that spiders find: price, date, location, company, rating, phone.

Each function takes the text and hints as keywords, and returns a dict with its own keys and
``raw``, the text as it was given; ``None`` when it is no such value, or when two readings are
as likely. The libraries behind them are the extra ``quality``; they load at first need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrapy_resilience.normalize.company import normalize_company
    from scrapy_resilience.normalize.date import normalize_date
    from scrapy_resilience.normalize.location import normalize_location
    from scrapy_resilience.normalize.phone import normalize_phone
    from scrapy_resilience.normalize.price import normalize_price
    from scrapy_resilience.normalize.rating import normalize_rating

__all__ = [
    "normalize_company",
    "normalize_date",
    "normalize_location",
    "normalize_phone",
    "normalize_price",
    "normalize_rating",
]


def __getattr__(name: str) -> Any:
    """Import on first use: a spider that needs prices does not load phone numbers."""
    if name in __all__:
        module = import_module(f"{__name__}.{name.removeprefix('normalize_')}")
        globals()[name] = found = getattr(module, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
