"""PostgreSQL and MariaDB of one's own: in a temporary folder, on a free port of 127.0.0.1.

They run as an account without rights where the caller is root, which both servers ask for. A
commit survives the end of a server's processes, and not that of the machine: nothing is
synced. Nothing outlives the process that made them, whatever ends it: a shell waits for its
end, and then ends the server and removes its folder.
"""

from __future__ import annotations

import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine
    from typing_extensions import Self

__all__ = ["PASSWORD", "SERVERS", "MariaDB", "Place", "PostgreSQL", "Server", "engine_of"]

USER = "crawler"
PASSWORD = "hidden-p@ss/word"  # noqa: S105 - of a server on loopback, for some seconds
"""It has to be quoted in a URL."""
_LIMIT = 60.0
"""Seconds for anything; only a server that hangs comes near."""
_LOOK = 0.02
_PORTS = range(20_000, 32_000)
"""Below those that a system gives to outgoing connections: ours is free at each new start."""
_WATCH = """
cat >/dev/null
for pid in $(cat "$0/pids"); do kill -KILL "$pid"; done
for _ in $(seq 50); do rm -rf "$0" && break; sleep 0.2; done
"""


def engine_of(url: str | URL) -> Engine:
    """An engine that keeps no connection."""
    return create_engine(url, poolclass=NullPool)


class Server:
    """A database server that runs from the ``with`` on, and is gone at its end."""

    name: ClassVar[str]
    package: ClassVar[str]
    """What Debian calls the package."""
    driver: ClassVar[str]
    first: ClassVar[str]
    """A database that is always there."""
    ending: ClassVar[signal.Signals]
    """Makes it shut down in order, and end the connections that it has."""

    def __init__(self) -> None:
        self.folder = Path()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    @classmethod
    def program(cls) -> str | None:
        """The path of the server, None where it is not installed."""
        raise NotImplementedError

    def make(self) -> list[str]:
        """The command that fills the folder, once."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The command of the server."""
        raise NotImplementedError

    # --- its life ---

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"scrapy-resilience-{self.name}-"))
        self._note([])
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the process that it watches
        )
        try:
            self.port = _free_port()
            if os.geteuid() == 0:
                shutil.chown(self.folder, *_account())
            self._begin(self.make())
            assert not self._process.wait(_LIMIT), f"{self.name} can't be set up: {self.log()}"
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        with self._watch:  # closes what it reads, and waits for it
            pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Return when it answers; one that has been killed may have to be begun twice."""
        end = time.monotonic() + _LIMIT
        while not self._answers():
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} does not start: {self.log()}")
            if self._process is None or self._process.poll() is not None:
                self._begin(self.command())
            time.sleep(_LOOK)

    def stop(self) -> None:
        """Shut it down in order; those who are connected are thrown out."""
        assert self._process is not None
        self._process.send_signal(self.ending)
        self._process.wait(_LIMIT)
        self._note([])

    def kill(self) -> None:
        """SIGKILL to all its processes."""
        if self._process is None:
            return
        self._send(signal.SIGKILL)
        self._process.wait(_LIMIT)
        self._note([])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there, takes connections, and says nothing."""
        self._note([process.pid for process in self._send(signal.SIGSTOP)])
        try:
            yield
        finally:
            self._send(signal.SIGCONT)

    def log(self) -> str:
        """The last that it has said."""
        return (self.folder / "log").read_text("utf-8", "replace")[-2000:]

    def _begin(self, command: Sequence[str]) -> None:
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            user, group = _account()
            account = {"user": user, "group": group, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,
            )
        self._note([self._process.pid])

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except DBAPIError:
            return False
        return True

    def _send(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to the process and those that it has begun, the first one first."""
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            first.send_signal(signal.SIGSTOP)  # it begins no more of them
            processes = [first, *first.children(recursive=True)]
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            return processes
        return []

    def _note(self, pids: Sequence[int]) -> None:
        """Tell the shell that watches what it would have to end."""
        (self.folder / "pids").write_text(" ".join(map(str, pids)), "ascii")

    # --- what is in it ---

    def url(self, database: str = "") -> str:
        """The address of a database, with the password in it."""
        url = URL.create(
            self.driver, USER, PASSWORD, "127.0.0.1", self.port, database or self.first
        )
        return url.render_as_string(hide_password=False)

    def database(self) -> str:
        """The URL of a new database, which is empty."""
        name = f"crawl_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement as the server's first user, in no transaction."""
        engine = engine_of(self.url()).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))


class PostgreSQL(Server):
    """PostgreSQL; each connection has a process of its own."""

    name = "postgresql"
    package = "postgresql"
    driver = "postgresql+psycopg"
    first = "postgres"
    ending = signal.SIGINT

    @classmethod
    def program(cls) -> str | None:
        """Debian puts its programs where a shell does not look."""
        found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
        return str(newest) if newest else shutil.which("postgres")

    def make(self) -> list[str]:
        (self.folder / "password").write_text(PASSWORD, "utf-8")
        (self.folder / "password").chmod(0o644)  # in a folder that is only its own
        return [
            str(Path(self.program() or "").resolve().with_name("initdb")),
            f"--pgdata={self.folder}/data",
            f"--username={USER}",
            f"--pwfile={self.folder}/password",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": 40,
        }
        words = [word for name in options for word in ("-c", f"{name}={options[name]}")]
        return [self.program() or "", "-D", f"{self.folder}/data", *words]


class MariaDB(Server):
    """MariaDB; its tables are InnoDB's."""

    name = "mariadb"
    package = "mariadb-server"
    driver = "mysql+pymysql"
    first = "test"
    ending = signal.SIGTERM
    _SMALL: ClassVar = (
        "--innodb-log-file-size=8M",
        "--innodb-buffer-pool-size=16M",
        "--innodb-use-native-aio=0",
    )

    @classmethod
    def program(cls) -> str | None:
        """It is where only root's shell looks."""
        return shutil.which("mariadbd", path=f"{os.environ.get('PATH')}:/usr/sbin")

    def make(self) -> list[str]:
        self._write(
            "users.sql",
            f"CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';",
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1';",
            f"CREATE DATABASE IF NOT EXISTS {self.first};",
        )
        return [
            shutil.which("mariadb-install-db") or "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *self._SMALL,
        ]

    def command(self) -> list[str]:
        return [
            self.program() or "",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--port={self.port}",
            f"--init-file={self.folder}/users.sql",
            "--bind-address=127.0.0.1",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=2",  # written at each commit, synced later
            "--skip-name-resolve",
            *self._SMALL,
        ]

    def _write(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n", "utf-8")
        (self.folder / name).chmod(0o644)


SERVERS: dict[str, type[Server]] = {kind.name: kind for kind in (PostgreSQL, MariaDB)}


@dataclass(frozen=True)
class Place:
    """Where rows go: a server, or, without one, a file of the crawl's folder."""

    name: str
    server: Server | None

    def new(self, folder: Path) -> str:
        """The URL of an empty database."""
        if self.server is not None:
            return self.server.database()
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / 'rows.sqlite'}"


def _account() -> tuple[int, int]:
    """Of root's: one that has no rights."""
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _free_port() -> int:
    for port in random.sample(_PORTS, 100):
        with suppress(OSError), closing(socket.socket()) as found:
            found.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
