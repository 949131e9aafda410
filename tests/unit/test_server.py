"""The endpoint, asked by clients of all kinds: polite, slow, many, hostile."""

from __future__ import annotations

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
import pytest
from views import large_view

from scrapy_resilience.core.access import Access
from scrapy_resilience.observe.endpoint import server as module
from scrapy_resilience.observe.endpoint.assets import ASSETS
from scrapy_resilience.observe.endpoint.server import Server
from scrapy_resilience.observe.record.samples import Evidence
from scrapy_resilience.observe.view import Component, Health, JobView, View

TOKEN = "a-token-of-many-letters"  # noqa: S105 - for tests
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOST = "127.0.0.1"


def run(coroutine):
    """Its result, from an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(120)


class Source:
    """A crawl that is what a test says."""

    def __init__(self, view=None, error=None):
        self.now = view or View(job=JobView(spider="shop"), health=Health(status="healthy"))
        self.error = error
        self.asked = []
        self.waited = []

    def view(self, *, history=False):
        self.asked.append(history)
        if self.error is not None:
            raise self.error
        return self.now

    async def refresh_health(self, wait):
        self.waited.append(wait)

    def evidence(self, number):
        return Evidence(["<b>no"], b"\x89PNG", "image/png") if number == 7 else None


@asynccontextmanager
async def serving(source=None, *, token="", hosts=(), metrics=None):
    """A server, its URL and a client."""
    server = Server(source or Source(), Access(token, hosts), metrics)
    url = await server.listen(HOST, [0])
    async with aiohttp.ClientSession(url) as client:
        yield server, client
        await server.close()


async def say(client, text, *, limit=1_000_000):
    """Send bytes; return what comes back until the end."""
    url = client._base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(limit), 60)
    finally:
        writer.close()


def status_of(raw):
    """The status of an answer as it came."""
    return int(raw.split(None, 2)[1])


# --- what is answered ---------------------------------------------------------------


def test_the_status_is_the_view():
    """With its history where it is asked for, and whatever texts are in it."""
    source = Source(large_view())

    async def scenario():
        async with serving(source) as (_, client):
            async with client.get("/status.json") as first:
                body = await first.read()
            async with client.get("/status.json?history=1") as second:
                await second.read()
            return first.headers, body

    headers, body = run(scenario())

    assert msgspec.json.decode(body, type=View) == source.now
    assert source.asked == [False, True]
    assert headers["Content-Type"] == "application/json"


def test_what_a_browser_tells_of_an_error():
    """Of a group that has some, to whom has the token; nothing else below its path."""

    async def scenario():
        found = []
        async with serving(token=TOKEN) as (_, client):
            paths = ["7.json", "8.json", "x.json", "../status.json", f"{10**12}.json"]
            for path, headers in [(paths[0], {}), *((path, BEARER) for path in paths)]:
                async with client.get(f"/errors/{path}", headers=headers) as answer:
                    found.append((answer.status, await answer.read()))
        return found

    refused, (status, body), *others = run(scenario())

    assert refused[0] == 401
    assert (status, msgspec.json.decode(body)) == (
        200,
        {"console": ["<b>no"], "screenshot": "iVBORw==", "type": "image/png"},
    )
    assert [status for status, _ in others] == [404, 404, 200, 404]  # the client has no ..


def test_each_answer_has_headers_that_protect():
    """No script of elsewhere, no guess of a type, no copy in a cache, no word on versions."""

    async def scenario():
        found = []
        async with serving(token=TOKEN) as (_, client):
            for path in ("/health/live", "/status.json", "/nothing", "/events"):
                async with client.get(path, headers=BEARER) as answer:
                    found.append(answer.headers)
            async with client.get("/status.json") as answer:
                found.append(answer.headers)
        return found

    for headers in run(scenario()):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "scrapy_resilience"
        policy = headers["Content-Security-Policy"]
        for part in (
            "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
            "img-src data:", "frame-ancestors 'none'", "base-uri 'none'",
        ):  # fmt: skip
            assert part in policy.split("; ")
        assert "unsafe" not in policy


def test_the_page():
    """Each of its files has its type, needs no token, and is what the report holds, too."""

    async def scenario():
        found = {}
        async with serving(token=TOKEN) as (_, client):
            for path in ("/", *(f"/{name}" for name in ASSETS)):
                async with client.get(path) as answer:
                    found[path] = answer.status, answer.headers["Content-Type"]
                    assert await answer.read()
        return found

    found = run(scenario())

    assert found.pop("/") == (200, "text/html; charset=utf-8")
    assert found == {f"/{name}": (200, kind) for name, kind in ASSETS.items()}


def test_the_metrics():
    """In the form that the client asks for, and made once for one view."""
    made = []

    def metrics(view, accept):
        made.append(accept)
        if "openmetrics" in accept:
            return b"# EOF\n", "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return view.job.spider.encode(), "text/plain; version=0.0.4; charset=utf-8"

    async def scenario():
        async with serving(metrics=metrics) as (_, client):
            found = []
            for accept in ("text/plain", "*/*", "application/openmetrics-text; version=1.0.0"):
                async with client.get("/metrics", headers={"Accept": accept}) as answer:
                    found.append((answer.headers["Content-Type"], await answer.read()))
            return found

    plain, again, open_metrics = run(scenario())

    assert plain == again == ("text/plain; version=0.0.4; charset=utf-8", b"shop")
    assert open_metrics == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        b"# EOF\n",
    )
    assert made == ["text/plain", "application/openmetrics-text; version=1.0.0"]


@pytest.mark.parametrize(
    ("health", "codes"),
    [
        (Health(status="healthy"), (200, 200, 200)),
        (Health(status="degraded"), (200, 200, 200)),
        (Health(status="unknown"), (200, 200, 200)),
        (Health(status="unhealthy", ready=False), (503, 503, 200)),
        (Health(status="healthy", ready=False), (200, 503, 200)),
    ],
)
def test_health(health, codes):
    """Codes that probes go by: being alive is to answer, whatever the components say."""

    async def scenario():
        async with serving(Source(View(health=health))) as (_, client):
            found = []
            for path in ("/health", "/health/ready", "/health/live"):
                async with client.get(path) as answer:
                    found.append(answer.status)
            return tuple(found)

    assert run(scenario()) == codes


def test_health_for_machines():
    """``application/health+json`` comes to those who ask for it."""
    component = Component(name="disk", status="degraded", detail="full soon", checked=0.0)
    health = Health(status="degraded", components=[component])
    wanted = {"Accept": "application/health+json, application/json;q=0.5"}

    async def scenario():
        found = []
        async with serving(Source(View(health=health))) as (_, client):
            for path in ("/health", "/health/ready", "/health/live"):
                async with client.get(path, headers=wanted) as answer:
                    assert answer.headers["Content-Type"] == "application/health+json"
                    found.append(await answer.json(content_type=None))
        return found

    whole, ready, live = run(scenario())

    assert whole["status"] == ready["status"] == "warn"
    assert live == {"status": "pass"}
    assert whole["checks"]["disk"][0]["output"] == "full soon"


def test_liveness_asks_nobody():
    """It neither looks at the crawl nor runs a check."""
    source = Source(error=OSError("no"))

    async def scenario():
        async with (
            serving(source) as (_, client),
            client.get("/health/live") as answer,
        ):
            return await answer.json()

    assert run(scenario()) == {"status": "healthy"}
    assert source.asked == source.waited == []


# --- who may ask --------------------------------------------------------------------


def test_a_token():
    """Without it, or with a wrong one, nothing is told but to probes; not even in the URL."""

    async def scenario():
        found = {}
        async with serving(token=TOKEN) as (_, client):
            for path in ("/status.json", "/health", "/events", "/nothing", "/metrics"):
                for name, headers in {
                    "none": {},
                    "wrong": {"Authorization": "Bearer x"},
                }.items():
                    async with client.get(f"{path}?token={TOKEN}", headers=headers) as answer:
                        found[path, name] = answer.status, answer.headers["WWW-Authenticate"]
            for path in ("/health/live", "/health/ready"):
                async with client.get(path) as answer:
                    found[path] = answer.status, await answer.json()
            async with client.get("/status.json", headers=BEARER) as answer:
                found["right"] = answer.status, None
        return found

    found = run(scenario())

    assert found.pop("right")[0] == 200
    for path in ("/health/live", "/health/ready"):
        assert found.pop(path) == (200, {"status": "healthy"})
    assert set(found.values()) == {(401, "Bearer")}


def test_names_of_other_hosts():
    """A page of another site that leads its name here (DNS rebinding) is told nothing."""

    async def scenario():
        found = []
        async with serving(hosts=["crawler.lan"]) as (_, client):
            for host in ("evil.example", "crawler.lan:9410", "localhost", "10.0.0.9:9410"):
                headers = {"Host": host}
                async with client.get("/status.json", headers=headers) as answer:
                    found.append(answer.status)
            text = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
            found.append(status_of(await say(client, text, limit=500)))
            text = b"GET /health/live HTTP/1.0\r\n\r\n"
            found.append(status_of(await say(client, text)))
        return found

    assert run(scenario()) == [421, 200, 200, 200, 400, 200]


def test_with_the_token_any_name_is_right():
    """Who rebinds a name does not know it."""

    async def scenario():
        async with serving(token=TOKEN) as (_, client):
            found = []
            for headers in (BEARER, {}):
                headers = {"Host": "crawler.example", **headers}  # noqa: PLW2901
                async with client.get("/status.json", headers=headers) as answer:
                    found.append(answer.status)
            return found

    assert run(scenario()) == [200, 421]


# --- what is refused ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods(method):
    """There is nothing to change."""

    async def scenario():
        async with (
            serving() as (_, client),
            client.request(method, "/status.json") as answer,
        ):
            return answer.status, answer.headers["Allow"]

    assert run(scenario()) == (405, "GET, HEAD")


def test_head():
    """It has the headers of an answer and no body, also of a stream that has no end."""

    async def scenario():
        found = []
        async with serving() as (_, client):
            for path in ("/status.json", "/events", "/health/live"):
                async with client.head(path) as answer:
                    found.append((answer.status, await answer.read()))
        return found

    assert run(scenario()) == [(200, b"")] * 3


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/status.json/", "/../etc/passwd", "/%2e%2e/x", "/health/", "/%00"],
)
def test_paths_that_are_not_there(path):
    """No other path is answered, whatever it may lead to."""

    async def scenario():
        async with serving() as (_, client):
            text = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            return await say(client, text.encode())

    raw = run(scenario())
    assert status_of(raw) == 404 or (path == "/" and b"<!doctype html>" in raw)


@pytest.mark.parametrize("length", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
def test_a_body_is_not_read(length):
    """A request of 10 MB is refused as soon as its head is there, and the connection ends."""

    async def scenario():
        async with serving() as (_, client):
            head = f"GET /status.json HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
            return await say(client, head.encode())

    raw = run(scenario())
    assert status_of(raw) == 413
    assert b"\r\nConnection: close\r\n" in raw


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 10_000 + b"\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["header", "path", "tls", "headers", "nonsense", "length"],
)
def test_what_is_no_request(text, caplog):
    """It is refused, or not answered at all; the next client is served, and nothing logged."""

    async def scenario():
        async with serving() as (_, client):
            try:
                raw = await say(client, text)
            except ConnectionError:
                raw = b""
            async with client.get("/health/live") as answer:
                return raw, answer.status

    raw, status = run(scenario())
    assert status == 200
    assert raw == b"" or status_of(raw) in {400, 404}  # of headers, an older aiohttp takes more
    assert not [record for record in caplog.records if record.levelno >= 30]


def test_what_fails_is_one_line(caplog):
    """The crawl's view raises: 500, one line for each kind, and all else is answered."""

    async def scenario():
        async with serving(Source(error=KeyError("gate"))) as (_, client):
            found = []
            for path in ("/status.json", "/status.json", "/health/live"):
                async with client.get(path) as answer:
                    found.append(answer.status)
            return found

    assert run(scenario()) == [500, 500, 200]
    errors = [record.getMessage() for record in caplog.records if record.levelno >= 30]
    assert errors == ["The endpoint can't answer /status.json: KeyError('gate')"]


def test_who_waits_is_counted_once_answered(monkeypatch, fake_clock):
    """More clients than answers a second: so many are answered in each, in their order."""
    monkeypatch.setattr(module, "_MANY", 2)
    turns = []

    async def scenario():
        server = Server(Source(), Access("", ()))

        async def pause(seconds):
            end = fake_clock.now + seconds
            await asyncio.sleep(0)
            fake_clock.now = max(fake_clock.now, end)

        async def ask(client):
            await server._turn()
            turns.append((client, fake_clock.monotonic()))

        monkeypatch.setattr(server, "_pause", pause)
        await asyncio.gather(*map(ask, range(6)))

    run(scenario())

    assert [client for client, _ in turns] == list(range(6))
    began = turns[0][1]
    assert [at - began for _, at in turns] == [0, 0, 1, 1, 2, 2]


# --- events -------------------------------------------------------------------------


async def messages(answer, count):
    """The data of so many messages of a stream."""
    found = []
    async for line in answer.content:
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
            if len(found) == count:
                break
    return found


def test_events(monkeypatch):
    """First everything, then only what has changed."""
    monkeypatch.setattr(module, "_EACH", 0.02)
    source = Source()

    async def scenario():
        async with serving(source) as (_, client), client.get("/events") as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            first = await messages(answer, 1)
            source.now = View(time=1.0, job=source.now.job, health=source.now.health)
            return first + await messages(answer, 1)

    first, second = run(scenario())

    assert first["job"]["spider"] == "shop"
    assert second == {"time": 1.0}


def test_a_view_that_fails_ends_a_stream(monkeypatch, caplog):
    """Its client sees an end, and comes again; the log has one line."""
    monkeypatch.setattr(module, "_EACH", 0.02)
    source = Source()

    async def scenario():
        async with serving(source) as (_, client), client.get("/events") as answer:
            await messages(answer, 1)
            source.error = KeyError("gate")
            return await answer.content.read()

    assert run(scenario()).strip() == b""
    errors = [record.getMessage() for record in caplog.records if record.levelno >= 30]
    assert errors == ["The endpoint can't answer /events: KeyError('gate')"]


def test_nothing_new_for_long(monkeypatch):
    """A comment says that the crawl is there."""
    monkeypatch.setattr(module, "_EACH", 0.01)
    monkeypatch.setattr(module, "_BEAT", 0.05)

    async def scenario():
        async with serving() as (_, client), client.get("/events") as answer:
            line = await answer.content.readline()
            while not line.startswith(b":"):
                line = await answer.content.readline()
            return line

    assert run(scenario()) == b": nothing new\n"


def test_an_end_while_streams_are_open(caplog):
    """The server closes although fifty clients read; they are told what was last."""
    source = Source()

    async def scenario():
        async with serving(source) as (server, client):
            streams = [await client.get("/events") for _ in range(50)]
            for stream in streams:
                await messages(stream, 1)
            source.now = View(job=JobView(state="closing"))
            await server.close()
            last = [(await messages(stream, 1))[0]["job"]["state"] for stream in streams]
            return last, [await stream.content.read() for stream in streams]

    last, rest = run(scenario())

    assert last == ["closing"] * 50
    assert all(not each.strip() for each in rest)
    assert not [record for record in caplog.records if record.levelno >= 30]


def test_one_client_too_many():
    """Fifty streams are served at a time; the place of one that has gone is free again."""

    async def scenario():
        async with serving() as (_, client):
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(client._base_url, connector=connector) as many:
                streams = [await many.get("/events") for _ in range(51)]
                codes = [stream.status for stream in streams]
                async with many.get("/health/live") as answer:
                    codes.append(answer.status)
                streams[0].close()
                for _ in range(500):
                    async with many.get("/events") as again:
                        if again.status == 200:
                            break
                    await asyncio.sleep(0.01)
                codes.append(again.status)
                for stream in streams:
                    stream.close()
        return codes

    assert run(scenario()) == [200] * 50 + [503, 200, 200]


async def deaf(client, path):
    """A client with a small buffer that asks and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)  # noqa: FBT003 - socket's own
    url = client._base_url
    await asyncio.get_running_loop().sock_connect(sock, (url.host, url.port))
    sock.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def test_a_stream_that_nobody_reads(monkeypatch):
    """It is ended: nothing waits for it, and its place is free."""
    monkeypatch.setattr(module, "_EACH", 0.01)
    monkeypatch.setattr(module, "_SLOW", 0.1)
    small, large = large_view(domains=100, history=False), large_view(history=False)
    source = Source(large)

    async def scenario():
        async with serving(source) as (server, client):
            sock = await deaf(client, "/events")
            for turn in range(3000):
                source.now = small if turn % 2 else large
                await asyncio.sleep(0.01)
                if turn > 5 and not server._streams:
                    break
            sock.close()
            return server._streams, len(server._web.connections)

    assert run(scenario()) == (0, 0)


def test_an_end_while_nobody_reads():
    """A client that has asked for much and reads nothing does not keep the crawl."""
    source = Source(large_view(domains=3000))

    async def scenario():
        async with serving(source) as (server, client):
            socks = [await deaf(client, path) for path in ("/events", "/status.json") * 5]
            for _ in range(2000):
                await asyncio.sleep(0.01)
                if server._streams == 5:
                    break
            await asyncio.wait_for(server.close(), 30)
            for sock in socks:
                sock.close()
            return True

    assert run(scenario())


# --- slow clients, and many ---------------------------------------------------------


def test_clients_that_say_nothing_whole(monkeypatch):
    """One that connects and is silent, or sends its request byte by byte, is left."""
    from scrapy_resilience.observe.endpoint import connections  # noqa: PLC0415 - here only

    monkeypatch.setattr(connections, "_LOOK", 0.05)
    monkeypatch.setattr(connections, "_PATIENCE", 0.3)

    async def drip(client):
        url = client._base_url
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nX: ")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        return "left"

    async def silent(client):
        url = client._base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        return "left"

    async def scenario():
        async with serving() as (_, client):
            return await asyncio.gather(drip(client), silent(client))

    assert run(scenario()) == ["left", "left"]


@pytest.mark.usefixtures("fake_clock")
def test_a_client_that_asks_without_end(monkeypatch):
    """It waits for its turn, as all others do but the probe of liveness; each is answered."""
    pauses = []
    monkeypatch.setattr(module, "_MANY", 3)
    pause = Server._pause

    async def paused(self, seconds):
        pauses.append(0 < seconds <= 1)
        await pause(self, 0.001)

    monkeypatch.setattr(Server, "_pause", paused)

    async def scenario():
        codes = []
        async with serving() as (_, client):
            for path in ["/status.json"] * 8 + ["/health/live"] * 8:
                async with client.get(path) as answer:
                    codes.append(answer.status)
        return codes

    assert run(scenario()) == [200] * 16
    assert pauses == [True, True]


def test_too_many_connections(monkeypatch):
    """Those above the limit are closed at once; the others are served."""
    from scrapy_resilience.observe.endpoint import connections  # noqa: PLC0415 - here only

    monkeypatch.setattr(connections, "_MOST", 3)

    async def scenario():
        async with serving() as (_, client):
            url = client._base_url
            kept = [await asyncio.open_connection(url.host, url.port) for _ in range(3)]
            await asyncio.sleep(0.05)
            try:
                refused = await say(client, b"GET /health/live HTTP/1.0\r\n\r\n")
            except ConnectionError:
                refused = b""
            kept[0][1].write(b"GET /health/live HTTP/1.0\r\n\r\n")
            served = await kept[0][0].read()
            for _, writer in kept:
                writer.close()
            return refused, status_of(served)

    assert run(scenario()) == (b"", 200)


# --- ports --------------------------------------------------------------------------


def test_the_first_free_port():
    """Taken ones are passed over, and a full range gives none."""

    async def scenario():
        servers = [Server(Source(), Access("")) for _ in range(3)]
        first = await servers[0].listen(HOST, [0])
        port = int(first.rstrip("/").rpartition(":")[2])
        second = await servers[1].listen(HOST, [port, 0])
        third = await servers[2].listen(HOST, [port])
        for server in servers:
            await server.close()
        return first, second, third

    first, second, third = run(scenario())
    assert first.startswith("http://127.0.0.1:")
    assert second not in {first, None}
    assert third is None


def test_an_address_that_is_not_ours():
    """It is an error, and not one of the ports."""

    async def scenario():
        server = Server(Source(), Access(""))
        with pytest.raises(OSError, match=r"192\.0\.2\.1"):
            await server.listen("192.0.2.1", [0, 1, 2])
        await server.close()

    run(scenario())
