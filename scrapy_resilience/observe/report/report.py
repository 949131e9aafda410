"""The report of a crawl: the page with its view in it, as one file that needs no other."""

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

from scrapy_resilience.core.masking import reason
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.files.layout import ERRORS
from scrapy_resilience.observe.endpoint.assets import PAGE, asset
from scrapy_resilience.observe.record.samples import Evidence, Samples
from scrapy_resilience.observe.view import View  # noqa: TC001 - msgspec reads it

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy_resilience.settings import Config

__all__ = ["ReportData", "check_place", "data_in", "render_report", "write_report"]

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
_LARGEST_EVIDENCE: Final = 4_000_000
"""Bytes of screenshots."""
_LARGEST: Final = 20_000_000
"""Bytes of a report that is read again."""


class ReportData(msgspec.Struct):
    """What is in a report."""

    view: View
    previous: View | None = None
    evidence: dict[int, Evidence] = {}
    """What browsers tell of errors, by the number of the group."""


def render_report(
    view: View,
    previous: View | None = None,
    evidence: Mapping[int, Evidence] | None = None,
) -> bytes:
    """An HTML file that shows *view*, and how it differs from *previous*."""
    page = asset(PAGE).decode()
    style = _joined(_STYLE.findall(page))
    script = _joined([name for name in _SCRIPT.findall(page) if name != _LIVE] + ["report.js"])
    policy = _POLICY.format(script=_digest(script), style=_digest(style))
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>{style}</style>\n"
    )
    data = _as_json(ReportData(view, previous, dict(evidence or {})))
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


def _as_json(data: ReportData) -> str:
    """JSON in which no element can begin or end, and no comment."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def write_report(
    path: Path, view: View, previous: View | None = None, jobdir: Path | None = None
) -> None:
    """Write the report of *view* to *path*: all of it or, after an error, nothing.

    *jobdir* is where what browsers tell of its errors is kept.

    Raises :exc:`OSError`.
    """
    evidence = {} if jobdir is None else _evidence(view, jobdir)
    content = render_report(view, previous, evidence)
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


def _evidence(view: View, jobdir: Path) -> dict[int, Evidence]:
    """Of the most frequent errors, as much as a report may grow by."""
    samples = Samples(jobdir / ERRORS)
    found: dict[int, Evidence] = {}
    left = _LARGEST_EVIDENCE
    for group in view.errors:
        sample = samples.get(group.number) if group.has_evidence else None
        if sample is None or sample.evidence is None:
            continue
        evidence = sample.evidence
        left -= len(evidence.screenshot)
        if left < 0:
            evidence = msgspec.structs.replace(evidence, screenshot=b"", type="")
        found[group.number] = evidence
    return found


def _mode(path: Path) -> int:
    """As it was, or else for the user alone: URLs and items are in it."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0o600


def data_in(path: Path) -> ReportData | None:
    """What the report in *path* holds; None for any other file."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        found = _DATA.search(path.read_bytes())
        return msgspec.json.decode(found[1], type=ReportData) if found else None
    except (OSError, ValueError, msgspec.DecodeError):
        return None


def check_place(config: Config) -> None:
    """Raises :exc:`ConfigurationError` where ``RESILIENCE_REPORT`` can't be written."""
    path = config.report
    try:
        place = Path(path).resolve()
        with suppress(FileNotFoundError):
            if not S_ISREG(place.stat().st_mode):
                raise OSError(EINVAL, "it is not a file")  # noqa: TRY301
        with tempfile.TemporaryFile(dir=next(filter(Path.exists, place.parents))):
            pass
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"RESILIENCE_REPORT={path!r} can't be written: {reason(error)}. Use the path of a "
            "file."
        ) from error
