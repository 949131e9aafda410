"""Receivers of notices in the test's own process: webhooks, and a server for mail."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from aiosmtpd.smtp import SMTP


class Webhook:
    """Notes what it is sent; ``answer(count)`` says with which status (and headers) it answers.

    None is for no answer at all.
    """

    def __init__(self, answer):
        self.got = []
        """(headers, body, path) of each request."""
        self.over = Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((dict(self.headers), body, self.path))
                found = answer(len(hook.got))
                status, headers = found if isinstance(found, tuple) else (found, {})
                if status is None:
                    hook.over.wait(60)
                    return
                self.send_response(status)
                for name, value in {"Content-Length": 2, **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self):
                hook.got.append((dict(self.headers), b"", self.path))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A crawl that ends closes its connections."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cr3t-path?token=t0ken123"

    def notices(self, *kinds):
        """What came, as JSON, in order; of these kinds, or all."""
        found = [json.loads(body) for _, body, _ in self.got if body]
        return [each for each in found if not kinds or each["kind"] in kinds]

    def kinds(self):
        """The kinds of what came."""
        return [each["kind"] for each in self.notices()]


@contextmanager
def webhook(answer=lambda _: 200):
    """A :class:`Webhook` that runs."""
    hook = Webhook(answer)
    thread = Thread(target=hook.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hook
    finally:
        hook.over.set()
        hook.server.shutdown()
        thread.join()
        hook.server.server_close()


@contextmanager
def answering(*answers):
    """A webhook that answers so, the last one for ever."""
    with webhook(lambda count: answers[min(count, len(answers)) - 1]) as hook:
        yield hook, hook.url


class Mailbox:
    """Mail that came."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def kinds(self):
        """The subjects."""
        return [mail["Subject"] for mail in self.mails]


@contextmanager
def mail_server():
    """A :class:`Mailbox`, and the URL by which apprise reaches it."""
    box, loop = Mailbox(), asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    listen = loop.create_server(lambda: SMTP(box, loop=loop), "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(listen, loop).result(60)
    port = server.sockets[0].getsockname()[1]
    try:
        yield (
            box,
            (
                f"mailto://127.0.0.1:{port}?from=crawl@shop.test&to=owner@shop.test&mode=insecure"
            ),
        )
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
