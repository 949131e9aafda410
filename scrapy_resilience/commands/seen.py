"""``scrapy resilience seen``: the pages that a store has, and that it is to forget."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience import _clock
from scrapy_resilience.commands.tables import plain, shown_size, shown_time, table
from scrapy_resilience.core.masking import counted
from scrapy_resilience.seen.upkeep import add, entries, forget, summary

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["print_seen", "show_seen"]


def show_seen(path: str, action: str = "", name: str = "") -> tuple[Any, str] | None:
    """*action* is ``forget`` with a pattern, or ``add`` or ``export`` with a file.

    None for wrong usage.
    """
    store = Path(path)
    if not action:
        found = summary(store)
        return found, table(_rows(found))
    if not name:
        return None
    if action == "forget":
        number = forget(store, name)
        return {"forgotten": number}, f"{counted(number, 'page')} forgotten"
    if action == "add":
        with ExitStack() as stack:
            lines: TextIO = sys.stdin
            if name != "-":
                lines = stack.enter_context(Path(name).open(encoding="utf-8", errors="replace"))
            number = add(store, lines, int(_clock.wall()))
        return {"added": number}, f"{counted(number, 'line')} added"
    if action != "export":
        return None
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        number = _export(store, file)
    return {"exported": number}, f"{counted(number, 'page')} in {name}"


def print_seen(path: str) -> None:
    """Each page as a line of JSON."""
    _export(Path(path), sys.stdout)


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    times = {name: found[name] and shown_time(found[name]) for name in ("oldest", "newest")}
    shown = {**found, **times, "bytes": shown_size(found["bytes"])}
    return [(_MEANINGS[name], plain(value)) for name, value in shown.items()]


_MEANINGS: Final = {
    "pages": "pages that were seen",
    "oldest": "seen first",
    "newest": "seen last",
    "linking": "asked for each time, as they give links",
    "validators": "with an ETag or Last-Modified",
    "urls": "with their URL",
    "undo": "marks that a job may take back",
    "bytes": "size",
}


def _export(store: Path, file: TextIO) -> int:
    number = 0
    for number, entry in enumerate(entries(store), 1):  # noqa: B007 - the last one counts
        file.write(json.dumps(entry) + "\n")
    return number
