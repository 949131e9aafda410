"""Whether what is installed goes together: what this package asks for, and what is known."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement

from scrapy_resilience.core.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Version = Callable[[str], str | None]

__all__ = ["check_versions", "installed", "judge_known", "judge_requirements", "requirements"]

_OURS: Final = "scrapy-resilience"
_SHOWN: Final = ("scrapy", "twisted", _OURS)
_STOPPED: Final = {"scrapy-deltafetch": "2.1.0", "scrapy-crawl-once": "0.1.1"}
"""Packages whose latest version does not run with Scrapy 2.19."""


def check_versions() -> list[Finding]:
    """Of this process."""
    found = [f"{name} {installed(name) or 'unknown'}" for name in _SHOWN]
    shown = ", ".join(
        [f"{platform.python_implementation()} {platform.python_version()}", *found]
    )
    wrong = [
        *judge_python(sys.version_info[:2]),
        *judge_requirements(requirements(), installed),
        *judge_known(installed),
    ]
    return wrong or [Finding("versions", "ok", shown)]


def installed(name: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements(extra: str = "") -> list[Requirement]:
    """What this package needs, or one of its extras; nothing where it was not installed."""
    try:
        listed = map(Requirement, metadata.requires(_OURS) or ())
    except metadata.PackageNotFoundError:  # it runs from a folder
        return []
    needed = []
    for each in listed:
        always = each.marker is None or each.marker.evaluate({"extra": ""})
        with_it = each.marker is None or each.marker.evaluate({"extra": extra})
        if with_it and (not extra or not always) and each.name != _OURS:
            needed.append(each)
    return needed


def judge_python(version: tuple[int, ...]) -> Iterator[Finding]:
    """Versions of Python with which it was not tested."""
    if not (3, 10) <= version <= (3, 14):
        yield Finding(
            "versions",
            "warning",
            f"Python {'.'.join(map(str, version))} was not tested with this package",
            "use Python 3.10 to 3.14",
        )


def judge_requirements(
    needed: Iterable[Requirement], version: Version, *, about: str = "versions", extra: str = ""
) -> Iterator[Finding]:
    """What is missing or too old."""
    package = f"{_OURS}[{extra}]" if extra else _OURS
    for each in needed:
        found = version(each.name)
        advice = f'run pip install --upgrade "{package}"'
        if found is None:
            yield Finding(about, "problem", f"{each.name} is not installed", advice)
        elif not each.specifier.contains(found, prereleases=True):
            what = f"{each.name} {found} is installed, and {each.specifier} is needed"
            yield Finding(about, "problem", what, advice)


def judge_known(version: Version) -> Iterator[Finding]:
    """Packages that are known not to run."""
    for name, last in _STOPPED.items():
        if (found := version(name)) is not None and _parts(found) <= _parts(last):
            yield Finding(
                "versions",
                "warning",
                f"{name} {found} does not run with Scrapy 2.19, with or without this package",
                "take it out of the settings, or look for a newer version",
            )


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
