"""Where settings come from.

From the weakest to the strongest: the profile, a JSON or TOML file, the environment, the
project's settings, the spider's and the command line.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy.settings import SETTINGS_PRIORITIES

from scrapy_resilience.core.masking import HIDDEN, mask_value
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import (
    PREFIX,
    Config,
    default_of,
    fields_by_name,
    unknown_setting,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.settings import BaseSettings

__all__ = ["PRIORITIES", "apply_layers", "describe", "origin"]

_TOML: Final = "tomllib" if sys.version_info >= (3, 11) else "tomli"
PRIORITIES: Final = {
    "profile": SETTINGS_PRIORITIES["addon"],
    "file": SETTINGS_PRIORITIES["addon"] + 1,
    "environment": SETTINGS_PRIORITIES["addon"] + 2,
}


def apply_layers(settings: BaseSettings, environ: Mapping[str, str] | None = None) -> list[str]:
    """Add the values of the environment, the file and the profile to *settings*.

    Each goes in at its own priority, so that whatever the user set in the project, the
    spider or on the command line wins. Returns the names of ``RESILIENCE_*`` environment
    variables that are not settings, for a warning.
    """
    environ = os.environ if environ is None else environ
    unknown = []
    for name, value in environ.items():
        if name in fields_by_name():
            settings.set(name, value, priority=PRIORITIES["environment"])
        elif name.startswith(PREFIX):
            unknown.append(name)
    if path := settings.get(PREFIX + "CONFIG_FILE"):
        for name, value in _read_file(Path(str(path))).items():
            settings.set(name, value, priority=PRIORITIES["file"])
    profile = settings.get(PREFIX + "PROFILE", "default")
    for key, value in PROFILES.get(str(profile), {}).items():
        settings.set(PREFIX + key.upper(), value, priority=PRIORITIES["profile"])
    return unknown


def _read_file(path: Path) -> dict[str, Any]:
    """The settings in a JSON or TOML file, by their full names.

    Keys may be written in full or without the prefix, in any case; a table named
    ``resilience`` is read when there is one.
    """
    setting = f"{PREFIX}CONFIG_FILE={str(path)!r}"
    if path.suffix not in {".json", ".toml"}:
        raise ConfigurationError(f"{setting}: use a file that ends in .json or .toml.")
    try:
        text = path.read_text(encoding="utf-8")
        library = json if path.suffix == ".json" else import_module(_TOML)
        data: Any = library.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{setting}: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    if isinstance(data, dict):
        data = data.get("resilience", data)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{setting}: use a table of settings.")
    found = {}
    for key, value in data.items():
        name = key.upper() if key.upper().startswith(PREFIX) else PREFIX + key.upper()
        if name not in fields_by_name() or name == PREFIX + "CONFIG_FILE":
            raise unknown_setting(name, f" in {path}")
        found[name] = value
    return found


def origin(settings: BaseSettings, name: str) -> str:
    """Where the value of a setting came from, in one word."""
    priority = settings.getpriority(name)
    if priority is None:
        return "default"
    by_number = {number: word for word, number in SETTINGS_PRIORITIES.items()}
    by_number |= {number: word for word, number in PRIORITIES.items()}
    return by_number.get(priority, f"priority {priority}")


def describe(settings: BaseSettings) -> list[dict[str, Any]]:
    """One row a setting: ``name``, ``value`` (secrets masked), ``origin``, ``meaning``."""
    config = Config.from_settings(settings)
    rows = []
    for name, f in fields_by_name().items():
        value = getattr(config, f.name)
        if f.metadata["secret"] and value:
            value = HIDDEN
        rows.append(
            {
                "name": name,
                "value": mask_value(value),
                "origin": origin(settings, name),
                "default": default_of(f),
                "meaning": f.metadata["meaning"],
            }
        )
    return rows
