"""``scrapy resilience selectors …``: look at selector sets, test them, add and roll back."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy_resilience.commands.tables import plain, table, text_of
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy_resilience.selectors.sets import SelectorSet
    from scrapy_resilience.selectors.version import Version

__all__ = ["run_selectors"]


def run_selectors(folder: str, args: list[str], *, force: bool) -> tuple[Any, str] | None:
    """Run a subcommand: its data, and the same as text. None when it is called wrongly."""
    registry = Registry(Path(folder) if folder else None)
    commands: dict[str, tuple[Callable[..., tuple[Any, str]], range]] = {
        "list": (_list, range(1)),
        "show": (_show, range(1, 3)),
        "test": (_test, range(3)),
        "diff": (_diff, range(2, 4)),
        "add": (_forced_add if force else _add, range(1, 2)),
        "rollback": (_rollback, range(1, 3)),
    }
    name, *rest = args or [""]
    if name not in commands or len(rest) not in commands[name][1]:
        return None
    if name in {"add", "rollback"} and registry.folder is None:
        raise SelectorError("set RESILIENCE_SELECTORS_DIR: what changes is written there")
    return commands[name][0](registry, *rest)


def _list(registry: Registry) -> tuple[Any, str]:
    rows = [_row(registry, name) for name in registry.names()]
    cells = [
        (
            row["set"],
            plain(row["version"]),
            str(len(row["versions"])),
            plain(row["problem"] or ", ".join(row["fields"])),
        )
        for row in rows
    ]
    return rows, table([("set", "active", "versions", "fields"), *cells])


def _row(registry: Registry, name: str) -> dict[str, Any]:
    """A set, or why it can't be read: the others are listed all the same."""
    row: dict[str, Any] = {"set": name, "version": None, "problem": None}
    try:
        found = registry.get(name)
    except SelectorError as error:
        return {**row, "versions": [], "fields": [], "urls": [], "problem": str(error)}
    return {
        **row,
        "version": found.version,
        "versions": list(found.versions),
        "fields": list(found.fields),
        "urls": list(found.urls),
    }


def _chosen(selectors: SelectorSet, version: str | None) -> Version:
    if version is None:
        version = selectors.version
    if version not in selectors.versions:
        known = ", ".join(selectors.versions)
        raise SelectorError(f"{selectors.name} has no version {version!r}, but {known}")
    return selectors.versions[version]


def _show(registry: Registry, name: str, version: str | None = None) -> tuple[Any, str]:
    selectors = registry.get(name)
    chosen = _chosen(selectors, version)
    fields = {key: each.data() for key, each in chosen.fields.items()}
    data = {**chosen.data(), "fields": fields, "active": chosen.version == selectors.version}
    history = [
        (each.version, "active" if each.version == selectors.version else "", each.changelog)
        for each in selectors.versions.values()
    ]
    lines = [f"{chosen.name} {chosen.version}, hash {chosen.hash}", "", *_lines(chosen), ""]
    return data, f"{text_of(lines)}\n{table(history)}"


def _lines(version: Version) -> list[str]:
    lines = [f"url {url}" for url in version.urls]
    for name, each in version.fields.items():
        data = each.data()
        sources = data.pop("selectors")
        options = ", ".join(f"{key} {plain(value)}" for key, value in data.items())
        lines += [f"{name} ({options})" if options else name, *(f"  {one}" for one in sources)]
    return lines


def _test(
    registry: Registry, name: str | None = None, version: str | None = None
) -> tuple[Any, str]:
    rows = []
    for each in map(registry.get, [name] if name else registry.names()):
        failures = [str(failure) for failure in each.test(version)]
        fixtures = [fixture.name for fixture in each.fixtures()]
        chosen = version or each.version
        rows.append(
            {"set": each.name, "version": chosen, "fixtures": fixtures, "failures": failures}
        )
    return rows, text_of(map(_tested, rows))


def _tested(row: dict[str, Any]) -> str:
    good = f"{len(row['fixtures'])} fixtures as expected" if row["fixtures"] else "no fixtures"
    return f"{row['set']} {row['version']}: {'; '.join(row['failures']) or good}"


def _diff(registry: Registry, name: str, old: str, new: str | None = None) -> tuple[Any, str]:
    selectors = registry.get(name)
    before, after = _chosen(selectors, old), _chosen(selectors, new)
    lines = difflib.unified_diff(
        _lines(before), _lines(after), before.version, after.version, lineterm="", n=1
    )
    text = text_of(lines)
    return {"old": before.data(), "new": after.data(), "diff": text}, text or "no difference"


def _add(registry: Registry, path: str, *, force: bool = False) -> tuple[Any, str]:
    selectors = registry.add_file(Path(path), force=force)
    data = selectors.versions[selectors.version].data()
    return data, f"{selectors.name} {selectors.version} is active, hash {selectors.hash}"


def _forced_add(registry: Registry, path: str) -> tuple[Any, str]:
    return _add(registry, path, force=True)


def _rollback(registry: Registry, name: str, version: str | None = None) -> tuple[Any, str]:
    chosen = registry.get(name).rollback(version)
    return chosen.data(), f"{name} {chosen.version} is active; a crawl sees it at its start"
