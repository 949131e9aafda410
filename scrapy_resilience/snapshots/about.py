"""What a snapshot says of itself, and its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrapy_resilience.exceptions import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["About", "Snapshot", "digits_of", "ident_of", "is_ident", "snapshot_of"]

_ID: Final = re.compile(r"(\d{8}T\d{12}Z)-([0-9a-f]{8})")


@dataclass(frozen=True)
class About:
    """What a store says of itself at the moment of a copy."""

    spider: str
    job: str
    """Eight hexadecimal digits that tell this job from all others."""
    progress: dict[str, Any]
    """Numbers, readable without the key."""
    reason: str | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    """Files beside the store that the job needs: path within the JOBDIR → bytes."""


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, as its header tells it."""

    id: str
    """The time it was made, in UTC, and its job: ids of one job sort by age."""
    created: float = 0.0
    """Seconds since 1970, by the clock of then."""
    spider: str = ""
    kind: str = ""
    """Why it was made: ``interval``, ``items``, ``close``, ``emergency`` or ``manual``."""
    encrypted: bool = False
    readable: bool = field(default=False, compare=False)
    """Whether it could be read: it is whole, and plain or encrypted with the key at hand."""
    size: int = 0
    """Bytes of the store."""
    progress: dict[str, int | float] = field(default_factory=dict)
    """``total``, ``completed``, ``failed``, ``items``, ``running_seconds``."""
    reason: str | None = None
    """The close reason, when the spider was closed."""
    metadata: dict[str, Any] | None = field(default=None, repr=False)
    """What the user gave; None when it is encrypted and the key is not the right one."""
    problem: str = ""
    """Why it can't be used; empty for a good one."""

    @property
    def job(self) -> str:
        return self.id.rpartition("-")[2]


def snapshot_of(header: dict[str, Any], details: dict[str, Any] | None) -> Snapshot:
    """Raises :exc:`SnapshotError` for a value of another type than the one that is written."""
    names = {"id", "created", "spider", "kind", "size", "progress"} & header.keys()
    told = {
        **{name: header[name] for name in names},
        "encrypted": header.get("encryption") is not None,
        "readable": details is not None,
        "reason": (details or {}).get("reason"),
        "metadata": (details or {}).get("metadata"),
    }
    try:
        return msgspec.convert(told, Snapshot)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"the snapshot {header['id']} is damaged: {error}") from error


def is_ident(text: str) -> bool:
    """Whether it is an id: a time, and eight hexadecimal digits of the job."""
    return _ID.fullmatch(text) is not None


def digits_of(ident: str) -> int:
    """The time of an id, to the microsecond, as one number."""
    return int(re.sub(r"\D", "", ident.partition("-")[0]))


def ident_of(digits: int, job: str) -> str:
    """The id of that time."""
    stamp = f"{digits:020d}"
    return f"{stamp[:8]}T{stamp[8:]}Z-{job}"
