"""A server in the test's own process: answers as a function says, and notes when."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, local
from urllib.parse import urlsplit

NOT_MODIFIED = 304


class Web:
    """Plays any host by the Host header; ``answer(host, path, count)`` says what it answers.

    An answer is a status, or (status, headers), or (status, headers, body); *count* is how
    often the host was asked, this time included.
    """

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.counts = Counter()
        self.headers = {}
        """Of the last request, by host."""
        self.request = local()
        """Its ``headers`` are those of the request that is being answered."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            wbufsize = -1  # headers and body in one packet

            def do_GET(self):
                host = self.headers["Host"].partition(":")[0]
                web.headers[host] = dict(self.headers)
                web.request.headers = self.headers
                path = urlsplit(self.path).path  # a client of a proxy sends the whole URL
                status, headers, body = web.visit(host, path)
                self.send_response(status)
                for name, value in {"Content-Length": len(body), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_PUT(self):
                self.do_POST()

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 200

            def handle_error(self, request, client_address):
                """A crawl that is killed closes its connections."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def visit(self, host, path):
        self.asked.append((time.monotonic(), host, path))
        self.counts[host] += 1
        found = self.answer(host, path, self.counts[host])
        found = found if isinstance(found, tuple) else (found,)
        status, headers, body = (*found, *({}, b"")[len(found) - 1 :])
        return status, headers, body or (b"" if status == NOT_MODIFIED else b"<h1>page</h1>")

    def url(self, host, path="/"):
        return f"http://{host}:{self.port}{path}"

    def urls(self, host, count):
        return [self.url(host, f"/{number}") for number in range(count)]

    def times(self, host, path=None):
        """When a host was asked, on the clock of ``time.monotonic()``."""
        return [at for at, name, asked in self.asked if name == host and path in {None, asked}]


def failing(*hosts):
    """An answer: 503 of these hosts, and pages of all others."""
    return lambda host, *_: 503 if host in hosts else 200


@contextmanager
def serving(answer):
    """A :class:`Web` that runs."""
    web = Web(answer)
    thread = Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield web
    finally:
        web.server.shutdown()
        thread.join()
        web.server.server_close()
