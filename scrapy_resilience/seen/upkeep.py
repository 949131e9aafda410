"""What is asked of a store from outside of crawls: what it holds, and that it forgets."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from fnmatch import translate
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request
from scrapy.utils.request import RequestFingerprinter

from scrapy_resilience.core.masking import clipped
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.lock import locked
from scrapy_resilience.seen.marks import (
    DIGEST,
    Batch,
    Mark,
    ident_of_key,
    ident_of_page,
    kept_url,
)
from scrapy_resilience.seen.schema import connect, damaged
from scrapy_resilience.seen.store import SeenStore, transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["add", "entries", "forget", "summary"]

_ALL: Final = "*"
_AT_ONCE: Final = 10_000
_LONGEST: Final = 200
"""Characters of a line that is shown."""
_fingerprinter: Final = RequestFingerprinter()
_PATIENCE: Final = 60.0
_ENTRIES: Final = """
SELECT seen.ident, url, at, period, content FROM seen LEFT JOIN urls USING(ident)
"""


def summary(path: Path) -> dict[str, Any]:
    """What a store holds, in numbers."""
    with _reading(path) as connection:
        one = connection.execute
        pages, oldest, newest = one("SELECT count(*), min(at), max(at) FROM seen").fetchone()
        (linking,) = one("SELECT count(*) FROM seen WHERE period=0").fetchone()
        (validators,) = one("SELECT count(*) FROM validators").fetchone()
        (urls,) = one("SELECT count(*) FROM urls").fetchone()
        (undo,) = one("SELECT count(*) FROM undo").fetchone()
    return {
        "pages": pages,
        "oldest": oldest,
        "newest": newest,
        "linking": linking,
        "validators": validators,
        "urls": urls,
        "undo": undo,
        "bytes": path.stat().st_size,
    }


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Each page, in no order."""
    with _reading(path) as connection:
        for ident, url, at, period, content in connection.execute(_ENTRIES):
            yield {
                "id": f"{ident & (2**64 - 1):016x}",
                "url": url,
                "seen": at,
                "period": period,
                "items": len(content or b"") // DIGEST,
            }


def add(path: Path, lines: Iterable[str], now: int) -> int:
    """Write down what others have brought, one a line. Returns how many lines there were.

    A line that begins with ``http://`` or ``https://`` is the URL of a page, which Scrapy's own
    fingerprints tell from others; any other one is a key. Raises :exc:`CheckpointError` for a
    URL of no page; some of the lines before it are written down.
    """
    added = 0
    texts = ((number, line.strip("\r\n")) for number, line in enumerate(lines, 1))
    with closing(SeenStore(path)) as store:
        while batch := list(islice(texts, _AT_ONCE)):
            marks = {}
            for number, text in batch:
                if text:
                    added += 1
                    ident = _ident_of(text, number)
                    marks[ident] = Mark(ident, now, None, b"", url=kept_url(text))
            store.write([Batch(0, [*marks.values()])])
    return added


def _ident_of(text: str, number: int) -> int:
    """Of the page or the key in a line."""
    if not text.startswith(("http://", "https://")):
        return ident_of_key(text)
    try:
        return ident_of_page(_fingerprinter.fingerprint(Request(text)))
    except ValueError as error:
        line = f"line {number} is no URL ({error}): {clipped(text, _LONGEST)}"
        raise CheckpointError(f"{line}. Correct it, and run it again.") from None


def forget(path: Path, pattern: str) -> int:
    """Forget the pages whose URLs fit a pattern of a shell; ``*`` is all. Returns how many.

    What a job may take back is forgotten as well: it does not come again.
    """
    with _reading(path) as connection:
        if pattern == _ALL:
            found = [ident for (ident,) in connection.execute("SELECT ident FROM seen")]
        else:
            (urls,) = connection.execute("SELECT count(*) FROM urls").fetchone()
            if not urls:
                raise CheckpointError(
                    f"{path} has no URLs (RESILIENCE_SEEN_URLS was off): only all pages can be "
                    'forgotten, by "*"'
                )
            fits = re.compile(translate(pattern)).match
            named = connection.execute("SELECT ident, url FROM urls")
            found = [ident for ident, url in named if fits(url)]
    forgotten = 0
    with closing(connect(path, read_only=False)) as writer:
        for start in range(0, len(found), _AT_ONCE):  # a crawl may want to write meanwhile
            forgotten += _forget(path, writer, found[start : start + _AT_ONCE])
        with _lock(path):  # closing folds the log in
            writer.close()
    return forgotten


def _forget(path: Path, writer: sqlite3.Connection, idents: list[int]) -> int:
    rows = [(ident,) for ident in idents]
    with _lock(path), transaction(writer):
        before = writer.total_changes
        writer.executemany("DELETE FROM seen WHERE ident=?", rows)
        forgotten = writer.total_changes - before
        for table, column in (("validators", "page"), ("urls", "ident"), ("undo", "ident")):
            writer.executemany(f"DELETE FROM {table} WHERE {column}=?", rows)  # noqa: S608 - ours
    return forgotten


def _lock(path: Path) -> Any:
    return locked(path.with_name(path.name + ".lock"), _PATIENCE)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Raises :exc:`CheckpointError` where there is no store, and for a damaged one."""
    if not path.is_file():
        raise CheckpointError(f"{path} is no file: name the one of RESILIENCE_SEEN_STORE")
    try:
        with closing(connect(path, read_only=True)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise CheckpointError(f"{path} can't be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error
