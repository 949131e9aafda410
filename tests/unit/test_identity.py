"""Whether the job in a folder is the one that is to be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.jobs.identity import check_arguments, check_spider
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.settings import Config

JOB = Path("crawls/shop")


def meta(**fields):
    """What is stored of a job of the spider ``shop``."""
    return JobMeta(spider="shop", created=0.0, **fields)


def test_a_job_of_this_spider():
    """One that has not finished may go on."""
    check_spider(meta(), "shop", path=JOB, config=Config())


def test_a_job_of_another_spider():
    """The error names both, and the folder."""
    with pytest.raises(CheckpointError, match="crawls/shop is a job of spider 'shop', not of"):
        check_spider(meta(), "news", path=JOB, config=Config())


def test_a_job_that_has_finished():
    """It runs again only where start() is to be run again."""
    over = meta(items=1, finished=True)
    with pytest.raises(CheckpointError, match=r"has finished \(1 item\)"):
        check_spider(over, "shop", path=JOB, config=Config())
    check_spider(over, "shop", path=JOB, config=Config(rerun_start=True))


@pytest.mark.parametrize("before", [None, {}, {"page": "1"}])
def test_the_same_arguments(before):
    """None are known of a job of an earlier version: any will do."""
    check_arguments(meta(arguments=before), before or {}, path=JOB, config=Config())


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"page": "1"}, {"page": "2"}, "page was '1', now '2'"),
        ({}, {"page": "2"}, "page was not given, now '2'"),
        ({"page": "1"}, {}, "page was '1', now not given"),
        ({"password": "old"}, {"password": "new"}, r"password was '\*\*\*', now '\*\*\*'"),
    ],
)
def test_other_arguments(before, now, told):
    """The error tells each one, but no secret; a setting accepts them."""
    job = meta(arguments=before)
    with pytest.raises(CheckpointError, match=told):
        check_arguments(job, now, path=JOB, config=Config())
    check_arguments(job, now, path=JOB, config=Config(changed_arguments="accept"))
