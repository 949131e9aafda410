"""Whether the process may have as many files and sockets open as it will want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

__all__ = ["check_open_files", "judge_open_files"]

_BASE: Final = 100
"""Of Python, logs, the job, feeds and clients of the endpoint."""
_EACH: Final = 2
"""A request under way and a connection that is kept for the next one."""
_BROWSER: Final = 200


def check_open_files(settings: BaseSettings, *, browsers: bool) -> Iterator[Finding]:
    """Of this process."""
    try:
        import resource  # noqa: PLC0415 - POSIX has it
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    yield from judge_open_files(
        None if soft == endless else soft,
        None if hard == endless else hard,
        settings.getint("CONCURRENT_REQUESTS"),
        browsers=browsers,
    )


def judge_open_files(
    soft: int | None, hard: int | None, concurrent: int, *, browsers: bool
) -> Iterator[Finding]:
    """*soft* and *hard* are the limits; None for none. *concurrent* 0 is no limit either."""
    needed = _BASE + _EACH * concurrent + (_BROWSER if browsers else 0)
    if soft is None or soft >= needed:
        yield Finding(
            "open files", "ok", f"{'any number' if soft is None else soft} may be open"
        )
        return
    how = f"raise it with ulimit -n {needed}"
    if hard is not None and hard < needed:
        how = f"have the administrator raise it to {needed} (LimitNOFILE= in a systemd unit)"
    yield Finding(
        "open files",
        "warning",
        f"{soft} files may be open, and CONCURRENT_REQUESTS={concurrent} may need {needed}",
        f"{how}, or lower CONCURRENT_REQUESTS",
    )
