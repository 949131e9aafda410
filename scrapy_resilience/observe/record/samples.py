"""One sample of each group of errors: its request, its page and its traceback, in a file.

A page is what a site has sent, with whatever it holds: the files are the user's alone.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import zstandard

from scrapy_resilience.files.ownership import open_own
from scrapy_resilience.observe.record.journalfile import UNREADABLE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_PAGE", "MAX_SCREENSHOT", "Evidence", "Sample", "Samples", "image_type"]

MAX_PAGE: Final = 262_144
"""Bytes of a page that are kept."""
MAX_SCREENSHOT: Final = 393_216
_MAX_ALL: Final = 16_000_000
"""Bytes of all samples; those that come when there are more are kept without a page."""
_MAX_FILE: Final = 4 * MAX_PAGE
_SUFFIX: Final = ".sample"


class Evidence(msgspec.Struct):
    """What a browser tells of an error, as the live page and the report have it."""

    console: list[str] = []
    screenshot: bytes = b""
    """In JSON in base 64."""
    type: str = ""
    """``image/png`` or ``image/jpeg``."""


class Sample(msgspec.Struct, kw_only=True):
    """The first error of a group. URLs, headers and texts are without their secrets."""

    cause: tuple[str, str, str]
    """Place, kind and message of the group, by which a file is known to be of it."""
    time: float
    """Seconds since 1970."""
    trace_id: str = ""
    url: str = ""
    method: str = ""
    request_headers: dict[str, str] = {}
    status: int | None = None
    response_url: str = ""
    response_headers: dict[str, str] = {}
    traceback: str = ""
    encoding: str = ""
    """Of the page; empty where it is no text."""
    is_html: bool = False
    page: bytes = b""
    """Its first 256 KB."""
    console: list[str] = []
    """The last errors of its console, where it was in a browser."""
    screenshot: bytes = b""
    """How it looked there: PNG, or JPEG where that would be too large."""

    @property
    def evidence(self) -> Evidence | None:
        """What the browser tells of it; None where it tells nothing."""
        if not (self.console or self.screenshot):
            return None
        return Evidence(self.console, self.screenshot, image_type(self.screenshot))

    def without_pages(self) -> Sample:
        """The same without what is large."""
        return msgspec.structs.replace(self, page=b"", screenshot=b"")


def image_type(image: bytes) -> str:
    """Of a screenshot, which is a PNG or a JPEG; empty for anything else."""
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/jpeg" if image.startswith(b"\xff\xd8\xff") else ""


_decoder: Final = msgspec.msgpack.Decoder(Sample)


class Samples:
    """The samples in *folder*; without one they are kept in memory, and have no page."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._in_memory: dict[int, Sample] = {}
        self._bytes = 0

    def keep_only(self, numbers: set[int]) -> None:
        """Remove what no group of the job knows. Raises OSError."""
        self._bytes = 0
        for path in self._folder.glob("*" + _SUFFIX) if self._folder is not None else ():
            if path.stem.isdecimal() and int(path.stem) in numbers:
                self._bytes += path.lstat().st_size
            else:
                path.unlink()

    def put(self, number: int, sample: Sample) -> None:
        """Keep the sample of a group, in the place of an older one. Raises OSError."""
        if self._folder is None:
            self._in_memory[number] = sample.without_pages()
            return
        if self._bytes > _MAX_ALL:
            sample = sample.without_pages()
        self.forget(number)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        data = zstandard.compress(msgspec.msgpack.encode(sample))
        path = self._path(number)
        draft = path.with_suffix(".new")
        fd = open_own(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._bytes += len(data)

    def add(
        self, number: int, cause: tuple[str, ...], screenshot: bytes, console: list[str]
    ) -> None:
        """What the browser tells of a sample that is there already. Raises OSError."""
        sample = self.get(number)
        if sample is not None and sample.cause == cause:
            screenshot = screenshot if len(screenshot) <= MAX_SCREENSHOT else b""
            self.put(
                number, msgspec.structs.replace(sample, screenshot=screenshot, console=console)
            )

    def forget(self, number: int) -> None:
        """Raises OSError."""
        self._in_memory.pop(number, None)
        if self._folder is not None:
            path = self._path(number)
            with suppress(FileNotFoundError):
                self._bytes -= path.lstat().st_size
                path.unlink()

    def get(self, number: int) -> Sample | None:
        """None where there is none, or none that can be read."""
        if self._folder is None:
            return self._in_memory.get(number)
        try:
            with os.fdopen(open_own(self._path(number), os.O_RDONLY), "rb") as file:
                data = file.read(_MAX_FILE)
            reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
            return _decoder.decode(reader.read(_MAX_FILE))
        except (OSError, zstandard.ZstdError, *UNREADABLE):
            return None

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:d}{_SUFFIX}"
