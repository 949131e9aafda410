"""The settings of what is seen of a crawl: part of the ``Config`` of :mod:`.settings`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - types are read at run time
from dataclasses import dataclass
from typing import Any

from scrapy_resilience.settings_values import setting

__all__ = ["ObserveConfig"]


@dataclass(frozen=True, init=False, repr=False, eq=False)  # those are of the whole
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
    http_insecure: bool = setting(
        False, "Listen beyond this machine without a token, too: whoever can connect may look."
    )
    http_allowed_hosts: tuple[str, ...] = setting(
        (),
        "Names by which the endpoint may be asked without its token, beside localhost and "
        "addresses: a Host header with another one is refused.",
    )
    critical_domains: tuple[str, ...] = setting(
        (), "Domains whose open breakers alerts and pages name apart."
    )
    # --- metrics ---
    metrics_domains: int = setting(
        50,
        "Domains that have metrics of their own; all others are `other` together.",
        minimum=0,
    )
    metrics_labels: Mapping[str, Any] = setting(
        dict, "Labels of each metric, beside `spider`, and their values."
    )
    metrics_textfile: str = setting(
        "",
        "File for node_exporter's textfile collector, written while the crawl runs and at its "
        "end; `%(spider)s` is the spider's name.",
    )
    metrics_interval: float = setting(
        15.0,
        "Seconds between two pushes to the Pushgateway, and between two textfiles.",
        minimum=0.1,
    )
    pushgateway_url: str = setting(
        "", "Address of a Prometheus Pushgateway, such as `http://127.0.0.1:9091`."
    )
    pushgateway_job: str = setting("scrapy", "The label `job` of what is pushed.", minimum=1)
    pushgateway_instance: str = setting(
        "", "The label `instance` of what is pushed; by default the host and the JOBDIR."
    )
    # --- health ---
    health_checks: Mapping[str, Any] = setting(
        dict,
        "Health checks of your own: name → import path of a function that takes the crawler "
        "and says how well something is; it may be a coroutine function.",
    )
    health_interval: float = setting(
        10.0, "Seconds for which the answer of a health check is good.", minimum=0.1
    )
    health_timeout: float = setting(
        5.0, "Seconds that a health check may take; then it counts as unhealthy.", minimum=0.1
    )
    # --- logs ---
    log_json: bool = setting(
        False, "Write Scrapy's own log, on the terminal or in LOG_FILE, as lines of JSON."
    )
    log_pretty: bool = setting(
        False, "Write Scrapy's own log on a terminal in short lines for people, with colours."
    )
    log_dir: str = setting(
        "",
        "Folder of log files that rotate, with lines of JSON, beside Scrapy's own log; empty "
        "for none.",
    )
    log_files: tuple[str, ...] = setting(
        (),
        "Names of loggers that have a file of their own, too, in RESILIENCE_LOG_DIR.",
    )
    log_max_bytes: int = setting(
        100_000_000,
        "Size at which a log file is put aside, as it is each midnight (UTC).",
        minimum=1_000,
    )
    log_retention: int = setting(
        30, "Days that log files are kept which were put aside.", minimum=1, maximum=36_500
    )
    # --- traces ---
    traces: str = setting(
        "off",
        "Where OpenTelemetry's spans go: nowhere, to a receiver by OTLP over HTTP, or to the "
        "terminal. Needs the extra `otel`.",
        choices=("off", "otlp", "console"),
    )
    traces_endpoint: str = setting(
        "http://127.0.0.1:4318/v1/traces", "URL of the receiver of spans."
    )
    traces_headers: Mapping[str, Any] = setting(
        dict,
        "Headers for the receiver, such as a key; set them in the environment.",
        secret=True,
    )
    traces_sampled: float = setting(
        0.05, "Share of the requests whose spans are kept.", minimum=0, maximum=1
    )
    traces_propagate: tuple[str, ...] = setting(
        (), "Domains whose requests carry the trace on, in the header `traceparent`."
    )
    # --- errors, events and history ---
    # --- page and report ---
    report: str = setting(
        "",
        "File of an HTML report that is written when the crawl closes; `%(spider)s`, "
        "`%(date)s` and `%(time)s` stand for what they do in `JOBDIR`.",
    )
    # --- terminal ---
    terminal: bool = setting(
        True,
        "Show the progress at the foot of the terminal, when the crawl has one. Needs the "
        "extra `terminal`.",
    )
