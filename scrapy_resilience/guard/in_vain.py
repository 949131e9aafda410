"""Settings that do nothing because of another one: told at the start, and not refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience.core.abort import COVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.core.abort import Policy
    from scrapy_resilience.settings import Config

__all__ = ["conditions_in_vain", "settings_in_vain"]


def settings_in_vain(config: Config) -> Iterator[str]:
    """One line each, with what to change."""
    if config.notify and config.notify_enabled and not config.observe_enabled:
        yield (
            "RESILIENCE_NOTIFY: no notice is sent, as RESILIENCE_OBSERVE_ENABLED is off: turn "
            "it on"
        )
    watched = config.watchdog_enabled
    for is_on, setting, timeout, seconds in (
        (config.stall_close, "RESILIENCE_STALL_CLOSE",
         "RESILIENCE_STALL_TIMEOUT", config.stall_timeout),
        (config.callback_timeout_action == "cancel", "RESILIENCE_CALLBACK_TIMEOUT_ACTION",
         "RESILIENCE_CALLBACK_TIMEOUT", config.callback_timeout),
    ):  # fmt: skip
        if is_on and not watched:
            yield (
                f"{setting} does nothing, as RESILIENCE_WATCHDOG_ENABLED is off: turn it on, "
                "or remove the setting"
            )
        elif is_on and not seconds:
            yield f"{setting} does nothing, as {timeout} is 0: use seconds"


def conditions_in_vain(policy: Policy, *, coverage: bool, confidence: bool) -> Iterator[str]:
    """The conditions of *policy* that are never met, as nobody counts what they are about."""
    if policy.coverage and not coverage:
        yield (
            f"The abort policy {policy.name} has a condition, {COVERAGE}, that is never met: "
            "the fields of items are counted with ResilientScheduler and "
            "RESILIENCE_COVERAGE_ENABLED only"
        )
    if "confidence" in policy.limits and not confidence:
        yield (
            f"The abort policy {policy.name} has a condition, confidence, that is never met: "
            'set RESILIENCE_CONFIDENCE_FIELD, such as "_confidence", so that items are scored'
        )
