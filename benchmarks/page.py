"""The live page: how long until it can be used, with 1,000 domains and a week of history.

A headless Chromium opens it from a small server in this process. "Usable" is the moment at
which all of it was drawn and the browser would answer a key. An update brings 200 domains that
have changed, as one message may; its time is that of the page's own thread.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.report import Outcome
from scrapy_resilience.observe.report.report import render_report

if TYPE_CHECKING:
    from benchmarks.crawls import Options

_TESTS = Path(__file__).parents[1] / "tests"
_USABLE = 1000.0
_ROWS = 200
_MARK = "performance.getEntriesByName({name!r}).at(-1)?.{field} ?? 0"


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("the live page, and the report, in a browser")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        outcome.notes.append("there is no chromium: nothing was measured")
        return outcome
    sys.path += [str(_TESTS / "unit"), str(_TESTS / "integration")]
    from browser import browser  # noqa: PLC0415 - found through the path set above

    with browser(program) as port:
        report = options.folder.resolve() / "report.html"
        report.parent.mkdir(parents=True, exist_ok=True)
        found = [asyncio.run(_once(port, report)) for _ in range(options.repeat(7))]
    for name in found[0]:
        values = [each[name] for each in found]
        outcome.rows.append(
            {"what": name, "median ms": round(median(values)), "worst ms": round(max(values))}
        )
    outcome.data = {name: [each[name] for each in found] for name in found[0]}
    opened = median(each["page opened"] for each in found)
    outcome.bar("usable after opening, at most 1 s", f"{opened:.0f} ms", met=opened <= _USABLE)
    return outcome


async def _once(port: int, report: Path) -> dict[str, float]:
    from browser import Server, new_tab  # noqa: PLC0415 - as above
    from views import large_view  # noqa: PLC0415 - as above

    view = large_view(hostile=False)
    await asyncio.to_thread(report.write_bytes, render_report(view))
    server = Server(view)
    async with server.serve() as url, new_tab(port) as tab:
        await tab.open(url)
        opened = await tab.until(_MARK.format(name="usable", field="startTime"))
        await tab.until("document.getElementById('link').dataset.state === 'live'")
        updated = await _update(tab, server, view)
        await tab.open(report.as_uri())
        shown = await tab.until(_MARK.format(name="usable", field="startTime"))
    return {"page opened": opened, "200 domains changed": updated, "report opened": shown}


async def _update(tab: Any, server: Any, view: Any) -> float:
    """What one message costs that changes the rows which are seen."""
    rows = [msgspec.structs.replace(each, answers=each.answers + 1) for each in view.domains]
    await tab.run("performance.clearMeasures()")
    server.tell(
        {"domains": {"changed": rows[:_ROWS], "gone": []}},
        progress=msgspec.structs.replace(view.progress, items=1),
        time=view.time + 1,
    )
    return float(await tab.until(_MARK.format(name="drawn", field="duration")))
