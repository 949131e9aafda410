"""The directives ``resilience-settings`` and ``-profiles``, from their one definition."""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from sphinx.util.docutils import SphinxDirective

from scrapy_resilience import settings
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import PREFIX, Config, default_of

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


class ResilienceSettings(SphinxDirective):
    """One ``confval`` for each field of ``Config``."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(settings.__file__))
        return self.parse_text_to_nodes("\n".join(_lines()))


class ResilienceProfiles(SphinxDirective):
    """What each profile changes."""

    def run(self) -> list[nodes.Node]:
        lines = [f"``{name}``\n   {_changes(values)}" for name, values in PROFILES.items()]
        return self.parse_text_to_nodes("\n\n".join(lines))


def _lines() -> list[str]:
    types = get_type_hints(Config)
    lines = []
    for field in fields(Config):
        lines += [
            f".. confval:: {PREFIX}{field.name.upper()}",
            "",
            f"   {_name(types[field.name])}, default ``{default_of(field)!r}``. "
            + field.metadata["meaning"].replace("`", "``"),
        ]
        if field.metadata["minimum"] is not None:
            lines[-1] += f" At least {field.metadata['minimum']:g}{_unit(types[field.name])}."
        if field.metadata["maximum"] is not None:
            lines[-1] += f" At most {field.metadata['maximum']:g}."
        if field.metadata["choices"]:
            lines[-1] += f" One of ``{'``, ``'.join(field.metadata['choices'])}``."
        lines.append("")
    return lines


def _name(kind: Any) -> str:
    """Of a union, the names of its parts."""
    return " or ".join(part.__name__ for part in _parts(kind) or (kind,))


def _parts(kind: Any) -> tuple[Any, ...]:
    """The parts of a union; empty for anything else."""
    return get_args(kind) if get_origin(kind) in {UnionType, Union} else ()


def _unit(kind: type) -> str:
    return " characters, or empty" if kind is str else ""


def _changes(values: dict[str, object]) -> str:
    if not values:
        return "The defaults."
    return ", ".join(f"``{PREFIX}{name.upper()}={value!r}``" for name, value in values.items())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("resilience-settings", ResilienceSettings)
    app.add_directive("resilience-profiles", ResilienceProfiles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
