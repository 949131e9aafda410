"""What a page itself says for and against an item that was taken from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from scrapy.http import HtmlResponse

from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.normalize.rules import MAIN, normalizer_of
from scrapy_resilience.selectors.extraction import Extraction, extracted_from, weakest
from scrapy_resilience.selectors.page import Page
from scrapy_resilience.selectors.structured import texts_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.http import Response

__all__ = ["Evidence", "Said", "evidence_of", "said_by"]

_SUBJECTS: Final = frozenset(
    "Article BlogPosting Book Car Course Event Hotel IndividualProduct JobPosting "
    "LocalBusiness Movie MusicAlbum NewsArticle Product ProductGroup Recipe Restaurant "
    "SoftwareApplication Vehicle VideoObject".split()
)
"""Types that a page is about; others, such as the shop itself, say nothing of an item."""

_Path = tuple[str, ...]
_Known = tuple["str | None", tuple[_Path, ...]]
_NAME: Final[_Known] = None, (("name",), ("headline",), ("title",))
_PRICE: Final[_Known] = (
    "price",
    (
        ("offers", "price"),
        ("offers", "lowPrice"),
        ("offers", "priceSpecification", "price"),
        ("price",),
    ),
)
_RATING: Final[_Known] = "rating", (("aggregateRating", "ratingValue"),)
_DATE: Final[_Known] = "date", (("datePublished",), ("datePosted",), ("startDate",))
_COMPANY: Final[_Known] = "company", (("hiringOrganization", "name"), ("hiringOrganization",))
_BRAND: Final[_Known] = None, (("brand", "name"), ("brand",))
_AUTHOR: Final[_Known] = None, (("author", "name"), ("author",))
_SKU: Final[_Known] = None, (("sku",), ("mpn",), ("productID",))

FIELDS: Final[Mapping[str, _Known]] = {
    "name": _NAME, "title": _NAME, "headline": _NAME,
    "price": _PRICE, "rating": _RATING,
    "date": _DATE, "published": _DATE, "posted": _DATE,
    "company": _COMPANY, "brand": _BRAND, "author": _AUTHOR, "sku": _SKU,
}  # fmt: skip
"""Fields of items that structured data may have too: what they are read as, and where."""

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DAY_LENGTH: Final = len("2024-01-15")


@dataclass(frozen=True, slots=True)
class Said:
    """What a page's structured data says. *values* has the texts of each of `FIELDS`.

    *any* is None for what is not HTML: the answer of an API has no place for it.
    """

    any: bool | None
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an item. *differ* are fields of which the page says something else."""

    method: str | None
    compared: bool
    differ: tuple[str, ...]

    @property
    def sources(self) -> dict[str, object] | None:
        """As :class:`~scrapy_resilience.confidence.ConfidenceCalculator` takes them."""
        if not self.compared:
            return None
        return {"page": (), "structured data": self.differ}


_said: WeakKeyDictionary[Response, Said] = WeakKeyDictionary()


def said_by(response: Response) -> Said:
    """Read once for all items of a page."""
    if (said := _said.get(response)) is None:
        said = _said[response] = _read(response)
    return said


def _read(response: Response) -> Said:
    body = response.body
    if b"ld+json" not in body and b"itemscope" not in body:  # most pages: not even parsed
        return Said(any=False if isinstance(response, HtmlResponse) else None, values={})
    page = Page(response)
    sources = (page.json_ld, page.microdata)
    nodes = [
        node
        for source in sources
        for kind in _SUBJECTS & source.keys()
        for node in source[kind]
    ]
    values = {
        name: tuple(text for path in paths for text in texts_at(nodes, path))
        for name, (_, paths) in FIELDS.items()
    }
    return Said(
        any=any(sources), values={name: texts for name, texts in values.items() if texts}
    )


def evidence_of(
    item: Any, values: Mapping[str, Any], response: Response, unread: tuple[str, ...]
) -> Evidence:
    """What speaks for an item with these *values*, of which *unread* could not be read."""
    methods = _methods(item, values, response)
    methods |= dict.fromkeys(unread, "raw")
    differ, compared = [], False
    for name, texts in said_by(response).values.items():
        if methods.get(name) == "structured":
            continue  # it is what was extracted: not another source
        verdict = _agrees(FIELDS[name][0], values.get(name), texts)
        compared |= verdict is not None
        if verdict is False:
            differ.append(name)
    methods |= dict.fromkeys(differ, "raw")
    return Evidence(weakest(methods.values()), compared, tuple(differ))


def _methods(item: Any, values: Mapping[str, Any], response: Response) -> dict[str, str]:
    """How each field was extracted; a value of the wrong shape was not, whatever found it."""
    made = [item] if isinstance(item, Extraction) else extracted_from(response)
    return {
        name: each.method if each.valid else "raw"
        for extraction in made
        for name, each in extraction.provenance.items()
        if name in values and _is_from(values[name], extraction[name])
    }


def _is_from(value: Any, extracted: Any) -> bool:
    """Whether a value is what a set has found, or one of the things."""
    text = _text(value)
    if text is None:
        return value is not None
    return text in extracted if isinstance(extracted, list) else text == extracted


def _text(value: Any) -> str | None:
    """The text that a value was or is, None for anything else."""
    if isinstance(value, dict):
        value = value.get("raw")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _agrees(kind: str | None, value: Any, texts: tuple[str, ...]) -> bool | None:
    """Whether one of *texts* says the same; None where nothing can be compared."""
    text = _text(value)
    if not text:
        return None
    if kind is None:
        mine = _folded(text)
        return any(mine in theirs or theirs in mine for theirs in map(_folded, texts) if theirs)
    known = [meaning for each in texts for meaning in _meanings(kind, each)]
    if not known:
        return None
    key = MAIN[kind]
    mine = value[key] if isinstance(value, dict) and key in value else _main(kind, text)
    return _comparable(kind, mine) in known


def _meanings(kind: str, text: str) -> list[Any]:
    """What *text* can be meant as: of a moment the day there and in UTC."""
    if (read := _main(kind, text)) is None:
        return []
    found = [_comparable(kind, read)]
    if kind == "date" and (written := _DAY.match(text)):
        found.append(written[0])
    return found


def _comparable(kind: str, read: Any) -> Any:
    """Pages show a day or a time of their own where structured data has a moment."""
    if not isinstance(read, str):
        return read
    return read[:_DAY_LENGTH] if kind == "date" else _folded(read)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _main(kind: str, text: str) -> Any:
    try:
        found = normalizer_of(kind)(text)
    except ResilienceError:  # its library is not installed
        return None
    return found and found[MAIN[kind]]
