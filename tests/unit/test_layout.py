"""The files of a job."""

from __future__ import annotations

import os

import pytest

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files.layout import (
    DAMAGED,
    LOCK,
    STORE,
    WATERMARK,
)
from scrapy_resilience.files.ownership import check_jobdir
from scrapy_resilience.jobs.report import read_report

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes are of POSIX")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("other")])
@pytest.mark.parametrize(
    "name", [STORE, f"{STORE}-wal", f"{STORE}-shm", WATERMARK, LOCK, DAMAGED]
)
def test_what_is_no_file_is_refused(tmp_path, name, make):
    """The error names it, and nothing waits for it."""
    make(tmp_path / name)

    with pytest.raises(CheckpointError, match=rf"{name} is (not a regular file|a link)"):
        check_jobdir(tmp_path)


def test_a_report_of_it(tmp_path):
    """A command does not wait either."""
    os.mkfifo(tmp_path / WATERMARK)

    with pytest.raises(CheckpointError, match="is not a regular file"):
        read_report(tmp_path)


def test_files_and_nothing(tmp_path):
    """A folder with or without files is fine."""
    check_jobdir(tmp_path)
    (tmp_path / STORE).touch()
    check_jobdir(tmp_path)
