"""A file of metrics for node_exporter's textfile collector: whole, or as it was before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from scrapy_resilience.exceptions import ConfigurationError

__all__ = ["check_textfile", "textfile_path", "write_textfile"]

_SPIDER = "%(spider)s"


def textfile_path(setting: str, spider: str) -> Path:
    """The path that ``RESILIENCE_METRICS_TEXTFILE`` means, wherever the process goes later."""
    return Path(setting.replace(_SPIDER, spider.replace("/", "_"))).absolute()


def check_textfile(path: Path) -> None:
    """Raises :exc:`.ConfigurationError` where no such file can be written."""
    setting = f"RESILIENCE_METRICS_TEXTFILE={str(path)!r}"
    if path.suffix != ".prom":
        raise ConfigurationError(f"{setting}: use a name that ends with .prom.")
    folder = path.parent
    if not folder.is_dir():
        raise ConfigurationError(f"{setting}: there is no folder {str(folder)!r}.")
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{setting}: it can't be written.")


def write_textfile(path: Path, text: bytes) -> None:
    """Replace the file in one step, by one thread at a time. Raises :exc:`OSError`."""
    scratch = path.with_name(f".{path.name}.tmp")  # always the same: a kill may leave it
    scratch.unlink(missing_ok=True)
    try:
        with scratch.open("xb") as file:
            file.write(text)
        scratch.replace(path)
    except OSError:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise
