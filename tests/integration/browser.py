"""A headless Chromium that a test drives over its DevTools protocol, and a server of views."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import ClientSession, WSMsgType, web

from scrapy_resilience.observe.endpoint.assets import ASSETS, PAGE, POLICY, asset

if TYPE_CHECKING:
    from collections.abc import Coroutine

_LIMIT = 60.0
"""Seconds for anything; only a browser that hangs comes near."""
_LOOK = 0.05
_LOOKS = int(_LIMIT / _LOOK)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--mute-audio", "--hide-scrollbars",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run it in an event loop of its own, beside the one of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, scenario).result()


class Tab:
    """One page of the browser."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self.complaints: list[str] = []
        """What the console, the policy or an exception has said."""
        self.requests: list[str] = []
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            told = json.loads(message.data)
            if "id" in told:
                waiting = self._waiting.pop(told["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, method: str, given: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(given["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and given["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{given['entry']['text']} {given['entry'].get('url')}")
        elif method == "Runtime.consoleAPICalled" and given["type"] in {"error", "warning"}:
            self.complaints.append(json.dumps(given["args"])[:500])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(future, _LIMIT)
        if "error" in told:
            raise AssertionError(f"{method}: {told['error']}")
        return told["result"]

    async def run(self, script: str) -> Any:
        """What *script* is, a promise of it awaited."""
        told = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise AssertionError(json.dumps(told["exceptionDetails"])[:2000])
        return told["result"].get("value")

    async def open(self, url: str, *, width: int = 1366, height: int = 768) -> None:
        await self.resize(width, height)
        await self.send("Page.navigate", url=url)

    async def resize(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    async def scheme(self, name: str) -> None:
        """``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": name}
        await self.send("Emulation.setEmulatedMedia", features=[feature])

    async def until(self, script: str) -> Any:
        """Wait until *script* is true, and return it."""
        for _ in range(_LOOKS):
            if found := await self.run(script):
                return found
            await asyncio.sleep(_LOOK)
        raise AssertionError(f"never so: {script}; it said {self.complaints[:3]}")

    async def text(self, selector: str) -> str:
        """What is written in the first element of that kind."""
        return await self.run(f"document.querySelector({selector!r}).innerText")

    async def shot(self, width: int, height: int, scale: float = 1.0) -> bytes:
        """A picture of the upper left part, as PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        told = await self.send("Page.captureScreenshot", format="png", clip=clip)
        return base64.b64decode(told["data"])

    async def close(self) -> None:
        self._reader.cancel()
        await self._socket.close()


@contextmanager
def browser(program: str = "chromium"):
    """The port of a browser, which is gone with all its processes and files afterwards."""
    folder = tempfile.mkdtemp(prefix="scrapy-resilience-browser-")
    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield _port(Path(folder) / "DevToolsActivePort", process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def new_tab(port: int):
    """A tab of the browser on *port*."""
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.put("/json/new?about:blank") as answer:
            made = await answer.json()
        tab = Tab(await session.ws_connect(made["webSocketDebuggerUrl"], max_msg_size=0))
        try:
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.send(f"{domain}.enable")
            yield tab
        finally:
            await tab.close()
            await session.get(f"/json/close/{made['id']}")


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    for _ in range(_LOOKS):
        assert process.poll() is None, "the browser has ended"
        if (lines := _lines(file)) and lines[0].isdigit():
            return int(lines[0])
        time.sleep(_LOOK)
    raise AssertionError("the browser does not start")


def _lines(file: Path) -> list[str]:
    return file.read_text("ascii").splitlines() if file.exists() else []


class Server:
    """The page's files, one view, and messages of what changes in it."""

    def __init__(self, view: Any, token: str = "", *, streams: bool = True) -> None:
        self.view = view
        self.token = token
        self.streams = streams
        self.asked: list[str] = []
        self.evidence: dict[str, Any] | None = None
        self._queues: list[asyncio.Queue] = []

    def tell(self, rows: dict[str, Any] | None = None, **parts: Any) -> None:
        """Change parts of the view, and send them, and *rows* of others, to who listens."""
        for name, value in parts.items():
            setattr(self.view, name, value)
        for queue in self._queues:
            queue.put_nowait({**parts, "rows": rows} if rows else parts)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.lstrip("/") or PAGE
        self.asked.append(request.path_qs)
        if name in ASSETS:
            headers = {"Content-Type": ASSETS[name], "Content-Security-Policy": POLICY}
            return web.Response(body=asset(name), headers=headers)
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if name == "status.json":
            return web.json_response(body=msgspec.json.encode(self.view))
        if name.startswith("errors/"):
            return web.json_response(self.evidence)
        if name == "events" and self.streams:
            return await self._stream(request)
        return web.Response(status=404)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._queues.append(queue := asyncio.Queue())
        while (parts := await queue.get()) is not None:
            await response.write(b"data: " + msgspec.json.encode(parts) + b"\n\n")
        return response

    @asynccontextmanager
    async def serve(self):
        """The address under which it answers."""
        app = web.Application()
        app.router.add_get("/{name:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
        finally:
            for queue in self._queues:
                queue.put_nowait(None)
            await runner.cleanup()
