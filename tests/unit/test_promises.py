"""Each row of the tables of promises in the documentation is held by tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from report import report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "promises.rst"

_EACH = ["test_ways_out.py::test_each_way_out"]

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
        "test_storage.py::test_batches_while_the_disk_of_the_job_is_full",
        "test_storage.py::test_a_disk_with_errors",
        "test_storage.py::test_a_disk_that_stays_full",
        "test_storage.py::test_a_kill_on_a_full_disk",
        "test_sinks.py::test_a_sink_that_is_away",
        "test_sinks.py::test_a_sink_that_stays_away",
        "test_sql.py::test_a_database_that_is_away",
        "test_sql.py::test_a_database_that_stays_away",
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
    "A store that is torn, has flipped bits, is gone, is an older copy": [
        "test_damage.py::test_a_damaged_store_gives_way_to_a_snapshot",
        "test_damage.py::test_generation_by_generation",
        "test_damage.py::test_without_a_snapshot",
        "test_feeds.py::test_batches_after_a_snapshot",
        "test_feeds.py::test_batches_after_a_snapshot_that_were_taken_away",
        "test_damage.py::test_a_store_that_is_gone_without_a_snapshot",
        "test_damage.py::test_a_power_loss_takes_no_feed",
        "test_damage.py::test_damage_that_is_found_while_the_crawl_runs",
    ],
    "The journal of errors, events and history is torn, damaged or gone, or its disk is full": [
        "test_record.py::test_a_journal_that_is_torn",
        "test_record.py::test_a_journal_that_is_gone",
        "test_record.py::test_a_full_disk",
        "test_record.py::test_a_restore_forgets_what_came_after",
    ],
    "A spool that is torn, has flipped bits, or is gone": [
        "test_other_feeds.py::test_a_spool_with_a_flipped_bit",
        "test_other_feeds.py::test_a_spool_that_was_damaged_before_its_snapshots",
        "test_other_feeds.py::test_a_damaged_spool_without_a_snapshot",
    ],
    "The file, the disk or the Redis of the :doc:`HTTP cache": [
        "test_httpcache_stores.py::test_a_redis_that_is_killed",
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
    "local JSON, XML, pickle, marshal; compressed feeds; exporters of your own;": [
        "test_components.py::test_exporters",
        "test_other_feeds.py::test_each_kind",
        "test_other_feeds.py::test_batches",
        "test_other_feeds.py::test_batches_that_no_commit_has_seen",
    ],
    "an item that a feed's exporter refuses": [
        "test_components.py::test_items_that_a_feed_refuses",
        "test_components.py::test_items_that_a_feed_refuses_over_kills",
    ],
    "what an ``item_filter`` of your own remembers": [
        "test_components.py::test_a_filter_that_remembers",
        "test_components.py::test_a_filter_that_forgets",
    ],
    "S3, FTP that overwrites, storages of your own that say that they replace": [
        "test_components.py::test_a_storage",
        "test_other_feeds.py::test_s3_and_others_at_once",
        "test_other_feeds.py::test_s3_in_batches",
        "test_other_feeds.py::test_ftp",
    ],
    "Google Cloud Storage": ["test_other_feeds.py::test_gcs"],
    "FTP that appends, other storages of your own": [
        "test_other_feeds.py::test_a_storage_that_appends",
        "test_other_feeds.py::test_a_kill_while_a_feed_is_appended",
    ],
    "feeds of a ``FeedExporter`` of your own": [
        "test_components.py::test_a_feed_exporter",
        "test_components.py::test_a_feed_exporter_that_can_not_be_covered",
    ],
    "stdout, pipes, devices": ["test_other_feeds.py::test_what_is_not_covered"],
    ":doc:`RESILIENCE_SEEN_STORE </how-to/seen>`": [
        "test_seen.py::test_two_nights_with_a_kill_each",
        "test_seen.py::test_a_job_that_is_given_up_has_marked_nothing_too_much",
        "test_seen.py::test_a_job_that_goes_back_takes_back_what_it_has_seen",
        "test_seen.py::test_what_counts_as_seen",
    ],
    "the :doc:`database sink </how-to/sql>`": [
        "test_sql.py::test_each_item_is_one_row_after_kills",
        "test_sql.py::test_a_page_that_gives_fewer_items_the_second_time",
        "test_sql.py::test_a_restored_snapshot_finds_the_table_as_it_was",
    ],
    "a row that the database refuses": ["test_sql.py::test_a_bad_row_is_a_dead_letter"],
    "an item pipeline that writes before it returns": ["test_settings.py::test_item_ids"],
    "an item pipeline that collects, and writes at ``checkpoint_prepare``": [
        "test_sinks.py::test_a_pipeline_that_buffers",
    ],
    "an item pipeline that collects and knows nothing of commits": [
        "test_sinks.py::test_without_the_signal_rows_are_lost",
    ],
    ":doc:`RESILIENCE_UNIQUE </how-to/duplicates>`": [
        "test_unique.py::test_a_kill_at_each_step",
        "test_unique.py::test_kills_at_random",
        "test_unique.py::test_another_night",
    ],
    "a pipeline that drops what its own memory, file or database has": [
        "test_unique.py::test_a_filter_of_ones_own_drops_too_much",
    ],
    "files and images of Scrapy's media pipelines": ["test_kills.py::test_images"],
    "pages of the HTTP cache in files, SQLite or Redis": [
        "test_httpcache_stores.py::test_a_crawl_that_is_killed",
        "test_politeness.py::test_httpcache",
    ],
    "signals (``item_scraped`` and others)": ["test_kills.py::test_signals_of_items"],
    # every way out
    "The callback or the errback has put out everything": _EACH,
    "A callback, errback or spider middleware raises": [
        *_EACH,
        "test_accounted.py::test_what_is_cancelled_is_a_dead_letter",
    ],
    "A status that nobody handles": _EACH,
    "The download fails, or a retry is given up": _EACH,
    "A downloader middleware raises ``IgnoreRequest``": _EACH,
    "A failure handler drops it; its domain did not recover": [
        "test_retries.py::test_handlers_decide",
        "test_whose_failure.py::test_a_dead_host_is_given_up",
    ],
    "robots.txt forbids it": _EACH,
    "``allowed_domains``, for a redirect too": _EACH,
    "``DEPTH_LIMIT``, ``URLLENGTH_LIMIT``": _EACH,
    "``HTTPCACHE_IGNORE_MISSING``": [
        "test_ways_out.py::test_what_a_cache_has_not_is_left_out_on_purpose"
    ],
    "It was requested before": _EACH,
    "A handler of ``request_scheduled`` refuses it": _EACH,
    "A spider middleware of yours leaves it out": _EACH,
    "It is redirected, or tried again": [
        "test_accounted.py::test_a_redirect_is_the_same_request_on_its_way",
        "test_accounted.py::test_redirects_can_be_filtered_as_in_scrapy",
    ],
    "A middleware sends it again": [
        *_EACH,
        "test_accounted.py::test_a_redirect_is_the_same_request_on_its_way",
    ],
    "What bypasses the scheduler fails": _EACH,
    "A file or image that is answered with an error": _EACH,
    "The crawl is closed, or the spider is told to stop": [
        "test_ways_out.py::test_what_waits_is_pending",
        "test_stops.py::test_one_signal",
    ],
    "A stop cuts it off": ["test_ways_out.py::test_a_stop_while_files_wait"],
    "It can't be stored, and the crawl ends before it is done": ["test_kills.py::test_lambdas"],
    "Today's code can't read it": ["test_refusals.py::test_a_method_that_is_gone"],
    "It is through the pipelines": _EACH,
    "A pipeline raises ``DropItem``": _EACH,
    "A pipeline raises anything else, or is cancelled": [
        *_EACH,
        "test_accounted.py::test_what_is_cancelled_is_a_dead_letter",
    ],
    ":doc:`the cache </how-to/cache>`": [
        "test_cache_redis.py::test_a_crawl_that_is_killed",
        "test_cache_redis.py::test_killed_and_begun_again",
    ],
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
