"""Where snapshots are kept: a folder, or with the extra ``fsspec`` any store with a URL."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.files.plainfile import opener

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Folder", "Place", "Remote", "open_place", "sync_folder"]


class Place(Protocol):
    """Files by name. Methods raise :exc:`OSError`."""

    remote: bool
    """Whether each byte that is read is a download."""

    def drafts(self, scratch: Path) -> Path:
        """The local folder in which a file is to be written before it is published."""

    def names(self) -> list[str]: ...

    def publish(self, draft: Path, name: str) -> None:
        """Put a finished draft in its place, whole."""

    def open(self, name: str) -> IO[bytes]: ...

    def remove(self, name: str) -> None: ...


class Folder:
    """A local folder, made when it is first needed."""

    remote = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def drafts(self, scratch: Path) -> Path:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.path

    def names(self) -> list[str]:
        return [entry.name for entry in _entries(self.path) if entry.is_file()]

    def publish(self, draft: Path, name: str) -> None:
        draft.replace(self.path / name)
        sync_folder(self.path)

    def open(self, name: str) -> IO[bytes]:
        return open(self.path / name, "rb", opener=opener)

    def remove(self, name: str) -> None:
        with suppress(PermissionError):  # another user's, in a folder that is open to all
            (self.path / name).unlink(missing_ok=True)


def _entries(path: Path) -> Iterator[Path]:
    return path.iterdir() if path.is_dir() else iter(())


def sync_folder(path: Path) -> None:
    """Make a rename in *path* survive a power loss, where a folder can be opened."""
    if os.name == "posix":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Remote:
    """A folder of any store that fsspec knows; one that is away may come back."""

    remote = True

    def __init__(self, url: str) -> None:
        try:
            import fsspec  # noqa: PLC0415 - the extra "fsspec"
        except ImportError:
            raise ConfigurationError(
                f"{mask_uri(url)} is a URL: run pip install 'scrapy-resilience[fsspec]', or "
                "set RESILIENCE_SNAPSHOT_DIR to a local folder"
            ) from None
        self._url, self._shown = url, mask_uri(url)
        try:
            for part in url.split("::"):
                fsspec.get_filesystem_class(part.partition("://")[0])
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"RESILIENCE_SNAPSHOT_DIR={self._shown!r} can't be opened: {error}"
            ) from None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """Made when it is first needed: some clients connect, and wait for that."""
        from fsspec.core import url_to_fs  # noqa: PLC0415 - the extra "fsspec"

        found: tuple[Any, str] = url_to_fs(self._url)
        return found

    @cached_property
    def _fs(self) -> Any:
        return self._opened[0]

    @cached_property
    def _path(self) -> str:
        return self._opened[1]

    def __str__(self) -> str:
        return self._shown

    def drafts(self, scratch: Path) -> Path:
        return scratch

    def names(self) -> list[str]:
        with self._mapped():
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        return [path.rstrip("/").rpartition("/")[2] for path in found]

    def publish(self, draft: Path, name: str) -> None:
        with self._mapped():
            self._fs.makedirs(self._path, exist_ok=True)
            self._fs.put_file(str(draft), self._at(name))
        draft.unlink()

    def open(self, name: str) -> IO[bytes]:
        with self._mapped():
            file: IO[bytes] = self._fs.open(self._at(name), "rb")
        return file

    def remove(self, name: str) -> None:
        with self._mapped():
            self._fs.rm_file(self._at(name))

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Each store's client has errors of its own."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{self._shown}: {error!r}") from error

    def _at(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"


def open_place(where: str | Path) -> Folder | Remote:
    """Raises :exc:`ConfigurationError` when a URL can't be used."""
    text = str(where)
    return Remote(text) if isinstance(where, str) and "://" in text else Folder(Path(where))
