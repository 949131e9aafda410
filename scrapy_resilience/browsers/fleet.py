"""The browsers of a crawl: one that serves, and worn ones that show their last pages.

How Playwright starts and ends them is in scrapy-playwright's provider; here is when, how long
that may take, and what is done about one that has ended or gives no answer.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from scrapy_resilience import _clock, names
from scrapy_resilience._log import get_logger
from scrapy_resilience.browsers import processes
from scrapy_resilience.browsers.bounded import LateError, within
from scrapy_resilience.browsers.errors import BrowserUnavailable
from scrapy_resilience.core.browserlife import BrowserLimits, Restarts
from scrapy_resilience.core.masking import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from scrapy_resilience.settings import Config

__all__ = ["Fleet", "Running", "first_line"]

logger = get_logger(__name__)

_LOOK: Final = 2.0
"""Seconds between two looks at a browser that gives no answer."""
_DEAD_AFTER: Final = 3
"""Looks in a row at which it has not used the processor."""
_CLOSE: Final = 3.0
"""Seconds for a browser to end by itself."""
_HOPELESS: Final = re.compile(
    r"executable doesn't exist|spawn \S* ?E[A-Z]+|ENOENT|EACCES|ENOEXEC|is not found at|"
    r"host system is missing dependencies|is not supported on|'Playwright' object has no",
    re.IGNORECASE,
)
"""What is no better in a second."""
_UNKNOWN: Final = re.compile(r"'Playwright' object has no attribute ('.*')")
_EXITED: Final = re.compile(r"<process did exit: ([\w=, ]{1,60})>")
"""In the browser's log, which Playwright puts into its error."""


@dataclass(eq=False)
class Running:
    """One browser; *handle* is Playwright's, None for that of a persistent context."""

    mark: str
    born: float
    is_remote: bool = False
    handle: Any = None
    contexts: int = 0
    """Made in it so far."""
    open: int = 0
    """Contexts that are open in it."""
    memory: int | None = None
    """Bytes after its first context was closed."""
    worn: bool = False
    """It gets no new context."""
    ending: bool = False
    """It was told to end."""
    gone: bool = False
    stopped: int = 0
    """Looks in a row at which it was stopped by a signal."""
    _started: dict[int, int | None] = field(default_factory=dict)
    """When each of its processes was: its number may be another one's later."""

    def pids(self) -> list[int]:
        """Its first process, and what it started apart from its group; none if not known."""
        if not self._started and not self.is_remote:
            found = processes.marked(processes.BROWSER, self.mark)
            self._started = {pid: processes.started(pid) for pid in found}
        return [pid for pid, at in self._started.items() if processes.started(pid) == at]


class Fleet:
    """*tell_end* is called when no browser is to be had any more."""

    def __init__(
        self, config: Config, stats: Any, marks: dict[str, str], tell_end: Callable[[], None]
    ) -> None:
        self._config = config
        self._inc = stats.inc_value
        self._marks = marks
        self._tell_end = tell_end
        self._limits = BrowserLimits(
            config.browser_contexts, config.browser_memory_growth, config.browser_max_age
        )
        self.restarts = Restarts(config.browser_max_crashes)
        self.failure = ""
        """Why there is no browser, and will be none."""
        self.running: list[Running] = []
        self._run = uuid4().hex
        self._number = 0

    # --- the beginning ---

    def next_marks(self) -> dict[str, str]:
        """What the environment of the next browser says of it."""
        self._number += 1
        return {**self._marks, processes.BROWSER: f"{self._run}.{self._number}"}

    def add(
        self, marks: Mapping[str, str], handle: Any = None, *, is_remote: bool = False
    ) -> Running:
        """A browser was started, with *marks* in its environment."""
        running = Running(
            marks.get(processes.BROWSER, ""), _clock.monotonic(), is_remote, handle
        )
        self.running.append(running)
        return running

    def of(self, handle: Any) -> Running | None:
        """What is known of a browser; those of persistent contexts have no handle."""
        if handle is None:
            return None
        return next((each for each in self.running if each.handle is handle), None)

    def check(self) -> None:
        """Raises :exc:`.BrowserUnavailableError` when there will be none."""
        if self.failure:
            raise BrowserUnavailable(self.failure)

    async def launch(self, launch: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What *launch* returns, tried as often and as late as :class:`.Restarts` says.

        Raises :exc:`.BrowserUnavailableError` then.
        """
        while True:
            await self.next_try()
            try:
                return await within(launch(), self._config.browser_launch_timeout)
            except Exception as error:  # noqa: BLE001 - a provider may raise anything
                self.failed(error)

    async def next_try(self) -> None:
        """Wait until a start may be tried. Raises :exc:`.BrowserUnavailableError` as above."""
        self.check()
        await _clock.sleep(self.restarts.wait(_clock.monotonic()))
        self.check()  # others may have waited as well

    def failed(self, error: Exception) -> None:
        """A browser, or the driver, did not start."""
        seconds = self._config.browser_launch_timeout
        late = f"it did not start within {seconds:g} s"
        text = late if isinstance(error, LateError) else first_line(error)
        self.restarts.ended(_clock.monotonic())
        if self.restarts.are_over or _HOPELESS.search(str(error)):
            self.give_up(text)
        else:
            logger.info("The browser does not start (%s): it is tried again", text)

    def give_up(self, why: str) -> None:
        """There will be no browser in this run."""
        if self.failure:
            return
        self.failure = f"no browser can be had: {why}"
        logger.error(
            "No browser can be had: %s. Install one with `playwright install chromium` (and "
            "`playwright install-deps`), or name one that is there in PLAYWRIGHT_LAUNCH_OPTIONS"
            "['executable_path']; a remote one must be running. A job goes on in its next run",
            why,
        )
        self._tell_end()

    # --- the end ---

    def is_worn(self, running: Running) -> bool:
        """Whether it is to be replaced."""
        age = _clock.monotonic() - running.born
        memory = None
        if running.contexts >= self._limits.contexts > 0 and running.memory is not None:
            memory = processes.memory_of(running.pids())
        return self._limits.is_worn(running.contexts, running.memory, memory, age)

    def context_closed(self, running: Running) -> None:
        """A context of it is gone."""
        running.open -= 1
        if running.memory is None and not (running.is_remote or running.gone):
            running.memory = processes.memory_of(running.pids())

    def lost(self, running: Running) -> bool:
        """It has ended. Whether nobody had told it to."""
        if running.gone:
            return False
        running.gone = True
        if running in self.running:
            self.running.remove(running)
        if running.ending:
            return False
        self.restarts.ended(_clock.monotonic())
        self._inc(names.STAT_BROWSER_CRASHES)
        if self.restarts.are_over:
            self.give_up(f"it has ended {self.restarts.in_a_row} times without showing a page")
        return True

    async def end(self, running: Running) -> None:
        """End it in peace, or else at once."""
        running.ending = True
        running.pids()  # are found while it runs
        if running.handle is not None:
            with suppress(Exception):
                await within(running.handle.close(), _CLOSE)
        self.kill(running)

    def kill(self, running: Running) -> bool:
        """End it at once. False when it can only be asked."""
        return not running.is_remote and processes.end(running.pids()) > 0

    async def answers(self, work: asyncio.Future[Any], running: Running) -> bool:
        """Wait for *work* of a browser. False: it shows no life, or does nothing else for long.

        A browser on a busy machine is slow, and uses the processor all the same.
        """
        idle = 0
        used: int | None = None
        for _ in range(max(int(self._config.browser_answer_timeout / _LOOK), 1)):
            await asyncio.wait({work}, timeout=_LOOK)
            if work.done() or running.gone:
                return True
            pids = processes.leaders(running.pids())
            if pids and processes.are_at_rest(pids):
                return False
            before, used = used, processes.work_of(pids)
            idle = idle + 1 if used is not None and used == before else 0
            if idle >= _DEAD_AFTER:
                return False
        return False


def first_line(error: Exception) -> str:
    """What an error says, in a line that a log may show."""
    text = str(error).strip() or type(error).__name__
    if unknown := _UNKNOWN.search(text):
        return f"PLAYWRIGHT_BROWSER_TYPE={unknown[1]}: use one of chromium, firefox, webkit"
    if (found := _EXITED.search(text)) is not None:
        return f"it ended at once ({found[1]})"
    return shown(text.partition("\n")[0].removesuffix(":"))
