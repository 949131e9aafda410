"""The state seam: named values of any component, in the same commit as the requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import DamagedError

if TYPE_CHECKING:
    from scrapy_resilience.frontier.codec import ValueCodec

__all__ = [
    "ABORT",
    "GATES",
    "META",
    "OWN",
    "TOTALS",
    "Restore",
    "Save",
    "StateRegistry",
    "checked",
]

logger = get_logger(__name__)

OWN: Final = "resilience."
"""How the names of this package's own values begin."""
META: Final = OWN + "job"
TOTALS: Final = OWN + "totals"
ABORT: Final = OWN + "abort"
"""What :meth:`.AbortMonitor.save` gives."""
GATES: Final = OWN + "gates"
"""A map of domain to what :meth:`.Gates.changed` gives."""

Save = Callable[[], Any]
Restore = Callable[[Any], None]
SaveChanged = Callable[[], Mapping[Any, Any]]
T = TypeVar("T")


def checked(value: Any, kind: type[T], what: str) -> T:
    """A stored *value* as a *kind*. Raises :exc:`DamagedError` for one of another shape."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DamagedError(f"what the store says of {what} is damaged: {error}") from error


class StateRegistry:
    """Values by name: given back at a resume, asked for at each commit.

    A value is anything that :class:`ValueCodec` can encode. Names that nobody registers
    stay as they are, for the day when their component comes back.
    """

    def __init__(self, stored: Mapping[str, bytes], values: ValueCodec) -> None:
        self._stored = dict(stored)
        self._values = values
        self._savers: dict[str, Save] = {}
        self._map_savers: dict[str, SaveChanged] = {}
        self._failed: set[str] = set()
        self.on_damage: Callable[[DamagedError], None] = lambda _: None
        """Called before a value of this package's own is refused."""
        self.errors = 0
        """How often a value could not be kept, a commit counting each."""

    def register(self, name: str, save: Save, restore: Restore | None = None) -> None:
        """Keep one value.

        *save* is called in the event loop at each commit and gives the value; *restore*
        is called at once, with the value of the last run, when there is one.
        """
        if restore is not None and name in self._stored:
            self._give_back(name, restore, self.load)
        self._savers[name] = save

    def has(self, name: str) -> bool:
        """Whether somebody keeps a value of that name in this run."""
        return name in self._savers

    def register_map(
        self,
        name: str,
        save_changed: SaveChanged,
        restore: Callable[[dict[Any, Any]], None] | None = None,
    ) -> None:
        """Keep many values, of which few change: *save_changed* gives those, None to forget."""
        if restore is not None and any(each.startswith(f"{name}/") for each in self._stored):
            self._give_back(name, restore, self.load_map)
        self._map_savers[name] = save_changed

    def _give_back(self, name: str, restore: Restore, load: Callable[[str], Any]) -> None:
        if not name.startswith(OWN):
            restore(load(name))
            return
        try:
            restore(load(name))
        except Exception as error:  # whatever a wrong shape leads to
            damage = DamagedError(
                f"what the store says of {name} is damaged ({error!r}): `scrapy resilience "
                "restore` takes the job back to a snapshot"
            )
            self.on_damage(damage)
            raise damage from error

    def load(self, name: str) -> Any:
        """The value of the last run, None when there is none."""
        return self._values.decode(self._stored[name]) if name in self._stored else None

    def load_map(self, name: str) -> dict[Any, Any]:
        """The values of the last run that :meth:`register_map` has kept.

        Raises :exc:`DamagedError`.
        """
        pairs = checked(self.values_of(name + "/"), list[tuple[Any, Any]], name)
        try:
            return dict(pairs)
        except TypeError as error:  # a key that can't be one
            raise DamagedError(f"what the store says of {name} is damaged: {error}") from error

    def values_of(self, prefix: str) -> list[Any]:
        """The values of the last run whose names begin with *prefix*."""
        return [
            self._values.decode(data)
            for name, data in self._stored.items()
            if name.startswith(prefix)
        ]

    def encode(self, value: Any) -> bytes:
        return self._values.encode(value)

    def renewed(self, name: str, value: Any) -> bytes:
        """What the commit that is being written has in the place of what *name* gave it."""
        data = self._stored[name] = self._values.encode(value)
        return data

    def changed(self) -> dict[str, bytes | None]:
        """What the next commit has to write."""
        found: dict[str, bytes | None] = {}
        for name, save in self._savers.items():
            data = self._encode(name, save)
            if data is not None and data != self._stored.get(name):
                found[name] = self._stored[name] = data
        for name, save_changed in self._map_savers.items():
            for key, value in (self._call(name, save_changed) or {}).items():
                place = self._encode(name, lambda key=key: key)  # type: ignore[misc]
                pair = self._encode(name, lambda pair=(key, value): pair)  # type: ignore[misc]
                if place is not None and (value is None or pair is not None):
                    found[f"{name}/{place.hex()}"] = None if value is None else pair
        return found

    def _call(self, name: str, save: Callable[[], Any]) -> Any:
        try:
            return save()
        except Exception as error:  # noqa: BLE001 - a component's own; the commit goes on
            self._failed_with(name, error)
            return None

    def _encode(self, name: str, save: Save) -> bytes | None:
        """None, and one line in the log, for a value that can't be kept."""
        try:
            return self._values.encode(save())
        except Exception as error:  # noqa: BLE001 - likewise
            self._failed_with(name, error)
            return None

    def _failed_with(self, name: str, error: Exception) -> None:
        self.errors += 1
        if name not in self._failed:
            self._failed.add(name)
            logger.error(
                "The checkpoint can't hold %s (%r): it keeps the last value that it could",
                name.removeprefix(OWN),
                error,
            )
