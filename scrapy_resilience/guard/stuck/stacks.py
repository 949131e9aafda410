"""Where a thread is, and where a task waits: files, lines and functions, and no values."""

from __future__ import annotations

import asyncio
import gc
import inspect
import linecache
import sys
from collections import deque
from types import FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from scrapy_resilience.core.masking import clipped, printable
from scrapy_resilience.observe.record.places import frame_of, short_file, shown_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from scrapy_resilience.core.errorgroups import Frame

__all__ = [
    "depth", "task_stack", "thread_stack", "told_place", "told_stack", "waits_for_another",
]  # fmt: skip

_DEEPEST: Final = 300
_SHOWN: Final = 8
"""Of a stack, the innermost ones."""
_LONGEST: Final = 120
"""Characters of a source line."""
_MOST: Final = 200
"""Objects that are looked at for what is behind an await."""
_OF_AWAIT: Final = frozenset(
    {"FutureIter", "coroutine_wrapper", "async_generator_asend", "async_generator_athrow"}
)
"""What Python awaits with, by name: these types have no other."""

_OURS: Final = "scrapy_resilience."
_FILE_OF_OTHERS: Final = ("scrapy.pipelines.media", "_process_request")
_DUPLICATE: Final = ("scrapy_resilience.pipelines.unique", "_after_others")


def depth() -> int:
    """How many calls the caller is in, its own not counted."""
    return sum(1 for _ in _outwards(inspect.currentframe())) - 2


def thread_stack(thread: int, outer: int) -> tuple[Frame, ...]:
    """The calls of a thread, the *outer* ones left out, the outermost first."""
    innermost = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way
    frames = [frame_of(each) for each in _outwards(innermost)]
    return tuple(frames[::-1][outer:][:_DEEPEST])


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def task_stack(task: asyncio.Task[Any]) -> tuple[Frame, ...]:
    """The coroutines of a task that waits, each awaited by the one before it."""
    found: list[Frame] = []
    seen = {id(task)}
    awaited: Any = task.get_coro()
    while awaited is not None and len(found) < _DEEPEST:
        frame = _attribute(awaited, "frame")
        if frame is not None:
            found.append(frame_of(frame))
        awaited = _attribute(awaited, "await") or _behind(awaited, seen)
    return tuple(found)


def _attribute(awaited: Any, name: str) -> Any:
    """Of a coroutine, a generator or an async generator."""
    if name == "await" and isinstance(awaited, GeneratorType):
        return awaited.gi_yieldfrom
    for kind in ("cr", "ag", "gi"):
        found = getattr(awaited, f"{kind}_{name}", None)
        if found is not None:
            return found
    return None


def _behind(awaited: Any, seen: set[int]) -> Any:
    """The coroutine behind what is awaited: Python's own objects around an await don't tell it.

    One that runs in a task of its own is linked by futures and Deferreds, and what they are to
    call.
    """
    queue = deque([awaited] if _attribute(awaited, "frame") is None else [])
    for _ in range(_MOST):
        if not queue:
            break
        each = queue.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, asyncio.Task) and not each.done():
            return each.get_coro()
        if each is not awaited and _attribute(each, "frame") is not None:
            return each
        queue.extend(_linked(each))
    return None


def _linked(each: Any) -> list[Any]:
    if isinstance(each, FunctionType):
        return [cell.cell_contents for cell in each.__closure__ or ()]
    if isinstance(each, Deferred):
        return [*vars(each).values()]
    if isinstance(each, asyncio.Future):
        found = gc.get_referents(each)
        own = [value for part in found if type(part) is dict for value in part.values()]
        return found + own  # a group has its tasks in a dict
    if isinstance(each, (list, tuple)) or type(each).__name__ in _OF_AWAIT:
        return gc.get_referents(each)
    return []


def waits_for_another(stack: Sequence[Frame]) -> bool:
    """Whether an item waits for another one: a file of both, or its duplicate."""
    inner = [(frame.module, frame.function) for frame in stack[-2:]]
    return inner[-1:] == [_FILE_OF_OTHERS] or _DUPLICATE in inner


def told_place(stack: Sequence[Frame]) -> str:
    """The line of the user's code that a stack is in, in words."""
    if not stack:
        return "an unknown place"
    frame = shown_frame(stack)
    if frame is None or frame.module.startswith(_OURS):  # which is around all that runs
        frame = stack[-1]
    source = _source(frame)
    return _told(frame) + (f": {source}" if source else "")


def told_stack(stack: Sequence[Frame]) -> str:
    """The innermost calls, each with the one that has called it behind it."""
    return ", called by ".join(map(_told, stack[: -_SHOWN - 1 : -1]))


def _told(frame: Frame) -> str:
    return f"{printable(frame.function)} ({short_file(frame)}:{frame.line})"


def _source(frame: Frame) -> str:
    return clipped(linecache.getline(frame.file, frame.line).strip(), _LONGEST)
