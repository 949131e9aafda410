"""What was put out, so that a second run repeats nothing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.handed_out import HandedOutRequest, StartOutputs, content_key
from scrapy_resilience.frontier.store import Row

ROW = Row(1, 0, 1, b"")
keys = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)


# --- content_key -----------------------------------------------------------------------


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_a_content_key_tells_parts_apart(one, other):
    """Two lists of parts have the same key only when they are the same list."""
    assert (content_key(*one) == content_key(*other)) == (one == other)


@given(st.lists(st.binary()))
def test_a_content_key_fits_into_a_column(parts):
    """A content key is a signed 64-bit number."""
    assert -(2**63) <= content_key(*parts) < 2**63


def test_a_content_key_is_the_same_for_ever():
    """Keys in a job's file are compared with keys of a later process."""
    assert content_key(b"item", b"x") == content_key(b"item", b"x")
    assert content_key() == -1970711489451281740


# --- StartOutputs ------------------------------------------------------------------------


@given(st.lists(keys, max_size=20), st.lists(keys, max_size=30))
def test_claims_are_those_of_a_multiset(recorded, asked):
    """A key is claimed as often as it was recorded, in any order, and no more."""
    outputs, left = StartOutputs(iter(recorded)), Counter(recorded)

    for key in asked:
        assert outputs.claim(key) == (left[key] > 0)
        left[key] -= left[key] > 0


@given(st.lists(keys, max_size=20), st.randoms())
def test_everything_recorded_is_claimed_in_any_order(recorded, random):
    """start() over a set gives the same outputs in another order: none is put out again."""
    outputs, again = StartOutputs(recorded), [*recorded]
    random.shuffle(again)

    assert all(outputs.claim(key) for key in again)


def test_no_record_claims_nothing():
    """Without an earlier run every output is new."""
    assert not StartOutputs().claim(0)


def test_many_equal_outputs_are_claimed_one_by_one():
    """The claim of a key takes as long for the last copy as for the first."""

    class Counted(bytearray):
        looks = 0

        def __getitem__(self, place):
            Counted.looks += 1
            return super().__getitem__(place)

    outputs = StartOutputs([7] * 500)
    outputs._claimed = Counted(500)
    for _ in range(500):
        assert outputs.claim(7)

    assert Counted.looks < 5_000


# --- handed-out requests ---------------------------------------------------------------


def second(producer):
    """Return the producer of the next run, by way of the file."""
    codec = ValueCodec(allow_pickle=False)
    record = codec.decode(codec.encode(producer.record()))
    return HandedOutRequest(producer.origin, producer.row, record)


@given(st.sets(st.integers(0, 20)), st.integers(0, 25))
def test_written_items_are_known_by_their_ordinals(written, count):
    """A second run leaves out exactly the items that the first has written."""
    first = HandedOutRequest("1", ROW)
    for ordinal in written:
        first.item_written(ordinal)

    again = second(first)

    assert [again.next_item() for _ in range(count)] == [
        (ordinal, ordinal in written) for ordinal in range(count)
    ]


@given(st.lists(keys, max_size=10), st.lists(keys, max_size=15))
def test_children_are_left_out_as_a_multiset(children, asked):
    """A second run leaves out each request as often as the first has put it out."""
    first, left = HandedOutRequest("1", ROW), Counter(children)
    for key in children:
        first.put_out(first.child(key))
    again = second(first)

    for key in asked:
        assert again.has_put_out(again.child(key)) == (left[key] > 0)
        left[key] -= left[key] > 0


@given(st.lists(keys, max_size=6), st.lists(keys, max_size=6))
def test_a_third_run_knows_both_runs_before(one, two):
    """The record of a second run holds what the first and the second have put out."""
    first = HandedOutRequest("1", ROW)
    for key in one:
        first.put_out(first.child(key))
    again = second(first)
    for key in [*one, *two]:
        child = again.child(key)
        if not again.has_put_out(child):
            again.put_out(child)
    third = second(again)

    assert all(third.has_put_out(third.child(key)) for key in [*one, *two])
    assert not any(third.has_put_out(third.child(key)) for key in {*one, *two})


def test_a_first_run_leaves_nothing_out():
    """Without a record each item and request is new."""
    producer = HandedOutRequest("1", ROW)

    assert producer.next_item() == (0, False)
    assert not producer.has_put_out(producer.child(5))
    assert not producer.recorded


def test_a_second_run_for_one_item_brings_nothing_else():
    """No other item and no request; what it has brought it does not bring again."""
    producer = HandedOutRequest("1", ROW, [[], [], [1, 3]])
    assert [producer.next_item()[1] for _ in range(5)] == [True, False, True, False, True]
    assert producer.has_put_out(producer.child(5))
    assert not producer.puts_out_again

    producer.item_written(1)
    again = HandedOutRequest("1", ROW, producer.record())
    assert [again.next_item()[1] for _ in range(5)] == [True, True, True, False, True]

    retry = HandedOutRequest("2", ROW)
    retry.go_on_from(again)
    assert retry.only == {1, 3}


def test_a_producer_is_dirty_until_it_is_recorded():
    """What changes the record makes it due; making it settles that."""
    producer = HandedOutRequest("1", ROW)
    assert not producer.dirty
    producer.item_written(0)
    assert producer.dirty
    producer.record()
    assert (producer.dirty, producer.recorded) == (False, True)
    producer.put_out(1)
    assert producer.dirty


def test_counting_items_changes_no_record():
    """An item that is on its way is not in the record."""
    producer = HandedOutRequest("1", ROW)
    producer.next_item()

    assert producer.record() == [[], []]
    assert not producer.dirty


def test_a_record_is_sorted():
    """Equal records have equal bytes."""
    producer = HandedOutRequest("1", ROW)
    for ordinal in (300, 2, 1):
        producer.item_written(ordinal)

    assert producer.record() == [[1, 2, 300], []]


@given(st.lists(keys, max_size=8), st.randoms())
def test_children_have_names_of_their_own_that_last(put_out, random):
    """Equal children are told apart by their count, and named alike in any order."""
    producer = HandedOutRequest("1", ROW)
    names = [producer.child(key) for key in put_out]
    assert len(set(names)) == len(names)

    again, shuffled = HandedOutRequest("1", ROW), [*put_out]
    random.shuffle(shuffled)
    assert sorted(again.child(key) for key in shuffled) == sorted(names)


def test_a_child_keeps_its_name_when_its_equal_is_done():
    """A second run that leaves out the first of two equal children names the other alike."""
    first = HandedOutRequest("1", ROW)
    done, other = first.child(5), first.child(5)
    first.put_out(done)

    again = second(first)

    assert [again.has_put_out(again.child(5)), again.child(5)] == [True, other]


def test_a_name_fits_into_a_record():
    """The name of a child is a signed 64-bit number, also for the largest keys."""
    producer = HandedOutRequest("1", ROW)

    assert all(-(2**63) <= producer.child(key) < 2**63 for key in (-(2**63), 2**63 - 1, 0))


def test_a_producer_is_done_when_it_and_its_children_are():
    """Done means finished, with no child that lives in memory."""
    producer = HandedOutRequest("1", ROW)
    producer.open_children = 1
    producer.finished = True
    assert not producer.done

    producer.open_children = 0
    assert producer.done
