"""The parent's side: runs the fault site or a folder server as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, Any, cast

from .address import SiteAddress
from .arguments import site_arguments
from .model import SiteConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .counters import SiteStats

__all__ = ["RunningFolder", "RunningSite", "running_folder", "running_site"]

_PACKAGE = __package__ or ""
_IMPORT_ROOT = str(Path(__file__).resolve().parents[2])
_STOP_TIMEOUT = 5.0
_CONTROL_TIMEOUT = 10.0


class RunningSite(SiteAddress):
    """A fault site in another process."""

    def __init__(self, config: SiteConfig, port: int, refused_port: int, pid: int) -> None:
        super().__init__(config, port, refused_port)
        self.pid = pid

    def stats(self) -> SiteStats:
        """What has been asked since the start or the last reset."""
        return cast("SiteStats", self._control("GET", "stats"))

    def reset(self) -> None:
        """Forget all requests: counters, first tries, gates and outages start anew."""
        self._control("POST", "reset")

    def _control(self, method: str, command: str) -> Any:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=_CONTROL_TIMEOUT
        )
        try:
            connection.request(method, f"/__site__/{command}")
            return json.load(connection.getresponse())
        finally:
            connection.close()


class RunningFolder:
    """A folder that another process serves."""

    def __init__(self, root: Path, port: int, pid: int) -> None:
        self.root = root
        self.port = port
        self.pid = pid

    def url(self, path: str = "/") -> str:
        """The URL of a file below the folder."""
        return f"http://127.0.0.1:{self.port}/{path.lstrip('/')}"


@contextmanager
def running_site(
    config: SiteConfig | None = None,
    *,
    port: int = 0,
    refused_port: int = 0,
    start_timeout: float = 20.0,
) -> Iterator[RunningSite]:
    """Run a fault site while the context lasts; the system chooses ports of 0.

    Raises RuntimeError where the site does not listen within ``start_timeout`` seconds.
    """
    config = config or SiteConfig()
    arguments = [f"--port={port}", f"--refused-port={refused_port}"]
    arguments += site_arguments(config)
    with _server("site", arguments, start_timeout) as (ports, pid):
        yield RunningSite(config, ports["port"], ports["refused_port"], pid)


@contextmanager
def running_folder(
    root: str | os.PathLike[str], *, port: int = 0, start_timeout: float = 20.0
) -> Iterator[RunningFolder]:
    """Serve a folder while the context lasts; raises as ``running_site`` does."""
    path = Path(root).resolve()
    arguments = [f"--port={port}", str(path)]
    with _server("folder", arguments, start_timeout) as (ports, pid):
        yield RunningFolder(path, ports["port"], pid)


@contextmanager
def _server(
    module: str, arguments: list[str], start_timeout: float
) -> Iterator[tuple[dict[str, int], int]]:
    with tempfile.TemporaryFile("w+") as errors:
        # A session of its own: at Ctrl-C, a crawl still asks while it stops.
        process = subprocess.Popen(  # noqa: S603 - this package's own module
            [sys.executable, "-m", f"{_PACKAGE}.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
            text=True,
        )
        try:
            yield _announcement(process, module, errors, start_timeout), process.pid
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    # The child must find this package where the parent found it, installed or not.
    paths = [_IMPORT_ROOT, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _announcement(
    process: subprocess.Popen[str], module: str, errors: IO[str], start_timeout: float
) -> dict[str, int]:
    # Killing the process ends the read, so the wait is bounded.
    timer = Timer(start_timeout, process.kill)
    timer.start()
    try:
        line = cast("IO[str]", process.stdout).readline()
    finally:
        timer.cancel()
    if not line:
        code = process.wait(_STOP_TIMEOUT)
        errors.seek(0)
        said = errors.read().strip() or f"nothing within {start_timeout} seconds"
        raise RuntimeError(f"{_PACKAGE}.{module} did not start (exit code {code}): {said}")
    return cast("dict[str, int]", json.loads(line))


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
