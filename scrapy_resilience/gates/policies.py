"""Which retry policy a request has, and how many retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.settings import SETTINGS_PRIORITIES

from scrapy_resilience._log import get_logger
from scrapy_resilience.core.backoff import RetryPolicy, policies_from
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.names import META_RETRY_POLICY
from scrapy_resilience.scheduling.requests import WrongMeta

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings

    from scrapy_resilience.settings import Config

__all__ = ["Choice", "PolicyChooser"]

logger = get_logger(__name__)

_SETTING: Final = "RESILIENCE_RETRY_POLICY"


class Choice(NamedTuple):
    """How a request is tried again."""

    policy: RetryPolicy
    retries: int | None
    """How many the request may have in all; None for as many as its domain is worth."""
    is_named: bool
    """Whether somebody has chosen the policy: its delays count, too."""


class PolicyChooser:
    """Chooses by the request's meta, the spider, the user's ``RETRY_TIMES``, the setting.

    What nobody has chosen follows the domain: see :class:`.Tries`.
    """

    def __init__(self, config: Config, settings: BaseSettings) -> None:
        self._known = policies_from(config.retry_policies, "RESILIENCE_RETRY_POLICIES")
        self._default = self._named(config.retry_policy, _SETTING)
        self._warned: set[str] = set()
        self._wrong_meta = WrongMeta()
        is_named = bool(settings.getpriority(_SETTING))
        retries = self._default.attempts - 1 if is_named else None
        if _decides("RETRY_TIMES", settings):
            retries = settings.getint("RETRY_TIMES")
        self._choice = Choice(self._default, retries, is_named)

    def of(self, request: Request, spider: Any, retries: int | None = None) -> Choice:
        """The choice for a request; *retries* go before ``RETRY_TIMES``."""
        choice = self._choice if retries is None else self._choice._replace(retries=retries)
        name = request.meta.get(META_RETRY_POLICY)
        if name is None:
            name = getattr(spider, META_RETRY_POLICY, None)
        if name is not None:
            choice = self._by_name(name)
        limit = request.meta.get("max_retry_times")
        is_number = isinstance(limit, (int, float))
        if not (limit is None or is_number):
            self._wrong_meta.tell("max_retry_times", request, "a whole number", limit)
        return choice._replace(retries=limit) if is_number else choice

    def _by_name(self, name: Any) -> Choice:
        try:
            policy = self._named(name, META_RETRY_POLICY)
        except ConfigurationError as error:
            if str(error) not in self._warned:  # once for a name, not for each failure
                self._warned.add(str(error))
                logger.warning("%s The policy of the settings is used", error)
            return self._choice
        return Choice(policy, policy.attempts - 1, is_named=True)

    def _named(self, name: Any, where: str) -> RetryPolicy:
        if isinstance(name, str) and name in self._known:
            return self._known[name]
        raise ConfigurationError(
            f"{where}={name!r}: no retry policy has this name: use one of "
            f"{', '.join(self._known)}, or define it in RESILIENCE_RETRY_POLICIES."
        )


def _decides(name: str, settings: BaseSettings) -> bool:
    """Whether the user's own *name* counts, and not the attempts of a spider's policy."""
    own = settings.getpriority(name) or 0
    policy = settings.getpriority(_SETTING) or 0
    return own > 0 and not (policy >= SETTINGS_PRIORITIES["spider"] and policy > own)
