"""``scrapy resilience …``: look at jobs and settings from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.commands import ScrapyCommand

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

__all__ = ["Command"]


class Command(ScrapyCommand):
    """Exit codes: 0 all is well, 1 the job or the configuration is wrong, 2 wrong usage."""

    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        return "<command> [<jobdir>] [options]"

    def short_desc(self) -> str:
        return "Look at a job and at the settings of scrapy_resilience"

    def long_desc(self) -> str:
        return f"Commands:\n{_work().usage()}"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        _work().add_options(parser)

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        super().process_options(args, opts)
        self.requires_crawler_process = _work().prepare(self.settings, args, opts)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        self.exitcode = _work().Run(self.settings, opts, self.crawler_process).run(args)


def _work() -> ModuleType:
    """Imported when it is needed: Scrapy makes this command whatever command it is to run."""
    from scrapy_resilience.commands import run  # noqa: PLC0415 - half a second

    return run
