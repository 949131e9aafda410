"""Sets as files: ``<folder>/<set>/<version>.toml``, ``active``, ``fixtures/``.

A version's file is written once, under a name that nobody else may take, and never changed.
``active`` holds the version that a rollback chose; without it the newest counts. Both appear
whole or not at all, so any number of processes may write at a time.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors.version import Version, make_version, order

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

__all__ = [
    "check_active",
    "clear_active",
    "read_active",
    "read_draft",
    "read_version",
    "set_names",
    "version_names",
    "write_active",
    "write_version",
]

_ACTIVE: Final = "active"
_SUFFIX: Final = ".toml"
_LARGEST: Final = 1_000_000
"""Bytes of a version's file."""
_KEYS: Final = {"set", "version", "changelog", "hash", "extends", "urls", "fields"}


def set_names(folder: Path) -> list[str]:
    """The sets that have a version in *folder*; a folder that is not there has none."""
    return sorted({path.parent.name for path in folder.glob(f"*/*{_SUFFIX}")})


def version_names(folder: Path) -> list[str]:
    """The versions in a set's folder, from the oldest."""
    return sorted(
        (path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}")), key=order
    )


def read_version(path: Path, parent: Callable[[str], Version]) -> Version:
    """A version whose hash is what its file says.

    *parent* gives the version that an ``extends`` names. Raises :exc:`SelectorError`.
    """
    data = _read(path)
    made = _made(path, data, parent)
    if (made.name, made.version) != (path.parent.name, path.name.removesuffix(_SUFFIX)):
        raise SelectorError(
            f"{path} holds {made.name} {made.version}: its folder and name must say the same"
        )
    if "hash" not in data:
        raise SelectorError(
            f"{path} has no hash: move it elsewhere, and add it with "
            "`scrapy resilience selectors add FILE`"
        )
    if data["hash"] != made.hash:
        raise SelectorError(
            f"{path} is not what was stored (its hash is {made.hash[:12]}…): a version never "
            "changes; take the file back as it was, and add a new version"
        )
    return made


def read_draft(path: Path, parent: Callable[[str], Version]) -> Version:
    """A version that somebody has written by hand and that has no hash yet."""
    return _made(path, _read(path), parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise SelectorError(
                f"{path} is larger than {_LARGEST} bytes: it is not a selector set"
            )
        data: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SelectorError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SelectorError(f"{path} is not TOML: {error}") from None
    return data


def _made(path: Path, data: dict[str, Any], parent: Callable[[str], Version]) -> Version:
    if unknown := set(data) - _KEYS:
        raise SelectorError(f"{path}: {min(unknown)!r} is none of {sorted(_KEYS)}")
    for key in ("set", "version"):
        if not isinstance(data.get(key), str):
            raise SelectorError(f"{path}: {key} must be there, as a text")
    extends, urls = data.get("extends", ""), data.get("urls", [])
    if not isinstance(extends, str) or not isinstance(urls, list):
        raise SelectorError(f"{path}: extends must be a text, and urls a list")
    try:
        return make_version(
            data["set"],
            data["version"],
            data.get("fields", {}),
            data.get("changelog", ""),
            urls=urls,
            parent=parent(extends) if extends else None,
        )
    except SelectorError as error:
        raise SelectorError(f"{path}: {error}") from None


def write_version(folder: Path, version: Version) -> Path:
    """Write a version. Raises :exc:`SelectorError` when its name is taken."""
    import tomli_w  # noqa: PLC0415 - a crawl only reads

    path = folder / f"{version.version}{_SUFFIX}"
    text = tomli_w.dumps(version.data(), multiline_strings=False)
    with _draft(path, text) as draft:
        try:
            os.link(draft, path)  # fails where a name is taken, as no rename does
        except FileExistsError:
            raise SelectorError(
                f"{path} is there already, and a version never changes; choose a later one"
            ) from None
    return path


def read_active(folder: Path) -> str | None:
    """The version that a rollback chose, as the file has it; see :func:`check_active`.

    A flipped bit may make another version of it: its checksum tells. One that is written by
    hand has none.
    """
    path = folder / _ACTIVE
    try:
        if path.is_fifo():
            raise SelectorError(f"{path} can't be read: it is a pipe")
        text = path.read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SelectorError(f"{path} can't be read: {error.strerror}") from None
    version, _, check = text.partition(" ")
    return version if check == _check_of(version) else text


def _check_of(version: str) -> str:
    return f"{crc32(version.encode()):08x}"


def check_active(folder: Path, chosen: str, versions: Collection[str]) -> None:
    """Whether what :func:`read_active` gave is a version. Raises :exc:`SelectorError`."""
    if chosen not in versions:
        raise SelectorError(
            f"{folder / _ACTIVE} chooses the version {chosen[:40]!r}, but there are "
            f"{', '.join(versions)}: remove it, and the newest version counts"
        )


def write_active(folder: Path, version: str) -> None:
    """Choose a version; it must be there."""
    with _draft(folder / _ACTIVE, f"{version} {_check_of(version)}\n") as draft:
        draft.replace(folder / _ACTIVE)


def clear_active(folder: Path) -> None:
    """The newest version counts again."""
    path = folder / _ACTIVE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SelectorError(
            f"{path} can't be removed: {error.strerror}; it still chooses the version"
        ) from None


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """*text* in a file beside *path*, forced to the disk, and gone at the end."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError as error:
        raise SelectorError(f"{path} can't be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # it is not there, or never could be
            draft.unlink()
