"""Each row of the tables of promises in the documentation is held by tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from report import report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "promises.rst"

HELD_BY = {
    # by failure
    "``kill -9``, OOM killer, crash of the interpreter": [
        "test_kills.py::test_five_kills",
        "test_kills.py::test_kills_at_any_moment_of_a_process",
        "test_kills.py::test_crashes_of_the_interpreter",
        "test_steps.py::test_a_kill_at_each_step",
        "test_steps.py::test_kills_at_pairs_of_steps",
    ],
    "Ctrl-C, SIGTERM, ``CLOSESPIDER_*``": [
        "test_stops.py::test_one_signal",
        "test_stops.py::test_two_signals",
        "test_stops.py::test_close_spider_settings",
    ],
    "An exception in a callback or pipeline": [
        "test_settings.py::test_callbacks_that_fail",
        "test_settings.py::test_pipelines_that_fail",
    ],
    "A download that fails, after its retries": ["test_settings.py::test_requests_that_fail"],
    "A domain that is down": [
        "test_gates.py::test_a_dead_domain_costs_little",
        "test_gates.py::test_a_short_outage_loses_nothing",
        "test_gates.py::test_breakers_survive_a_kill",
        "test_gates.py::test_only_held_requests_are_left",
    ],
    "Disk full, errors of the disk, a sink that is away": [
        "test_storage.py::test_a_disk_of_20_mb",
        "test_storage.py::test_batches_that_end_on_a_full_disk",
        "test_storage.py::test_a_disk_with_errors",
        "test_storage.py::test_a_disk_that_stays_full",
        "test_storage.py::test_a_kill_on_a_full_disk",
        "test_sinks.py::test_a_sink_that_is_away",
        "test_sinks.py::test_a_sink_that_stays_away",
    ],
    "A handler, a storage or a place of snapshots that does not come back": [
        "test_sinks.py::test_a_source_that_does_not_come_back",
        "test_sinks.py::test_status_says_what_is_waited_for",
        "test_other_feeds.py::test_a_storage_that_does_not_come_back",
        "test_snapshots.py::test_a_place_that_does_not_answer",
    ],
    "A disk slower than the crawl": ["test_storage.py::test_a_slow_disk"],
    "Power loss, crash of the operating system": [
        "test_storage.py::test_power_loss_safe",
        "test_refusals.py::test_what_is_cut_is_kept",
        "test_refusals.py::test_a_feed_that_is_shorter_after_a_kill",
    ],
    "A store that is torn, has flipped bits, lost its write-ahead log, is gone": [
        "test_damage.py::test_a_damaged_store_gives_way_to_a_snapshot",
        "test_damage.py::test_generation_by_generation",
        "test_damage.py::test_without_a_snapshot",
        "test_damage.py::test_a_store_that_is_gone_without_a_snapshot",
        "test_damage.py::test_damage_that_is_found_while_the_crawl_runs",
    ],
    # by feed and sink
    "local JSON Lines or CSV": [
        "test_kills.py::test_five_kills",
        "test_feeds.py::test_overwrite_on_the_command_line",
        "test_feeds.py::test_csv_columns",
    ],
    "the same in batches": [
        "test_feeds.py::test_batches",
        "test_feeds.py::test_csv_batches",
    ],
    "local JSON, XML, pickle, marshal; compressed feeds; batches of them": [
        "test_other_feeds.py::test_each_kind",
        "test_other_feeds.py::test_batches",
        "test_other_feeds.py::test_batches_that_no_commit_has_seen",
    ],
    "S3, FTP that overwrites": [
        "test_other_feeds.py::test_s3_and_others_at_once",
        "test_other_feeds.py::test_s3_in_batches",
        "test_other_feeds.py::test_ftp",
    ],
    "Google Cloud Storage": ["test_other_feeds.py::test_gcs"],
    "FTP that appends, storages of your own": [
        "test_other_feeds.py::test_a_storage_that_appends",
        "test_other_feeds.py::test_a_kill_while_a_feed_is_appended",
    ],
    "stdout, pipes, devices": ["test_other_feeds.py::test_what_is_not_covered"],
    "an item pipeline that writes before it returns": ["test_settings.py::test_item_ids"],
    "an item pipeline that collects, and writes at ``checkpoint_prepare``": [
        "test_sinks.py::test_a_pipeline_that_buffers",
    ],
    "an item pipeline that collects and knows nothing of commits": [
        "test_sinks.py::test_without_the_signal_rows_are_lost",
    ],
    "files and images of Scrapy's media pipelines": ["test_kills.py::test_images"],
    "signals (``item_scraped`` and others)": ["test_kills.py::test_signals_of_items"],
    "``spider.state``, :func:`~scrapy_resilience.register_state`": [
        "test_stops.py::test_state_and_totals",
    ],
}
"""How a row begins → the integration tests that fail when its promise is not kept."""


def rows():
    """The first cells of the tables, without their headers."""
    tables = PAGE.read_text("utf-8").split(".. list-table::")[1:]
    cells = (
        re.findall(r"^    \* - (.*?)\n      - ", table, re.DOTALL | re.MULTILINE)
        for table in tables
    )
    return [re.sub(r"\s+", " ", cell) for found in cells for cell in found[1:]]


@cache
def _tests_in(name):
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / "tests" / "integration" / name).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_row_is_held_by_tests():
    """A promise that is documented has a test."""
    assert rows()
    report(row for row in rows() if not row.startswith(tuple(HELD_BY)))


def test_each_promise_is_documented():
    """What tests hold is a row of promises.rst."""
    report(start for start in HELD_BY if not any(row.startswith(start) for row in rows()))


def test_the_tests_are_there():
    """Each test that holds a promise exists."""
    tests = [test.split("::") for held_by in HELD_BY.values() for test in held_by]
    report(f"{name}::{test}" for name, test in tests if test not in _tests_in(name))
