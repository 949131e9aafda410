"""Whether an event loop is blocked in one place, told from outside."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.errorgroups import Frame
from scrapy_resilience.core.standstill import Look, Standstill, common


def at(*functions, line=1):
    """Return a stack."""
    return tuple(Frame("shop.py", line, each, "shop") for each in functions)


HERE = at("parse", "hold")
TURNED = Look(1, turned=True)


def stands(seconds=1.0, stack=HERE, **more):
    """Return a look at a loop that has not turned."""
    return Look(seconds, False, stack, **more)  # noqa: FBT003 - as told above


def looks(*seen, after=5):
    """Return what a watch that looks each second says to each look, and the watch."""
    watch = Standstill(1, after)
    return [watch.look(each) for each in seen], watch


def test_it_is_told_once_for_each_time():
    """After so many seconds; again when it has turned meanwhile."""
    found, watch = looks(*[stands()] * 8, TURNED, *[stands()] * 6)

    assert [index for index, each in enumerate(found) if each] == [4, 13]
    assert watch.stack == HERE


def test_a_process_that_was_stopped():
    """SIGSTOP, or a machine that sleeps: who looks is late as well."""
    found, watch = looks(TURNED, stands(3600), TURNED)

    assert "blocked" not in found
    assert watch.seconds <= 2


def test_one_that_lets_no_other_thread_run():
    """A regular expression without end: who looks is late, but the loop has computed."""
    found, watch = looks(TURNED, stands(30, computed=29.0), TURNED)

    assert found[1] == "blocked"
    assert watch.seconds == 29


def test_one_that_lets_no_other_thread_run_on_a_machine_that_is_busy():
    """Time that others had counts for how long it has lasted, and not for what is told."""
    found, watch = looks(TURNED, stands(30, computed=6.0, queued=24.0))
    assert found[1] == "blocked"
    assert (watch.seconds, watch.lasted) == (6, 30)

    assert "blocked" not in looks(TURNED, stands(30, computed=4.0, queued=26.0))[0]


@pytest.mark.parametrize("module", ["bdb", "code", "IPython.terminal.embed", "pydevd"])
def test_a_debugger(module):
    """A breakpoint, and a console in a callback, stop the loop because somebody wants it."""
    stack = (*HERE, Frame("console.py", 1, "interact", module))
    found, _ = looks(*[stands(stack=stack)] * 20)

    assert "blocked" not in found


def test_a_machine_that_is_busy():
    """Time in which the thread was ready and did not run is not the callback's."""
    assert "blocked" not in looks(*[stands(queued=0.9)] * 20)[0]
    assert "blocked" in looks(*[stands(queued=0.1)] * 20)[0]


def test_a_machine_that_is_busy_and_does_not_tell():
    """One that used a little of the processor wanted all of it."""
    assert "blocked" not in looks(*[stands(computed=0.2)] * 20)[0]
    assert "blocked" in looks(*[stands(computed=0.0)] * 6)[0]  # it sleeps
    assert "blocked" in looks(*[stands(computed=0.9)] * 6)[0]  # it computes


def test_a_loop_with_much_to_do():
    """It is in another callback each time: nothing blocks it."""
    found, _ = looks(*(stands(stack=at(f"callback{number}")) for number in range(30)))

    assert "blocked" not in found


def test_one_that_blocks_behind_another():
    """In the same turn of the loop: its time begins when it does."""
    found, watch = looks(*[stands(stack=at("first"))] * 3, *[stands()] * 7)

    assert [index for index, each in enumerate(found) if each] == [3 + 4]
    assert watch.stack == HERE


def test_an_idle_loop_is_in_no_place():
    """It waits for events, and would turn if it could."""
    assert "blocked" not in looks(*[stands(stack=())] * 20)[0]


def test_the_place_is_what_all_looks_have_in_common():
    """With the line of the last one."""
    found, watch = looks(
        *[stands(stack=at("parse", "hold", "one"))] * 3,
        *[stands(stack=at("parse", "hold", "two", line=7))] * 3,
    )

    assert "blocked" in found
    assert watch.stack == at("parse", "hold", line=7)


STACKS = st.lists(st.sampled_from("abc"), max_size=5).map(lambda names: at(*names))


@given(STACKS, STACKS)
def test_common_is_a_beginning_of_both(first, second):
    """In either order as long."""
    found = common(first, second)

    assert second[: len(found)] == found
    assert len(found) == len(common(second, first))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100), STACKS)))
def test_nothing_is_told_before_its_time(seen):
    """Whatever is seen: it has stood for five looks that came in time, and is in a place."""
    watch, stood = Standstill(1, 5), 0.0
    for turned, seconds, stack in seen:
        said = watch.look(Look(seconds, turned, stack))
        stood = 0.0 if turned else stood + min(seconds, 2)
        if said:
            assert stood >= 5
            assert watch.stack
        assert watch.lasted >= watch.seconds >= 0


# --- where a task waits ---


async def _innermost():
    await asyncio.get_running_loop().create_future()


async def _outputs():
    await _innermost()
    yield 1


async def _coroutine():
    async for _ in _outputs():
        pass


async def _task():
    await asyncio.create_task(_coroutine())


async def _gather():
    await asyncio.gather(asyncio.sleep(0), _coroutine())


async def _deferred():
    from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future  # noqa: PLC0415

    await maybe_deferred_to_future(deferred_from_coro(_coroutine()))


@pytest.mark.parametrize("function", [_coroutine, _task, _gather, _deferred])
def test_where_a_task_waits(function):
    """Through generators, tasks, groups and Deferreds."""
    from scrapy_resilience.guard.stuck.stacks import task_stack, told_place  # noqa: PLC0415

    async def scenario():
        task = asyncio.create_task(function())
        for _ in range(5):
            await asyncio.sleep(0)
        stack = task_stack(task)
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        return stack

    with ThreadPoolExecutor(1) as pool:  # in an event loop of its own
        stack = pool.submit(asyncio.run, scenario()).result(60)

    names = [frame.function for frame in stack]
    assert names[0] == function.__name__
    assert names[-2:] == ["_outputs", "_innermost"]
    assert told_place(stack).startswith("_innermost (")
    assert "create_future()" in told_place(stack)
