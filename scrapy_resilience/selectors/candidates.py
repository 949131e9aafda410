"""Elements that may be where a lost field has gone: for a person to look at, never used.

Similar names find a wrong element more often than the right one, so a candidate's score is
0.5 at most, and no value is ever taken from one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.validity import is_valid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.selectors.page import Page
    from scrapy_resilience.selectors.version import Field

__all__ = ["Candidate", "candidates"]

_HIGHEST: Final = 0.5
_ALIKE: Final = 0.5
_ELEMENTS: Final = 5000
_NAMES: Final = 400
"""Different names on a page that are compared: some milliseconds."""
_SHOWN: Final = 80
_LOOKED_AT: Final = 10_000
"""Characters of an element, which may hold the whole page, as many others may."""

_IDENTIFIER: Final = re.compile(r"[^\W\d][\w-]{0,63}")
"""What CSS takes as it stands; a page may have names of any length, and with line breaks."""

_IN_SELECTOR: Final = re.compile(r"""[.#]([A-Za-z][\w-]*)|=["']?([A-Za-z][\w-]*)""")
_ATTRIBUTES: Final = {
    "id": "#{}",
    "itemprop": '[itemprop="{}"]',
    "data-testid": '[data-testid="{}"]',
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A selector, the first 80 characters of what it finds, and how alike the names are."""

    selector: str
    text: str
    score: float


def candidates(page: Page, name: str, field: Field, most: int = 3) -> list[Candidate]:
    """Elements with a valid text whose class, id or the like is close to the field's."""
    wanted = _wanted(name, field)
    scores: dict[str, float] = {}
    found: dict[str, Candidate] = {}
    for element in islice(page.root.iter(), _ELEMENTS):
        for token, selector in _tokens(element):
            if token not in scores and len(scores) < _NAMES:
                scores[token] = _score(token, wanted)
            if scores.get(token) and selector not in found:
                text = " ".join("".join(element.itertext())[:_LOOKED_AT].split())[:201]
                if text and is_valid(field.kind, text):
                    found[selector] = Candidate(selector, text[:_SHOWN], scores[token])
    return sorted(found.values(), key=lambda each: -each.score)[:most]


def _wanted(name: str, field: Field) -> list[str]:
    names = {name.lower()}
    for selector in field.selectors:
        names |= {(a or b).lower() for a, b in _IN_SELECTOR.findall(selector.text)}
    return sorted(names)


def _tokens(element: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(element.tag, str):
        return
    named = [(token, ".{}") for token in (element.get("class") or "").split()]
    named += [(element.get(key) or "", pattern) for key, pattern in _ATTRIBUTES.items()]
    for token, pattern in named:
        if _IDENTIFIER.fullmatch(token):
            yield token.lower(), f"css:{element.tag}{pattern.format(token)}"


def _score(token: str, wanted: list[str]) -> float:
    close = get_close_matches(token, wanted, n=1, cutoff=_ALIKE)
    if not close:
        return 0.0
    return round(_HIGHEST * SequenceMatcher(None, token, close[0]).ratio(), 2)
