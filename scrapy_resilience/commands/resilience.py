"""``scrapy resilience …``: look at jobs and settings from outside."""

from __future__ import annotations

import os
import sqlite3
import sys
from argparse import RawDescriptionHelpFormatter
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from scrapy.commands import ScrapyCommand, ScrapyHelpFormatter
from scrapy.exceptions import UsageError
from scrapy.utils.misc import load_object

from scrapy_resilience.commands.breakers import show_breakers
from scrapy_resilience.commands.deadletters import list_letters
from scrapy_resilience.commands.errors import list_errors, open_error
from scrapy_resilience.commands.feeds import show_feeds
from scrapy_resilience.commands.operations import write_files
from scrapy_resilience.commands.replay import replay
from scrapy_resilience.commands.report import make_report
from scrapy_resilience.commands.selectors import run_selectors
from scrapy_resilience.commands.snapshots import list_snapshots, restore_snapshot
from scrapy_resilience.commands.tables import (
    plain,
    table,
    tell,
    tell_json,
    text_of,
)
from scrapy_resilience.commands.usage import usage
from scrapy_resilience.commands.watch import show_status, watch
from scrapy_resilience.core.deadletter import KINDS, Wanted
from scrapy_resilience.exceptions import ConfigurationError, ResilienceError
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_sources import apply_layers, describe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection

    from scrapy.settings import BaseSettings

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
        return f"Commands:\n{usage()}"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.formatter_class = _Formatter
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON instead of a table")
        form.add_argument("--csv", action="store_true", help="deadletters: as CSV")
        parser.add_argument(
            "--output",
            default="",
            metavar="FILE",
            help="deadletters: write JSON Lines to a file, or CSV with --csv or to FILE.csv; "
            "errors --open: the file to write",
        )
        parser.add_argument(
            "--open",
            dest="number",
            type=int,
            metavar="NUMBER",
            help="errors: show the first error of a group, and write its page to a file",
        )
        which = {"domain": "", "class": "", "kind": f": {', '.join(KINDS)}"}
        for name, values in which.items():
            parser.add_argument(
                f"--{name}",
                dest=f"letter_{name}",
                metavar=name.upper(),
                help=f"deadletters, replay: of one {name}{values}",
            )
        parser.add_argument(
            "--from",
            dest="place",
            default="",
            metavar="PLACE",
            help="folder or URL of the snapshots, in place of RESILIENCE_SNAPSHOT_DIR",
        )
        parser.add_argument(
            "--watch", action="store_true", help="status: show it for as long as it runs"
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="add selectors that are worse on fixtures; operations: replace files",
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        commands: dict[str, tuple[Callable[..., tuple[Any, str] | None], Collection[int]]] = {
            "status": (self._status, {1}),
            "checkpoints": (self._checkpoints, {1}),
            "restore": (self._restore, {1, 2}),
            "deadletters": (self._deadletters, {1}),
            "replay": (self._replay, {1}),
            "report": (self._report, {1, 2}),
            "errors": (self._errors, {1}),
            "breakers": (self._breakers, {1, 3}),
            "feeds": (self._feeds, range(1, 5)),
            "config": (self._config, {0}),
            "selectors": (self._selectors, range(1, 5)),
            "operations": (self._operations, {1}),
        }
        name, *rest = args or [""]
        if name not in commands or len(rest) not in commands[name][1]:
            _misuse(name)
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows fewer characters
            sys.stdout.reconfigure(errors="backslashreplace")
        self._opts = opts
        self._place = opts.place
        self._force = opts.force
        try:
            found = commands[name][0](*rest)
            if found is not None:
                tell_json(found[0]) if opts.json else tell(found[1])
            sys.stdout.flush()  # a pipe that was closed says so here, not when Python ends
        except BrokenPipeError:  # whoever reads has seen enough
            _print_no_more()
        except (ResilienceError, OSError, sqlite3.Error) as error:
            tell(text_of([f"scrapy resilience: {error}"]), sys.stderr)
            self.exitcode = 1

    def _status(self, path: str) -> tuple[Any, str] | None:
        token = self._token()
        if not self._opts.watch:
            return show_status(path, token)
        if self._opts.json:
            raise UsageError("--watch shows no JSON: ask for /status.json", print_help=False)
        watch(path, token)
        return None

    def _report(self, path: str, file: str = "") -> tuple[Any, str]:
        return make_report(path, file, self._token())

    def _token(self) -> str:
        """Empty where settings are wrong: the jobs can be looked at all the same."""
        assert self.settings is not None
        try:
            apply_layers(self.settings)
            return Config.from_settings(self.settings).http_token
        except ConfigurationError:
            return ""

    def _checkpoints(self, path: str) -> tuple[Any, str]:
        return list_snapshots(Config.from_settings(self._layered()), path, self._opts.place)

    def _restore(self, path: str, ident: str | None = None) -> tuple[Any, str]:
        config = Config.from_settings(self._layered())
        return restore_snapshot(config, path, self._opts.place, ident)

    def _deadletters(self, path: str) -> None:
        opts = self._opts
        as_csv = opts.csv or opts.output.lower().endswith(".csv")
        form = "csv" if as_csv else "json" if opts.json else "table"
        list_letters(path, self._wanted(), form=form, output=opts.output)

    def _replay(self, path: str) -> tuple[Any, str]:
        return replay(path, self._wanted())

    def _errors(self, path: str) -> tuple[Any, str]:
        number = self._opts.number
        if number is None:
            return list_errors(path)
        return open_error(path, number, self._opts.output)

    def _breakers(self, path: str, action: str = "list", domain: str = "") -> tuple[Any, str]:
        return show_breakers(path, action, domain) or _misuse("breakers")

    def _feeds(self, *args: str) -> tuple[Any, str]:
        return show_feeds(*args) or _misuse("feeds")

    def _wanted(self) -> Wanted:
        opts = self._opts
        if opts.letter_kind not in {None, *KINDS}:
            raise UsageError(f"--kind is one of {', '.join(KINDS)}", print_help=False)
        return Wanted(opts.letter_domain, opts.letter_class, opts.letter_kind)

    def _config(self) -> tuple[Any, str]:
        assert self.settings is not None
        if not _has_addon(self.settings):
            tell(
                'scrapy resilience: the add-on is off: ADDONS has no "scrapy_resilience.'
                'ResilienceAddon". Of two lines in settings.py the last one counts',
                file=sys.stderr,
            )
        settings = self._layered()
        rows = describe(settings)
        _check_values(settings)
        cells = [(row["name"], plain(row["value"]), row["origin"]) for row in rows]
        return rows, table([("setting", "value", "from"), *cells])

    def _selectors(self, *args: str) -> tuple[Any, str]:
        from scrapy_resilience.settings_checks import check_selectors_dir  # noqa: PLC0415 - all

        folder = Config.from_settings(self._layered()).selectors_dir
        check_selectors_dir(folder)
        done = run_selectors(folder, list(args), force=self._force) or _misuse("selectors")
        wrong = {"test": "failures", "list": "problem"}.get(args[0])
        if wrong and any(row[wrong] for row in done[0]):
            self.exitcode = 1
        return done

    def _operations(self, folder: str) -> tuple[Any, str]:
        return write_files(folder, force=self._force)

    def _layered(self) -> BaseSettings:
        assert self.settings is not None
        for unknown in apply_layers(self.settings):
            tell(text_of([f"scrapy resilience: {unknown} is not a setting"]), sys.stderr)
        return self.settings


class _Formatter(ScrapyHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


def _misuse(name: str) -> NoReturn:
    raise UsageError(f"use one of:\n{usage(name)}", print_help=False)


def _has_addon(settings: BaseSettings) -> bool:
    from scrapy_resilience.addon import ResilienceAddon  # noqa: PLC0415 - all of it

    addons = settings["ADDONS"]
    return any(load_object(key) is ResilienceAddon for key in addons if addons[key] is not None)


def _check_values(settings: BaseSettings) -> None:
    from scrapy_resilience.settings_checks import check_values  # noqa: PLC0415 - as above

    check_values(settings, Config.from_settings(settings))


def _print_no_more() -> None:
    """What is still in the buffer would be an error at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
