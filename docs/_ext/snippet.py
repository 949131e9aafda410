"""Runs the files of ``docs/snippets`` in the doctest build, as their readers do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

SNIPPETS = Path(__file__).resolve().parents[1] / "snippets"


class Snippet:
    """A folder with copies of *files*, in which commands run."""

    def __init__(self, *files: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="snippet-"))
        for name in files:
            shutil.copy(SNIPPETS / name, self.folder / name)

    def run(self, *command: object, code: int = 0) -> str:
        """Run ``python COMMAND``, which is to end with *code*, and return what it printed."""
        done = subprocess.run(  # noqa: S603 - our own snippets
            [sys.executable, *map(str, command)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder)
