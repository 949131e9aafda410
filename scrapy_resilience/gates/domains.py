"""Which domain a request belongs to, and what the settings say of it."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import asdict
from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.misc import load_object

from scrapy_resilience import names
from scrapy_resilience._log import get_logger
from scrapy_resilience.core.breakerconfig import BreakerConfig
from scrapy_resilience.core.gate import Patience
from scrapy_resilience.core.ratelimit import Rate, parse_rate
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.scheduling.slots import slot_name
from scrapy_resilience.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["Domains", "host"]

logger = get_logger(__name__)

_ACTIONS: Final = ("hold", "fail")
"""What can become of requests while the breaker is open."""

_TWO: Final = 2
_OF_A_GATE: Final = frozenset({"give_up_after", "max_trips", "open_action"})
_NEVER: Final = {"failure_threshold": 0, "failure_rate": 0.0, "slow_call_duration": 0.0}


def host(request: Request) -> str:
    """Without the port; empty where a URL has none."""
    return urlparse_cached(request).hostname or ""


@cache
def _extract() -> Any:
    """The list of public suffixes comes with tldextract: nothing is fetched."""
    from tldextract import TLDExtract  # noqa: PLC0415 - takes long, and few need it

    return TLDExtract(suffix_list_urls=(), cache_dir=None)


def _registered(request: Request) -> str:
    """``example.co.uk`` for ``news.example.co.uk``."""
    found = _extract()(host(request))
    return f"{found.domain}.{found.suffix}" if found.suffix else host(request)


class _Own(NamedTuple):
    """What one domain has."""

    breaker: BreakerConfig
    open_action: str
    patience: Patience


class Domains:
    """Raises :exc:`ConfigurationError` for a setting that no breaker or limit can have."""

    def __init__(self, settings: BaseSettings, config: Config) -> None:
        self.of = _domain_function(config.breaker_domain)
        """The domain of a request, as text without tabs."""
        is_host = config.breaker_domain in {"host", "registered"}
        key = _host_key if is_host else str
        self.is_slot = self.of is host and not settings.getint("CONCURRENT_REQUESTS_PER_IP")
        """Whether a request without meta has its host as domain and as download slot."""
        self._default = default = _Own(
            _breaker(config),
            config.breaker_open_action,
            _patience(f"{PREFIX}BREAKER_GIVE_UP_AFTER", config.breaker_give_up_after)._replace(
                trips=config.breaker_max_trips
            ),
        )
        self._others = {
            key(domain): _override(domain, values, default)
            for domain, values in config.breaker_domains.items()
        }
        self._rates = {
            key(domain): _rate(domain, value) for domain, value in config.rate_limits.items()
        }

    def breaker(self, domain: str) -> BreakerConfig:
        return self._others.get(domain, self._default).breaker

    def action(self, domain: str) -> str:
        return self._others.get(domain, self._default).open_action

    def open_action(self, request: Request) -> str:
        """``"hold"`` or ``"fail"``: what becomes of a request while its breaker is open."""
        action: Any = request.meta.get(names.META_OPEN_ACTION)
        return str(action) if action in _ACTIONS else self.action(self.of(request))

    def patience(self, domain: str) -> Patience:
        return self._others.get(domain, self._default).patience

    def rate(self, domain: str) -> Rate | None:
        """The rate limit of the settings."""
        return self._rates.get(domain) or self._rates.get("*")


def _host_key(name: Any) -> str:
    """A host as it is in the URL of a request."""
    try:
        return str(name).encode("idna").decode().lower()
    except UnicodeError:  # no URL has such a host
        return str(name)


def _domain_function(value: str) -> Callable[[Request], str]:
    if value == "host":
        return host
    if value == "registered":
        return _registered
    try:
        found: Callable[[Request], str] = load_object(value)
        if not callable(found):
            raise ValueError("it is none")  # noqa: TRY004, TRY301 - as for a wrong path
    except (ImportError, NameError, ValueError) as error:
        raise ConfigurationError(
            f"{PREFIX}BREAKER_DOMAIN={value!r}: use host, registered, or the import path of a "
            f"function ({error})."
        ) from None
    return _guarded(found)


def _guarded(function: Callable[[Request], Any]) -> Callable[[Request], str]:
    """A user's function: what it gives is made text, and where it fails the host counts."""
    failed = False

    def domain(request: Request) -> str:
        nonlocal failed
        try:
            return slot_name(function(request)).replace("\t", " ")
        except Exception:
            if not failed:
                logger.exception("%sBREAKER_DOMAIN fails: the host counts instead", PREFIX)
            failed = True
            return host(request)

    return domain


def _patience(setting: str, value: Any) -> Patience:
    """Seconds for a domain that has never answered, and for one that has; or one for both."""
    values = value if isinstance(value, (list, tuple)) else (value, value)
    if len(values) == 1:
        values = (*values, *values)
    if len(values) != _TWO or not all(_is_duration(each) for each in values):
        raise ConfigurationError(
            f"{setting}={value!r}: use seconds, or two numbers of seconds: for a domain that "
            f"has never answered, and for one that has."
        )
    return Patience(float(values[0]), float(values[1]))


def _is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < inf


def _breaker(config: Config) -> BreakerConfig:
    values = {
        name: getattr(config, f"breaker_{name}")
        for name in BreakerConfig.__struct_fields__
        if hasattr(config, f"breaker_{name}")
    }
    if not config.breaker_enabled:
        values |= _NEVER
    try:
        return BreakerConfig(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{PREFIX}BREAKER_{_named(error)}") from None


def _named(error: ConfigurationError) -> str:
    """The name of the field that an error begins with, as the setting has it."""
    name, sign, rest = str(error).partition("=")
    return name.upper() + sign + rest


def _override(domain: str, values: Any, base: _Own) -> _Own:
    setting = f"{PREFIX}BREAKER_DOMAINS: {domain}"
    known = {*BreakerConfig.__struct_fields__} | _OF_A_GATE
    if not isinstance(values, dict) or (unknown := values.keys() - known):
        what = sorted(unknown) if isinstance(values, dict) else repr(values)
        allowed = ", ".join(sorted(known))
        raise ConfigurationError(f"{setting}: {what}: use a table of {allowed}.")
    values = dict(values)
    action = values.pop("open_action", base.open_action)
    if action not in _ACTIONS:
        raise ConfigurationError(f"{setting}: open_action={action!r}: use hold or fail.")
    trips = values.pop("max_trips", base.patience.trips)
    if not isinstance(trips, int) or isinstance(trips, bool) or trips < -1:
        raise ConfigurationError(f"{setting}: max_trips={trips!r}: use a whole number from -1.")
    patience = base.patience
    if "give_up_after" in values:
        patience = _patience(f"{setting}: give_up_after", values.pop("give_up_after"))
    try:
        breaker = BreakerConfig(**{**asdict(base.breaker), **values})
    except ConfigurationError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    return _Own(breaker, action, patience._replace(trips=trips))


def _rate(domain: str, value: Any) -> Rate:
    try:
        return parse_rate(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{PREFIX}RATE_LIMITS: {domain}: {error}.") from None
