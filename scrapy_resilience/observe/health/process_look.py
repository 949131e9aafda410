"""What takes a while to look at, but for disks: other processes, limits, files and sockets."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.masking import message_of
from scrapy_resilience.observe.health.cgroups import Cgroups, MemoryUse
from scrapy_resilience.observe.health.process_tree import (
    Tree,
    TreeReader,
    psutil_process,
    read_bytes,
)
from scrapy_resilience.observe.health.processor import allowed_processors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ProcessLook", "ProcessLooks", "resident"]

logger = get_logger(__name__)

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class ProcessLook(NamedTuple):
    """What was found."""

    tree: Tree = Tree()
    memory_limit: int | None = None
    """See :class:`.Reading`."""
    limited_by: str = ""
    processors: float = 1.0
    """That are allowed."""
    open_files: int | None = None
    open_files_limit: int | None = None
    connections: int | None = None
    memory_pressure: float | None = None
    cpu_pressure: float | None = None


class ProcessLooks:
    """Looks of one crawl.

    :param root: where ``/proc`` and ``/sys`` are
    :param memory_limit: bytes that the settings allow; None for no limit
    """

    def __init__(self, root: Path, memory_limit: int | None = None) -> None:
        self._root = root
        self._limit = memory_limit
        self._cgroups = Cgroups(root)
        self._tree = TreeReader(root)
        self._told = False

    def look(self) -> ProcessLook:
        """Takes a millisecond with 50 processes; may take longer than that."""
        tree = self._read_tree()
        used = (resident(self._root) or 0) + tree.memory + tree.browser_memory
        limit, limited_by = self._memory_limit(used)
        files, sockets = self._open_files()
        return ProcessLook(
            tree,
            limit,
            limited_by,
            min(self._cgroups.processors() or inf, float(allowed_processors())),
            files,
            _files_limit(),
            sockets,
            self._cgroups.pressure("memory"),
            self._cgroups.pressure("cpu"),
        )

    def _read_tree(self) -> Tree:
        """Nothing, once told, where it can't be read: psutil may lack the permission."""
        try:
            return self._tree.read()
        except Exception as error:  # noqa: BLE001 - psutil has errors of its own
            if not self._told:
                text = "The processes that the crawl has started can't be read: %s"
                logger.warning(text, message_of(error))
            self._told = True
            return Tree()

    def _memory_limit(self, used: int) -> tuple[int | None, str]:
        """The tightest; *used* is not used by others."""
        found = [] if self._limit is None else [(self._limit, "setting")]
        for use, by in (
            (self._cgroups.memory(), "container"),
            (self._machine_memory(), "machine"),
        ):
            if use is not None:
                found.append((use.limit - max(use.used - used, 0), by))
        limit, by = min(found, default=(None, ""))
        return None if limit is None else max(limit, 1), by

    def _machine_memory(self) -> MemoryUse | None:
        with suppress(OSError, ValueError, KeyError, IndexError):
            lines = read_bytes(f"{self._root}/proc/meminfo").decode("ascii").splitlines()
            kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines[:5]}
            total = kib["MemTotal"] * 1024
            return MemoryUse(total - kib["MemAvailable"] * 1024, total)
        with suppress(Exception):
            memory: Any = import_module("psutil").virtual_memory()
            return MemoryUse(int(memory.total - memory.available), int(memory.total))
        return None

    def _open_files(self) -> tuple[int | None, int | None]:
        """Files, and those among them that are sockets."""
        folder = f"{self._root}/proc/self/fd"
        with suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208 - thrice as fast
            return len(names), sum(_is_socket(f"{folder}/{name}") for name in names)
        process = _by(psutil_process)
        if process is None:
            return None, None
        sockets = _by(lambda: len(process.net_connections()))
        return _by(lambda: process.num_fds()), sockets  # noqa: PLW0108 - not on Windows


def resident(root: Path) -> int | None:
    """Bytes of the resident set of this process, read now: 10 µs."""
    with suppress(OSError, ValueError, IndexError):
        return int(read_bytes(f"{root}/proc/self/statm").split()[1]) * _PAGE
    found: int | None = _by(lambda: int(psutil_process().memory_info().rss))
    return found


def _is_socket(path: str) -> bool:
    with suppress(OSError):  # it was closed meanwhile
        return os.readlink(path).startswith("socket:")  # noqa: PTH115 - of thousands
    return False


def _files_limit() -> int | None:
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on Windows

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return None if limit == resource.RLIM_INFINITY else int(limit)
    return None


def _by(ask: Callable[[], Any]) -> Any:
    """What psutil tells; None where it can't, or is not there."""
    with suppress(Exception):
        return ask()
    return None
