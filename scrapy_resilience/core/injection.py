"""Failures that happen on purpose, to the same requests in each run.

Whether a rule hits is a hash of its seed, the URL and the number of the try: not of a
random number generator, whose numbers would go to whichever request comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rule", "rules_from"]


@dataclass(frozen=True)
class Rule:
    """One kind of failure, and the requests that it hits.

    ``pattern`` is searched in the URL. ``probability`` is the share of tries that are hit.
    One of ``status`` (answered with ``headers`` and ``body``), ``exception`` (the path of
    a class) and ``delay`` (seconds, before the request goes on) is what happens.
    """

    pattern: str = ""
    probability: float = 1.0
    status: int | None = None
    headers: dict[str, str] | None = None
    body: str = ""
    exception: str | None = None
    delay: float | None = None
    seed: int = 0

    def hits(self, url: str, attempt: int) -> bool:
        """Whether try number *attempt* of *url* fails."""
        if not re.search(self.pattern, url):
            return False
        key = f"{self.seed}\0{attempt}\0{url}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        return number < self.probability * 2**64


def rules_from(values: Sequence[Any], setting: str) -> list[Rule]:
    """The checked rules of a setting; raises :exc:`ConfigurationError`, which names it."""
    return [_rule(value, f"{setting}[{number}]") for number, value in enumerate(values)]


_KEYS: Final = [field.name for field in fields(Rule)]
_SECONDS: Final = 86_400


def _rule(value: Any, where: str) -> Rule:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}={value!r}: use a dict such as {{'status': 503}}.")
    for key in value:
        if key not in _KEYS:
            raise ConfigurationError(f"{where}: {key!r} is not a key: use {', '.join(_KEYS)}.")
    if sum(value.get(key) is not None for key in ("status", "exception", "delay")) != 1:
        raise ConfigurationError(f"{where}: use one of status, exception and delay.")
    rule = Rule(**value)
    _check_range(f"{where} probability", rule.probability, 0, 1)
    if rule.status is not None:
        _check_range(f"{where} status", rule.status, 200, 599)
        _check_answer(value, where)
    if rule.delay is not None:
        _check_range(f"{where} delay", rule.delay, 0, _SECONDS)
    try:
        re.compile(rule.pattern)
    except (re.error, TypeError) as error:
        raise ConfigurationError(
            f"{where}: {rule.pattern!r} is not a regular expression: {error}."
        ) from None
    return rule


def _check_answer(value: dict[str, Any], where: str) -> None:
    status, headers, body = value["status"], value.get("headers") or {}, value.get("body", "")
    if not isinstance(status, int):
        raise ConfigurationError(f"{where} status={status!r}: use a whole number.")
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise ConfigurationError(f"{where} headers={headers!r}: use a dict of texts.")
    if not isinstance(body, str):
        raise ConfigurationError(f"{where} body={body!r}: use a text.")


def _check_range(where: str, value: Any, least: float, most: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise ConfigurationError(f"{where}={value!r}: use a number from {least} to {most}.")
