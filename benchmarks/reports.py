"""Strings of public reports and of others' tests: how many are read, and how many read wrong.

Two kinds of sources: ``reports.csv``, strings of public issue threads with the value that a
reader of them would write down, and the tables in the source distributions of price-parser,
dateparser and phonenumbers, which are downloaded (in their installed versions) and read as
text. What is left out of those, by which rule, is printed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import phonenumbers

from benchmarks.report import Outcome
from benchmarks.reports_cases import DOUBTFUL, KINDS, RIGHT, UNREAD, WRONG, judge, own_cases
from benchmarks.reports_dates import dates, distances
from benchmarks.reports_tables import RULES, no_numbers, numbers, prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.crawls import Options
    from benchmarks.report import Row
    from benchmarks.reports_cases import Case, Judged

__all__ = ["READ", "SILENT", "read_share", "run", "wrong_share"]

READ, SILENT = 0.93, 0.002
"""The share of texts with a value that is read, at least, and of all that is wrong, at most."""
_CACHE: Final = Path(__file__).parent / "results" / "sources"
_TIMEOUT: Final = 300.0
_TABLES: Final[dict[str, tuple[tuple[str, Callable[..., Iterator[Case]]], ...]]] = {
    "price-parser": (("test_price_parsing.py", prices),),
    "dateparser": (
        ("test_date_parser.py", dates),
        ("test_parser.py", dates),
        ("test_freshness_date_parser.py", distances),
    ),
    "phonenumbers": (
        ("phonenumberutiltest.py", lambda text, skipped: numbers(text, skipped, _library)),
        ("phonenumbermatchertest.py", no_numbers),
    ),
}
"""Files in the folder ``tests`` of a distribution, and what reads them."""


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("strings of public reports, and of others' tests")
    skipped: Counter[str] = Counter()
    own = [judge(case) for case in own_cases()]
    judged = [*own]
    _rows(outcome, "public reports", own)
    for name in _TABLES:
        try:
            cases = {(case.text, str(case.hints)): case for case in _cases(name, skipped)}
        except (OSError, subprocess.SubprocessError) as error:
            outcome.notes.append(f"{name} is left out, as its source can't be had: {error}")
            continue
        found = [judge(case) for case in cases.values()]
        _rows(outcome, f"{name} {version(name)}", found)
        judged += found
    _bars(outcome, {"public reports": own, "all sources": judged})
    outcome.notes += [f"left out, {skipped[rule]}: {RULES[rule]}" for rule in RULES]
    if options.verbose:
        outcome.notes += [_line(each) for each in judged if each.outcome == WRONG]
        outcome.notes += [_line(each) for each in judged if each.outcome == UNREAD]
    return outcome


def read_share(judged: Iterable[Judged]) -> float:
    """How many of the texts with a value are read right."""
    valued = [each for each in judged if each.case.wanted is not None]
    return sum(each.outcome == RIGHT for each in valued) / max(len(valued), 1)


def wrong_share(judged: Iterable[Judged]) -> float:
    """How many of all texts have another value, without a mark."""
    found = [each.outcome for each in judged]
    return found.count(WRONG) / max(len(found), 1)


def _rows(outcome: Outcome, source: str, judged: list[Judged]) -> None:
    kinds = [kind for kind in KINDS if any(each.case.kind == kind for each in judged)]
    for kind in kinds:
        outcome.rows.append(
            _row(source, kind, [one for one in judged if one.case.kind == kind])
        )
    if len(kinds) > 1:
        outcome.rows.append(_row(source, "all", judged))


def _row(source: str, kind: str, judged: list[Judged]) -> Row:
    counts = Counter(each.outcome for each in judged)
    return {
        "source": source,
        "what": kind,
        "texts": len(judged),
        **{name: counts[name] for name in (RIGHT, DOUBTFUL, UNREAD, WRONG)},
        "read": f"{read_share(judged):.1%}",
        "silently wrong": f"{wrong_share(judged):.2%}",
    }


def _bars(outcome: Outcome, sources: dict[str, list[Judged]]) -> None:
    for name, found in sources.items():
        read, wrong = read_share(found), wrong_share(found)
        outcome.bar(f"{name}, read, at least {READ:.0%}", f"{read:.2%}", met=read >= READ)
        text = f"{name}, silently wrong, at most {SILENT:.1%}"
        outcome.bar(text, f"{wrong:.2%}", met=wrong <= SILENT)


def _line(judged: Judged) -> str:
    case = judged.case
    found = {key: (judged.found or {}).get(key) for key in case.wanted or judged.found or {}}
    hints = ", ".join(f"{name}={value}" for name, value in case.hints.items())
    return (
        f"{judged.outcome}: {case.kind} {case.text!r} ({hints or 'no hint'}, {case.source}): "
        f"{found if judged.found else None}, should be {case.wanted}"
    )


# --- where the tables come from --------------------------------------------------------


def _cases(name: str, skipped: Counter[str]) -> Iterator[Case]:
    with tarfile.open(_source(name)) as archive:
        files = {Path(path).name: path for path in archive.getnames() if "/tests/" in path}
        for file, cases in _TABLES[name]:
            found = archive.extractfile(files[file])
            if found is not None:
                yield from cases(found.read().decode(), skipped)


def _source(name: str) -> Path:
    """The source distribution of the installed version; downloaded once."""
    pattern = f"{name.replace('-', '[-_]')}-{version(name)}.tar.gz"
    if not any(_CACHE.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", name, "--dest", str(_CACHE), f"{name}=={version(name)}"]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT)
    for path in _CACHE.glob(pattern):
        return path
    raise FileNotFoundError(pattern)


def _library(text: str, region: str | None) -> str | None:
    """What phonenumbers makes of a text."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
