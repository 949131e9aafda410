"""Settings and components that get in each other's way: each is what the sources say.

Those that can't work at all are refused by the add-on; these work, but not as one may think.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.extensions.httpcache import DummyPolicy
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.misc import load_object

from scrapy_resilience.core.access import is_loopback
from scrapy_resilience.core.findings import Finding, Level
from scrapy_resilience.core.masking import mask_uri
from scrapy_resilience.doctor.libraries import uses_playwright
from scrapy_resilience.downloadermiddlewares.cookies import DurableCookiesMiddleware
from scrapy_resilience.downloadermiddlewares.retry import ClassifiedRetryMiddleware
from scrapy_resilience.files.feed_places import local_path
from scrapy_resilience.settings import PREFIX, fields_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

    Rule = Callable[[BaseSettings, Config], Iterator[Finding]]

__all__ = ["judge_settings"]

_MANY: Final = 100
_DOCUMENTS: Final = frozenset({"json", "xml"})
_PLACES: Final = ("project", "spider", "cmdline")


def judge_settings(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    """*settings* as the add-on has left them."""
    for rule in _RULES:
        yield from rule(settings, config)


def _clash(level: Level, what: str, advice: str) -> Finding:
    return Finding("settings", level, what, advice)


def _concurrency(settings: BaseSettings, _: Config) -> Iterator[Finding]:
    total = settings.getint("CONCURRENT_REQUESTS")
    domain = settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")
    if 0 < total < domain:
        yield _clash(
            "note",
            f"CONCURRENT_REQUESTS_PER_DOMAIN={domain} is never reached: CONCURRENT_REQUESTS is "
            f"{total}",
            "raise CONCURRENT_REQUESTS, or lower the other",
        )
    threads = settings.getint("REACTOR_THREADPOOL_MAXSIZE")
    with_reactor = settings.getbool("TWISTED_REACTOR_ENABLED")
    if with_reactor and total >= _MANY > threads * 5:
        yield _clash(
            "note",
            f"CONCURRENT_REQUESTS={total}, and {threads} threads look up the names of hosts",
            "set REACTOR_THREADPOOL_MAXSIZE=20 or more for a crawl of many domains",
        )


def _pace(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    if settings.getbool("AUTOTHROTTLE_ENABLED") and (
        config.rate_limits or config.adaptive_rate
    ):
        start = settings.getfloat("AUTOTHROTTLE_START_DELAY")
        yield _clash(
            "note",
            "AUTOTHROTTLE_ENABLED and the rates of this package both hold, and the slower one "
            f"counts: AutoThrottle begins with {start:g} s between two requests of a domain",
            "keep one of them: RESILIENCE_RATE_LIMITS says how often, and a domain that "
            "throttles is asked less by itself",
        )
    is_set = settings.getpriority(f"{PREFIX}CRAWL_DELAY_MAX") is not None
    if is_set and config.crawl_delay_max and not settings.getbool("ROBOTSTXT_OBEY"):
        yield _clash(
            "note",
            "RESILIENCE_CRAWL_DELAY_MAX does nothing, as robots.txt is not read",
            "set ROBOTSTXT_OBEY=True, or remove it",
        )


def _cache(settings: BaseSettings, _: Config) -> Iterator[Finding]:
    if not settings.getbool("HTTPCACHE_ENABLED"):
        return
    if _load(settings["HTTPCACHE_POLICY"]) is not DummyPolicy:
        return
    failures = {int(code) for code in settings.getlist("RETRY_HTTP_CODES")}
    kept = sorted(
        failures - {int(code) for code in settings.getlist("HTTPCACHE_IGNORE_HTTP_CODES")}
    )
    if kept:
        codes = ", ".join(map(str, kept))
        yield _clash(
            "warning",
            f"HTTPCACHE_ENABLED keeps pages of failures, too ({codes}): later runs are given "
            "them without asking the site",
            f"set HTTPCACHE_IGNORE_HTTP_CODES=[{codes}]",
        )


def _feeds(settings: BaseSettings, _: Config) -> Iterator[Finding]:
    for uri, options in settings.getdict("FEEDS").items():
        form, path = options.get("format"), local_path(str(uri))
        if path is None or form not in _DOCUMENTS or options.get("overwrite"):
            continue
        if "%" not in path and Path(path).is_file() and Path(path).stat().st_size:
            yield _clash(
                "warning",
                f"the feed {mask_uri(str(uri))} is there already: a second {form} document "
                "behind the first one makes a file that nobody can read",
                'set "overwrite": True, put %(time)s into its name, or use jsonlines',
            )


def _logs(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    if not settings["LOG_FILE"]:
        return
    if settings["JOBDIR"] and not settings.getbool("LOG_FILE_APPEND"):
        yield _clash(
            "warning",
            "LOG_FILE_APPEND is off: a run that goes on with a job empties the log of the run "
            "that was killed",
            "remove LOG_FILE_APPEND=False",
        )
    if config.log_dir:
        yield _clash(
            "note",
            "LOG_FILE and RESILIENCE_LOG_DIR both write the log to the disk",
            "remove LOG_FILE: the files of RESILIENCE_LOG_DIR rotate",
        )


def _memory(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    theirs, ours = settings.getint("MEMUSAGE_LIMIT_MB"), config.memory_limit_mb
    is_on = settings.getbool("MEMUSAGE_ENABLED") and config.watchdog_enabled
    if is_on and 0 < theirs <= ours:
        yield _clash(
            "warning",
            f"MEMUSAGE_LIMIT_MB={theirs} closes a crawl for the most memory that it ever had, "
            f"before RESILIENCE_MEMORY_LIMIT_MB={ours:g} has eased it off",
            "remove MEMUSAGE_LIMIT_MB, or make it the larger one",
        )


def _classes(settings: BaseSettings) -> list[type]:
    enabled = settings.get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES")
    return [each for each in map(_load, enabled) if isinstance(each, type)]


def _proxies(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    modules = {base.__module__ for each in _classes(settings) for base in each.__mro__}
    if config.retry_enabled and "rotating_proxies.middlewares" in modules:
        times = settings.getint("ROTATING_PROXY_PAGE_RETRY_TIMES", 5)
        yield _clash(
            "note",
            f"rotating_proxies tries a page {times} times more, with another proxy at once, "
            "before RESILIENCE_RETRY_POLICY does",
            "lower ROTATING_PROXY_PAGE_RETRY_TIMES where that is too often",
        )


def _twice(settings: BaseSettings, _: Config) -> Iterator[Finding]:
    classes = _classes(settings)
    for stock, ours, does in (
        (RetryMiddleware, ClassifiedRetryMiddleware, "tries requests again"),
        (CookiesMiddleware, DurableCookiesMiddleware, "has a jar of cookies"),
    ):
        others = [
            each for each in classes if issubclass(each, stock) and not issubclass(each, ours)
        ]
        for each in others if ours in classes else ():
            name = f"{each.__module__}.{each.__qualname__}"
            yield _clash(
                "problem" if each is stock else "warning",
                f"{name} {does} beside {ours.__name__}",
                f'set "{name}": None in DOWNLOADER_MIDDLEWARES',
            )


def _browser(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    if not (config.browser_enabled and uses_playwright(settings)):
        return
    navigation = settings.getfloat("PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT") / 1000
    most = settings.getfloat("DOWNLOAD_TIMEOUT")
    if navigation > most:
        yield _clash(
            "note",
            f"PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT ({navigation:g} s) is never reached: "
            f"DOWNLOAD_TIMEOUT={most:g} ends a page before",
            "raise DOWNLOAD_TIMEOUT, or lower the other",
        )


def _secrets(settings: BaseSettings, config: Config) -> Iterator[Finding]:
    is_open = config.http_insecure and not is_loopback(config.http_host)
    if config.http_enabled and is_open and not config.http_token:
        yield _clash(
            "warning",
            "RESILIENCE_HTTP_INSECURE shows the crawl to whoever can reach this machine",
            "set RESILIENCE_HTTP_TOKEN in the environment",
        )
    written = {SETTINGS_PRIORITIES[place] for place in _PLACES}
    for name, field in fields_by_name().items():
        is_secret = field.metadata["secret"] and getattr(config, field.name)
        if is_secret and settings.getpriority(name) in written:
            yield _clash(
                "note",
                f"{name} is written in the project's settings or on the command line",
                "set it in the environment: code is shared, and command lines are seen",
            )


def _load(key: Any) -> Any:
    try:
        return load_object(key)
    except Exception:  # noqa: BLE001 - Scrapy says what is wrong with it
        return None


_RULES: Final[tuple[Rule, ...]] = (
    _concurrency,
    _pace,
    _cache,
    _feeds,
    _logs,
    _memory,
    _twice,
    _proxies,
    _browser,
    _secrets,
)
