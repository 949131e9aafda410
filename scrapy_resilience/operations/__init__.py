"""Files for those who run crawls: alert rules, a dashboard, probes, a systemd unit."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from scrapy_resilience.exceptions import ResilienceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILES", "write_operations"]

FILES: Final = {
    "prometheus.yml": "scrapes crawls, reads the rules",
    "alerts.yml": "alert rules of Prometheus",
    "dashboard.json": "a Grafana dashboard",
    "kubernetes.yaml": "a Job with probes",
    "scrapy-crawl@.service": "a systemd unit with a watchdog",
}
"""Each file, and what it is."""


def write_operations(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files into *folder*, which is made, and return their paths.

    Raises :exc:`.ResilienceError` when one is there, before any is written, unless *force*;
    and :exc:`OSError`.
    """
    paths = [folder / name for name in FILES]
    there = [path.name for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise ResilienceError(
            f"{folder} has {', '.join(there)} already: use --force to replace what is there."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.write_bytes(files(__name__).joinpath(path.name).read_bytes())
    return paths
