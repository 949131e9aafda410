"""``Config``: all ``RESILIENCE_*`` settings of a crawl, parsed and checked.

Each is defined once, with its type, default, range and meaning: in :mod:`.settings_crawl`,
:mod:`.settings_observe`, :mod:`.settings_guard` and :mod:`.settings_keep`.

A setting ``RESILIENCE_CHECKPOINT_INTERVAL`` is the field ``checkpoint_interval`` of
:class:`Config`. Where values come from is told in :mod:`.settings_sources`.
"""

from __future__ import annotations

import difflib
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_type_hints
from weakref import finalize

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.settings_crawl import CrawlConfig
from scrapy_resilience.settings_guard import GuardConfig
from scrapy_resilience.settings_keep import KeepConfig
from scrapy_resilience.settings_observe import ObserveConfig
from scrapy_resilience.settings_values import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.settings import BaseSettings

__all__ = [
    "PREFIX",
    "Config",
    "checked",
    "default_of",
    "fields_by_name",
    "misspelled",
    "unknown_setting",
]

PREFIX: Final = "RESILIENCE_"


@dataclass(frozen=True)
class Config(KeepConfig, GuardConfig, ObserveConfig, CrawlConfig):
    """All settings of one crawl, parsed and checked."""

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Config:
        """Parse and check the ``RESILIENCE_*`` values of Scrapy settings.

        Those that are frozen, as a crawl's are for its components, are parsed once.

        Raises :exc:`ConfigurationError` for an unknown name, a wrong type or a value
        out of range.
        """
        if not settings.frozen:
            return _parsed(cls, settings)
        if id(settings) not in _of_frozen:
            _of_frozen[id(settings)] = _parsed(cls, settings)
            finalize(settings, _of_frozen.pop, id(settings)).atexit = False
        return _of_frozen[id(settings)]


_of_frozen: Final[dict[int, Config]] = {}
"""By the identity of the settings, which have no hash."""


def _parsed(cls: type[Config], settings: BaseSettings) -> Config:
    known = fields_by_name()
    for name in settings:
        if str(name).startswith(PREFIX) and name not in known:
            raise unknown_setting(name)
    values = {
        f.name: parse(name, f, _types()[f.name], settings.get(name))
        for name, f in known.items()
        if settings.get(name) is not None
    }
    return cls(**values)


def default_of(f: Field[Any]) -> Any:
    """The default of a setting."""
    return f.default if f.default_factory is MISSING else f.default_factory()


@cache
def fields_by_name() -> dict[str, Field[Any]]:
    """The fields of :class:`Config` by the full names of their settings."""
    return {PREFIX + f.name.upper(): f for f in fields(Config)}


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Config)


def checked(name: str, value: Any) -> Any:
    """*value* as the setting *name* has it, a field of :class:`Config`, where code gives it.

    Raises :exc:`ConfigurationError` for one that the setting would not be allowed.
    """
    full = PREFIX + name.upper()
    return parse(full, fields_by_name()[full], _types()[name], value)


def unknown_setting(name: str, where: str = "") -> ConfigurationError:
    """The error for a name that is none, with the one that was meant."""
    known = [each.removeprefix(PREFIX) for each in fields_by_name()]  # all are alike with it
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    hint = f" Did you mean {PREFIX}{close[0]}?" if close else ""
    return ConfigurationError(f"{name}{where} is not a setting of scrapy_resilience.{hint}")


def misspelled(names: Iterable[str]) -> dict[str, str]:
    """Names that are like ours, but for their prefix, and the settings that they may mean."""
    found: dict[str, str] = {}
    for name in names:
        prefix = name[: name.find("_") + 1]
        if prefix != PREFIX and difflib.get_close_matches(prefix, [PREFIX], cutoff=_LIKE):
            meant = difflib.get_close_matches(name, fields_by_name(), n=1, cutoff=_LIKE)
            found.update((name, each) for each in meant)
    return found


_LIKE: Final = 0.85
