"""Serves a folder of files on 127.0.0.1.

``python -m scrapy_resilience.testing.folder DIR --port 0`` runs it as a process.
Addresses that end in ``/`` redirect to their ``index.html``; ``.gz`` files and files
outside the folder, also those behind symbolic links, are not found.
"""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ._child import run_until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.typedefs import Handler

__all__ = ["main", "serving_folder"]


class _PlainFile(web.FileResponse):
    """Sends the file itself, where aiohttp would prefer a ``.gz`` file beside it."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = request.headers.copy()
        headers.popall("Accept-Encoding", None)
        return await super().prepare(request.clone(headers=headers))


def _file_handler(root: Path) -> Handler:
    root = root.resolve(strict=True)

    async def send_file(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/"):
            # Relative, so that a path such as //other.host/ cannot lead elsewhere.
            raise web.HTTPFound("index.html")
        file = _file_below(root, request.match_info["path"])
        if file is None or file.suffix == ".gz":
            raise web.HTTPNotFound
        return _PlainFile(file)

    return send_file


def _file_below(root: Path, path: str) -> Path | None:
    try:
        file = (root / path.lstrip("/")).resolve()
    except ValueError:
        return None  # a zero byte
    return file if file.is_relative_to(root) and file.is_file() else None


@asynccontextmanager
async def serving_folder(root: Path, port: int = 0) -> AsyncIterator[int]:
    """Serve a folder inside the running event loop; yields the port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", _file_handler(root))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until stopped; prints the port as one line of JSON."""
    parser = ArgumentParser(
        prog="python -m scrapy_resilience.testing.folder", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()

    @asynccontextmanager
    async def serve() -> AsyncIterator[dict[str, int]]:
        async with serving_folder(arguments.folder, arguments.port) as port:
            yield {"port": port}

    run_until_stopped(serve)


if __name__ == "__main__":
    main()
