"""Child processes of a process that has Scrapy loaded: they start in a third of the time.

``python forkserver.py FD`` reads, from the socket FD, what it is to run, and forks. A child
leaves :func:`serve`, puts on the argv, environment, folder, files and ``sys.path`` of a new
``python -m MODULE``, and ends as any process of Python ends. Nothing that
has a thread, an event loop or a reactor is loaded before the fork.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path

WORD = 8
"""Bytes of a number in an answer: first the pid, and then the exit code."""


# --- in the tests' process --------------------------------------------------------------


class ForkServer:
    """The process that forks; it ends, and kills what it has begun, when this one does."""

    def __init__(self):
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests' process
            )

    def start(self, module, *arguments, cwd, env, stdout, stderr):
        """Run ``python -m MODULE ARGUMENTS``; return its :class:`Child`."""
        ours, theirs = socket.socketpair()
        order = json.dumps({"argv": [module, *arguments], "cwd": str(cwd), "env": env})
        with theirs:
            fds = [theirs.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._socket, [f"{order}\n".encode()], fds)
        return Child(ours)

    def close(self):
        """End the process."""
        self._socket.close()
        self._process.wait()


class Child:
    """What :class:`subprocess.Popen` is for a child of this process."""

    def __init__(self, status):
        self._status = status
        self.returncode = None
        self.pid = self._read(None)

    def poll(self):
        """Return the exit code, None while there is none."""
        return self._end(0)

    def wait(self, timeout=None):
        """Return the exit code when it is there."""
        if self._end(timeout) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # its exit code is on the way
                os.kill(self.pid, number)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _end(self, timeout):
        if self.returncode is None:
            self.returncode = self._read(timeout)
            if self.returncode is not None:
                self._status.close()
        return self.returncode

    def _read(self, timeout):
        with selectors.DefaultSelector() as selector:
            selector.register(self._status, selectors.EVENT_READ)
            if not selector.select(timeout):
                return None
        word = self._status.recv(WORD)
        if len(word) < WORD:
            raise EOFError("the fork server has ended")
        return int.from_bytes(word, "big", signed=True)


# --- in the fork server -----------------------------------------------------------------


def load():
    """Import what crawls import, but for what is chosen when one begins: the reactor."""
    for name in ("scrapy.cmdline", "scrapy.logformatter", "scrapy.statscollectors", "uvloop"):
        import_module(name)
    for name in ("scrapy.commands", "scrapy_resilience"):
        package = import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name, parts in vars(import_module("scrapy.settings.default_settings")).items():
        if name.endswith("_BASE") and isinstance(parts, dict):
            for path in chain(parts, parts.values()):
                if isinstance(path, str) and "." in path:
                    import_module(path.rpartition(".")[0])
    assert "twisted.internet.reactor" not in sys.modules


def serve(orders):
    """Fork a child for each order, and tell how it ended; return in a child, with its order."""
    children = {}
    wake, awake = socket.socketpair()
    awake.setblocking(False)  # noqa: FBT003 - the name says it
    signal.set_wakeup_fd(awake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector, wake, awake:
        for each in (orders, wake):
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake in ready:
                wake.recv(4096)
                bury(children)
            if orders in ready:
                order, fds, _, _ = socket.recv_fds(orders, 2**16, 3)
                if not order:
                    end(children)
                while not order.endswith(b"\n"):  # the next order waits for our answer
                    order += orders.recv(2**16)
                if not fork(children, *fds):
                    break
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    orders.close()
    return json.loads(order), fds[1:]


def fork(children, status, *files):
    """Fork; return 0 in the child, which has its own files only."""
    pid = os.fork()
    if pid:
        children[pid] = socket.socket(fileno=status)
        tell(children[pid], pid)
        for fd in files:
            os.close(fd)
    else:
        os.close(status)
        for other in children.values():
            other.close()
    return pid


def tell(status, number):
    """Send a number to the tests' process, which need not wait for it any more."""
    with suppress(OSError):
        status.send(number.to_bytes(WORD, "big", signed=True))


def bury(children):
    """Tell the exit codes of the children that have ended."""
    for pid in list(children):
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as status:
                tell(status, os.waitstatus_to_exitcode(code))


def end(children):
    """Leave no process behind."""
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    sys.exit()


# --- in a child -------------------------------------------------------------------------


def run(order, files):
    """Become the process that the order describes."""
    for number, fd in enumerate(files, 1):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.dont_write_bytecode = bool(order["env"].get("PYTHONDONTWRITEBYTECODE"))
    paths = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [order["cwd"], *paths, *sys.path]
    sys.argv[:] = order["argv"]
    runpy.run_module(order["argv"][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    load()
    gc.freeze()  # no collection in a child looks at, or copies, what it shares
    run(*serve(socket.socket(fileno=int(sys.argv[1]))))
