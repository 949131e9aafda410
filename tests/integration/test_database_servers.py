"""The database servers that tests and benchmarks begin: nothing of them is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from crawls import wait_until

from benchmarks.databases import PostgreSQL

pytestmark = pytest.mark.integration

OWNER = """
import json, time
from benchmarks.databases import PostgreSQL, engine_of
with PostgreSQL() as server:
    with engine_of(server.url()).connect(), server.frozen():
        pids = (server.folder / "pids").read_text().split()
        print(json.dumps([str(server.folder), *pids]), flush=True)
        time.sleep(1000)
"""


def test_an_owner_that_is_killed(missing_service):
    """Its server ends, even one that is stopped, and so does its folder."""
    if PostgreSQL.program() is None:
        missing_service(PostgreSQL.name, f"apt-get install {PostgreSQL.package}")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as owner:
        folder, *pids = json.loads(owner.stdout.readline())
        assert len(pids) > 3  # one has a connection
        owner.kill()

    wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids))
    wait_until(lambda: not Path(folder).exists())
