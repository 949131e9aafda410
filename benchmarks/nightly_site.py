"""Shops on 127.0.0.1 whose lists lead to products, some of which have changed since last night.

``python -m benchmarks.nightly_site '{"products": 500, "conditional": 5, "changed": 100}'``
prints its port. The host ``h3.test`` has the list ``/`` and the products ``/p/0`` and so on;
the first ``conditional`` hosts know ETags. After ``POST /change`` each product whose number is
a multiple of ``changed`` is another one.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aiohttp import web

from scrapy_resilience.testing._child import run_until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_STOP_TIMEOUT = 5.0
_FILLER = "A line of a page that says what all pages say, and is never read by anybody.\n" * 50


class NightlySite:
    """The server."""

    def __init__(self, products: int, conditional: int, changed: int) -> None:
        self.products, self.conditional, self.changed = products, conditional, changed
        self.night = 1

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A list or a product."""
        if request.method == "POST":
            self.night += 1
            return web.Response()
        if request.path == "/":
            links = "".join(f"<a href=/p/{n}>{n}</a>\n" for n in range(self.products))
            return web.Response(text=links, content_type="text/html")
        host = int(request.host.partition(".")[0].removeprefix("h"))
        number = int(request.path.rpartition("/")[2])
        price = self.night if self.is_changed(number) else 1
        body = f"<p>{price}</p>{_FILLER}".encode()
        etag = f'"{sha256(b"%d %d" % (number, price)).hexdigest()[:16]}"'
        headers = {"ETag": etag} if host < self.conditional else {}
        if headers and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers, content_type="text/html")

    def is_changed(self, number: int) -> bool:
        """Whether the product is another one in the second night."""
        return number % self.changed == 0


@asynccontextmanager
async def _serving(site: NightlySite) -> AsyncIterator[dict[str, int]]:
    runner = web.ServerRunner(web.Server(site.answer, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    yield {"port": int(runner.addresses[0][1])}
    await runner.cleanup()


def change(port: int) -> None:
    """Let a day go by."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/change")
        connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def running_nightly_site(**config: Any) -> Iterator[int]:
    """Run a site while the context lasts, and give its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.nightly_site", json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield int(json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve until stopped."""
    run_until_stopped(lambda: _serving(NightlySite(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
