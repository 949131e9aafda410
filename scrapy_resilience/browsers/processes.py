"""The processes of browsers: whose they are, what they use, and how they are ended.

A browser is told in its environment which job it works for, and which browser it is. So those
that a killed crawl has left behind are found by the next run of its job, and nobody else's are
touched. Playwright starts a browser as the leader of a process group, in which its renderers
stay. Where there is no ``/proc``, nothing is found, and a browser is only asked to end.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "BROWSER",
    "JOB",
    "are_at_rest",
    "drivers_of",
    "end",
    "environment",
    "job_mark",
    "leaders",
    "marked",
    "memory_of",
    "started",
    "work_of",
]

JOB: Final = "SCRAPY_RESILIENCE_JOB"
"""Environment variable: the job that a browser works for."""
BROWSER: Final = "SCRAPY_RESILIENCE_BROWSER"
"""Environment variable: which browser it is."""
_PROC: Final = Path("/proc")
_DRIVER: Final = b"run-driver"
"""Argument of Playwright's driver, the parent of its browsers."""
_PARENT, _GROUP, _USER, _SYSTEM, _STARTED = 1, 2, 11, 12, 19
"""Fields of ``/proc/<pid>/stat``, counted from the state."""


def job_mark(ident: str, folder: Path) -> str:
    """What browsers of a job are marked with: a copy of a job in another folder has its own."""
    place = sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return f"{ident}-{place}"


def environment(own: Mapping[str, str] | None, marks: Mapping[str, str]) -> dict[str, str]:
    """That of a browser: the user's *own*, or that of this process; and the *marks*."""
    return {**(os.environ if own is None else own), **marks}


def marked(variable: str, value: str) -> list[int]:
    """The processes that have *variable* set to *value* in their environment."""
    wanted = f"{variable}={value}".encode()
    own = os.getpid()
    return [
        pid for pid in _pids() if pid != own and wanted in _read(pid, "environ").split(b"\0")
    ]


def started(pid: int) -> int | None:
    """When a process was started: another one that has its number later was at another time."""
    return _stat(pid, _STARTED)


def drivers_of(pids: Iterable[int]) -> list[int]:
    """The drivers among the parents of browsers."""
    parents = {parent for pid in pids if (parent := _stat(pid, _PARENT)) is not None}
    return [pid for pid in parents if _DRIVER in _read(pid, "cmdline").split(b"\0")]


def leaders(pids: Iterable[int]) -> list[int]:
    """Those that lead a process group, as the first process of a browser does."""
    return [pid for pid in pids if _stat(pid, _GROUP) == pid]


def end(pids: Iterable[int]) -> int:
    """Kill processes, and the groups that they lead. How many were there."""
    ended = 0
    for pid in pids:
        leads = _stat(pid, _GROUP) == pid
        with suppress(OSError):
            (os.killpg if leads else os.kill)(pid, signal.SIGKILL)
            ended += 1
    return ended


def memory_of(pids: Iterable[int]) -> int | None:
    """Bytes that processes and the groups that they lead have in memory; None if not known."""
    groups = set(pids)
    sizes = [_resident(pid) for pid in _pids() if _stat(pid, _GROUP) in groups]
    return sum(sizes) if sizes else None


def are_at_rest(pids: Iterable[int]) -> bool:
    """Whether none of the processes runs: each is stopped, dead or gone."""
    states = [_read(pid, "stat").rpartition(b")")[2].split()[:1] for pid in pids]
    return all(not state or state[0] in {b"T", b"t", b"Z", b"X"} for state in states)


def work_of(pids: Iterable[int]) -> int | None:
    """Ticks of the processor that processes have used; None if not known."""
    ticks = [_stat(pid, field) for pid in pids for field in (_USER, _SYSTEM)]
    return sum(each or 0 for each in ticks) if ticks else None


def _pids() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(each.name) for each in os.scandir(_PROC) if each.name.isdigit())


def _read(pid: int, name: str) -> bytes:
    """Nothing where it is gone, or another user's."""
    with suppress(OSError):
        return (_PROC / str(pid) / name).read_bytes()
    return b""


def _stat(pid: int, field: int) -> int | None:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[field]) if len(fields) > field else None


def _resident(pid: int) -> int:
    pages = _read(pid, "statm").split()[1:2]
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
