"""Whether the browser is there that scrapy-playwright is to start, and starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import mask_uri, message_of, shown
from scrapy_resilience.doctor.libraries import uses_playwright
from scrapy_resilience.doctor.services import unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scrapy_resilience.dryrun.checks import Subject

__all__ = ["check_browser", "judge_browser", "start_browser"]

_PROVIDER: Final = "PLAYWRIGHT_BROWSER_PROVIDER"
_REMOTE: Final = ("PLAYWRIGHT_CDP_URL", "PLAYWRIGHT_CONNECT_URL")


def check_browser(subject: Subject) -> Iterator[Finding]:
    """It is started, and ended again, where it is this machine's."""
    settings = subject.settings
    if not uses_playwright(settings):
        return
    if settings.get(_PROVIDER):
        yield Finding("browser", "note", f"the browsers of {_PROVIDER} were not tried")
        return
    for setting in _REMOTE:
        if url := settings.get(setting):
            if why := unreachable(url.replace("ws", "http", 1) if url[:2] == "ws" else url):
                what = f"{mask_uri(url)} can't be reached ({why})"
                yield Finding("browser", "problem", what, f"start it, or change {setting}")
            else:
                yield Finding("browser", "ok", f"{mask_uri(url)} can be reached")
            return
    name = settings.get("PLAYWRIGHT_BROWSER_TYPE") or "chromium"
    options = settings.getdict("PLAYWRIGHT_LAUNCH_OPTIONS")
    yield judge_browser(name, options, start_browser)


def judge_browser(
    name: str, options: Mapping[str, Any], start: Callable[[str, Mapping[str, Any]], str]
) -> Finding:
    """*start* begins and ends one and gives its version; what it raises is told."""
    path = options.get("executable_path")
    if path and not Path(str(path)).is_file():
        what = f"there is no browser {path}"
        return Finding("browser", "problem", what, "change PLAYWRIGHT_LAUNCH_OPTIONS")
    try:
        version = start(name, options)
    except ImportError:
        advice = 'run pip install "scrapy-resilience[playwright]"'
        return Finding("browser", "problem", "playwright is not installed", advice)
    except Exception as error:  # noqa: BLE001 - of whatever kind: it does not start
        line = message_of(error).strip().partition("\n")[0] or type(error).__name__
        advice = f"run playwright install --with-deps {name}"
        return Finding("browser", "problem", f"{name} does not start: {shown(line)}", advice)
    return Finding("browser", "ok", f"{name} {version} starts")


def start_browser(name: str, options: Mapping[str, Any]) -> str:
    """Begin and end a browser; its version."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the extra "playwright"

    with sync_playwright() as playwright:
        browser = getattr(playwright, name).launch(**options)
        version: str = browser.version
        browser.close()
    return version
