"""``scrapy resilience errors``: the groups of a job's errors, and the first of each."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.commands.jobs import open_job
from scrapy_resilience.commands.tables import plain, shown_time, table, text_of
from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.observe.record.record import stored_record
from scrapy_resilience.observe.record.samples import image_type

if TYPE_CHECKING:
    from scrapy_resilience.observe.record.errors import ErrorGroups
    from scrapy_resilience.observe.record.samples import Sample
    from scrapy_resilience.observe.view import ErrorGroup

__all__ = ["list_errors", "open_error"]

_COLUMNS: Final = ("number", "errors", "last", "domains", "what", "where", "page")
_TOLD: Final = 3
"""Domains in a row."""
_NAMES: Final = 1000
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_HARMLESS: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
body, iframe {{ display: block; margin: 0; border: 0; width: 100%; height: 100vh }}
</style>
<iframe sandbox referrerpolicy="no-referrer" srcdoc="{page}"></iframe>
"""
"""No script of the page runs, and nothing is asked of a server."""


def list_errors(path: str) -> tuple[Any, str]:
    """The groups, the most frequent first."""
    groups = _errors_of(path).view()
    rows = [msgspec.to_builtins(group) for group in groups]
    return rows, table([_COLUMNS, *map(_row, groups)]) if groups else "no errors"


def open_error(path: str, number: int, output: str = "") -> tuple[Any, str]:
    """The first error of a group; its page is written to a file, by default a new one here.

    So is a screenshot of it, beside the page.

    Raises :exc:`CheckpointError` where there is none, and OSError for a file that is there.
    """
    errors = _errors_of(path)
    if number not in {group.number for group in errors.view()}:
        raise CheckpointError(f"there is no group {number} of errors: `errors` lists them")
    sample = errors.sample(number)
    if sample is None:
        raise CheckpointError(f"no sample was kept of group {number} of the errors")
    file = _write(sample, number, output) if sample.page else None
    shot = _write_screenshot(sample, number, output) if sample.screenshot else None
    files = {"page": file and str(file), "screenshot": shot and str(shot)}
    return {**msgspec.to_builtins(sample), **files}, _told(sample, file, shot)


def _errors_of(path: str) -> ErrorGroups:
    with open_job(Path(path)) as store:
        meta = JobMeta.of(store.state())
    return stored_record(Path(path), meta.ident, meta.commits).errors


def _row(group: ErrorGroup) -> tuple[str, ...]:
    domains = [*group.domains][:_TOLD]
    more = [f"and {len(group.domains) - _TOLD} more"] if len(group.domains) > _TOLD else []
    return (
        plain(group.number),
        plain(group.count),
        shown_time(group.last),
        plain(", ".join(filter(None, [*domains, *more]))),
        plain(": ".join(filter(None, [group.kind, group.message]))),
        plain(group.place),
        _kept(group),
    )


def _kept(group: ErrorGroup) -> str:
    kept = ("yes", group.has_page), ("in the browser", group.has_evidence)
    return ", ".join(what for what, is_kept in kept if is_kept) or "-"


def _told(sample: Sample, file: Path | None, shot: Path | None) -> str:
    place, kind, message = sample.cause
    rows = {
        "what": ": ".join(filter(None, [kind, message])),
        "where": place,
        "time": shown_time(sample.time),
        "request": " ".join(filter(None, [sample.method, sample.url])),
        "status": sample.status,
        "answered by": sample.response_url,
        "trace id": sample.trace_id,
    }
    lines = table([(name, plain(value)) for name, value in rows.items()]).split("\n")
    lines += ["", *(f"  {line}" for line in sample.traceback.split("\n"))]
    if sample.console:
        lines += ["", "its console said:", *(f"  {plain(line)}" for line in sample.console)]
    if file is None:
        lines += ["", "no page was kept"]
    else:
        lines += ["", f"the page is in {file}", *([_CAUTION] if sample.is_html else [])]
    if shot is not None:
        lines.append(f"how it looked in the browser is in {shot}")
    return text_of(lines)


_CAUTION: Final = (
    "It is what the site has sent: the file shows it without its scripts, images and fonts."
)


def _write(sample: Sample, number: int, output: str) -> Path:
    """The page in a file that a browser may show: whoever wrote it may be hostile."""
    page, suffix = sample.page, ".bin"
    if sample.encoding:
        page, suffix = _text(sample).encode("utf-8", "replace"), ".txt"
    if sample.is_html:
        title = f"Page of the errors of group {number}"
        shown = _HARMLESS.format(title=title, page=escape(_text(sample)))
        page, suffix = shown.encode("utf-8", "replace"), ".html"
    return _put(page, number, output, suffix)


def _write_screenshot(sample: Sample, number: int, output: str) -> Path:
    suffix = ".jpg" if image_type(sample.screenshot) == "image/jpeg" else ".png"
    return _put(sample.screenshot, number, f"{output}{suffix}" if output else "", suffix)


def _put(content: bytes, number: int, output: str, suffix: str) -> Path:
    path, fd = (Path(output), os.open(output, _NEW, 0o600)) if output else _free(number, suffix)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return path


def _text(sample: Sample) -> str:
    try:
        return sample.page.decode(sample.encoding, "replace")
    except (LookupError, ValueError):  # no such encoding
        return sample.page.decode("utf-8", "replace")


def _free(number: int, suffix: str) -> tuple[Path, int]:
    """A new file in this folder, which is named by us."""
    for again in range(1, _NAMES):
        path = Path(f"error-{number:d}{f'-{again}' if again > 1 else ''}{suffix}")
        try:
            return path, os.open(path, _NEW, 0o600)
        except FileExistsError:
            continue
    raise FileExistsError(f"{path} and all names before it are taken")
