"""The report of a crawl: the page with its view in it, as one file that needs no other.

It compares with the job of the same spider before: that of the report whose place it takes.
"""

from __future__ import annotations

import os
import re
import tempfile
from base64 import b64encode
from contextlib import suppress
from errno import EINVAL
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.assets import PAGE, asset
from scrapy_resilience.observe.view import Items, View

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_place", "previous_in", "render_report", "write_report"]

_LIVE: Final = "page.js"
_STYLE: Final = re.compile(r'<link rel="stylesheet" href="([^"]+)">\n')
_SCRIPT: Final = re.compile(r'<script defer src="([^"]+)"></script>\n')
_DATA: Final = re.compile(
    rb'<script type="application/json" id="data">(.*?)</script>', re.DOTALL
)
_POLICY: Final = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_LARGEST: Final = 20_000_000
"""Bytes of a report that is read again."""


class _Data(msgspec.Struct):
    """What is in a report."""

    view: View
    previous: View | None = None


def render_report(view: View, previous: View | None = None) -> bytes:
    """An HTML file that shows *view*, and how it differs from *previous*."""
    page = asset(PAGE).decode()
    style = _joined(_STYLE.findall(page))
    script = _joined([name for name in _SCRIPT.findall(page) if name != _LIVE] + ["report.js"])
    policy = _POLICY.format(script=_digest(script), style=_digest(style))
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>{style}</style>\n"
    )
    data = _as_json(_Data(view, previous))
    tail = (
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>{script}</script>\n</body>"
    )
    page = _SCRIPT.sub("", _STYLE.sub("", page))
    page = page.replace("<title>", f"{head}<title>", 1)
    before, _, after = page.rpartition("</body>")
    return f"{before}{tail}{after}".encode()


def _joined(names: Iterable[str]) -> str:
    """Files one after the other, none of which ends the element that holds them."""
    return "\n".join(asset(name).decode() for name in names).replace("</script", "<\\/script")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _as_json(data: _Data) -> str:
    """JSON in which no element can begin or end, and no comment."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def write_report(path: Path, view: View) -> None:
    """Write the report of *view* to *path*: all of it or, after an error, nothing.

    Raises :exc:`OSError`.
    """
    content = render_report(view, previous_in(path, view))
    path = path.resolve()  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        Path(name).chmod(_mode(path))
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _mode(path: Path) -> int:
    """As it was, or else for the user alone: URLs and items are in it."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0o600


def previous_in(path: Path, view: View) -> View | None:
    """The job of the same spider before, as the report in *path* has it, without its lists.

    When that report is of this very job, from an earlier run, it is the one with which that
    was compared.
    """
    try:
        if path.stat().st_size > _LARGEST:
            return None
        found = _DATA.search(path.read_bytes())
        data = msgspec.json.decode(found[1], type=_Data) if found else None
    except (OSError, msgspec.DecodeError):
        return None
    if data is None or data.view.job.spider != view.job.spider:
        return None
    is_this = bool(view.job.path) and data.view.job.ident == view.job.ident
    return data.previous if is_this else _summary(data.view)


def _summary(view: View) -> View:
    """What a comparison needs."""
    items = Items(coverage=view.items.coverage, confidence=view.items.confidence)
    return replace(
        view, items=items, domains=[], errors=[], events=[], history=[], settings={}, stats={}
    )


def check_place(path: str) -> None:
    """Raises :exc:`ConfigurationError` where no report can be written."""
    try:
        place = Path(path).resolve()
        with suppress(FileNotFoundError):
            if not S_ISREG(place.stat().st_mode):
                raise OSError(EINVAL, "it is not a file")  # noqa: TRY301
        with tempfile.TemporaryFile(dir=next(filter(Path.exists, place.parents))):
            pass
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"RESILIENCE_REPORT={path!r} can't be written: {error}. Use the path of a file"
        ) from error
