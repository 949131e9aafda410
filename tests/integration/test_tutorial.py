"""The commands of the tutorial, as printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "index.rst"
BY_US = {"./run example", ". .venv/bin/activate", "cd example_project"}
"""What comes before: the first has a test of its own, the others say where one is."""
EXACTLY = re.compile(r"wc -l items|sort |echo |scrapy resilience selectors")
"""Commands whose output is printed as it is, on each machine."""


PATIENT = """#!{python}
import os, signal, subprocess, sys, time
from pathlib import Path

seconds, command, feed = float(sys.argv[2]), sys.argv[3:], Path("items/shop.jsonl")
end, child = time.monotonic() + seconds, subprocess.Popen(command)
while child.poll() is None:
    lines = feed.read_bytes().count(b"\\n") if feed.exists() else 0
    if lines >= 3_000 or (lines >= 1_000 and time.monotonic() >= end):
        child.kill()
        child.wait()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
sys.exit(child.returncode)
"""
"""``timeout --signal=KILL`` by what is in the feed: a busy machine is late, some are quick."""


def commands():
    """Yield each command of the page, and the output that is printed below it."""
    for block in re.findall(
        r"\.\. code-block:: console\n\n((?:    .*\n|\n)+)", TUTORIAL.read_text("utf-8")
    ):
        for part in re.split(r"^\$ ", dedent(block), flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if command not in BY_US:
                yield command, output.strip("\n")


def run_all(folder, lines):
    """Return the exit code and output of each command of one shell."""
    programs = folder.parent / "bin"
    programs.mkdir()
    patient = programs / "timeout"
    patient.write_text(PATIENT.format(python=sys.executable))
    patient.chmod(0o755)
    script = "".join(
        f"{line}\nstatus=$?; echo; echo @@ $status; (exit $status)\n" for line in lines
    )
    path = (str(programs), str(Path(sys.executable).parent), os.environ["PATH"])
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = re.findall(r"(.*?)\n@@ (\d+)\n", run.stdout, re.DOTALL)
    assert len(found) == len(lines), run.stdout
    return [(int(code), output) for output, code in found]


def test_the_tutorial(tmp_path):
    """A crawl that is killed as printed ends with 4,000 items, and all else is as told."""
    folder = tmp_path / "example_project"
    ignored = shutil.ignore_patterns("crawls", "items", "active", "__pycache__")
    shutil.copytree(ROOT / "example_project", folder, ignore=ignored)
    printed = list(commands())
    port = free_port(in_a_row=2)  # somebody else may have the example's
    lines = [
        command.replace("crawl shop", f"crawl shop -a port={port}") for command, _ in printed
    ]

    done = run_all(folder, lines)

    outputs = dict(zip(lines, done, strict=True))
    killed, resumed, refused = (
        done[place] for place, line in enumerate(lines) if "scrapy crawl shop" in line
    )
    assert killed[0] == 137, killed[1]
    assert resumed[0] == 0, resumed[1]
    assert "'resilience/total/item_scraped_count': 4000" in resumed[1]
    assert "Resuming crawls/shop" in resumed[1]
    assert refused[0] == 1, refused[1]
    assert "has finished (4000 items)" in refused[1]
    last = outputs["scrapy resilience status crawls/shop"][1]
    assert re.search(r"state +finished\n(?s:.*)dead letters +0\n(?s:.*)incomplete +no\n", last)
    after_the_kill = lines.index("wc -l items/shop.jsonl")
    for place, (_, (_, output), (command, shown)) in enumerate(
        zip(lines, done, printed, strict=True)
    ):
        if EXACTLY.match(command) and place != after_the_kill:
            assert output.strip("\n") == shown, command
