"""What metrics and labels of users may be called. Raises :exc:`.ConfigurationError`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["checked_labels", "checked_name", "is_name"]

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS: Final = "scrapy_"
_ENDINGS: Final = ("_bucket", "_count", "_created", "_info", "_sum", "_total")
_LABELS: Final = frozenset({"le", "quantile", "spider"})


def is_name(name: str) -> bool:
    """Whether all versions of Prometheus take it, as the name of a metric or of a label."""
    return bool(_NAME.fullmatch(name))


def checked_name(name: Any, kind: str) -> str:
    """The name of a metric, a counter's without ``_total``."""
    short = name.removesuffix("_total") if isinstance(name, str) and kind == "counter" else name
    problem = ""
    if not isinstance(name, str) or not is_name(short):
        problem = "use letters, digits and _, and no digit first"
    elif name.startswith(_OURS):
        problem = f"names that begin with {_OURS} are Scrapy's and ours"
    elif short.endswith(_ENDINGS):
        problem = f"the ending of a {kind} can't be {short[short.rfind('_') :]}"
    if problem:
        raise ConfigurationError(f"The metric {name!r} can't be made: {problem}.")
    return short


def checked_labels(owner: str, labels: Iterable[Any]) -> tuple[str, ...]:
    """The names of labels. *owner*, in words, is what an error is about."""
    if isinstance(labels, str):
        raise ConfigurationError(f"{owner}: labels={labels!r}: use a list of names.")
    found = tuple(labels)
    for label in found:
        if not (isinstance(label, str) and is_name(label)) or label.startswith("__"):
            problem = "use letters, digits and _, and neither a digit nor two _ first"
        elif label in _LABELS:
            problem = "that is a label of Prometheus or of the add-on"
        elif found.count(label) > 1:
            problem = "it is there twice"
        else:
            continue
        raise ConfigurationError(f"{owner}: the label {label!r}: {problem}.")
    return found
