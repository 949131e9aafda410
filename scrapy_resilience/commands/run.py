"""What ``scrapy resilience`` does with its arguments."""

from __future__ import annotations

import os
import sqlite3
import sys
from argparse import RawDescriptionHelpFormatter
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scrapy.commands import ScrapyHelpFormatter
from scrapy.exceptions import UsageError
from scrapy.utils.conf import arglist_to_dict
from scrapy.utils.misc import load_object

from scrapy_resilience.commands.breakers import show_breakers
from scrapy_resilience.commands.cost import show_costs
from scrapy_resilience.commands.deadletters import list_letters
from scrapy_resilience.commands.doctor import see_doctor
from scrapy_resilience.commands.dryrun import dry_run, prepare_dry_run
from scrapy_resilience.commands.errors import list_errors, open_error
from scrapy_resilience.commands.feeds import show_feeds
from scrapy_resilience.commands.notify import notify
from scrapy_resilience.commands.operations import write_files
from scrapy_resilience.commands.replay import replay
from scrapy_resilience.commands.report import make_report
from scrapy_resilience.commands.seen import print_seen, show_seen
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
from scrapy_resilience.gates.domains import Domains
from scrapy_resilience.gates.lane_names import LaneNames
from scrapy_resilience.settings import Config
from scrapy_resilience.settings_sources import apply_layers, describe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection

    from scrapy.crawler import CrawlerProcessBase
    from scrapy.settings import BaseSettings

__all__ = ["Run", "add_options", "prepare", "usage"]

_OFF: Final = (
    'the add-on is off: ADDONS has no "scrapy_resilience.ResilienceAddon". Of two lines in '
    "settings.py the last one counts"
)


class Run:
    """One call of the command."""

    def __init__(
        self,
        settings: BaseSettings,
        opts: argparse.Namespace,
        process: CrawlerProcessBase | None = None,
    ) -> None:
        """*process* runs crawls, where :func:`prepare` has asked for one."""
        self.settings = settings
        self._process = process
        self.exitcode = 0
        self._opts = opts
        self._place = opts.place
        self._force = opts.force

    def run(self, args: list[str]) -> int:
        """Do it, and return the exit code."""
        commands: dict[str, tuple[Callable[..., tuple[Any, str] | None], Collection[int]]] = {
            "status": (self._status, {1}),
            "checkpoints": (self._checkpoints, {1}),
            "restore": (self._restore, {1, 2}),
            "deadletters": (self._deadletters, {1}),
            "replay": (self._replay, {1}),
            "report": (self._report, {1, 2}),
            "cost": (self._cost, {1}),
            "errors": (self._errors, {1}),
            "breakers": (self._breakers, {1, 3}),
            "feeds": (self._feeds, range(1, 5)),
            "config": (self._config, {0}),
            "seen": (self._seen, range(1, 4)),
            "doctor": (self._doctor, {0}),
            "dryrun": (self._dryrun, {1}),
            "selectors": (self._selectors, range(1, 5)),
            "operations": (self._operations, {1}),
            "notify": (self._notify, {0, 1}),
        }
        name, *rest = args or [""]
        if name not in commands or len(rest) not in commands[name][1]:
            _misuse(name)
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows fewer characters
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            found = commands[name][0](*rest)
            if found is not None:
                tell_json(found[0]) if self._opts.json else tell(found[1])
            sys.stdout.flush()  # a pipe that was closed says so here, not when Python ends
        except BrokenPipeError:  # whoever reads has seen enough
            _print_no_more()
        except (ResilienceError, OSError, sqlite3.Error) as error:
            tell(text_of([f"scrapy resilience: {error}"]), sys.stderr)
            self.exitcode = 1
        return self.exitcode

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
        settings = self._layered()
        domains = Domains(settings, Config.from_settings(settings))
        return replay(path, self._wanted(), LaneNames(settings, domains))

    def _cost(self, path: str) -> tuple[Any, str]:
        return show_costs(path, self._token())

    def _errors(self, path: str) -> tuple[Any, str]:
        number = self._opts.number
        if number is None:
            return list_errors(path)
        return open_error(path, number, self._opts.output)

    def _breakers(self, path: str, action: str = "list", domain: str = "") -> tuple[Any, str]:
        return show_breakers(path, action, domain) or _misuse("breakers")

    def _feeds(self, *args: str) -> tuple[Any, str]:
        return show_feeds(*args) or _misuse("feeds")

    def _seen(self, *args: str) -> tuple[Any, str] | None:
        if args[1:] == ("export",):
            print_seen(args[0])
            return None
        return show_seen(*args) or _misuse("seen")

    def _wanted(self) -> Wanted:
        opts = self._opts
        if opts.letter_kind not in {None, *KINDS}:
            raise UsageError(f"--kind is one of {', '.join(KINDS)}", print_help=False)
        return Wanted(opts.letter_domain, opts.letter_class, opts.letter_kind)

    def _config(self) -> tuple[Any, str]:
        if not _has_addon(self.settings):
            tell(f"scrapy resilience: {_OFF}", file=sys.stderr)
        settings = self._layered()
        rows = describe(settings)
        _check_values(settings)
        cells = [(row["name"], plain(row["value"]), row["origin"]) for row in rows]
        return rows, table([("setting", "value", "from"), *cells])

    def _doctor(self) -> tuple[Any, str]:
        *told, failed = see_doctor(self.settings, deep=self._opts.deep, addon=_has_addon)
        self.exitcode = int(failed)
        return told[0], told[1]

    def _dryrun(self, spider: str) -> tuple[Any, str]:
        assert self._process is not None
        if not _has_addon(self.settings):
            raise ConfigurationError(_OFF)
        opts = self._opts
        result = dry_run(
            self._process, spider, opts.arguments, quietly=opts.json, is_dry=_has_addon
        )
        self.exitcode = int(not result.is_well)
        return result.data(), result.text()

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

    def _notify(self, path: str = "") -> tuple[Any, str]:
        if bool(path) == self._opts.test:
            _misuse("notify")
        config = Config.from_settings(self._layered())
        *told, failed = notify(config, path, self._opts.channel)
        self.exitcode = int(failed)
        return told[0], told[1]

    def _layered(self) -> BaseSettings:
        for unknown in apply_layers(self.settings):
            tell(text_of([f"scrapy resilience: {unknown} is not a setting"]), sys.stderr)
        return self.settings


def prepare(settings: BaseSettings, args: list[str], opts: argparse.Namespace) -> bool:
    """Read options, and say whether the command is to be given a crawler process."""
    try:
        opts.arguments = arglist_to_dict(opts.arguments)
    except ValueError:
        raise UsageError("Invalid -a value, use -a NAME=VALUE", print_help=False) from None
    if args[:1] != ["dryrun"]:
        return False
    prepare_dry_run(settings, opts)
    return True


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of all its commands."""
    parser.formatter_class = _Formatter
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--csv", action="store_true", help="deadletters: as CSV")
    _add_errors(parser)
    _add_filters(parser)
    _add_trials(parser)
    _add_others(parser)


class _Formatter(ScrapyHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


def _add_errors(parser: argparse.ArgumentParser) -> None:
    """Options of what writes a file."""
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


def _add_others(parser: argparse.ArgumentParser) -> None:
    """Options of one command each."""
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
        "--test", action="store_true", help="notify: send a test to each channel"
    )
    parser.add_argument(
        "--channel",
        default="",
        metavar="CHANNEL",
        help="notify: only to that one, by its name or its number in RESILIENCE_NOTIFY",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="add selectors that are worse on fixtures, and replace files of operations",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    """Options that say which dead letters are meant."""
    which = {"domain": "", "class": "", "kind": f": {', '.join(KINDS)}"}
    for name, values in which.items():
        parser.add_argument(
            f"--{name}",
            dest=f"letter_{name}",
            metavar=name.upper(),
            help=f"deadletters, replay: of one {name}{values}",
        )


def _add_trials(parser: argparse.ArgumentParser) -> None:
    """Options of a dry run and of the doctor."""
    parser.add_argument(
        "--limit",
        type=int,
        metavar="NUMBER",
        help="dryrun: how many requests it makes; 10, or RESILIENCE_DRY_RUN",
    )
    parser.add_argument(
        "-a",
        dest="arguments",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="dryrun: set spider argument (may be repeated)",
    )
    parser.add_argument(
        "--deep", action="store_true", help="doctor: start the browser, too, where one is used"
    )


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
