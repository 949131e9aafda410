"""The same crawl with Scrapy's download handler on Twisted and with that on aiohttp."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread

import pytest
from crawls import Crawl, check_same
from ports import free_port

pytestmark = pytest.mark.integration

HANDLERS = ["scrapy", "aiohttp"]
LARGE = 3_000_000


class Oddities(StreamRequestHandler):
    """Answers by the path, and by how often it was asked for."""

    def handle(self):
        if self.rfile.peek(1)[:1] == b"\x16":
            return  # TLS is not spoken here
        line = self.rfile.readline().decode("latin-1")
        if not line:
            return
        headers = {}
        while (header := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        self.rfile.read(int(headers.get("content-length", 0)))
        path = line.split(" ")[1]
        self.server.asked[path] += 1
        name = "/" + path.rpartition("/")[2]  # a client of a proxy sends the whole URL
        first = self.server.asked[path] == 1
        answer = getattr(self, f"answer_{name.strip('/').replace('-', '_')}", None)
        if answer is not None:
            answer(first, headers)
        else:
            self.say(f"page {path}")

    def say(self, body, status="200 OK", **headers):
        body = body.encode()
        headers = {"Content_Length": len(body), "Content_Type": "text/html", **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""])
        self.wfile.write(head.encode("latin-1") + body)

    def answer_redirects(self, *_):
        self.say("", "302 Found", Location="/redirected")

    def answer_sets_cookie(self, *_):
        self.say("cookie", Set_Cookie="a=1")

    def answer_wants_cookie(self, _, headers):
        self.say("well" if headers.get("cookie") == "a=1" else "none", "200 OK")

    def answer_reset_first(self, first, _):
        if first:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            self.say("well")

    def answer_cut_first(self, first, _):
        self.say("cut", Content_Length=100 if first else 3)

    def answer_silent_first(self, first, _):
        if first:
            self.server.over.wait(10)
        else:
            self.say("well")

    def answer_garbage_first(self, first, _):
        if first:
            self.wfile.write(b"\x00\x01 no HTTP\r\n\r\n")
        else:
            self.say("well")

    def answer_sick_first(self, first, _):
        self.say("", "503 Sick" if first else "200 OK")

    def answer_latin(self, *_):
        self.say("", X_City="K\xf6ln")

    def answer_second_length(self, *_):
        self.say("", content_length=0)

    def answer_large(self, *_):
        self.say("x" * LARGE)

    def answer_too_large(self, *_):
        self.say("x" * LARGE)

    def answer_empty(self, *_):
        self.say("", "204 No Content")

    def answer_missing(self, *_):
        self.say("", "404 Not Found")

    def answer_always_reset(self, *_):
        self.answer_reset_first(True, {})  # noqa: FBT003


class Server(ThreadingTCPServer):
    """On a free port of 127.0.0.1."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Oddities)
        self.asked = Counter()
        self.over = Event()

    def handle_error(self, request, client_address):
        """A client that goes away is no concern of the server's."""


@contextmanager
def serving():
    """A server that runs."""
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


SPIDER = """
    import scrapy
    from scrapy import Request

    class Shop(scrapy.Spider):
        name = "shop"
        async def start(self):
            root, dead = self.settings["ROOT"], self.settings["DEAD"]
            for page in self.settings.getlist("PAGES"):
                yield Request(f"{root}/{page}")
            yield Request(f"{root}/silent-first", meta={"download_timeout": 1})
            yield Request(f"{root}/too-large", meta={"download_maxsize": 100_000})
            yield Request(f"{root}/posted", method="POST", body=b"a=1")
            yield Request(f"{root}/by-proxy", meta={"proxy": root})
            yield Request(f"{root}/by-dead-proxy", meta={"proxy": dead})
            yield Request(f"{dead}/refused")
            yield Request("http://unknown.invalid/unresolved")
            yield Request(root.replace("http", "https") + "/no-tls")

        async def parse(self, response):
            page = response.url.rpartition("/")[2]
            body = response.text if len(response.body) < 100 else len(response.body)
            yield {"sku": page, "body": body, "status": response.status,
                   "ip": str(response.ip_address), "protocol": response.protocol}
            if page == "well":
                own = Request(response.urljoin("/token"))
                token = await self.crawler.engine.download_async(own)
                yield {"sku": "token", "body": token.text}
            if page == "sets-cookie":
                yield response.follow("/wants-cookie")
"""
PAGES = [
    *("well", "redirects", "sets-cookie", "reset-first", "cut-first", "garbage-first"),
    *("sick-first", "large", "empty", "missing", "always-reset"),
]
WELL = {
    *("well", "token", "redirected", "sets-cookie", "wants-cookie", "reset-first"),
    *("cut-first", "garbage-first", "sick-first", "large", "empty", "silent-first"),
    *("posted", "by-proxy"),
}
LETTERS = {
    "missing": "permanent",
    "always-reset": "exhausted",
    "too-large": "permanent",
    "by-dead-proxy": "exhausted",
    "refused": "exhausted",
    "unresolved": "exhausted",
    "no-tls": "exhausted",
}


def odd_crawl(folder, server, handler, **settings):
    """A crawl of everything that can happen to a download."""
    return Crawl(
        folder,
        SPIDER,
        ROOT=f"http://127.0.0.1:{server.server_address[1]}",
        DEAD=f"http://127.0.0.1:{free_port()}",
        PAGES=PAGES,
        RETRY_TIMES=2,
        FEEDS={"items.jsonl": {"format": "jsonlines"}},
        RESILIENCE_DOWNLOAD_HANDLER=handler,
        RESILIENCE_BREAKER_ENABLED=False,
        TWISTED_DNS_RESOLVER=None,
        **settings,
    )


@pytest.mark.parametrize("handler", HANDLERS)
def test_each_end_of_a_download(tmp_path, handler):
    """Items, dead letters and what is retried are the same."""
    with serving() as server:
        job = odd_crawl(tmp_path, server, handler)
        run = job.run()
        letters = json.loads(job.run("resilience", "deadletters", "job", "--json").out)

    assert run.reason == "finished", run
    items = {item["sku"]: item for item in job.items()}
    assert items.keys() == WELL
    assert len(job.items()) == len(WELL)
    assert items["wants-cookie"]["body"] == "well"
    assert items["large"]["body"] == LARGE
    assert (items["well"]["ip"], items["well"]["protocol"]) == ("127.0.0.1", "HTTP/1.1")
    kinds = {letter["url"].rpartition("/")[2]: letter["kind"] for letter in letters}
    assert kinds == LETTERS
    for page in ("reset-first", "cut-first", "garbage-first", "silent-first", "sick-first"):
        assert server.asked[f"/{page}"] == 2, page
    # aiohttp itself asks a second time on a new connection
    assert server.asked["/always-reset"] == (6 if handler == "aiohttp" else 3)
    assert ("AiohttpDownloadHandler is experimental" in run.log) is (handler == "aiohttp")


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_kill(tmp_path, rng, handler):
    """Nothing is lost, and nothing comes twice."""
    pages = [f"p{number}" for number in range(300)]
    with serving() as server:
        job = odd_crawl(tmp_path, server, handler)
        job.rng = rng
        job.configure(PAGES=[*PAGES, *pages])
        job.run_until(commits=2)
        job.run()

    assert job.kills == 1
    check_same([item["sku"] for item in job.items()], [*WELL, *pages])


def test_a_stop_that_cuts_what_is_under_way(tmp_path):
    """A download that hangs is cut, and waits for the next run."""
    with serving() as server:
        job = odd_crawl(tmp_path, server, "aiohttp", RESILIENCE_SHUTDOWN_TIMEOUT=1)
        job.configure(PAGES=["well", "silent-first"])
        job.run_until(until=lambda: server.asked["/silent-first"] > 0, number=15)
        server.over.set()
        job.run()

    assert {"well", "silent-first"} <= {item["sku"] for item in job.items()}


def test_what_differs(tmp_path):
    """URLs are rewritten, and some answers are taken by Scrapy's own only."""
    asked, given_up = {}, {}
    for handler in HANDLERS:
        with serving() as server:
            job = odd_crawl(tmp_path / handler, server, handler)
            job.configure(PAGES=["%7Ea?b=%2F", "latin", "second-length"])
            job.run()
            letters = json.loads(job.run("resilience", "deadletters", "job", "--json").out)
        asked[handler] = {path for path in server.asked if path.endswith(("?b=%2F", "?b=/"))}
        pages = {each["url"].rpartition("/")[2]: each["attempts"] for each in letters}
        given_up[handler] = {page: pages.get(page) for page in ("latin", "second-length")}

    assert asked == {"scrapy": {"/%7Ea?b=%2F"}, "aiohttp": {"/~a?b=/"}}
    assert given_up == {
        "scrapy": {"latin": None, "second-length": None},
        "aiohttp": {"latin": 1, "second-length": 3},
    }
