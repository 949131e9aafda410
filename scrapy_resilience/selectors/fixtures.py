"""Saved pages with what must come out of them: ``NAME.html`` and ``NAME.json`` side by side.

The JSON has ``url`` and ``expected``: field to value. Fields that it leaves out are not
looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy.http import HtmlResponse

from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.page import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scrapy_resilience.selectors.version import Version

__all__ = ["Failure", "Fixture", "read_fixtures", "regressions", "replay"]


@dataclass(frozen=True)
class Fixture:
    """A saved page and its expected values."""

    name: str
    page: HtmlResponse
    expected: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """A field of a fixture that did not come out as expected."""

    fixture: str
    field: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.fixture}: {self.field} is {self.found!r}, not {self.expected!r}"


def read_fixtures(folders: Iterable[Path]) -> list[Fixture]:
    """The fixtures of all *folders*. Raises :exc:`SelectorError` for one that is not whole."""
    return [
        _read(path)
        for folder in folders
        for path in sorted((folder / "fixtures").glob("*.json"))
    ]


def _read(path: Path) -> Fixture:
    page = path.with_suffix(".html")
    try:
        data = json.loads(path.read_text("utf-8"))
        url, expected = data["url"], data["expected"]
        if not isinstance(expected, dict):
            raise TypeError  # noqa: TRY301 - the same answer as for a missing key
        return Fixture(path.stem, HtmlResponse(url, body=page.read_bytes()), expected)
    except OSError as error:
        raise SelectorError(f"{error.filename} can't be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SelectorError(
            f"{path} is not a fixture: it needs a JSON object with url and expected"
        ) from None


def replay(version: Version, fixtures: Iterable[Fixture]) -> list[Failure]:
    """What a version gets wrong."""
    failures = []
    for fixture in fixtures:
        found = version.extract(Page(fixture.page))
        failures += [
            Failure(fixture.name, name, value, found.get(name))
            for name, value in fixture.expected.items()
            if found.get(name) != value
        ]
    return failures


def regressions(old: Version | None, new: Version, fixtures: list[Fixture]) -> list[Failure]:
    """What *new* gets wrong that *old* got right; all that is wrong when there is no *old*."""
    known = {(each.fixture, each.field) for each in replay(old, fixtures)} if old else set()
    return [
        failure
        for failure in replay(new, fixtures)
        if (failure.fixture, failure.field) not in known
    ]
