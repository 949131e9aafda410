"""The settings of what is seen of a crawl: part of the ``Config`` of :mod:`.settings`."""

from __future__ import annotations

from dataclasses import dataclass

from scrapy_resilience.settings_values import setting

__all__ = ["ObserveConfig"]


@dataclass(frozen=True)
class ObserveConfig:
    """Metrics, health, logs, traces, pages and reports."""

    observe_enabled: bool = setting(
        True, "Watch the crawl: without it there is no endpoint, page, report or metric."
    )
    # --- the endpoint ---
    http_enabled: bool = setting(
        True, "Serve metrics, health and a live page over HTTP, while the crawl runs."
    )
    http_host: str = setting("127.0.0.1", "Address on which the endpoint listens.")
    http_port: tuple[int, ...] = setting(
        (9410, 9450),
        "Port of the endpoint, or the first and the last one of a range of which the first "
        "free one is taken; 0 for any.",
        minimum=0,
        maximum=65535,
    )
    http_token: str = setting(
        "",
        "Secret text that clients must send as `Authorization: Bearer`; set it in the "
        "environment.",
        minimum=16,
        secret=True,
    )
    critical_domains: tuple[str, ...] = setting(
        (), "Domains whose open breakers alerts and pages name apart."
    )
    # --- metrics ---
    # --- health ---
    # --- logs ---
    # --- traces ---
    # --- errors, events and history ---
    # --- page and report ---
    report: str = setting(
        "",
        "File of an HTML report that is written when the crawl closes; `%(spider)s`, "
        "`%(date)s` and `%(time)s` stand for what they do in `JOBDIR`.",
    )
    # --- terminal ---
