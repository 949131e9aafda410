"""Feeds as multisets of items: two are equal when the same items are in them as often."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Content = Counter[str]

_SHOWN = 3


def content(items: Iterable[Mapping[str, Any]], keys: Sequence[str] = ()) -> Content:
    """Items by content, as text, so that CSV and JSON compare; of *keys* only, if given."""
    return Counter(_canonical(item, keys) for item in items)


def _canonical(item: Mapping[str, Any], keys: Sequence[str]) -> str:
    chosen = keys or sorted(item)
    return json.dumps({key: str(item.get(key)) for key in chosen}, sort_keys=True)


def read_feed(path: Path) -> list[dict[str, Any]]:
    """The items of a JSON Lines or CSV feed; a torn line is an error."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file, strict=True))
        return [json.loads(line) for line in file]


def feed_problems(
    path: Path, expected: Iterable[Mapping[str, Any]], keys: Sequence[str] = ()
) -> list[str]:
    """How a feed differs from what must be in it."""
    try:
        found = content(read_feed(path), keys)
    except (OSError, ValueError, csv.Error) as error:
        return [f"{path.name} can't be read: {error!r}"]
    return [
        f"{path.name}: {problem}" for problem in differences(found, content(expected, keys))
    ]


def differences(found: Content, expected: Content) -> list[str]:
    """What is missing, and what is there too often."""
    return [
        f"{odd.total()} {word}, such as {', '.join(list(odd)[:_SHOWN])}"
        for word, odd in (("missing", expected - found), ("too many", found - expected))
        if odd
    ]
