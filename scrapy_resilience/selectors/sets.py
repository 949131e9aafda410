"""A selector set: its versions, of which one is active."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from itemadapter import ItemAdapter
from scrapy.http import Response

from scrapy_resilience.core.masking import counted
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import files
from scrapy_resilience.selectors.extraction import Extraction, tell
from scrapy_resilience.selectors.fixtures import (
    Failure,
    Fixture,
    read_fixtures,
    regressions,
    replay,
)
from scrapy_resilience.selectors.page import Page
from scrapy_resilience.selectors.version import Version, make_version, order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scrapy.loader import ItemLoader

    from scrapy_resilience.selectors.version import Field

__all__ = ["SelectorSet", "check_regressions"]


class SelectorSet:
    """Get one from :mod:`scrapy_resilience.selectors.registry`.

    *folder* is where new versions and the choice of a rollback are written; None keeps them
    in memory. *fixtures* are folders with a ``fixtures`` folder in them.
    """

    def __init__(
        self,
        name: str,
        versions: Sequence[Version],
        *,
        active: str | None = None,
        folder: Path | None = None,
        fixtures: Sequence[Path] = (),
        parent: Callable[[str], Version] | None = None,
    ) -> None:
        self.name = name
        self._versions = {each.version: each for each in sorted(versions, key=_order)}
        self._folder = folder
        self._fixtures = tuple(fixtures)
        self._parent = parent
        self._active = self._find(active or list(self._versions)[-1])

    def __repr__(self) -> str:
        return f"<SelectorSet {self.name} {self.version}>"

    # --- the active version ---

    @property
    def version(self) -> str:
        return self._active.version

    @property
    def versions(self) -> Mapping[str, Version]:
        """All versions by their names, from the oldest."""
        return MappingProxyType(self._versions)

    @property
    def hash(self) -> str:
        """SHA-256 of the active version's canonical JSON, in hexadecimal."""
        return self._active.hash

    @property
    def changelog(self) -> str:
        return self._active.changelog

    @property
    def urls(self) -> tuple[str, ...]:
        return self._active.urls

    @property
    def fields(self) -> Mapping[str, Field]:
        return self._active.fields

    def get_selectors(self, field: str) -> tuple[str, ...]:
        """The field's selectors in the order in which they are tried."""
        if field not in self.fields:
            known = ", ".join(self.fields)
            raise SelectorError(
                f"{self.name} {self.version} has no field {field!r}, but {known}"
            )
        return tuple(each.text for each in self.fields[field].selectors)

    def extract(self, response: Response) -> Extraction:
        """All fields of a page, with provenance; a field that is not there is None."""
        if not isinstance(response, Response):  # a Selector would be as good as no page
            kind = type(response).__name__  # type: ignore[unreachable] # for those without mypy
            raise TypeError(f"{self.name} extracts from a response, not from {kind}")
        extraction = self._active.extract(Page(response))
        tell(response, extraction, self)
        return extraction

    def matches(self, url: str) -> bool:
        """Whether a URL pattern of the active version fits."""
        return self._active.matches(url)

    def load(self, loader: ItemLoader) -> Extraction:
        """Add what is found on the loader's response to the item, for fields that it has."""
        extraction = self.extract(loader.context["response"])
        item = loader.item
        known = extraction if isinstance(item, dict) else ItemAdapter(item).field_names()
        for name in extraction.provenance:
            if name in known:
                loader.add_value(name, extraction[name])
        return extraction

    # --- versions ---

    def test(self, version: str | None = None) -> list[Failure]:
        """What a version, the active one by default, gets wrong on the fixtures."""
        chosen = self._find(version) if version else self._active
        return replay(chosen, self.fixtures())

    def fixtures(self) -> list[Fixture]:
        """The saved pages of this set."""
        return read_fixtures(self._fixtures)

    def add_version(
        self,
        version: str,
        selectors: Mapping[str, Any],
        changelog: str,
        *,
        urls: Sequence[str] = (),
        extends: str = "",
        force: bool = False,
    ) -> Version:
        """Add a version and make it the active one.

        *selectors* are all fields of the version (see
        :func:`~scrapy_resilience.selectors.version.make_version`); with *extends*, such as
        ``shop@1.0.0``, those that differ. The fixtures are replayed: a field that the active
        version gets right and the new one does not is refused, unless *force*.

        Raises :exc:`SelectorError`.
        """
        parent = self._resolve(extends) if extends else None
        made = make_version(
            self.name, version, selectors, changelog, urls=urls or self.urls, parent=parent
        )
        return self.add(made, force=force)

    def add(self, made: Version, *, force: bool = False) -> Version:
        """The same with a version that is ready."""
        newest = max([*self._versions, *self._stored()], key=order)
        if order(made.version) <= order(newest):
            raise SelectorError(
                f"{self.name} {made.version} can't be added: the newest version is {newest}, "
                "and a version never changes; choose a later one"
            )
        check_regressions(self._active, made, self._fixtures, force=force)
        if self._folder is not None:
            files.write_version(self._folder, made)
            files.clear_active(self._folder)
        self._versions[made.version] = self._active = made
        return made

    def _stored(self) -> list[str]:
        """The versions in the folder, those that other processes have added too."""
        return files.version_names(self._folder) if self._folder else []

    def rollback(self, version: str | None = None) -> Version:
        """Make an older version the active one: by default the one before.

        Only the choice changes; no version does, and going forward again is the same call.
        """
        chosen = self._find(version) if version else self._before()
        if self._folder is not None:
            files.write_active(self._folder, chosen.version)
        self._active = chosen
        return chosen

    def promote(self, field: str, index: int, changelog: str) -> Version:
        """Add a version in which the selector at *index* is the primary one of *field*.

        The fixtures are replayed, as in :meth:`add_version`.
        """
        before = self.fields[field]
        first = before.selectors[index]
        rest = [each for each in before.selectors if each is not first]
        changed = replace(before, selectors=(first, *rest))
        newest = list(self._versions)[-1]
        number = int(m[1]) + 1 if (m := re.search(r"\.p(\d+)$", newest)) else 1
        return self.add_version(
            f"{re.sub(r'[.]p[0-9]+$', '', newest)}.p{number}",
            {**self.fields, field: changed},
            f"{changelog}: {first.text} is the primary selector of {field}",
        )

    def _before(self) -> Version:
        names = list(self._versions)
        place = names.index(self.version)
        if place == 0:
            raise SelectorError(f"{self.name} {self.version} is the oldest version")
        return self._versions[names[place - 1]]

    def _find(self, version: str) -> Version:
        if version not in self._versions:
            known = ", ".join(self._versions)
            raise SelectorError(f"{self.name} has no version {version!r}, but {known}")
        return self._versions[version]

    def _resolve(self, extends: str) -> Version:
        name, _, version = extends.partition("@")
        if name == self.name and version in self._versions:
            return self._versions[version]
        if self._parent is None:
            raise SelectorError(
                f"{self.name} can't extend {extends!r}: there is no such version"
            )
        return self._parent(extends)


def check_regressions(
    old: Version | None, new: Version, folders: Sequence[Path], *, force: bool
) -> None:
    """Replay the fixtures. Raises :exc:`SelectorError` where *new* is worse, unless *force*."""
    if force:
        return
    if worse := regressions(old, new, read_fixtures(folders)):
        shown = "; ".join(map(str, worse[:3]))
        raise SelectorError(
            f"{new.name} {new.version} is worse on {counted(len(worse), 'field')} of its "
            f"fixtures ({shown}): mend it, or add it with --force"
        )


def _order(version: Version) -> Any:
    return order(version.version)
