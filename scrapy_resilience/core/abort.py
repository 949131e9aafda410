"""When a crawl is to end early: conditions, policies that are made of them, what they come to.

A condition compares one value of the crawl with one limit. All of a policy are looked at each
time, the met ones and the others: so it can be shown how far the crawl is from its end.

====================  ====================================================  ================
condition             value                                                 met
====================  ====================================================  ================
failure_rate          share of the last operations that failed              at the limit
failures_in_a_row     failures with no success between them                 at the limit
no_item_for           seconds without an item in which pages came or could  at the limit
cost                  what was spent                                        at the limit
open_domains          share of the domains whose breaker is not closed      at the limit
coverage              share of the last items that have a field             below the limit
confidence            mean score of the last items                          below the limit
drift_alarms          alarms of selector sets                               at the limit
dead_letters          requests that were given up                           at the limit
function              what a function of the user's says                    where it says so
====================  ====================================================  ================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from scrapy_resilience.core.masking import clipped
from scrapy_resilience.exceptions import ConfigurationError

__all__ = [
    "ACTIONS", "COVERAGE", "FUNCTION", "POLICIES", "Condition", "Facts", "Policy", "evaluate",
    "policies_from", "sentence",
]  # fmt: skip

ACTIONS: Final = ("snapshot", "notify", "pause", "close")
"""In the order in which they are done."""
COVERAGE: Final = "coverage"
FUNCTION: Final = "function"


class _Kind(NamedTuple):
    """What limits a condition may have, and how its value is told."""

    told: str
    most: float = 1e15
    is_whole: bool = False
    is_least: bool = False
    """Whether it is met below its limit."""


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "failure_rate": _Kind("{:.0%} of the last requests failed", 1.0),
        "failures_in_a_row": _Kind("{:.0f} failures in a row", is_whole=True),
        "no_item_for": _Kind("no item for {:.0f} s"),
        "cost": _Kind("a cost of {:.6g}"),
        "open_domains": _Kind("{:.0%} of the domains are left alone", 1.0),
        "confidence": _Kind("a mean confidence of {:.2f}", 1.0, is_least=True),
        "drift_alarms": _Kind("{:.0f} drift alarms", is_whole=True),
        "dead_letters": _Kind("{:.0f} dead letters", is_whole=True),
    }
)
_FIELD: Final = _Kind("{:.0%} of the last items have the field", 1.0, is_least=True)
_MOST_FIELDS: Final = 50
_LONGEST_FIELD: Final = 200
_LONGEST_VALUE: Final = 100
_is_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}").fullmatch
_TAKEN: Final = frozenset({"off", "on", "handler"})
"""Values of the setting, and what another close reason is called."""


class Policy(msgspec.Struct, frozen=True):
    """Limits by condition, and what is done where one is met."""

    name: str
    limits: Mapping[str, float] = {}
    coverage: Mapping[str, float] = {}
    """The least share by field: a path, or an item type, a slash and a path."""
    function: Any = None
    """A function of the user's, or its import path."""
    actions: tuple[str, ...] = ("snapshot", "notify", "close")


def _built_in(name: str, rate: float, row: int, seconds: float | None = None) -> Policy:
    limits: dict[str, float] = {"failure_rate": rate, "failures_in_a_row": row}
    if seconds is not None:
        limits["no_item_for"] = seconds
    return Policy(name, limits)


POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "conservative": _built_in("conservative", 0.5, 50, 1800.0),
        "production": _built_in("production", 0.3, 30, 900.0),
        "development": replace(
            _built_in("development", 0.9, 200), actions=("snapshot", "close")
        ),
    }
)


# --- policies of the user's -----------------------------------------------------------------


def policies_from(raw: Mapping[str, Any], setting: str) -> dict[str, Policy]:
    """The built-in policies, changed and completed by the value of a *setting*.

    Raises :exc:`ConfigurationError`, whose text names what to change.
    """
    found = dict(POLICIES)
    for name, told in raw.items():
        where = f"{setting}[{name!r}]"
        if not _is_name(str(name)) or name in _TAKEN:
            raise ConfigurationError(
                f"{where}: use letters, digits, _ and - for the name of an abort policy, and "
                f"none of {', '.join(sorted(_TAKEN))}."
            )
        if not isinstance(told, Mapping):
            raise ConfigurationError(f"{where}={_shown(told)}: use a dict of conditions.")
        found[name] = _changed(found.get(name) or Policy(str(name)), told, where)
    return found


def _changed(policy: Policy, told: Mapping[str, Any], where: str) -> Policy:
    """*policy* with what is *told*; None takes a condition away."""
    limits, changes = dict(policy.limits), dict[str, Any]()
    for name, value in told.items():
        place = f"{where}[{name!r}]"
        if name == "actions":
            changes["actions"] = _actions(value, place)
        elif name == COVERAGE:
            changes["coverage"] = _fields(value, place)
        elif name == FUNCTION:
            changes["function"] = value
        elif name not in _KINDS:
            known = ", ".join([*_KINDS, COVERAGE, FUNCTION, "actions"])
            raise ConfigurationError(
                f"{place}: no condition has this name: use one of {known}."
            )
        elif value is None:
            limits.pop(name, None)
        else:
            limits[name] = _limit(value, _KINDS[name], place)
    found = replace(policy, limits=limits, **changes)
    if not (found.limits or found.coverage or found.function is not None):
        raise ConfigurationError(f"{where}: this abort policy has no condition.")
    return found


def _limit(value: Any, kind: _Kind, place: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_within = is_number and 0 < value <= kind.most  # nor is NaN
    if is_within and (not kind.is_whole or value == int(value)):
        return float(value)
    allowed = "a whole number, 1 or more" if kind.is_whole else "a number above 0"
    allowed = "a number above 0, and 1 at most" if kind.most == 1 else allowed
    raise ConfigurationError(f"{place}={_shown(value)}: use {allowed}.")


def _fields(value: Any, place: str) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > _MOST_FIELDS:
        raise ConfigurationError(
            f"{place}={_shown(value)}: use a dict of fields and their least share, "
            f"{_MOST_FIELDS} of them at most."
        )
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_FIELD:
            raise ConfigurationError(f"{place}: {name!r} is not the name of a field.")
    return {name: _limit(each, _FIELD, f"{place}[{name!r}]") for name, each in value.items()}


def _actions(value: Any, place: str) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    is_list = isinstance(given, (list, tuple)) and bool(given)
    if not is_list or not all(each in ACTIONS for each in given):
        raise ConfigurationError(f"{place}={_shown(value)}: use some of {', '.join(ACTIONS)}.")
    return tuple(each for each in ACTIONS if each in given)


def _shown(value: Any) -> str:
    try:
        return clipped(repr(value), _LONGEST_VALUE)
    except Exception:  # noqa: BLE001 - of a class of the user's, or a number without end
        return type(value).__name__


# --- what they come to ----------------------------------------------------------------------


class Condition(msgspec.Struct, frozen=True):
    """One condition, looked at."""

    name: str
    """That of the setting; ``coverage.price`` for a field."""
    value: float | None
    """None while it is not known. Of a function 1 where it is met, else 0."""
    limit: float | None
    """None where no policy is on, or the policy does not have the condition."""
    met: bool
    text: str
    """What that means, in a few words."""


class Facts(msgspec.Struct, frozen=True):
    """What is so in the crawl."""

    values: Mapping[str, float | None] = {}
    """By condition."""
    coverage: Mapping[str, float | None] = {}
    """By field."""
    function: str | None = None
    """Why the user's function is against going on, as it has said last; None where it is not
    or has not answered yet."""
    asked: bool = False
    """Whether it has answered when it was asked last."""


def evaluate(policy: Policy | None, facts: Facts) -> tuple[Condition, ...]:
    """Every condition with its value, and with the limit that *policy* has for it.

    Without one no limit is known, and none is met.
    """
    limits: Mapping[str, float] = {} if policy is None else policy.limits
    found = [_judged(name, kind, facts.values.get(name), limits.get(name))
             for name, kind in _KINDS.items()]  # fmt: skip
    if policy is None:
        return tuple(found)
    for name, least in policy.coverage.items():
        share = facts.coverage.get(name)
        found.append(_judged(f"{COVERAGE}.{name}", _FIELD, share, least))
    if policy.function is not None:
        met = facts.function is not None
        value = float(met) if met or facts.asked else None
        text = facts.function or ("it is content" if facts.asked else "not asked yet")
        found.append(Condition(FUNCTION, value, 1.0, met, text))
    return tuple(found)


def _judged(name: str, kind: _Kind, value: float | None, limit: float | None) -> Condition:
    met = False
    if value is not None and limit is not None:
        met = value < limit if kind.is_least else value >= limit
    text = "not known" if value is None else kind.told.format(value)
    return Condition(name, value, limit, met, text)


def sentence(met: list[Condition]) -> str:
    """Why a crawl ends: ``31 failures in a row (limit: 30), a cost of 5.1 (limit: 5)``."""
    return ", ".join(
        each.text if each.name == FUNCTION
        else f"{_named(each)} (limit: {each.limit:.6g})"
        for each in met
    )  # fmt: skip


def _named(condition: Condition) -> str:
    _, _, path = condition.name.partition(f"{COVERAGE}.")
    return condition.text.replace("the field", path) if path else condition.text
