"""What is said of a setting, and how its value is read: from Python, a text or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import Field, field
from math import inf
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from scrapy_resilience.core.masking import HIDDEN, mask_value
from scrapy_resilience.exceptions import ConfigurationError

__all__ = ["parse", "setting"]


def setting(
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


_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def parse(name: str, f: Field[Any], kind: Any, raw: Any) -> Any:
    """The value *raw* of the setting *name* as a *kind*.

    Raises :exc:`ConfigurationError` for a wrong type or a value out of range.
    """
    shown = HIDDEN if f.metadata["secret"] else repr(mask_value(raw))
    if get_origin(kind) in {UnionType, Union}:
        kind = _chosen(get_args(kind), raw)
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


def _chosen(kinds: tuple[Any, ...], raw: Any) -> Any:
    """Of a dict and something simpler."""
    is_dict = isinstance(raw, Mapping) or str(raw).lstrip().startswith("{")
    return next(kind for kind in kinds if (get_origin(kind) is Mapping) is is_dict)


_PLAIN: Final = {int: "whole numbers", float: "numbers", str: "texts"}


def _list(name: str, kind: Any, raw: Any, shown: str) -> tuple[Any, ...]:
    """A list; of numbers and texts also with commas, of texts among others with spaces."""
    if kind not in _PLAIN:
        if isinstance(raw, str) and str in get_args(kind):
            raw = raw if raw.lstrip().startswith(("[", "{")) else raw.split()
        return tuple(_structure(name, raw, shown, list))
    if kind is not str and isinstance(raw, (int, float)):
        raw = [raw]
    if isinstance(raw, str) and not raw.lstrip().startswith("["):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    try:
        return tuple(kind(value) for value in _structure(name, raw, shown, list))
    except (TypeError, ValueError, OverflowError):
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
    if not low <= value <= (inf if maximum is None else maximum):  # nor is NaN
        raise problem
    if kind is float and value > _MOST:
        raise ConfigurationError(f"{name}={shown}: use a number of at most {_MOST:g}.")
    return value


_MOST: Final = 1e9
"""Seconds: 32 years. From ten times as many on no thread can wait."""
