"""Every ``RESILIENCE_*`` setting: its type, default, range and meaning, defined once.

A setting ``RESILIENCE_CHECKPOINT_INTERVAL`` is the field ``checkpoint_interval`` of
:class:`Config`. Where values come from is told in :mod:`.settings_sources`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from scrapy_resilience.core.shown import HIDDEN, mask_value
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.settings import BaseSettings

__all__ = [
    "PREFIX",
    "PROFILES",
    "Config",
    "default_of",
    "fields_by_name",
    "misspelled",
    "unknown_setting",
]

PREFIX: Final = "RESILIENCE_"

_DEVELOPMENT: Final[dict[str, Any]] = {
    "snapshot_interval": 60.0,
    "snapshot_retention": 5,
    "snapshot_compression": False,
    "snapshot_encryption": False,
    "retry_policy": "development",
    "retry_concurrency": 3,
}

_STAGING: Final[dict[str, Any]] = {
    "snapshot_retention": 20,
    "retry_policy": "production",
    "retry_concurrency": 10,
}

_PRODUCTION: Final[dict[str, Any]] = {
    **_STAGING,
    "snapshot_encryption": True,  # said aloud: without a key there is a warning
}

PROFILES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "production": _PRODUCTION,
    "staging": _STAGING,
    "development": _DEVELOPMENT,
    "testing": _DEVELOPMENT,
}
"""What a profile changes, by field name. The rows grow with the features they tune."""


def _setting(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """*minimum* is the least number, or the fewest characters of a text that is not empty.

    A *default* of ``dict`` stands for an empty one.
    """
    metadata = {
        "meaning": meaning,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "secret": secret,
    }
    if default is dict:
        return field(default_factory=dict, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Config:
    """All settings of one crawl, parsed and checked."""

    enabled: bool = _setting(True, "Master switch of the add-on.")
    profile: str = _setting(
        "default", "Set of defaults to start from.", choices=tuple(PROFILES)
    )
    config_file: str = _setting("", "JSON or TOML file with settings, or empty.")
    scheduler_enabled: bool = _setting(True, "Use ResilientScheduler.")
    checkpoint_enabled: bool = _setting(True, "Commit the crawl's progress to the JOBDIR.")
    feeds_enabled: bool = _setting(True, "Write feeds of all kinds exactly once.")
    cookies_enabled: bool = _setting(True, "Keep cookies in the checkpoint.")
    deadletters_enabled: bool = _setting(True, "Record the requests that were given up.")
    filter_redirects: bool = _setting(
        False, "Drop a redirect to a page that was requested before, as Scrapy does."
    )
    uvloop_enabled: bool = _setting(
        True, "Run `scrapy crawl` and `runspider` on uvloop when it is installed."
    )
    checkpoint_interval: float = _setting(5.0, "Seconds between two commits.", minimum=0.01)
    checkpoint_align_timeout: float = _setting(
        1.0,
        "Seconds that a commit waits for running callbacks and pipelines to end.",
        minimum=0,
    )
    checkpoint_max_changes: int = _setting(
        20_000, "Changed requests after which a commit comes early.", minimum=1
    )
    prepare_timeout: float = _setting(
        30.0,
        "Seconds that one handler of checkpoint_prepare may take, and all of "
        "checkpoint_committed.",
        minimum=0.01,
    )
    handler_timeout: float = _setting(
        300.0,
        "Seconds that a failure handler may take, and the close of a duplicate filter; what "
        "takes longer has failed.",
        minimum=0.01,
    )
    feed_timeout: float = _setting(
        3600.0,
        "Seconds that the storage of a feed which is produced at the close may take; its items "
        "stay in the JOBDIR then.",
        minimum=0.01,
    )
    storage_timeout: float = _setting(
        300.0,
        "Seconds that commits may fail before the crawl closes with resilience_storage.",
        minimum=0,
    )
    power_loss_safe: bool = _setting(
        False, "Force feeds and the store to the disk at each commit."
    )
    shutdown_timeout: float = _setting(
        30.0,
        "Seconds from SIGINT or SIGTERM to the end of the process; 0 cuts off at once.",
        minimum=0,
    )
    snapshot_enabled: bool = _setting(
        True, "Copy the job to snapshots, from which it can be restored."
    )
    snapshot_interval: float = _setting(
        300.0, "Seconds between two snapshots; 0 makes none by time.", minimum=0
    )
    snapshot_items: int = _setting(
        0, "Scraped items after which a snapshot is made; 0 makes none by items.", minimum=0
    )
    snapshot_retention: int = _setting(
        10, "How many good snapshots of a job are kept.", minimum=1
    )
    snapshot_dir: str = _setting(
        "",
        "Folder of the snapshots, or a URL such as `s3://bucket/folder` with the extra "
        "`fsspec`; empty for `snapshots` in the JOBDIR.",
    )
    snapshot_timeout: float = _setting(
        3600.0,
        "Seconds that a snapshot may take; the crawl goes on without it then.",
        minimum=0.01,
    )
    snapshot_compression: bool = _setting(True, "Compress snapshots with zstd.")
    snapshot_encryption: bool = _setting(
        True,
        "Encrypt snapshots, and restore none that is plain, when RESILIENCE_ENCRYPTION_KEY is "
        "set.",
    )
    encryption_key: str = _setting(
        "",
        "Secret text with which snapshots are encrypted; set it in the environment.",
        minimum=16,
        secret=True,
    )
    allow_pickle: bool = _setting(
        True, "Pickle what has no plain form; when off, such requests stay in memory."
    )
    gc_freeze: bool = _setting(
        True, "Keep what exists when the crawl starts out of garbage collections."
    )
    rerun_start: bool = _setting(
        False, "On resume, run all of start() again, not only what it has not done yet."
    )
    finished_job: str = _setting(
        "refuse",
        "What a crawl does with a job that has finished: `refuse` is an error, `skip` ends at "
        "once with exit code 0, `anew` puts the job aside and begins again.",
        choices=("refuse", "skip", "anew"),
    )
    finished_jobs_kept: int = _setting(
        3, "Finished jobs that `anew` keeps beside the JOBDIR.", minimum=0
    )
    changed_arguments: str = _setting(
        "refuse",
        "What a crawl does when its spider arguments (`-a`) are not those of the job that it "
        "resumes: `refuse` is an error, `accept` goes on with the new ones.",
        choices=("refuse", "accept"),
    )
    gates_enabled: bool = _setting(
        True, "Gate domains: circuit breakers, holds, rate limits and slow start."
    )
    breaker_enabled: bool = _setting(True, "Circuit breakers for each domain.")
    breaker_failure_threshold: int = _setting(
        5,
        "Failures in a row that open a breaker, at least: of a domain that is flaky, and "
        "answers all the same, more. 0 turns this off.",
        minimum=0,
    )
    breaker_failure_rate: float = _setting(
        0.0,
        "Share of failures in the window that opens a breaker as well; 0 turns this off.",
        minimum=0,
        maximum=1,
    )
    breaker_window: float = _setting(
        60.0, "Seconds of which shares of failures and slow calls are taken.", minimum=0.01
    )
    breaker_min_calls: int = _setting(
        20, "Requests in the window below which no share counts.", minimum=1
    )
    breaker_first_trial: float = _setting(
        1.0,
        "Seconds after which an open breaker makes its first trial request; each that fails "
        "makes the wait half as long again. 0 waits for RESILIENCE_BREAKER_RECOVERY_TIMEOUT "
        "at once.",
        minimum=0,
    )
    breaker_recovery_timeout: float = _setting(
        300.0,
        "Seconds between two trial requests at most. Without early trials: before the first "
        "one, and each that fails doubles them.",
        minimum=0.001,
    )
    breaker_max_recovery_timeout: float = _setting(
        3600.0,
        "Seconds between two trial requests at most, without early trials.",
        minimum=0.001,
    )
    breaker_half_open_max: int = _setting(
        3, "Trial requests of a half-open breaker, one at a time.", minimum=1
    )
    breaker_success_threshold: int = _setting(
        1, "Trial requests that must succeed for a breaker to close.", minimum=1
    )
    breaker_trial_timeout: float = _setting(
        20.0, "Seconds after which a trial request without an answer has failed.", minimum=0.001
    )
    breaker_open_action: str = _setting(
        "hold",
        "What becomes of requests while a breaker is open: they wait, or fail with "
        "CircuitOpenError.",
        choices=("hold", "fail"),
    )
    breaker_give_up_after: tuple[float, ...] = _setting(
        (60.0, 3600.0),
        "Seconds after which the requests of a domain that is down go to the dead letters: of "
        "one that has never answered, and of one that has. One number is for both.",
        minimum=0,
    )
    breaker_max_trips: int = _setting(
        -1,
        "How often in a row a domain may reopen before its requests go to the dead letters; "
        "0 gives it up when it opens for the first time, -1 for any number.",
        minimum=-1,
    )
    breaker_statuses: tuple[int, ...] = _setting(
        (), "Statuses that alone count as failures of a domain; empty for what its class says."
    )
    breaker_exceptions: tuple[str, ...] = _setting(
        (), "Import paths of exceptions that alone count; empty for a network that fails."
    )
    breaker_slow_call_duration: float = _setting(
        0.0, "Seconds from which a response counts as slow; 0 turns this off.", minimum=0
    )
    breaker_slow_call_rate: float = _setting(
        1.0,
        "Share of slow responses in the window that opens a breaker.",
        minimum=0.001,
        maximum=1,
    )
    breaker_domain: str = _setting(
        "host",
        "What a breaker is for: the `host`, the `registered` domain, or the import path of a "
        "function that takes a request and gives a name.",
    )
    breaker_domains: Mapping[str, Any] = _setting(
        dict, "Other breaker settings for some domains: domain → name without prefix → value."
    )
    hold_timeout: float = _setting(
        3600.0,
        "Seconds for which a crawl waits when nothing but held requests is left, before it "
        "closes with resilience_held.",
        minimum=0,
    )
    bypass_timeout: float = _setting(
        10.0,
        "Seconds that a request which did not come from the scheduler waits for its domain.",
        minimum=0,
    )
    rate_limits: Mapping[str, Any] = _setting(
        dict, 'Domain → rate, such as "60/m" or "60/m burst 10"; "*" is for all others.'
    )
    adaptive_rate: bool = _setting(
        True, "Ask a domain that throttles as fast as it answers, and faster again in time."
    )
    crawl_delay_max: float = _setting(
        60.0,
        "Seconds of robots.txt's Crawl-delay that are heeded at most, with ROBOTSTXT_OBEY; "
        "0 ignores it.",
        minimum=0,
    )
    slow_start: float = _setting(
        1.0,
        "Seconds for which a domain that has not answered yet gets one request only; 0 turns "
        "this off.",
        minimum=0,
    )
    concurrent_items: int = _setting(
        1, "CONCURRENT_ITEMS that the add-on sets until pipelines are seen to wait.", minimum=1
    )
    retry_enabled: bool = _setting(True, "Use ClassifiedRetryMiddleware for retries.")
    retry_policy: str = _setting(
        "exponential_backoff", "Name of the policy that says how often and how late is retried."
    )
    retry_policies: Mapping[str, Any] = _setting(
        dict, 'Policies of your own, such as `{"patient": {"attempts": 8, "base": 10}}`.'
    )
    retry_after_max: float = _setting(
        300.0,
        "Seconds of Retry-After above which a request is given up, where the domain's action "
        "is `fail`; where it is `hold`, the domain is held as long as it asks for.",
        minimum=0,
    )
    retry_concurrency: int = _setting(
        5, "How many retries are downloaded at a time; those that wait don't count.", minimum=1
    )
    retry_budget: float = _setting(
        3.0,
        "Retries of a domain for each of its answers, above which retries wait longer; "
        "0 for no budget.",
        minimum=0,
    )
    retry_non_idempotent: bool = _setting(
        False, "Retry POST and PATCH also where the server may have acted on them already."
    )
    failure_patterns: Mapping[str, Any] = _setting(
        dict, "Failure class to patterns, searched in exceptions and in `HTTP <status>`."
    )
    body_patterns: Mapping[str, Any] = _setting(
        dict, "Failure class to patterns, searched in the beginning of each text body."
    )
    ban_detection: bool = _setting(True, "Take challenges and captchas for failures.")
    failure_handlers: Mapping[str, Any] = _setting(
        dict, "Failure class to the path of a function that says what is done."
    )
    inject: tuple[Any, ...] = _setting((), "Rules of failures to inject, for tests.")
    # --- selectors, drift, coverage ---
    selectors_dir: str = _setting(
        "selectors",
        "Folder of the project's selector sets, where new versions go; empty for none.",
    )
    drift_enabled: bool = _setting(
        True, "Watch what selector sets find, and raise an alarm when a field drifts."
    )
    drift_window: int = _setting(
        50,
        "Pages of a domain, the latest ones, that are compared with those before.",
        minimum=20,
    )
    drift_baseline: int = _setting(
        100,
        "Pages of a domain that must have come before a field can be said to drift.",
        minimum=20,
    )
    drift_domains: int = _setting(
        500,
        "Domains whose fields are watched; the one not seen for longest goes first.",
        minimum=1,
    )
    drift_action: str = _setting(
        "report",
        "What an alarm does to the set: nothing, back to an older version, or forward to one "
        "with the working fallback first.",
        choices=("report", "rollback", "promote"),
    )
    coverage_enabled: bool = _setting(
        True, "Count how many items have each of their fields, nested ones too."
    )
    # --- pipelines ---
    normalize: Mapping[str, Any] = _setting(
        dict,
        'Field to type of value, such as `{"price": "price"}`, or to a dict with `type`, `to` '
        'and hints; "*" has hints for all fields.',
    )
    unique: tuple[str, ...] = _setting(
        (),
        "Fields whose values together tell items apart, or the import path of a function that "
        "takes an item and gives what does: later items alike are dropped. Empty for none.",
    )
    confidence_field: str = _setting(
        "", "Field that gets the confidence of its item; empty for stats only."
    )
    confidence_minimum: float = _setting(
        0.75, "Confidence below which an item is doubtful.", minimum=0, maximum=1
    )
    confidence_action: str = _setting(
        "flag",
        "What becomes of a doubtful item: it is flagged, so that a feed may take or leave it, "
        "or dropped.",
        choices=("flag", "drop"),
    )
    confidence_weights: Mapping[str, Any] = _setting(
        dict, 'Other weights of the factors, such as `{"speed": 0}`.'
    )

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Config:
        """Parse and check the ``RESILIENCE_*`` values of Scrapy settings.

        Raises :exc:`ConfigurationError` for an unknown name, a wrong type or a value
        out of range.
        """
        known = fields_by_name()
        for name in settings:
            if str(name).startswith(PREFIX) and name not in known:
                raise unknown_setting(name)
        values = {
            f.name: _parse(name, f, settings.get(name))
            for name, f in known.items()
            if settings.get(name) is not None
        }
        return cls(**values)


def default_of(f: Field[Any]) -> Any:
    """The default of a setting."""
    return f.default if f.default_factory is MISSING else f.default_factory()


@cache
def fields_by_name() -> dict[str, Field[Any]]:
    """The fields of :class:`Config` by the full names of their settings."""
    return {PREFIX + f.name.upper(): f for f in fields(Config)}


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Config)


def unknown_setting(name: str, where: str = "") -> ConfigurationError:
    """The error for a name that is none, with the one that was meant."""
    known = [each.removeprefix(PREFIX) for each in fields_by_name()]  # all are alike with it
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    hint = f" Did you mean {PREFIX}{close[0]}?" if close else ""
    return ConfigurationError(f"{name}{where} is not a setting of scrapy_resilience.{hint}")


def misspelled(names: Iterable[str]) -> dict[str, str]:
    """Names that are like ours, but for their prefix, and the settings that they may mean."""
    found: dict[str, str] = {}
    for name in names:
        prefix = name[: name.find("_") + 1]
        if prefix != PREFIX and difflib.get_close_matches(prefix, [PREFIX], cutoff=_LIKE):
            meant = difflib.get_close_matches(name, fields_by_name(), n=1, cutoff=_LIKE)
            found.update((name, each) for each in meant)
    return found


_LIKE: Final = 0.85
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _parse(name: str, f: Field[Any], raw: Any) -> Any:
    kind = _types()[f.name]
    shown = HIDDEN if f.metadata["secret"] else repr(mask_value(raw))
    if kind is bool:
        text = str(raw).strip().lower()
        if text not in _TRUE | _FALSE:
            raise ConfigurationError(f"{name}={shown}: use True or False.")
        return text in _TRUE
    if kind is str:
        value = str(raw)
        if f.metadata["choices"] and value not in f.metadata["choices"]:
            raise ConfigurationError(
                f"{name}={shown}: use one of {', '.join(f.metadata['choices'])}."
            )
        minimum = f.metadata["minimum"]
        if minimum is not None and value and len(value) < minimum:
            raise ConfigurationError(f"{name}={shown}: use at least {minimum} characters.")
        return value
    if get_origin(kind) is Mapping:
        return _structure(name, raw, shown, dict)
    if get_origin(kind) is tuple:
        return _list(name, get_args(kind)[0], raw, shown)
    return _number(name, kind, f.metadata, raw, shown)


def _structure(name: str, raw: Any, shown: str, kind: type) -> Any:
    """A dict or a list, also as JSON: an environment variable can hold nothing else."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raw = None
    elif isinstance(raw, tuple):
        raw = list(raw)
    if not isinstance(raw, kind):
        raise ConfigurationError(f"{name}={shown}: use a {kind.__name__}, or its JSON.")
    return raw


_PLAIN: Final = {int: "whole numbers", float: "numbers", str: "texts"}


def _list(name: str, kind: Any, raw: Any, shown: str) -> tuple[Any, ...]:
    """A list; of numbers and texts also with commas."""
    if kind not in _PLAIN:
        return tuple(_structure(name, raw, shown, list))
    if kind is float and isinstance(raw, (int, float)):
        raw = [raw]
    if isinstance(raw, str) and not raw.lstrip().startswith("["):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    try:
        return tuple(kind(value) for value in _structure(name, raw, shown, list))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name}={shown}: use a list of {_PLAIN[kind]}.") from None


def _number(name: str, kind: type, bounds: Mapping[str, Any], raw: Any, shown: str) -> Any:
    minimum, maximum = bounds["minimum"], bounds["maximum"]
    allowed = "a whole number" if kind is int else "a number"
    if maximum is not None:
        allowed += f" from {minimum:g} to {maximum:g}"
    elif minimum is not None:
        allowed += f" of at least {minimum:g}"
    problem = ConfigurationError(f"{name}={shown}: use {allowed}.")
    if isinstance(raw, bool):
        raise problem
    try:
        value = kind(raw)
    except (TypeError, ValueError, OverflowError):
        raise problem from None
    if kind is int and isinstance(raw, float) and raw != value:
        raise problem
    low = -inf if minimum is None else minimum
    if not (isfinite(value) and low <= value <= (inf if maximum is None else maximum)):
        raise problem
    return value
