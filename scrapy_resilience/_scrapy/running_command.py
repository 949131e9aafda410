"""The command or script that runs the crawl: what it is, and how it ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from scrapy.commands import ScrapyCommand
from scrapy.crawler import CrawlerRunnerBase
from twisted.internet.base import ReactorBase

from scrapy_resilience.names import EXIT_FAILURE

if TYPE_CHECKING:
    from types import FrameType

    from scrapy.crawler import Crawler

__all__ = [
    "apply_settings",
    "arguments_of",
    "exit_with_failure",
    "owns_job",
    "running_command",
    "set_exit_code",
    "stops_scrapy",
    "stops_twisted",
]

_LOOKING: Final = {
    f"scrapy.commands.{name}" for name in ("bench", "check", "fetch", "parse", "shell", "view")
}
"""Modules of the commands that make a crawler and are not to run a job."""


def stops_scrapy(handler: Any) -> CrawlerRunnerBase | None:
    """The crawler process whose signal handler this is."""
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, CrawlerRunnerBase) else None


def stops_twisted(handler: Any) -> bool:
    """Whether this is the signal handler of a reactor that a script has started."""
    return isinstance(getattr(handler, "__self__", None), ReactorBase)


def set_exit_code(crawler: Crawler, code: int) -> None:
    """End ``crawl`` and ``runspider`` with *code*; in a script, set ``bootstrap_failed``."""
    frame = _command_frame()
    command = None if frame is None else frame.f_locals.get("cmd")
    if command is not None and code != EXIT_FAILURE:
        command.exitcode = code
    elif code:
        exit_with_failure(crawler)


def _command_frame() -> FrameType | None:
    """The call of ``scrapy.cmdline.execute()`` that has begun this run, however it came about.

    It is known by what it holds: in ``python -m scrapy.cmdline``, and where an IDE runs that
    file, its module is ``__main__``.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute" and isinstance(
            frame.f_locals.get("cmd"), ScrapyCommand
        ):
            return frame
        frame = frame.f_back
    return None


def running_command() -> str | None:
    """The Scrapy command that this process runs (``crawl``, ``shell`` …), None in scripts."""
    frame = _command_frame()
    name: str | None = None if frame is None else frame.f_locals.get("cmdname")
    return name


def owns_job() -> bool:
    """Whether this run may take the job directory: ``fetch``, ``shell`` and so on may not.

    Commands of the user's own may, as scripts may, unless they are made of one that may not.
    """
    frame = _command_frame()
    made_of = () if frame is None else type(frame.f_locals["cmd"]).__mro__
    return _LOOKING.isdisjoint(each.__module__ for each in made_of)


def arguments_of(crawler: Crawler) -> dict[str, Any]:
    """The spider arguments with which *crawler* was started, by ``-a`` or in a script.

    Plain values only, and none whose name begins with an underscore, such as the ``_job`` of
    scrapyd, which is another one for each run. Scrapy keeps them nowhere but in the call.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals if frame.f_globals.get("__name__") == "scrapy.crawler" else {}
        if found.get("self") is crawler and "kwargs" in found:
            return {
                name: value
                for name, value in found["kwargs"].items()
                if isinstance(value, (str, int, float, type(None))) and name[:1] != "_"
            }
        frame = frame.f_back
    return {}


def apply_settings(crawler: Crawler) -> None:
    """Make a crawler ready for its components, without a crawl."""
    crawler._apply_settings()


def exit_with_failure(crawler: Crawler) -> None:
    """Make the exit code 1: Scrapy's commands take a crawler without a spider for a failure."""
    crawler.spider = None
