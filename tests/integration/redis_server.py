"""A Redis of a test's own: on a free port, killed, stopped and begun again."""

from __future__ import annotations

import signal
import subprocess

import redis
from crawls import wait_until
from ports import free_port


class RedisServer:
    """Keeps in *folder* what it is told to save."""

    def __init__(self, program, folder, **options):
        self.program = program
        self.folder = folder
        self.port = free_port()
        self.options = {"bind": "127.0.0.1", "port": self.port, "dir": folder, "save": ""}
        self.options.update(options)
        self.process = None
        self.client = redis.Redis(
            port=self.port, password=options.get("requirepass"), protocol=2
        )
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self):
        """Begin, and answer."""
        words = []
        for name, value in self.options.items():
            several = isinstance(value, list)
            words += [f"--{name.replace('_', '-')}", *map(str, value if several else [value])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *words], stdout=log)
        wait_until(lambda: self.process.poll() is not None or self.answers())
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return self

    def answers(self):
        """Whether it is up."""
        try:
            return self.client.ping()
        except redis.ResponseError:
            return True
        except redis.ConnectionError:
            return False

    def kill(self):
        """As the OOM killer does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        """Let it answer no more, and :meth:`go_on`."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.client.close()
        self.kill()
