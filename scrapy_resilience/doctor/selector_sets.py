"""Whether the selector sets of a project can be read, and find what their fixtures say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import counted, shown
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import files
from scrapy_resilience.selectors.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.dryrun.checks import Subject

__all__ = ["check_selectors"]


def check_selectors(subject: Subject) -> Iterator[Finding]:
    """Those in ``RESILIENCE_SELECTORS_DIR``."""
    folder = subject.config.selectors_dir
    names = sorted(files.set_names(Path(folder))) if folder else []
    registry, good = Registry(folder), 0
    for name in names:
        try:
            found = registry.get(name)
            failures = [str(each) for each in found.test(found.version)]
        except SelectorError as error:
            yield Finding(
                "selectors", "problem", shown(str(error)), "put back the file, or add a version"
            )
            continue
        if failures:
            what = f"{name} {found.version} is not what its fixtures expect: {failures[0]}"
            advice = f"run scrapy resilience selectors test {name}"
            yield Finding("selectors", "warning", shown(what), advice)
        else:
            good += 1
    if good:
        yield Finding("selectors", "ok", f"{counted(good, 'set')} as expected")
