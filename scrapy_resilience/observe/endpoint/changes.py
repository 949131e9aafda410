"""What of a view has changed since somebody looked: the messages of ``/events``.

A part of the view that has changed is sent whole. Domains, error groups, events and stats are
rows that are known by a key: of these, only changed ones are sent, so many at a time. The
history is left out: ``/status.json`` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrapy_resilience.observe.view import View

__all__ = ["Changes"]

_ROWS: Final[dict[str, Callable[[View], tuple[Sequence[Any], Sequence[Any]]]]] = {
    "domains": lambda view: ([row.name for row in view.domains], view.domains),
    "errors": lambda view: ([row.number for row in view.errors], view.errors),
    "events": lambda view: ([row.number for row in view.events], view.events),
    "stats": lambda view: (list(view.stats), list(view.stats.items())),
}
"""Parts that are rows: their keys, and the rows. Those of stats are pairs."""
_LEFT_OUT: Final = {*_ROWS, "history"}
_MOST: Final = 200
"""Rows of one part that one update takes: the others come with the next ones."""
_FORGET: Final = 60
"""Updates after which nobody has to be told any more that a row has gone."""

_encode: Final = msgspec.json.Encoder().encode


class _Rows:
    """The rows of one part as they were told, each with the update in which it changed."""

    def __init__(self) -> None:
        self._told: dict[Any, tuple[int, bytes | None]] = {}
        self._from = 0
        """Where the next update begins to look, so that none is passed over for ever."""

    def take(self, keys: Sequence[Any], rows: Sequence[Any], version: int) -> None:
        told = self._told
        left = _MOST if told else len(rows)
        start = self._from % len(rows) if rows else 0
        for at in (*range(start, len(rows)), *range(start)):
            encoded = _encode(rows[at])
            known = told.get(keys[at])
            if known is None or known[1] != encoded:
                if not left:
                    self._from = at
                    break
                left -= 1
                told[keys[at]] = version, encoded
        if len(told) > len(rows):
            self._forget(set(keys), version)

    def _forget(self, there: set[Any], version: int) -> None:
        for key in self._told.keys() - there:
            since, encoded = self._told[key]
            if encoded is not None:
                self._told[key] = version, None
            elif version - since > _FORGET:
                del self._told[key]

    def since(self, version: int) -> bytes | None:
        """What has changed after the update *version*, as JSON; None for nothing."""
        changed = [row for at, row in self._told.values() if at > version and row is not None]
        gone = [key for key, (at, row) in self._told.items() if at > version and row is None]
        if not (changed or gone):
            return None
        return b'{"changed":[%b],"gone":%b}' % (b",".join(changed), _encode(gone))


class Changes:
    """One for all clients: each says up to which update it has been told.

    :ivar version: the number of the last update; 0 is what a new client knows
    """

    def __init__(self) -> None:
        self.version = 0
        self._parts: dict[str, tuple[int, bytes]] = {}
        self._rows = {part: _Rows() for part in _ROWS}
        self._made: dict[int, bytes] = {}

    def take(self, view: View) -> None:
        """The next update."""
        self.version += 1
        self._made.clear()
        for part, rows in self._rows.items():
            rows.take(*_ROWS[part](view), self.version)
        for name in view.__struct_fields__:
            if name not in _LEFT_OUT:
                encoded = _encode(getattr(view, name))
                if name not in self._parts or self._parts[name][1] != encoded:
                    self._parts[name] = self.version, encoded

    def since(self, version: int) -> bytes:
        """What a client must be told that knows the update *version*, as one JSON object.

        Parts by their names, and ``rows``: by part, the rows that have ``changed`` and the keys
        of those that are ``gone``. Empty for nothing new.
        """
        if version not in self._made:
            parts = ((name, part) for name, (at, part) in self._parts.items() if at > version)
            rows = _object((name, each.since(version)) for name, each in self._rows.items())
            self._made[version] = _object((*parts, ("rows", rows)))
        return self._made[version]


def _object(fields: Iterable[tuple[str, bytes | None]]) -> bytes:
    """A JSON object of what is not empty; empty where it has no field."""
    found = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields if value)
    return b"{%b}" % found if found else b""
