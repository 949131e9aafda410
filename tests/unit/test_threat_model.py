"""Each refusal of the threat model is held by tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from report import report

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.rst"

HELD_BY = {
    "a ``JOBDIR`` of another user, or one of its files": [
        "unit/test_ownership.py::test_another_users_job_is_refused",
        "unit/test_ownership.py::test_one_file_of_another_user",
        "unit/test_ownership.py::test_files_of_root_are_trusted",
    ],
    "a ``JOBDIR`` that the group or others can write, or ``resilience.*``": [
        "unit/test_ownership.py::test_what_others_can_write_is_refused",
        "unit/test_ownership.py::test_a_new_folder_is_the_users_alone",
        "integration/test_refusals.py::test_a_database_that_others_can_write",
    ],
    "links within a ``JOBDIR``": [
        "unit/test_ownership.py::test_links_within_a_job_are_refused",
        "unit/test_ownership.py::test_a_link_that_comes_while_a_job_runs_is_not_followed",
        "unit/test_ownership.py::test_a_link_of_another_user",
        "unit/test_ownership.py::test_ones_own_job_is_opened",
        "unit/test_ownership.py::test_a_draft_that_becomes_a_link_is_not_written",
        "unit/test_ownership.py::test_a_folder_of_a_job_that_is_a_link",
    ],
    "pickles, with ``RESILIENCE_ALLOW_PICKLE = False``": [
        "unit/test_codec.py::test_without_pickle_a_request_with_an_object_is_refused",
        "unit/test_scrapy_jobdir.py::test_without_pickle",
        "unit/test_letter_commands.py::test_a_replay_begins_anew",
    ],
    "names of classes in a job": [
        "unit/test_codec.py::test_no_module_is_imported_because_of_data",
        "unit/test_codec.py::test_a_module_that_loads_others_by_name_loads_none",
        "unit/test_codec.py::test_a_request_class_that_is_none_runs_nothing",
    ],
    "names of callbacks in a job": [
        "unit/test_codec.py::test_only_methods_of_the_spider_are_callbacks",
        "unit/test_codec.py::test_no_getter_runs_because_of_data",
    ],
    "snapshots, with ``RESILIENCE_ENCRYPTION_KEY``": [
        "unit/test_snapshots.py::test_with_a_key_no_plain_snapshot_is_restored",
        "unit/test_snapshots.py::test_plain_snapshots_of_ones_own_are_asked_for",
        "unit/test_snapshots.py::test_a_wrong_or_missing_key",
        "unit/test_snapshots.py::test_encrypted_chunks_open_only_in_their_place",
        "unit/test_snapshots.py::test_the_header_of_an_encrypted_file_is_authenticated",
        "unit/test_snapshots.py::test_a_renamed_snapshot_is_refused",
        "unit/test_snapshots.py::test_a_name_alone_is_no_snapshot",
        "unit/test_snapshots.py::test_what_others_have_encrypted_does_not_count",
        "unit/test_snapshots.py::test_a_header_that_tells_something_else",
        "integration/test_damage.py::test_a_plain_snapshot_is_passed_over_with_a_key",
    ],
    "snapshots without a key": [
        "unit/test_ownership.py::test_a_plain_snapshot_must_be_ones_own"
    ],
    "sizes": [
        "unit/test_store.py::test_a_file_that_is_no_store_is_refused",
        "unit/test_ownership.py::test_files_with_holes_take_no_memory",
        "unit/test_snapshots.py::test_what_grows_beyond_its_size_is_refused",
        "unit/test_snapshots.py::test_no_more_than_there_is_room_for",
        "unit/test_snapshots.py::test_memory_for_decompression_is_bounded",
        "unit/test_snapshots.py::test_no_file_leads_out_of_the_folder",
        "unit/test_restore.py::test_a_file_that_is_no_spool",
    ],
    "files that are not what was written": [
        "unit/test_damage.py::test_flipped_bits",
        "unit/test_snapshots.py::test_a_flipped_bit_is_seen",
    ],
    "what a terminal obeys": [
        "unit/test_masking.py::test_commands_on_a_hostile_job",
        "unit/test_masking.py::test_hostile_arguments",
        "unit/test_masking.py::test_a_hostile_error",
        "unit/test_masking.py::test_all_loggers_are_ours",
    ],
    "passwords in what is shown": [
        "unit/test_masking.py::test_secrets_in_text",
        "unit/test_masking.py::test_secrets_of_a_place",
        "unit/test_masking.py::test_secrets_in_settings",
        "unit/test_masking.py::test_settings_with_secrets",
        "unit/test_observer.py::test_a_close_reason_of_the_users",
        "unit/test_item_texts.py::test_secrets_by_their_names",
    ],
    "the endpoint beyond this machine": [
        "unit/test_access.py::test_beyond_loopback",
        "unit/test_access.py::test_what_is_not_the_token",
        "unit/test_server.py::test_a_token",
        "integration/test_endpoint.py::test_what_is_refused",
        "integration/test_endpoint.py::test_a_token",
    ],
    "the endpoint in a browser": [
        "unit/test_access.py::test_hosts_of_others",
        "unit/test_server.py::test_names_of_other_hosts",
        "unit/test_server.py::test_each_answer_has_headers_that_protect",
    ],
    "clients of the endpoint": [
        "unit/test_server.py::test_a_body_is_not_read",
        "unit/test_server.py::test_one_client_too_many",
        "unit/test_server.py::test_too_many_connections",
        "unit/test_server.py::test_a_client_that_asks_without_end",
        "unit/test_server.py::test_clients_that_say_nothing_whole",
        "unit/test_server.py::test_a_stream_that_nobody_reads",
        "integration/test_endpoint.py::test_a_stream_does_not_keep_the_crawl",
    ],
    "channels of notices": [
        "unit/test_channels.py::test_no_secret_is_shown",
        "unit/test_noticetexts.py::test_what_a_page_may_have_put_in",
        "unit/test_noticetexts.py::test_harmless",
        "integration/test_notifications.py::test_a_wrong_channel",
        "integration/test_notify_receivers.py::test_mail",
    ],
    "entries of the cache in a Redis that others can write": [
        "unit/test_cachevalues.py::test_a_flipped_bit_of_a_signed_entry",
        "unit/test_cachevalues.py::test_a_pickle_of_somebody_else_is_not_read",
        "unit/test_cachevalues.py::test_of_another_serializer_or_secret",
        "unit/test_cachevalues.py::test_too_large",
    ],
    "what does not come back": [
        "unit/test_waits.py::test_what_does_not_come_back_is_told_and_left",
        "unit/test_waits.py::test_each_wait_has_a_bound",
    ],
}
"""How a row of "What is refused" begins → its tests."""


def rows():
    """Return the first cells of that table, without its header."""
    part = (
        PAGE.read_text("utf-8")
        .partition("What is refused\n")[2]
        .partition("\n\nWhat is not")[0]
    )
    cells = re.findall(r"^    \* - (.*?)\n      - ", part, re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", cell) for cell in cells[1:]]


@cache
def _tests_in(name):
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / "tests" / name).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_refusal_is_held_by_tests():
    """And each row of tests is documented."""
    assert len(rows()) == len(HELD_BY)
    report(row for row in rows() if not row.startswith(tuple(HELD_BY)))


def test_the_tests_are_there():
    """Each test that holds a refusal exists."""
    tests = [test.split("::") for held_by in HELD_BY.values() for test in held_by]
    report(f"{file}::{test}" for file, test in tests if test not in _tests_in(file))
