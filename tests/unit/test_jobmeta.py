"""What a job says of itself, through its life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.checkpoint.state import META
from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.jobs.jobmeta import JobMeta

values = ValueCodec(allow_pickle=False)

metas = st.builds(
    JobMeta,
    spider=st.none() | st.text(),
    created=st.none() | st.floats(0, 1e10),
    arguments=st.none() | st.dictionaries(st.text(), st.none() | st.text() | st.integers()),
    runs=st.integers(0, 9),
    pending=st.integers(0, 9),
    held=st.integers(0, 9),
    dead_letters=st.integers(-9, 9),
    clean=st.booleans(),
    start_done=st.booleans(),
    finished=st.booleans(),
    reason=st.none() | st.text(),
)


@given(metas)
def test_it_is_read_as_it_was_written(meta):
    """Nothing is lost on the way."""
    assert JobMeta.of({META: meta.encode()}) == meta


def test_a_new_job_says_nothing():
    """It has run no time."""
    assert JobMeta.of({}) == JobMeta()


def test_what_a_later_version_says_too_is_left_out():
    """It can be read all the same."""
    stored = values.encode({"spider": "shop", "moon": "full"})

    assert JobMeta.of({META: stored}) == JobMeta(spider="shop")


@pytest.mark.parametrize(
    "found", [7, "text", [], {"runs": "many"}, {"spider": 5}, {"clean": 1}]
)
def test_a_value_of_another_type_is_damage(found):
    """It is told in one line."""
    with pytest.raises(DamagedError, match="what the store says of its job is damaged"):
        JobMeta.of({META: values.encode(found)})


@pytest.mark.parametrize(
    ("meta", "state"),
    [
        (JobMeta(), "created"),
        (JobMeta(runs=1), "killed"),
        (JobMeta(runs=1, clean=True), "stopped"),
        (JobMeta(runs=1, clean=True, pending=9, held=5), "stopped"),
        (JobMeta(runs=1, clean=True, pending=5, held=5), "held"),
        (JobMeta(runs=1, clean=True, finished=True), "finished"),
    ],
)
def test_states(meta, state):
    """Of a job that no process runs; one that has the lock is running, whatever it says."""
    assert meta.state(running=False) == state
    assert meta.state(running=True) == "running"


@given(metas, st.booleans())
def test_a_run_begins(meta, rerun_start):
    """It is killed until it has made a last commit."""
    done, runs = meta.start_done, meta.runs
    meta.begin_run(rerun_start=rerun_start)

    assert meta.state(running=False) == "killed"
    assert (meta.runs, meta.reason, meta.replayed) == (runs + 1, None, False)
    assert meta.start_done is (done and not rerun_start)


@pytest.mark.parametrize("finished", [False, True])
def test_a_replay(finished):
    """One that had finished does what was put back, and nothing else."""
    meta = JobMeta(runs=1, clean=True, finished=finished, dead_letters=5, held=2, pending=2)
    meta.replay(3, 7)

    assert meta.state(running=False) == "stopped"
    assert (meta.dead_letters, meta.pending) == (2, 7)
    assert meta.replayed is meta.start_done is finished


def test_the_same_job_has_the_same_name():
    """In whatever run; another beginning is another job."""
    meta = JobMeta(spider="shop", created=1.5)
    name = meta.ident
    meta.begin_run(rerun_start=False)

    assert meta.ident == name == JobMeta(spider="shop", created=1.5, items=7).ident
    assert name not in {JobMeta(spider="shop", created=2.5).ident, JobMeta(created=1.5).ident}
