"""Make ``scrapy_resilience/operations/dashboard.json``, for Grafana 11 and newer.

``python tools/dashboard.py``. Grafana's file has twenty lines for each panel, of which three
say something: those are here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "scrapy_resilience" / "operations" / "dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ME = '{job=~"$job", instance=~"$instance", spider=~"$spider"}'
WIDTH = 24
STATES = {"running": "green", "finished": "blue", "held": "yellow", "closing": "yellow",
          "stopped": "orange", "killed": "red"}  # fmt: skip
CAUSES = {"processor": "red", "servers": "blue", "gate": "yellow", "frontier": "light-green",
          "callbacks": "purple", "commit": "orange"}  # fmt: skip
BREAKERS = {0: ("closed", "green"), 1: ("half open", "yellow"), 2: ("open", "red"),
            3: ("opened by hand", "purple")}  # fmt: skip
RUNGS = {0: ("nothing", "green"), 1: ("caches are cleared", "light-blue"),
         2: ("fewer requests", "yellow"), 3: ("paused", "orange"),
         4: ("components free", "red"), 5: ("closed", "dark-red")}  # fmt: skip
HEALTH = {0: ("healthy", "green"), 1: ("degraded", "yellow"), 2: ("unhealthy", "red"),
          3: ("unknown", "text")}  # fmt: skip


def name(metric: str, more: str = "") -> str:
    """A metric of the crawls that are chosen."""
    return f"scrapy_resilience_{metric}{ME[:-1]}{', ' + more if more else ''}}}"


def rate(metric: str, by: str = "spider") -> str:
    """How much a counter grows in a second."""
    return f"sum by ({by}) (rate({name(metric)}[$__rate_interval]))"


def target(expression: str, legend: str, **more: Any) -> dict[str, Any]:
    """What is asked for, and how it is called."""
    return {"datasource": SOURCE, "editorMode": "code", "expr": expression,
            "legendFormat": legend, "range": True, **more}  # fmt: skip


def panel(
    kind: str, title: str, meaning: str, width: int, height: int, *targets: Any, **more: Any
) -> dict[str, Any]:
    """A panel without its place."""
    defaults = {"unit": more.pop("unit", "short"), **more.pop("defaults", {})}
    if "decimals" in more:
        defaults["decimals"] = more.pop("decimals")
    return {
        "type": kind,
        "title": title,
        "description": meaning,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [{**each, "refId": chr(65 + at)} for at, each in enumerate(targets)],
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        **more,
    }


def stat(title: str, meaning: str, expression: str, **more: Any) -> dict[str, Any]:
    """One number."""
    steps = more.pop("steps", [{"color": "text", "value": None}])
    graph = more.pop("graph", "none")
    options = {"colorMode": "value", "graphMode": graph, "textMode": "value",
               "reduceOptions": {"calcs": ["lastNotNull"]}}  # fmt: skip
    thresholds = {"thresholds": {"mode": "absolute", "steps": steps}}
    return panel(
        "stat", title, meaning, 3, 4, target(expression, "{{spider}}"),
        options=options, defaults={**thresholds, **more.pop("defaults", {})}, **more,
    )  # fmt: skip


def lines(
    title: str, meaning: str, *targets: Any, width: int = 8, **more: Any
) -> dict[str, Any]:
    """Lines over time; *stack* puts one on the other."""
    custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if mode := more.pop("stack", ""):
        custom |= {"fillOpacity": 70, "lineWidth": 0, "stacking": {"mode": mode, "group": "A"}}
    options = {"legend": {"displayMode": "list", "placement": "bottom"},
               "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip
    defaults = {"custom": custom, "min": 0, **more.pop("defaults", {})}
    return panel(
        "timeseries", title, meaning, width, 8, *targets, options=options, defaults=defaults,
        **more,
    )  # fmt: skip


def colours(table: dict[str, str]) -> list[dict[str, Any]]:
    """A fixed colour for each name."""
    return [
        {"matcher": {"id": "byName", "options": each},
         "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
        for each, colour in table.items()
    ]  # fmt: skip


def words(table: dict[int, tuple[str, str]]) -> dict[str, Any]:
    """Words and colours in place of numbers."""
    options = {
        str(number): {"text": text, "color": colour, "index": number}
        for number, (text, colour) in table.items()
    }
    return {"mappings": [{"type": "value", "options": options}]}


def steps(warning: float, critical: float) -> list[dict[str, Any]]:
    """Green, yellow from *warning* on, red from *critical* on."""
    return [
        {"color": "green", "value": None},
        {"color": "yellow", "value": warning},
        {"color": "red", "value": critical},
    ]


def row(title: str) -> dict[str, Any]:
    """A heading."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"w": WIDTH, "h": 1}}  # fmt: skip


def first() -> list[dict[str, Any]]:
    """State, rates, errors, time accounting: what is looked at first."""
    state = stat("State", "Of the job.", f"{name('state')} == 1", overrides=colours(STATES))
    state["options"]["textMode"] = "name"
    state["targets"][0]["legendFormat"] = "{{state}}"
    age = f"time() - {name('checkpoint_last_commit_timestamp_seconds')}"
    failed = f"{rate('failures_total')} / {rate('requests_total')}"
    minute = name("time_share", 'window="minute"')
    return [
        state,
        stat("Health", "The worst of its components.", name("health"), defaults=words(HEALTH)),
        stat("Pages a second", "That came to the spider.", rate("pages_total"), graph="area",
             decimals=1),
        stat("Items a second", "That were scraped.", rate("items_total"), graph="area",
             decimals=1),
        stat("Failed", "Share of the requests that failed.", failed, unit="percentunit",
             steps=steps(0.05, 0.1), graph="area", decimals=1),
        stat("Left", "Requests that are not done.", name("requests_pending"), graph="area"),
        stat("Time left", "At the rate of the last minutes, when it can be known.",
             name("left_seconds"), unit="s"),
        stat("Last commit", "A kill loses what was done since.", age, unit="s",
             steps=steps(60, 300), decimals=0),
        lines("Pages and items", "A second.", target(rate("pages_total"), "pages {{spider}}"),
              target(rate("items_total"), "items {{spider}}")),
        lines("What failed", "Tries a second by failure class, and retries.",
              target(rate("failures_total", "class"), "{{class}}"),
              target(rate("retries_total"), "retries {{spider}}")),
        lines("What it waits for", "Shares of the last minute: why the crawl is not faster.",
              target(f"avg by (cause) ({minute})", "{{cause}}"),
              stack="percent", unit="percentunit", overrides=colours(CAUSES)),
    ]  # fmt: skip


def domains() -> list[dict[str, Any]]:
    """Who is asked, who fails, who is left alone."""
    return [
        row("Domains"),
        lines("Requests", "A second, of the busiest; all without a series of their own are "
              "`other`.",
              target(f"topk(10, {rate('domain_requests_total', 'domain')})", "{{domain}}"),
              stack="normal"),
        lines("Failures", "A second, of those that fail most.",
              target(f"topk(10, {rate('domain_failures_total', 'domain')})", "{{domain}}")),
        lines("Time to an answer", "Mean, of the slowest.",
              target(f"topk(10, {name('domain_latency_seconds')})", "{{domain}}"), unit="s"),
        panel("state-timeline", "Breakers", "Domains whose breaker was not closed.", 16, 8,
              target(f"{name('domain_breaker_state')} > 0", "{{domain}}"),
              defaults=words(BREAKERS), options={"showValue": "never", "mergeValues": True}),
        lines("Held", "Requests that wait for a time to pass, and domains that may not be "
              "asked.", target(name("requests_held"), "requests {{spider}}"),
              target(name("domains_waiting"), "domains {{spider}}")),
    ]  # fmt: skip


def traffic() -> list[dict[str, Any]]:
    """What comes back."""
    bucket = rate("latency_seconds_bucket", "le")
    return [
        row("Traffic"),
        lines("Statuses", "Answers a second.",
              target(rate("response_statuses_total", "status"), "{{status}}"), stack="normal"),
        lines("Time to an answer", "Half, and 95 of 100, are answered in this time.",
              *(target(f"histogram_quantile({share}, {bucket})", f"{share:.0%}")
                for share in (0.5, 0.95)), unit="s"),
        lines("Bytes", "A second.", target(rate("response_bytes_total"), "{{spider}}"),
              unit="Bps"),
    ]  # fmt: skip


def items() -> list[dict[str, Any]]:
    """What was scraped, and how good it is."""
    bars = panel(
        "bargauge", "Field coverage", "Share of the items that have a field.", 8, 8,
        target(f"bottomk(15, {name('field_coverage')})", "{{item}}.{{field}}", instant=True,
               range=False),
        unit="percentunit", options={"orientation": "horizontal", "displayMode": "basic"},
        defaults={"min": 0, "max": 1, "thresholds": {"mode": "absolute", "steps": [
            {"color": "red", "value": None}, {"color": "yellow", "value": 0.5},
            {"color": "green", "value": 0.9}]}},
    )  # fmt: skip
    return [
        row("Items"),
        bars,
        lines("Not kept", "Items a second that were dropped, or had been scraped before.",
              target(rate("items_dropped_total"), "dropped {{spider}}"),
              target(rate("requests_duplicate_total"), "duplicates {{spider}}"),
              target(rate("doubtful_items_total"), "doubtful {{spider}}")),
        lines("Drift", "Fields that are found otherwise than before.",
              target(f"sum by (set, field) ({name('drifting')})", "{{set}}.{{field}}")),
    ]  # fmt: skip


def guards() -> list[dict[str, Any]]:
    """What eases a crawl off, and what would end it."""
    near = f"{name('abort_value')} / {name('abort_limit')}"
    return [
        row("Guards"),
        panel("state-timeline", "What is done", "About memory, disks and the processor.", 8, 8,
              target(name("guard_rung"), "{{resource}} {{spider}}"),
              defaults=words(RUNGS), options={"showValue": "never", "mergeValues": True}),
        panel("state-timeline", "Pauses", "Nothing new is asked for.", 8, 8,
              target(f"{name('paused')} == 1", "{{reason}} {{spider}}"),
              defaults=words({1: ("paused", "orange")}),
              options={"showValue": "never", "mergeValues": True}),
        lines("Requests at a time", "That are allowed now, and where nothing asks for fewer.",
              target(name("concurrency"), "now {{spider}}"),
              target(name("concurrency_most"), "at most {{spider}}")),
        lines("Got worse", "In five minutes: resources, components, the loop, the crawl.",
              target(f"sum by (name) (increase({name('breaches_total')}[5m]))", "{{name}}")),
        lines("Conditions of the abort policy", "Values as shares of their limits: at 1 it "
              "acts. Field coverage and confidence act below 1.",
              target(near, "{{condition}} {{spider}}"), unit="percentunit"),
        lines("Notices", "That wait for each channel, and those that failed, in five minutes.",
              target(f"sum by (channel) ({name('notify_waiting')})", "waiting for {{channel}}"),
              target(f"sum by (spider) (increase({name('notify_errors_total')}[5m]))",
                     "failed {{spider}}")),
    ]  # fmt: skip


def costs() -> list[dict[str, Any]]:
    """What is spent."""
    used = f"{name('budget_used')} / {name('budget_limit')}"
    dollars = f"sum by (resource) (increase({name('cost_dollars_total')}[1h]))"
    return [
        row("Costs"),
        lines("Dollars an hour", "By resource.", target(dollars, "{{resource}}"),
              stack="normal", unit="currencyUSD", width=6),
        lines("Budgets", "Shares that are used; of domains and proxies that of the fullest.",
              target(used, "{{budget}} {{spider}}"), unit="percentunit", width=6),
        lines("Of the job", "In all of its runs, and what is queued will cost.",
              target(name("job_cost_dollars"), "spent {{spider}}"),
              target(name("cost_projected_dollars"), "queued {{spider}}"), unit="currencyUSD",
              width=6),
        lines("Cost of an item", "Over the whole job.",
              target(name("cost_per_item_dollars"), "{{spider}}"), unit="currencyUSD", width=6),
    ]  # fmt: skip


def machine() -> list[dict[str, Any]]:
    """The job and its process."""
    return [
        row("Job and process"),
        lines("Processor and event loop", "Share of a core; the longest delay of the loop.",
              target(name("cpu_share"), "processor {{spider}}"),
              target(name("loop_lag_seconds"), "delay (s) {{spider}}")),
        lines("Memory", "Of the process, of those that it has started, and what all may use.",
              target(name("memory_bytes"), "process {{spider}}"),
              target(name("memory_children_bytes"), "children {{spider}}"),
              target(name("memory_browsers_bytes"), "browsers {{spider}}"),
              target(name("memory_limit_bytes"), "limit {{spider}}"), unit="bytes"),
        lines("Disk", "The store, and what is free where it is.",
              target(name("store_bytes"), "store {{spider}}"),
              target(name("disks_free_bytes"), "free for {{purpose}} {{spider}}"),
              unit="bytes"),
        lines("Longest parts of a commit", "Of this run.",
              target(name("checkpoint_drain_seconds_max"), "waiting {{spider}}"),
              target(name("checkpoint_stall_seconds_max"), "loop held {{spider}}"),
              target(name("checkpoint_write_seconds_max"), "writing {{spider}}"), unit="s",
              width=12),
        lines("Errors", "A second, by class.",
              target(rate("errors_total", "kind"), "{{kind}}"), width=12),
    ]  # fmt: skip


def placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels from left to right, and then below."""
    x = y = height = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > WIDTH:
            x, y = 0, y + height
            height = 0
        each["id"] = number
        each["gridPos"] = {**place, "x": x, "y": y}
        x, height = x + place["w"], max(height, place["h"])
    return panels


def variable(label: str) -> dict[str, Any]:
    """One that is chosen at the top."""
    query = f"label_values(scrapy_resilience_run_info, {label})"
    return {
        "type": "query", "name": label, "label": label, "datasource": SOURCE,
        "query": {"query": query, "refId": label}, "definition": query, "refresh": 2,
        "multi": True, "includeAll": True, "allValue": ".*", "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """All of it."""
    source = {"type": "datasource", "name": "datasource", "label": "Prometheus",
              "query": "prometheus", "current": {}}  # fmt: skip
    return {
        "title": "Scrapy crawls",
        "uid": "scrapy-resilience",
        "description": "Crawls with scrapy_resilience.",
        "tags": ["scrapy"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source, *map(variable, ("job", "instance", "spider"))]},
        "panels": placed(
            [*first(), *domains(), *traffic(), *items(), *guards(), *costs(), *machine()]
        ),
    }


def main() -> None:
    """Write the file."""
    TARGET.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {len(dashboard()['panels'])} panels")


if __name__ == "__main__":
    main()
