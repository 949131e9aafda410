"""``scrapy resilience deadletters``: what was given up, as a table or in a file.

A page of letters is in memory at a time, however many there are.
"""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from scrapy_resilience.commands.jobs import open_job, values
from scrapy_resilience.commands.tables import plain, shown_time, table
from scrapy_resilience.core.deadletter import About, Wanted
from scrapy_resilience.core.masking import mask_each, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from scrapy_resilience.frontier.sqlite import SQLiteStore
    from scrapy_resilience.frontier.store import Letter

    Rows: TypeAlias = Iterable[dict[str, Any]]

__all__ = ["about", "list_letters", "pages"]

_PAGE: Final = 1000
_COLUMNS: Final = tuple(About.load({}).row())
_SHOWN: Final = (
    "kind", "class", "attempts", "status", "last", "trace_id", "url", "reason", "exception",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def list_letters(path: str, wanted: Wanted, *, form: str, output: str = "") -> None:
    """Print the letters, or write them to the file *output*.

    *form* is ``json``, ``csv`` or ``table``; JSON in a file is JSON Lines.
    """
    nothing = "no dead letters" if wanted == Wanted() else "no such dead letters"
    with open_job(Path(path)) as store:
        rows = _rows(store, wanted)
        if output:
            with _whole(Path(output)) as file:
                (_write_csv if form == "csv" else _write_lines)(rows, file)
        else:
            shown: dict[str, Callable[[Rows, TextIO], None]] = {
                "json": _write_array,
                "csv": _write_csv,
                "table": partial(_write_table, nothing=nothing),
            }
            shown[form](rows, sys.stdout)


def pages(store: SQLiteStore) -> Iterator[list[Letter]]:
    """All letters, page by page: no read of the store stays open in between."""
    after = 0
    while page := store.letters(after, _PAGE):
        yield page
        after = page[-1].number


def about(letter: Letter) -> About:
    """What is told of a letter."""
    found = values.decode(letter.about)
    return About.load(found if isinstance(found, dict) else {})


def _rows(store: SQLiteStore, wanted: Wanted) -> Iterator[dict[str, Any]]:
    for page in pages(store):
        for letter in page:
            if wanted(found := about(letter)):
                yield found.row()


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """A file that is there when all is written, and not before."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.unlink(missing_ok=True)
        with draft.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# --- forms ----------------------------------------------------------------------------


def _write_lines(rows: Rows, file: TextIO) -> None:
    file.writelines(json.dumps(mask_each(row)) + "\n" for row in rows)


def _write_array(rows: Rows, file: TextIO) -> None:
    lead = "["
    for row in rows:
        file.write(f"{lead}\n  {json.dumps(mask_each(row))}")
        lead = ","
    file.write("[]\n" if lead == "[" else "\n]\n")


def _write_csv(rows: Rows, file: TextIO) -> None:
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> Any:
    """Text that a spreadsheet does not take for a formula, and a terminal not for commands."""
    if not isinstance(value, str):
        return value
    return shown(f"'{value}" if value.startswith(_FORMULA) else value)


def _write_table(rows: Rows, file: TextIO, *, nothing: str) -> None:
    """Columns as wide as the widest cell of a page."""
    cells = (tuple(_shown(name, row[name]) for name in _SHOWN) for row in rows)
    page = [_SHOWN, *islice(cells, _PAGE)]
    if len(page) == 1:
        file.write(f"{nothing}\n")
        return
    while page:
        file.write(table(page) + "\n")
        page = list(islice(cells, _PAGE))


def _shown(name: str, value: Any) -> str:
    return shown_time(value) if name == "last" else plain(value)
