"""When a request is done, and what a second run of it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.in_flight import InFlightRequests
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import Changes, Letter, MemoryStore


class Request:
    """A request as the engine knows it: any hashable object."""


class Run:
    """One run of a job: a frontier, and the requests under way."""

    def __init__(self, store):
        codec = ValueCodec(allow_pickle=False)
        self.store = store
        self.frontier = Frontier(store, limit=lambda _: 1000)
        self.in_flight = InFlightRequests(
            self.frontier, store.outputs(), codec.encode, codec.decode
        )
        self.busy = set()

    def push(self, payload=b"durable"):
        """Push a durable request."""
        return self.frontier.push("a", payload)

    def push_volatile(
        self, parent=None, key=1, fingerprint=None, *, from_start=False, replaces=False
    ):
        """Push a request that lives in memory only, put out by *parent*."""
        row = self.frontier.push("a", object(), fingerprint=fingerprint)
        key = key if parent is None else parent.child(key)
        self.in_flight.add_volatile(
            row, key, fingerprint, parent=parent, from_start=from_start, replaces=replaces
        )
        return row

    def start(self):
        """Hand out the next request; return it and its producer."""
        row = self.frontier.pop(0.0).row
        request = Request()
        self.in_flight.handed_out(request, row)
        self.busy.add(request)
        return request, self.in_flight.under_way[request]

    def end(self, *requests):
        """End requests in the engine; return how many of those in flight count as done."""
        self.busy -= set(requests)
        return self.in_flight.collect(self.busy)

    def commit(self):
        """Commit, as the scheduler does; return the changes."""
        changes = self.frontier.seal()
        self.in_flight.contribute(changes)
        self.store.commit(changes)
        self.frontier.committed(changes)
        return changes


F = b"f".hex()


@pytest.fixture
def run():
    """Return the first run of a job."""
    return Run(MemoryStore())


# --- done ------------------------------------------------------------------------------


def test_a_request_without_children_is_done_when_it_ends(run):
    """A request that the engine no longer has is done, and leaves the store."""
    run.push()
    run.commit()
    request, _ = run.start()

    assert run.in_flight.collect(run.busy) == 0
    assert run.frontier.rows == 1
    assert run.end(request) == 1
    assert run.frontier.rows == 0
    assert run.in_flight.under_way == {}
    assert len(run.commit().deletes) == 1


def test_durable_children_don_t_keep_their_parent_open(run):
    """A request whose children are in the file is done without them."""
    run.push()
    request, _ = run.start()
    run.push()

    assert run.end(request) == 1


def test_a_parent_is_not_done_before_its_child_in_memory(run):
    """A child in memory keeps its parent's row until it is done itself."""
    run.push()
    run.commit()
    parent_request, parent = run.start()
    run.push_volatile(parent, key=5)

    assert run.end(parent_request) == 0
    assert run.frontier.rows == 1
    child_request, _ = run.start()
    assert run.frontier.rows == 1
    assert run.end(child_request) == 2
    assert run.frontier.rows == 0


def test_a_parent_may_end_after_its_child_in_memory(run):
    """A parent that runs longer than its child is done when it ends."""
    run.push()
    parent_request, parent = run.start()
    run.push_volatile(parent)
    child_request, _ = run.start()

    assert run.end(child_request) == 1
    assert run.end(parent_request) == 1


def test_a_grandchild_in_memory_keeps_all_above_it_open(run):
    """A chain in memory is done from its end on, all at once."""
    run.push()
    first, parent = run.start()
    run.push_volatile(parent)
    second, child = run.start()
    run.push_volatile(child)
    third, grandchild = run.start()

    assert run.end(first, second) == 0
    assert run.frontier.rows == 1
    assert len({parent.origin, child.origin, grandchild.origin}) == 3
    assert run.end(third) == 3
    assert run.frontier.rows == 0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=10), st.randoms())
def test_a_tree_in_memory_is_done_from_its_leaves(shape, random):
    """In any tree and any order of ends, a request is done when all below it have ended."""
    run = Run(MemoryStore())
    run.push()
    started = [run.start()]
    parents = [None]
    for pick in shape:
        above = pick % len(started)
        run.push_volatile(started[above][1])
        started.append(run.start())
        parents.append(above)
    order = list(range(len(started)))
    random.shuffle(order)

    ended, done = set(), 0
    for index in order:
        done += run.end(started[index][0])
        ended.add(index)

        def is_done(node):
            below = [each for each, above in enumerate(parents) if above == node]
            return node in ended and all(map(is_done, below))

        assert done == sum(map(is_done, range(len(started))))
    assert run.frontier.rows == 0
    assert (run.in_flight._volatile, run.in_flight._open) == ({}, set())


# --- what becomes durable -----------------------------------------------------------------


def test_a_fingerprint_is_durable_only_when_its_request_is_done(run):
    """The fingerprint of a request in memory is seen at once, and committed at its end."""
    run.push()
    first, parent = run.start()
    run.push_volatile(parent, fingerprint=b"f")
    run.commit()
    assert run.frontier.seen(b"f")
    assert not run.store.seen(b"f")

    second, _ = run.start()
    run.end(first, second)
    run.commit()

    assert run.store.seen(b"f")


def test_the_fingerprint_waits_for_the_grandchildren(run):
    """A request in memory with a child in memory has no durable fingerprint before it."""
    run.push()
    first, parent = run.start()
    run.push_volatile(parent, fingerprint=b"f")
    second, child = run.start()
    run.push_volatile(child, fingerprint=b"g")
    run.end(first, second)
    run.commit()
    assert (run.store.seen(b"f"), run.store.seen(b"g")) == (False, False)

    third, _ = run.start()
    run.end(third)
    run.commit()
    assert (run.store.seen(b"f"), run.store.seen(b"g")) == (True, True)


def test_a_start_request_in_memory_is_noted_when_it_is_done(run):
    """The key of a start request that lives in memory is committed at its end."""
    run.push_volatile(key=9, from_start=True)
    run.commit()
    assert run.store.start_keys() == []

    request, _ = run.start()
    run.end(request)
    run.commit()

    assert run.store.start_keys() == [9]


def test_a_done_child_is_in_the_record_of_an_open_parent(run):
    """A second run of the parent is told which children in memory are done."""
    run.push()
    _, parent = run.start()
    run.push_volatile(parent, key=5)
    run.push_volatile(parent, key=6)
    one, _ = run.start()
    run.end(one)
    run.commit()

    again = Run(run.store)
    _, parent = again.start()
    assert sum(parent.has_put_out(parent.child(key)) for key in (5, 6)) == 1


# --- records -----------------------------------------------------------------------------


def test_a_record_is_given_to_the_second_run(run):
    """What an unfinished request has written by the commit, its second run leaves out."""
    run.push()
    _, producer = run.start()
    producer.item_written(0)
    producer.put_out(producer.child(5))
    run.commit()

    _, again = Run(run.store).start()

    assert again.next_item() == (0, True)
    assert again.next_item() == (1, False)
    assert again.has_put_out(again.child(5))


def test_only_what_changed_is_recorded(run):
    """A commit writes the records that changed since the last one."""
    run.push()
    run.push()
    _, one = run.start()
    run.start()
    one.item_written(0)

    assert list(run.commit().outputs) == [one.origin]
    assert run.commit().outputs == {}


def test_a_record_goes_with_its_request(run):
    """A request that is done leaves no record behind."""
    run.push()
    request, producer = run.start()
    producer.item_written(0)
    run.commit()
    assert run.store.outputs()

    run.end(request)
    run.commit()

    assert run.store.outputs() == {}


def test_a_record_of_an_earlier_run_goes_too(run):
    """A second run that is done takes the record of the first away."""
    run.push()
    _, producer = run.start()
    producer.item_written(0)
    run.commit()

    again = Run(run.store)
    request, _ = again.start()
    again.end(request)
    again.commit()

    assert run.store.outputs() == {}


def test_a_request_that_ends_before_any_commit_has_no_record(run):
    """What is done needs no record."""
    run.push()
    request, producer = run.start()
    producer.item_written(0)
    run.end(request)

    assert run.commit().outputs == {}


def test_a_waiting_parent_keeps_its_record(run):
    """The record of a parent that waits for a child in memory stays up to date."""
    run.push()
    request, parent = run.start()
    run.push_volatile(parent)
    parent.item_written(3)
    run.end(request)
    run.commit()

    _, again = Run(run.store).start()

    assert again.written == {3}


# --- names across runs ---------------------------------------------------------------------


def test_a_child_in_memory_has_the_same_name_on_a_second_run(run):
    """The record of a child in memory finds the child that the parent's second run makes."""
    run.push()
    _, parent = run.start()
    for key in (5, 6, 5):
        run.push_volatile(parent, key=key)
    children = [run.start()[1] for _ in range(3)]
    for child in children:
        child.item_written(child.row.number)
    run.commit()

    again = Run(run.store)
    again.push()  # numbers are others than in the first run
    parents = [again.start()[1] for _ in range(2)]
    parent = next(each for each in parents if each.origin == parent.origin)
    for key in (6, 5, 5):
        again.push_volatile(parent, key=key)
    found = [again.start()[1] for _ in range(3)]

    assert {each.origin: each.written for each in found} == {
        each.origin: each.written for each in children
    }


def test_a_grandchild_in_memory_has_the_same_name_on_a_second_run(run):
    """Names go down a chain in memory from the one request that is in the file."""
    origins = []
    run.push()
    run.commit()
    for each in (run, Run(run.store)):
        _, parent = each.start()
        each.push_volatile(parent, key=5)
        _, child = each.start()
        each.push_volatile(child, key=6)
        _, grandchild = each.start()
        origins.append((child.origin, grandchild.origin))

    assert origins[0] == origins[1]


def test_a_start_request_in_memory_has_the_same_name_on_a_second_run(run):
    """A start request with a key is named by it, whatever was pushed before it."""
    run.push_volatile(key=9, from_start=True)
    _, first = run.start()
    first.item_written(0)
    run.commit()

    again = Run(run.store)
    again.push_volatile(key=8, from_start=True)
    again.push_volatile(key=9, from_start=True)
    found = [again.start()[1] for _ in range(2)]

    assert {each.origin: each.written for each in found}[first.origin] == {0}
    assert sum(bool(each.written) for each in found) == 1


def test_a_filtered_start_request_in_memory_has_the_same_name_on_a_second_run(run):
    """A start request with a fingerprint is named by it, not by its row's number."""
    run.push()
    run.push_volatile(key=7, fingerprint=b"f", from_start=True)
    first = next(
        each for _, each in (run.start(), run.start()) if each.origin == f"fingerprint/{F}"
    )
    first.item_written(0)
    run.commit()

    again = Run(run.store)
    again.push_volatile(key=7, fingerprint=b"f", from_start=True)
    found = [again.start()[1] for _ in range(2)]

    assert {each.origin: each.written for each in found}[first.origin] == {0}
    assert sorted((each.written for each in found), key=len) == [set(), {0}]


def test_a_filtered_request_is_known_whoever_makes_it(run):
    """The next run may find a page on another one first: its record is still found."""
    run.push(b"one")
    _, parent = run.start()
    run.push_volatile(parent, key=5, fingerprint=b"f")
    _, child = run.start()
    child.item_written(0)
    run.commit()

    again = Run(run.store)
    again.push_volatile(key=6, fingerprint=b"f")
    found = {each.origin: each.written for _, each in (again.start(), again.start())}

    assert found == {parent.origin: set(), f"fingerprint/{F}": {0}}


def test_a_filtered_request_is_known_when_it_can_be_stored_the_next_time(run):
    """The record of a request in memory is found by one in the file with its fingerprint."""
    run.push_volatile(fingerprint=b"f", from_start=True)
    request, first = run.start()
    first.item_written(0)
    run.commit()

    again = Run(run.store)
    row = again.frontier.push("a", b"durable", fingerprint=b"f")
    assert again.frontier.pop(0.0).row == row
    again.in_flight.handed_out(request, row, lambda: b"f")

    assert again.in_flight.under_way[request].written == {0}


@pytest.mark.parametrize("fingerprints", [(b"one", b"two"), (None, None)])
def test_another_request_does_not_get_a_record_by_its_number(run, fingerprints):
    """A request in memory does not lose its items to the record of another one."""
    run.push_volatile(key=1, fingerprint=fingerprints[0])
    _, one = run.start()
    one.item_written(0)
    run.commit()

    again = Run(run.store)  # start() goes on with something else first
    again.push_volatile(key=2, fingerprint=fingerprints[1])
    _, two = again.start()

    assert two.next_item() == (0, False)


def test_a_request_that_nobody_makes_again_is_not_recorded(run):
    """A request in memory without a parent, as of an extension, has no name and no record."""
    run.push_volatile()
    request, producer = run.start()
    producer.item_written(0)

    assert producer.origin == ""
    assert run.commit().outputs == {}
    assert run.end(request) == 1
    assert run.commit().outputs == {}


def test_equal_start_requests_in_memory_have_names_of_their_own(run):
    """Each of two equal start requests has its own record, the same in each run."""
    origins = []
    for each in (run, Run(run.store)):
        for _ in range(2):
            each.push_volatile(key=9, from_start=True)
        origins.append([each.start()[1].origin for _ in range(2)])

    assert origins[0] == origins[1]
    assert sorted(origins[0]) == ["start/9.1", "start/9.2"]


def test_the_second_of_two_equal_children_keeps_its_record(run):
    """When the first of two equal children in memory is done, the other finds its record."""
    run.push()
    _, parent = run.start()
    rows = [run.push_volatile(parent, key=5) for _ in range(2)]
    started = {
        producer.row: (request, producer) for request, producer in (run.start(), run.start())
    }
    started[rows[1]][1].item_written(0)
    run.end(started[rows[0]][0])
    run.commit()

    again = Run(run.store)
    _, parent = again.start()
    assert parent.has_put_out(parent.child(5))
    again.push_volatile(parent, key=5)
    _, found = again.start()

    assert found.written == {0}


# --- second tries ----------------------------------------------------------------------


def first_try(run):
    """Hand out a request in memory, put out by a durable one; return (request, producer)."""
    if not run.frontier.rows:
        run.push()
        run.commit()
    _, parent = run.start()
    run.push_volatile(parent, key=5)
    return run.start()


def second_try(run, first):
    """Hand out the request that a middleware returns for *first*."""
    request, producer = first
    run.push_volatile(producer, key=5, replaces=True)
    run.end(request)
    return run.start()


def test_a_retry_in_memory_goes_on_with_what_the_first_has_written(run):
    """A second try shares the name and the record of the first, in a second run too."""
    first = first_try(run)
    first[1].item_written(0)
    _, retry = second_try(run, first)
    assert retry.origin == first[1].origin
    assert [retry.next_item(), retry.next_item()] == [(0, True), (1, False)]
    retry.item_written(1)
    run.commit()

    again = Run(run.store)
    first = first_try(again)
    assert first[1].written == {0, 1}
    _, retry = second_try(again, first)

    assert [retry.next_item()[1] for _ in range(3)] == [True, True, False]


def test_a_retry_of_a_retry_goes_on_too(run):
    """The record goes down a row of tries, and up again into the file."""
    third = second_try(run, second_try(run, first_try(run)))
    third[1].item_written(0)
    run.commit()

    assert first_try(Run(run.store))[1].written == {0}


def test_a_retry_in_memory_of_a_stored_request_has_its_record(run):
    """A durable request whose second try can't be stored runs again with both tries' items."""
    run.push()
    run.commit()
    _, retry = second_try(run, run.start())
    retry.item_written(0)
    run.commit()

    assert Run(run.store).start()[1].written == {0}


def test_a_retry_leaves_no_record_when_it_is_done(run):
    """The end of the last try is the end of the first, and of the record that they share."""
    request, retry = second_try(run, first_try(run))
    retry.item_written(0)
    run.commit()
    assert list(run.store.outputs()) == [retry.origin]

    assert run.end(request) == 2
    run.commit()
    assert list(run.store.outputs()) == ["1"]
    assert run.end(*run.busy) == 1
    run.commit()

    assert (run.frontier.rows, run.store.outputs()) == (0, {})


def test_a_filtered_retry_has_a_name_of_its_own(run):
    """A second try with a fingerprint is another page's, and shares nothing."""
    request, first = first_try(run)
    first.item_written(0)
    run.push_volatile(first, fingerprint=b"f", replaces=True)
    run.end(request)
    _, other = run.start()

    assert other.origin == f"fingerprint/{F}"
    assert other.next_item() == (0, False)


def test_a_long_chain_in_memory_closes_without_recursion():
    """A paginator of 5,000 pages whose callbacks are lambdas is done with its last page."""
    run = Run(MemoryStore())
    run.push()
    request, producer = run.start()
    for _ in range(5_000):
        run.push_volatile(producer)
        run.end(request)
        run.frontier.vacate("a")
        request, producer = run.start()

    assert run.end(request) == 5_001
    assert len(producer.origin) < 30


def test_a_frozen_ledger():
    """After a freeze nothing is done any more, and what is put out is recorded all the same."""
    run = Run(MemoryStore())
    run.push()
    request, producer = run.start()
    run.in_flight.freeze()
    producer.item_written(producer.next_item()[0])

    assert run.end(request) == 0
    run.commit()

    again = Run(run.store)
    _, producer = again.start()
    assert producer.next_item() == (0, True)


# --- given up -----------------------------------------------------------------------------


def give_up(run, request, about=b"about", **more):
    """Give a request up, as the seam does."""
    return run.in_flight.give_up(request, about, lambda _: b"encoded", **more)


def test_a_letter_is_written_with_the_end_of_its_request(run):
    """A letter waits until its request is done, and is in that commit and no other."""
    run.push(b"bytes")
    request, _ = run.start()
    run.commit()

    assert give_up(run, request)
    assert run.commit().letters == []
    run.end(request)
    changes = run.commit()

    assert [letter[:3] for letter in changes.letters] == [(1, b"bytes", b"about")]
    assert len(changes.deletes) == 1
    assert run.commit().letters == []


def test_the_first_reason_of_a_request_counts(run):
    """A request that is given up twice has one letter."""
    run.push()
    request, _ = run.start()
    give_up(run, request, b"first")
    give_up(run, request, b"second")
    run.end(request)

    assert [letter.about for letter in run.commit().letters] == [b"first"]


def test_a_letter_of_a_request_in_memory_asks_for_its_bytes(run):
    """What lives in memory only is encoded when it is given up, if it can be."""
    run.push()
    parent_request, parent = run.start()
    run.push_volatile(parent)
    child_request, _ = run.start()

    give_up(run, child_request)
    run.end(child_request)

    assert [letter.request for letter in run.commit().letters] == [b"encoded"]
    assert parent_request in run.in_flight.under_way


def test_a_letter_knows_what_its_request_has_put_out(run):
    """The record that a second run needs goes with the letter, but for one that begins anew."""
    for _ in range(3):
        run.push()
    written, anew, plain = (run.start() for _ in range(3))
    for request, producer in (written, anew):
        producer.item_written(4)
        give_up(run, request, anew=request is anew[0])
    give_up(run, plain[0])
    run.end(written[0], anew[0], plain[0])

    records = [letter.record for letter in run.commit().letters]
    assert sorted(record is None for record in records) == [False, True, True]
    (record,) = filter(None, records)
    assert ValueCodec().decode(record) == [[4], []]


def test_a_request_that_is_not_under_way_is_not_given_up_here(run):
    """It says so, and the letter is written with the next commit if it is added."""
    assert not give_up(run, Request())

    run.in_flight.add_letter(Letter(0, b"r", b"a"))

    assert run.commit().letters == [Letter(1, b"r", b"a")]


def test_a_frozen_ledger_gives_nothing_up(run):
    """What a stop has cut off is tried again by the next run."""
    run.push()
    request, _ = run.start()
    run.in_flight.freeze()

    assert give_up(run, request)
    assert give_up(run, Request())
    run.end(request)
    assert run.commit().letters == []


def test_numbers_go_on_after_those_of_the_store():
    """A second run numbers its letters after those that are there."""
    store = MemoryStore()
    store.commit(Changes(letters=[Letter(7, b"r", b"a")]))
    codec = ValueCodec()
    in_flight = InFlightRequests(
        Frontier(store, limit=lambda _: 1), {}, codec.encode, codec.decode, store.last_letter()
    )
    in_flight.add_letter(Letter(0, b"r", b"b"))
    changes = Changes()
    in_flight.contribute(changes)

    assert [letter.number for letter in changes.letters] == [8]
    late = in_flight.number([Letter(0, b"r", b"c", in_flight.only_items([3, 1]))])
    assert [(letter.number, codec.decode(letter.record)) for letter in late] == [
        (9, [[], [], [1, 3]])
    ]


def test_a_second_try_repeats_nothing_of_an_earlier_run(run):
    """A stored request that takes the place of one with a record gets that record."""
    run.push()
    run.commit()
    _, producer = run.start()
    producer.item_written(2)
    run.commit()
    again = Run(run.store)
    request, producer = again.start()
    assert again.in_flight.repeats

    again.in_flight.hand_on(producer, again.push(b"second try"))
    again.end(request)
    again.commit()

    third = Run(run.store)
    request, producer = third.start()
    assert producer.row.data == b"second try"
    assert producer.next_item() == (0, False)
    assert producer.written == {2}
    third.end(request)
    assert third.commit().outputs.popitem()[1] is None
    assert third.store.outputs() == {}


def test_a_first_run_hands_nothing_on(run):
    """A retry of a request without a record is an ordinary one."""
    run.push()
    request, producer = run.start()
    assert not run.in_flight.repeats

    run.in_flight.hand_on(producer, run.push(b"second try"))
    run.in_flight.hand_on(None, run.push(b"third try"))
    run.end(request)

    assert run.commit().outputs == {}


# --- slots ---------------------------------------------------------------------------------


def hand_out(run):
    """Hand out the next request, which the frontier counts."""
    row, lane, slot = run.frontier.pop(0.0)
    request = Request()
    run.in_flight.handed_out(request, row, lane=lane, slot=slot)
    return request


def busy(run):
    """Return how many requests two slots have."""
    return run.frontier.busy("a"), run.frontier.busy("b")


def test_a_slot_counts_a_request_until_it_has_left_the_downloader(run):
    """It is under way still, with its callback."""
    run.push()
    request = hand_out(run)
    run.in_flight.reached(request, "a")
    before = busy(run)
    run.in_flight.left(request)
    run.in_flight.left(request)

    assert (before, busy(run)) == ((1, 0), (0, 0))
    assert request in run.in_flight.under_way


def test_a_request_whose_slot_a_middleware_changes_counts_where_it_went(run):
    """So do the next ones of its lane."""
    for _ in range(2):
        run.push()
    request = hand_out(run)
    run.in_flight.reached(request, "b")

    assert busy(run) == (0, 1)
    assert run.frontier.pop(0.0).slot == "b"


def test_a_request_that_bypasses_the_scheduler_counts(run):
    """Once, and until it leaves."""
    request = Request()
    run.in_flight.reached(request, "b")
    run.in_flight.reached(request, "b")
    before = busy(run)
    run.in_flight.left(request)

    assert (before, busy(run)) == ((0, 1), (0, 0))


def test_a_callback_downloads_its_own_request_again(run):
    """It counts a second time, and is under way once."""
    run.push()
    request = hand_out(run)
    run.in_flight.reached(request, "a")
    run.in_flight.left(request)
    run.in_flight.reached(request, "b")
    before = busy(run)
    run.in_flight.left(request)

    assert (before, busy(run)) == ((0, 1), (0, 0))


def test_what_ended_before_the_downloader_frees_its_slot(run):
    """As a cached response does, whose callback still runs; nobody says so."""
    for _ in range(2):
        run.push()
    cached, downloading = hand_out(run), hand_out(run)
    bypassing = Request()
    run.in_flight.reached(bypassing, "b")

    assert run.in_flight.vacate({downloading, bypassing})
    assert not run.in_flight.vacate({downloading, bypassing})
    assert busy(run) == (1, 1)
    assert cached in run.in_flight.under_way
    assert run.in_flight.vacate({})
    assert busy(run) == (0, 0)


def test_a_slot_counts_what_a_task_of_a_callback_still_downloads(run):
    """The engine is through with the request, and the downloader is not."""
    run.push()
    request = hand_out(run)
    run.in_flight.reached(request, "a")
    done = run.in_flight.collect(set())
    before = busy(run)
    run.in_flight.left(request)

    assert (done, before, busy(run)) == (1, (1, 0), (0, 0))


def test_a_request_that_counts_twice_leaves_twice(run):
    """As one of the scheduler's, and as one that bypasses it."""
    run.push()
    request = Request()
    run.in_flight.reached(request, "b")
    row, lane, slot = run.frontier.pop(0.0)
    run.in_flight.handed_out(request, row, lane=lane, slot=slot)
    before = busy(run)
    run.in_flight.left(request)

    assert (before, busy(run)) == ((1, 1), (0, 0))
