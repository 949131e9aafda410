"""A Redis of a test's own: on a free port of this machine, keeping nothing."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from threading import Event

import redis
from ports import free_port

TRIES = 1_000


class Server:
    """A Redis that can be killed, and started again on its port."""

    def __init__(self, program, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        options = {"--bind": "127.0.0.1", "--port": self.port, "--dir": folder, "--save": ""}
        self._command = [program, *(str(word) for pair in options.items() for word in pair)]
        self._log = folder / "redis.log"
        self._process = None

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log)
        for _ in range(TRIES):
            if self._answers():
                return
            Event().wait(0.02)
        raise AssertionError(self._log.read_text())

    def _answers(self):
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_redis(program, folder):
    """A :class:`Server` that runs until the context ends."""
    server = Server(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.client.close()
        server.kill()
