"""Rules: what a field is read as, with which hints, and where the result goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.normalize._common import chain, library

__all__ = ["ALL", "KINDS", "MAIN", "Rule", "make_rule", "make_rules", "normalizer_of"]

KINDS: Final = ("price", "date", "location", "company", "rating", "phone")
ALL: Final = "*"
"""In the place of a field: hints for every field."""
MAIN: Final = {
    "price": "amount",
    "date": "iso",
    "location": "city",
    "company": "name",
    "rating": "value",
    "phone": "e164",
}
"""The key of a result by which two of them are compared."""

_LIBRARIES: Final = {"price": "price_parser", "date": "dateparser", "phone": "phonenumbers"}
_OF_THE_PAGE: Final = {"date": ("now",), "location": ("region",), "phone": ("domain",)}
"""Hints that come from the page a field is on, unless the rule has its own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field is read. *to* is the field that gets the result, None for the same one."""

    kind: str
    function: Callable[..., dict[str, Any] | None]
    hints: Mapping[str, Any] = field(default_factory=dict)
    to: str | None = None
    needs: tuple[str, ...] = ()
    """Hints that the page has to give."""

    def read(self, value: Any, page: Mapping[str, Any]) -> tuple[Any, int, int]:
        """Return the result, how many values were read and how many were not.

        *page* has the hints that the rule `needs`. What is not read stays as it is. The
        elements of a list are read one by one, numbers by the text that Python has for them;
        anything but texts, numbers and lists is left alone.
        """
        if isinstance(value, (list, tuple)):
            results = [self.read(each, page) for each in value]
            return (
                [result for result, _, _ in results],
                sum(good for _, good, _ in results),
                sum(bad for _, _, bad in results),
            )
        found = self._read(value, page)
        if found is None:
            return value, 0, int(_has_content(value))
        return found, 1, 0

    def _read(self, value: Any, page: Mapping[str, Any]) -> dict[str, Any] | None:
        hints = self.hints
        if self.needs:
            hints = {**hints, **{name: page[name] for name in self.needs}}
        if isinstance(value, str):
            return self.function(value, **hints)
        if not _is_written(value):
            return None
        if self.kind == "price":
            hints = {**hints, "locale": "und"}  # Python's point is one of decimals
        found = self.function(str(value), **hints)
        return None if found is None else {**found, "raw": value}


_LARGEST: Final = 1e300


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_written(value: Any) -> bool:
    """Whether it is a number with a text: not NaN, which would be the name of a town."""
    return _is_number(value) and -_LARGEST < value < _LARGEST


def _has_content(value: Any) -> bool:
    return bool(str.strip(value)) if isinstance(value, str) else _is_number(value)


def normalizer_of(kind: str) -> Callable[..., dict[str, Any] | None]:
    """The function that reads values of *kind*."""
    found: Callable[..., dict[str, Any] | None] = getattr(
        import_module(f"scrapy_resilience.normalize.{kind}"), f"normalize_{kind}"
    )
    return found


@cache
def _known_hints(kind: str) -> frozenset[str]:
    parameters = inspect.signature(normalizer_of(kind)).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def make_rules(where: str, raw: Mapping[str, Any]) -> dict[str, Rule]:
    """Rules by field. *where* is the name of the setting, for errors.

    Raises `ConfigurationError` for types and hints that don't exist and for wrong values of
    hints, and `MissingLibraryError` when a library that a type may need is not installed.
    """
    fields = dict(raw)
    common = fields.pop(ALL, {})
    _check_common(f"{where}[{ALL!r}]", common)
    for name in fields:
        if not _is_text(name):
            raise ConfigurationError(f"{where}: {name!r} is not the name of a field")
    return {name: make_rule(f"{where}[{name!r}]", fields[name], common) for name in fields}


def make_rule(where: str, raw: Any, common: Mapping[str, Any] | None = None) -> Rule:
    """One rule, from the name of a type or a dict with ``type``, ``to`` and hints.

    *common* has hints that count where the type knows them. Errors as in `make_rules`.
    """
    own = dict(raw) if isinstance(raw, Mapping) else {"type": raw}
    kind, to = own.pop("type", None), own.pop("to", None)
    if kind not in KINDS:
        raise ConfigurationError(
            f"{where}: {kind!r} is not a type of values: use one of {', '.join(KINDS)}"
        )
    if to is not None and not (isinstance(to, str) and to):
        raise ConfigurationError(f"{where}: to={to!r} is not the name of a field")
    known = _known_hints(kind)
    _check_names(where, own, known - {"now"}, kind)
    shared = {name: value for name, value in (common or {}).items() if name in known}
    hints = {name: _hashable(value) for name, value in {**shared, **own}.items()}
    given = hints.keys() | ({"domain"} if "region" in hints else set())
    needs = tuple(name for name in _OF_THE_PAGE.get(kind, ()) if name not in given)
    rule = Rule(kind, normalizer_of(kind), hints, to, needs)
    _check_values(where, rule)
    return rule


def _check_common(where: str, common: Any) -> None:
    if not isinstance(common, Mapping):
        raise ConfigurationError(f"{where}: {common!r} is not a dict of hints")
    if not common:
        return
    known = frozenset[str]().union(*map(_known_hints, KINDS)) - {"now"}
    _check_names(where, common, known, "any type")


def _check_names(
    where: str, hints: Mapping[str, Any], known: frozenset[str], owner: str
) -> None:
    if unknown := sorted(map(str, hints.keys() - known)):
        has = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"{where}: {', '.join(unknown)} is not a hint of {owner}, which has: {has}"
        )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_country(code: str) -> bool:
    from scrapy_resilience.normalize._places import of_code  # noqa: PLC0415 - few need it

    return bool(of_code(code).countries)


def _is_language(value: Any) -> bool:
    return value in library("dateparser.data.languages_info").language_order


_SHAPES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "locale": (
        lambda value: value == "und" or (_is_text(value) and bool(chain(value))),
        "one that the CLDR knows, such as 'de-CH'",
    ),
    "region": (
        lambda value: _is_text(value) and _is_country(value.casefold()),
        "a code of ISO 3166, such as 'DE' or 'GB'",
    ),
    "languages": (
        lambda value: isinstance(value, tuple) and all(map(_is_language, value)),
        "a list of codes that dateparser knows, such as ['de', 'fr']",
    ),
    "max": (lambda value: _is_written(value) and value > 0, "a number above 0"),
    "decimal": (lambda value: isinstance(value, bool), "True or False"),
}
_TEXT: Final = (_is_text, "a text")


def _check_values(where: str, rule: Rule) -> None:
    """Read something with the rule's hints: it is better refused now than at each item."""
    for name, value in rule.hints.items():
        fits, wanted = _SHAPES.get(name, _TEXT)
        if not fits(value):
            raise ConfigurationError(f"{where}: {name}={value!r} is not {wanted}")
    try:
        found = rule.function("1", **rule.hints)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    currency = rule.hints.get("currency")
    if currency and not (found and found["currency"]):
        raise ConfigurationError(f"{where}: currency={currency!r} is not one currency")
    name = _LIBRARIES.get(rule.kind, "")
    if name and find_spec(name) is None:
        library(name)
