"""One immutable version of a set: its fields, its history line, its hash."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.validity import KINDS, is_valid
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.extraction import Extraction, Provenance
from scrapy_resilience.selectors.language import Selector, parse

if TYPE_CHECKING:
    from scrapy_resilience.selectors.page import Page

__all__ = ["Field", "Version", "check_name", "make_version", "order"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")
_OPTIONS: Final = {"selectors", "type", "many", "fill"}


@dataclass(frozen=True)
class Field:
    """The selectors of a field, in the order in which they are tried.

    *kind* is what a value must look like (:data:`~scrapy_resilience.core.validity.KINDS`);
    *many*: all that the first selector with a result finds, as a list; *fill*: the share of
    pages that should have it, for drift from the first page on.
    """

    selectors: tuple[Selector, ...]
    kind: str = "text"
    many: bool = False
    fill: float | None = None

    def data(self) -> dict[str, Any]:
        """As it is written and hashed: what is not said has its default."""
        data: dict[str, Any] = {"selectors": [each.text for each in self.selectors]}
        if self.kind != "text":
            data["type"] = self.kind
        if self.many:
            data["many"] = True
        if self.fill is not None:
            data["fill"] = self.fill
        return data

    @cached_property
    def ident(self) -> str:
        """A short hash: two fields with the same one find the same."""
        return sha256(json.dumps(self.data(), sort_keys=True).encode()).hexdigest()[:12]

    def find(self, page: Page) -> tuple[Any, int, bool] | None:
        """The value, the place of its selector, and whether it is valid.

        A selector whose value is not valid gives way to the next; when none does better, the
        first value counts.
        """
        first: tuple[Any, int, bool] | None = None
        for index, selector in enumerate(self.selectors):
            if self.many:
                value: Any = list(selector.values(page))
                valid = bool(value) and all(is_valid(self.kind, each) for each in value)
            else:
                value = next(selector.values(page), None)
                valid = value is not None and is_valid(self.kind, value)
            if valid:
                return value, index, True
            if value and first is None:
                first = value, index, False
        return first


@dataclass(frozen=True)
class Version:
    """A version as it was added. *hash* covers all of it, and the version it extends."""

    name: str
    version: str
    changelog: str
    fields: Mapping[str, Field]
    urls: tuple[str, ...] = ()
    own: Mapping[str, Field] = field(default_factory=dict, repr=False)
    extends: str = ""
    hash: str = ""

    def matches(self, url: str) -> bool:
        """Whether one of the URL patterns fits."""
        return any(fnmatchcase(url, pattern) for pattern in self.urls)

    def extract(self, page: Page) -> Extraction:
        """Every field of the page; one that is not found is None, or an empty list."""
        values: dict[str, Any] = {}
        provenance: dict[str, Provenance] = {}
        for name, each in self.fields.items():
            found = each.find(page)
            if found is None:
                values[name] = [] if each.many else None
                continue
            values[name], index, valid = found
            selector = each.selectors[index]
            provenance[name] = Provenance(
                self.name, self.version, selector.text, index, selector.method, valid
            )
        return Extraction(self.name, self.version, values, provenance)

    def data(self) -> dict[str, Any]:
        """As it stands in its file."""
        data: dict[str, Any] = {
            "set": self.name,
            "version": self.version,
            "changelog": self.changelog,
            "hash": self.hash,
        }
        if self.extends:
            data["extends"] = self.extends
        if self.urls:
            data["urls"] = list(self.urls)
        data["fields"] = {name: each.data() for name, each in self.own.items()}
        return data


def make_version(
    name: str,
    version: str,
    selectors: Mapping[str, Any],
    changelog: str = "",
    *,
    urls: Sequence[str] = (),
    parent: Version | None = None,
) -> Version:
    """Check and compile a version.

    *selectors* has for each field a selector, a list of them, or a table with ``selectors``
    and the options ``type``, ``many`` and ``fill``. Fields and URL patterns that it does not
    have are those of *parent*. Raises :exc:`SelectorError`.
    """
    check_name(name)
    _check_version(version)
    if not isinstance(changelog, str):
        raise SelectorError(f"{name} {version}: changelog must be a text")
    if isinstance(urls, str) or not all(isinstance(url, str) for url in urls):
        raise SelectorError(f"{name} {version}: urls must be a list of patterns")
    if not isinstance(selectors, Mapping):
        raise SelectorError(f"{name} {version}: the fields must be a table")
    own = {key: _field(f"{name} {version}, field {key}", raw) for key, raw in selectors.items()}
    fields = {**parent.fields, **own} if parent else own
    if not fields:
        raise SelectorError(f"{name} {version} has no fields")
    made = Version(
        name,
        version,
        changelog,
        MappingProxyType(fields),
        tuple(urls) or (parent.urls if parent else ()),
        MappingProxyType(own),
        f"{parent.name}@{parent.version}" if parent else "",
    )
    data = {**made.data(), "hash": parent.hash if parent else ""}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    object.__setattr__(made, "hash", sha256(text.encode("ascii")).hexdigest())
    return made


def _field(where: str, raw: Any) -> Field:
    if isinstance(raw, Field):
        return raw
    if not isinstance(raw, Mapping):
        raw = {"selectors": raw}
    if unknown := set(raw) - _OPTIONS:
        raise SelectorError(f"{where}: {min(unknown)!r} is none of {sorted(_OPTIONS)}")
    sources = raw.get("selectors")
    sources = [sources] if isinstance(sources, str) else sources
    if not (isinstance(sources, Sequence) and sources):
        raise SelectorError(f"{where}: selectors must be a list with at least one selector")
    kind, many, fill = raw.get("type", "text"), raw.get("many", False), raw.get("fill")
    if not (isinstance(kind, str) and kind in KINDS):
        raise SelectorError(f"{where}: type must be one of {', '.join(KINDS)}, not {kind!r}")
    if not isinstance(many, bool):
        raise SelectorError(f"{where}: many must be true or false")
    if fill is not None and not (isinstance(fill, float) and 0 < fill < 1):
        raise SelectorError(f"{where}: fill must be a share between 0 and 1, such as 0.95")
    try:
        return Field(tuple(map(_parse, sources)), kind, many, fill)
    except SelectorError as error:
        raise SelectorError(f"{where}: {error}") from None


def _parse(source: Any) -> Selector:
    if not isinstance(source, str):
        raise SelectorError(f"a selector must be a text, not {source!r}")
    return parse(source)


def check_name(name: Any) -> str:
    """A name that may be a folder's: nothing leads out of the sets' folder."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise SelectorError(
            f"a set's name has letters, digits, - and _ only, and at most 64: {name!r}"
        )
    return name


def _check_version(version: Any) -> None:
    """A version that may be a file's name."""
    if not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise SelectorError(
            f"a version has letters, digits, '.', '+', '-' and '_' only, and at most 32, "
            f"such as 1.2.0: {version!r}"
        )


def order(version: str) -> tuple[Any, ...]:
    """Key by which versions are sorted: 1.10 comes after 1.9, and 1.0-rc1 before 1.0."""
    release, _, draft = version.partition("-")
    return _parts(release), not draft, _parts(draft)


def _parts(text: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|[A-Za-z]+", text)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
