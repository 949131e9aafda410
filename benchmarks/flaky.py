"""Sick sites as they are: whole crawls with default settings, stock beside them.

Ours has what a new user has: the add-on, a JOBDIR and a feed; both sides have Scrapy's own
defaults, with ``DOWNLOAD_TIMEOUT=5`` where a host is silent. A page takes 30 ms.

====================  ================================================================
first-STATUS-SHARE-N  on N hosts, so many percent of the pages fail on their first request
first-429-after-30-N  the same with ``Retry-After: 1``
random-SHARE-N        so many percent of all requests are answered 503
cut-20-N              20 % of all requests are not answered: the connection is closed
chain                 100 pages, each found on the one before, 15 % first-try 503
outage-KIND-SECONDS   from the 60th request on, a host answers 503 or refuses connections
ten-hosts             100 pages each: one never answers, one always answers 503, eight are
                      well; ``ten-hosts-180`` with Scrapy's own DOWNLOAD_TIMEOUT
silent-N              N hosts that never answer, 10 pages each, before 200 of one that is well
bad-row, bad-end      40 pages of 200, in the middle or at the end, always answer 500
overload              answers 20 requests a second, and 503 to what is beyond; 1,000 pages
dead-KIND             a host that is silent or refuses, 50 pages, beside one that is well
rate-5, rate-5-after  answers 5 requests a second (burst 10) and 429 to what is beyond,
                      without and with ``Retry-After: 1``
proxies-N             each request goes through one of ten proxies, N of which refuse
handled               all pages answer 500, which the spider declares as handled
====================  ================================================================

*time* is that of the whole process, *requests* are the server's count, and what refused
connections that Scrapy counted; *failed* are those that got no page. *healthy s* is when the
hosts that are well were done, *after s* how long after the end of the outage all was.
Medians of the runs, but the worst run's items and dead letters. ``ten-hosts-180`` and
``silent-500`` run only when ``--only`` names them.

Checked of ours: no item twice, and each page is an item, a dead letter or pending.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.crawls import JOB, STOCK, Plan, Result, finish, job_report, say, start
from benchmarks.hosts import CUT, Kind
from benchmarks.report import Outcome
from benchmarks.sick_site import running_sick_site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.crawls import Options
    from benchmarks.sick_site import RunningSickSite

_OURS = {"ADDONS": '{"scrapy_resilience.ResilienceAddon": 500}', "JOBDIR": JOB}
_SIDES = {"stock": STOCK, "ours": _OURS}
_LATENCY = 0.03
_TIMEOUT = {"DOWNLOAD_TIMEOUT": 5}
_URLS = "urls.txt"
_QUICK = ("first-503-15-1", "outage-503-5", "bad-end")

Figures = dict[str, float]
Most = tuple[float, float]
"""So many times stock's time, plus so much."""


@dataclass(frozen=True)
class Limit:
    """What a figure may be at most; the moonshot asks for more."""

    figure: str
    bar: Most | None = None
    moonshot: Most | None = None


@dataclass(frozen=True)
class Hosts:
    """Some hosts of a kind."""

    kind: Kind
    pages: int
    """Of each."""
    count: int = 1


@dataclass(frozen=True)
class Scenario:
    """Hosts by the names of their kinds, in the order in which they are asked."""

    hosts: Mapping[str, Hosts]
    limits: Sequence[Limit]
    lost: int = 0
    """How many pages can't be had: dead letters; all others must be items."""
    complete: float = 1.0
    """The share of the runs that must get them all."""
    to_end: bool = True
    """Whether the bar asks for the end and the dead letters, or for the items only."""
    in_turn: bool = False
    """Whether the pages of the hosts take turns."""
    settings: Mapping[str, object] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    dead_proxies: int | None = None
    least: float = 0.0
    """Seconds that any crawl of it takes, on top of which the limit of a run comes."""
    on_request: bool = False

    @property
    def pages(self) -> int:
        return sum(hosts.pages * hosts.count for hosts in self.hosts.values())

    @property
    def outage(self) -> float:
        return max(hosts.kind.outage for hosts in self.hosts.values())

    def healthy(self) -> dict[str, int]:
        """The pages of each host that is well."""
        return {
            f"{name}{number}.test": hosts.pages
            for name, hosts in self.hosts.items()
            for number in range(hosts.count)
            if hosts.kind == Kind()
        }

    def is_done(self, run: Figures) -> bool:
        """Whether a run got all that it can."""
        ended = run["ended"] and run["letters"] == self.lost
        return run["items"] == self.pages - self.lost and (ended or not self.to_end)

    def urls(self, site: RunningSickSite) -> list[str]:
        """What the spider asks for; of a chain only its begin."""
        found: list[tuple[int, str]] = []
        for name, hosts in self.hosts.items():
            refused = hosts.kind.refused and not hosts.kind.outage
            port = site.refused if refused else site.port
            pages = range(1 if hosts.kind.chain else hosts.pages)
            for number in range(hosts.count):
                base = f"http://{name}{number}.test:{port}/p/"
                found += [(page, f"{base}{page}") for page in pages]
        if self.in_turn:
            found.sort(key=lambda pair: pair[0])
        return [url for _, url in found]

    def proxies(self, site: RunningSickSite) -> dict[str, str]:
        """The setting with the proxies; the site plays those that live."""
        if self.dead_proxies is None:
            return {}
        ports = [site.refused if n < self.dead_proxies else site.port for n in range(10)]
        urls = [f"http://proxy{number}.test:{port}" for number, port in enumerate(ports)]
        return {"BENCH_PROXIES": ",".join(urls)}


# --- the scenarios ---------------------------------------------------------------

_AS_STOCK = Limit("time s", (1.5, 3), (1.1, 1))
_GIVES_UP = Limit("time s", (3, 0), (1.1, 1))


def scenarios() -> dict[str, Scenario]:
    """All of them, by name."""
    return {**_flaky(), **_outages(), **_dead(), **_pages(), **_paces(), **_others()}


def _flaky() -> dict[str, Scenario]:
    kinds = {
        **{f"first-503-{share}": Kind(first=share / 100) for share in (15, 30, 50, 100)},
        "first-429-30": Kind(first=0.3, status=429),
        "first-429-after-30": Kind(first=0.3, status=429, retry_after=1),
        "random-20": Kind(random=0.2),
        "cut-20": Kind(random=0.2, status=CUT),
    }
    found = {}
    for number in (1, 5):
        for name, kind in kinds.items():
            limit = _GIVES_UP if kind.random else _AS_STOCK
            hosts = {"flaky": Hosts(kind, 200 // number, number)}
            found[f"{name}-{number}"] = Scenario(hosts, (limit,), in_turn=True)
        found[f"random-60-{number}"] = Scenario(
            {"flaky": Hosts(Kind(random=0.6), 200 // number, number)},
            (Limit("time s", (0, 30)),),
            complete=0.95,
            in_turn=True,
        )
    chain = Hosts(Kind(first=0.15, chain=100), 100)
    return {**found, "chain": Scenario({"flaky": chain}, (_AS_STOCK,))}


def _outages() -> dict[str, Scenario]:
    return {
        f"outage-{kind}-{seconds}": Scenario(
            {"outage": Hosts(Kind(outage=seconds, refused=kind == "refused"), 200)},
            (
                Limit("after s", (0, 0.8 * seconds + 10), (0, 0.5 * seconds + 3)),
                Limit("failed", None, (0, 30)),
            ),
            least=seconds,
        )
        for kind in ("503", "refused")
        for seconds in (5, 20, 120)
    }


def _dead() -> dict[str, Scenario]:
    silent, error, refused = Kind(silent=True), Kind(random=1), Kind(refused=True)
    ten = {"silent": Hosts(silent, 100), "error": Hosts(error, 100), "h": Hosts(Kind(), 100, 8)}
    limits = (
        Limit("time s", (0, 90), (0, 70)),
        Limit("healthy s", (0, 8)),
        Limit("failed", (0, 40), (0, 30)),
    )
    found = {
        "ten-hosts": Scenario(ten, limits, 200, settings=_TIMEOUT),
        "ten-hosts-180": Scenario(ten, limits, 200, on_request=True),
    }
    for number in (20, 500):
        found[f"silent-{number}"] = Scenario(
            {"silent": Hosts(silent, 10, number), "h": Hosts(Kind(), 200)},
            (Limit("healthy s", (0, 4), (0, 2)),),
            10 * number,
            to_end=False,
            settings=_TIMEOUT,
            on_request=number > 20,  # noqa: PLR2004 - they take stock an hour
        )
    for name, kind in (("silent", silent), ("refused", refused)):
        found[f"dead-{name}"] = Scenario(
            {"dead": Hosts(kind, 50), "h": Hosts(Kind(), 50)},
            (Limit("time s", (0, 90), (0, 70)),),
            50,
            settings=_TIMEOUT,
        )
    return found


def _pages() -> dict[str, Scenario]:
    limits = (Limit("time s", (0, 15), (0, 5)),)
    return {
        name: Scenario({"bad": Hosts(Kind(bad=bad, status=500), 200)}, limits, 40)
        for name, bad in (("bad-row", (80, 120)), ("bad-end", (160, 200)))
    }


def _paces() -> dict[str, Scenario]:
    kinds = {
        "overload": (Kind(rate=20, burst=20), 1000, (2, 1.2)),
        "rate-5": (Kind(rate=5, burst=10, status=429), 200, (1.5, 1.1)),
        "rate-5-after": (Kind(rate=5, burst=10, status=429, retry_after=1), 200, (1.5, 1.1)),
    }
    return {name: _pace(*row) for name, row in kinds.items()}


def _pace(kind: Kind, pages: int, factors: tuple[float, float]) -> Scenario:
    ideal = (pages - kind.burst) / kind.rate
    bar, moonshot = ((0, factor * ideal) for factor in factors)
    limits = (Limit("time s", bar, moonshot), Limit("failed %", (0, 10), (0, 5)))
    return Scenario({"pace": Hosts(kind, pages)}, limits, least=ideal)


def _others() -> dict[str, Scenario]:
    well = {"h": Hosts(Kind(), 100)}
    limits = (Limit("time s", (1.5, 0), (1, 0)),)
    tries = {"RETRY_TIMES": 10}
    return {
        **{
            f"proxies-{dead}": Scenario(well, limits, settings=tries, dead_proxies=dead)
            for dead in (3, 7)
        },
        "handled": Scenario(
            {"error": Hosts(Kind(random=1, status=500), 40)},
            (_AS_STOCK,),
            arguments={"handled": 500},
        ),
    }


# --- runs ------------------------------------------------------------------------


def run(options: Options) -> Outcome:
    """Run the benchmark."""
    outcome = Outcome("whole crawls of sick sites, all settings at their defaults")
    for name, scenario in scenarios().items():
        if _is_wanted(name, scenario, options):
            _compare(name, scenario, outcome, options)
    return outcome


def _is_wanted(name: str, scenario: Scenario, options: Options) -> bool:
    if scenario.on_request or options.only in scenarios():
        return options.only == name
    return options.only in name and not (options.quick and name not in _QUICK)


def _compare(name: str, scenario: Scenario, outcome: Outcome, options: Options) -> None:
    figures: dict[str, list[Figures]] = {side: [] for side in _SIDES}
    for number in range(options.repeat(3)):
        for side, settings in _SIDES.items():
            folder = options.folder / f"{name}, {side} {number}"
            found, problems = _crawl(scenario, settings, folder, number, options)
            figures[side].append(found)
            if side == "ours":
                outcome.check(folder.name, problems)
    outcome.data[name] = figures
    _report(name, scenario, figures, outcome)


def _crawl(
    scenario: Scenario,
    settings: Mapping[str, object],
    folder: Path,
    number: int,
    options: Options,
) -> tuple[Figures, list[str]]:
    """The figures of a run, and what is wrong with them."""
    seed, limit = options.seed + number, options.limit + scenario.least
    kinds = {name: hosts.kind for name, hosts in scenario.hosts.items()}
    folder.mkdir(parents=True)
    with running_sick_site(seed, _LATENCY, kinds) as site:
        (folder / _URLS).write_text("\n".join(scenario.urls(site)), encoding="utf-8")
        proxies = {**scenario.proxies(site), "BENCH_SEED": seed}
        plan = Plan("pages", {"file": _URLS, **scenario.arguments}, settings)
        plan = plan.with_settings(scenario.settings, proxies)
        began, started = time.time(), time.perf_counter()
        child = start(plan, folder)
        try:
            result = finish(child, folder, started, limit)
        finally:
            if child.poll() is None:
                child.kill()
        hosts = site.stats()
    found = _figures(scenario, result, hosts, began)
    items, letters = _items(folder), job_report(folder)
    found["items"] = len(set(items))
    found["letters"] = letters.get("dead_letters", 0)
    found["pending"] = letters.get("pending", 0)
    found["ended"] = result.wall < limit
    problems = [f"{len(items) - len(set(items))} items twice"] * (len(items) > len(set(items)))
    missing = scenario.pages - found["items"] - found["letters"] - found["pending"]
    if missing and found["ended"] and not any(kind.chain for kind in kinds.values()):
        problems.append(f"{missing:g} pages are neither items nor dead letters nor pending")
    say(f"{folder.name}: {found['items']:g} items in {result.wall:.1f} s")
    return found, problems


def _items(folder: Path) -> list[str]:
    feed = folder / "items.jsonl"
    lines = feed.read_text(encoding="utf-8").splitlines(keepends=True) if feed.exists() else []
    return [json.loads(line)["url"] for line in lines if line.endswith("\n")]


def _figures(
    scenario: Scenario, result: Result, hosts: Mapping[str, Mapping[str, float]], began: float
) -> Figures:
    """What the site has counted."""
    refused = sum(
        count
        for key, count in result.stats.items()
        if key.startswith("downloader/exception_type") and "ConnectionRefused" in key
    )
    requests = refused + sum(host["requests"] for host in hosts.values())
    failed = requests - sum(host["pages"] for host in hosts.values())
    found = {"time s": result.wall, "requests": requests, "failed": failed}
    found["failed %"] = 100 * failed / max(requests, 1)
    if healthy := scenario.healthy():
        done = all(hosts.get(host, {}).get("pages", 0) >= n for host, n in healthy.items())
        last = max(hosts[host]["last"] for host in healthy) - began if done else result.wall
        found["healthy s"] = last
    if scenario.outage:
        begins = [host["outage"] or 0.0 for host in hosts.values()]
        found["after s"] = began + result.wall - max(begins, default=0.0) - scenario.outage
    return found


# --- what came out ---------------------------------------------------------------


def _report(
    name: str, scenario: Scenario, figures: Mapping[str, Sequence[Figures]], outcome: Outcome
) -> None:
    middles = {side: _middle(runs) for side, runs in figures.items()}
    done = sum(map(scenario.is_done, figures["ours"])) / len(figures["ours"])
    wanted = scenario.pages - scenario.lost
    asked = f"{wanted} items" + (f", {scenario.lost} letters" if scenario.to_end else "")
    met = {}
    for bar, share in (("bar", scenario.complete), ("moonshot", 1.0)):
        limits = _limits(scenario, bar, middles["stock"]["time s"])
        texts = [f"{asked} in {share:.0%}", *(f"{key} ≤ {most:.4g}" for key, most in limits)]
        found = [f"{done:.0%}", *(f"{key} {middles['ours'][key]:.4g}" for key, _ in limits)]
        met[bar] = done >= share and all(middles["ours"][key] <= most for key, most in limits)
        outcome.bar(f"{name}, {bar}: {'; '.join(texts)}", "; ".join(found), met=met[bar])
    for side, middle in middles.items():
        outcome.rows.append(_row(name, side, middle, f"{middle['items']:g} of {wanted}"))
    outcome.rows[-1] |= {key: "met" if value else "MISS" for key, value in met.items()}


def _limits(scenario: Scenario, bar: str, stock: float) -> list[tuple[str, float]]:
    """The most of each figure, for a bar or a moonshot."""
    chosen = [(limit.figure, getattr(limit, bar)) for limit in scenario.limits]
    return [(figure, most[0] * stock + most[1]) for figure, most in chosen if most]


def _middle(runs: Sequence[Figures]) -> Figures:
    found = {key: median(run[key] for run in runs) for key in runs[0]}
    worst = {"items": min(run["items"] for run in runs)}
    return found | worst | {"ended": min(run["ended"] for run in runs)}


_SHOWN = ("letters", "pending", "time s", "requests", "failed", "failed %")


def _row(name: str, side: str, middle: Figures, items: str) -> dict[str, object]:
    row: dict[str, object] = {"scenario": name, "side": side, "items": items}
    for key in _SHOWN:
        row[key] = round(middle[key], 1) if "s" in key.split() or "%" in key else middle[key]
    for key in ("healthy s", "after s"):
        row[key] = round(middle[key], 1) if key in middle else ""
    return row | {"ended": "yes" if middle["ended"] else "not ended", "bar": "", "moonshot": ""}
