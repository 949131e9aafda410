"""The parts of a view that are about what a crawl uses, and how well it is."""

from __future__ import annotations

from msgspec import Struct

from scrapy_resilience.core.health import Status  # noqa: TC001 - msgspec reads it

__all__ = ["Component", "DiskView", "Health", "Resources"]


class DiskView(Struct):
    """A disk that the crawl writes to."""

    purpose: str
    """``job``, ``work`` (where there is no job), ``feeds`` or ``temp``: each disk once."""
    path: str = ""
    free: int = 0
    total: int = 0
    """That the crawl could use were it empty."""
    stale: bool = False
    """Whether it does not answer: the numbers are old."""


class Resources(Struct):
    """Of this process, where it can be known."""

    cpu: float | None = None
    """Share of one core since the last look."""
    cpu_share: float | None = None
    """Of the processors that are allowed: by this process, or by all on the machine."""
    memory: int | None = None
    """Resident set of this process."""
    memory_limit: int | None = None
    """For all processes of the crawl: by the setting, the container or the machine."""
    children_memory: int = 0
    """Of the processes that it has started, browsers apart; what they share counts once."""
    browser_memory: int = 0
    children: int = 0
    """Processes, browsers included."""
    browsers: int = 0
    """Processes of browsers."""
    memory_pressure: float | None = None
    """Share of the last minute in which something waited for memory."""
    disk_free: int | None = None
    """Where the JOBDIR is."""
    disks: list[DiskView] = []
    loop_lag: float = 0.0
    """Longest delay of the event loop in the last minute."""
    threads: int = 0
    open_files: int | None = None
    open_files_limit: int | None = None
    connections: int | None = None
    """Open sockets."""


class Component(Struct):
    """One line of the health report."""

    name: str
    status: Status = "unknown"
    detail: str = ""
    checked: float | None = None


class Health(Struct):
    """The worst of its components, as far as they weigh."""

    status: Status = "unknown"
    ready: bool = True
    components: list[Component] = []
