"""``scrapy resilience doctor``: what is wrong around here, and what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from scrapy.utils.project import inside_project

from scrapy_resilience.core.findings import Finding, has_problem
from scrapy_resilience.core.masking import counted
from scrapy_resilience.dryrun.result import finding_lines, findings_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.settings import BaseSettings

__all__ = ["see_doctor"]


def see_doctor(
    settings: BaseSettings, *, deep: bool, addon: Callable[[BaseSettings], bool]
) -> tuple[Any, str, bool]:
    """The findings, the same as text, and whether there is a problem among them."""
    from scrapy_resilience.doctor.examination import examination  # noqa: PLC0415 - all of it

    sys.dont_write_bytecode = True  # of the modules of spiders
    in_project = inside_project()
    found = examination(settings, in_project=in_project, deep=deep)
    if in_project and not addon(settings):
        advice = 'set ADDONS = {"scrapy_resilience.ResilienceAddon": 500} in settings.py'
        found.insert(0, Finding("project", "warning", "the add-on is off", advice))
    counts = [
        counted(number, level)
        for level in ("problem", "warning", "note")
        if (number := sum(each.level == level for each in found))
    ]
    text = f"{finding_lines(found)}\n\n{', '.join(counts) or 'all is well'}"
    return findings_data(found), text, has_problem(found)
