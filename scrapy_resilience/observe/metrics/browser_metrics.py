"""The metrics of browsers: how many there are, what is open, what went wrong."""

from __future__ import annotations

from typing import Final

from scrapy_resilience.observe.metrics.metric_kinds import Metric

__all__ = ["BROWSER_METRICS"]

BROWSER_METRICS: Final = (
    Metric("browsers", "gauge", "Browsers of scrapy-playwright that run.",
           lambda view: view.browsers.running),
    Metric("browser_contexts", "gauge", "Browser contexts that are open.",
           lambda view: view.browsers.contexts),
    Metric("browser_pages", "gauge", "Pages that are open in browsers.",
           lambda view: view.browsers.pages),
    Metric("browser_waiting", "gauge", "Requests that wait for a page of the browser.",
           lambda view: view.browsers.waiting),
    Metric("browser_starts_total", "counter", "Browsers that were started.",
           lambda view: view.browsers.started),
    Metric("browser_crashes_total", "counter", "Browsers that have ended, and nobody had told "
           "them to: those that were killed, too.", lambda view: view.browsers.crashes),
    Metric("browser_kills_total", "counter", "Browsers that gave no answer, and were killed.",
           lambda view: view.browsers.killed),
    Metric("browser_replacements_total", "counter", "Browsers that were replaced because they "
           "had grown, or were old.", lambda view: view.browsers.replaced),
    Metric("browser_contexts_recycled_total", "counter", "Browser contexts that were replaced, "
           "or closed because nobody used them.", lambda view: view.browsers.recycled),
    Metric("browser_page_crashes_total", "counter", "Pages whose process has ended.",
           lambda view: view.browsers.page_crashes),
    Metric("browser_timeouts_total", "counter", "Requests that took longer in the browser than "
           "they may.", lambda view: view.browsers.timeouts),
)  # fmt: skip
