"""What a job says of itself, and where in its life it is.

===========  =======================================================  =====================
state        what is so                                               what leads out of it
===========  =======================================================  =====================
created      there is a store, and no run has begun                   a run: running
running      a process has the lock; ``clean`` is false               its end, or a kill
killed       nobody has the lock, and no last commit was made         a run: running
stopped      a last commit was made, and there is more to do          a run: running
held         the same, and all that is left waits for its time        a run: running
finished     the last commit has left nothing to do                   a replay: stopped
===========  =======================================================  =====================

A run of a *finished* job is refused, skipped or begins anew, as ``RESILIENCE_FINISHED_JOB``
says. A replay puts dead letters back: the job is *stopped* then, ``start_done``, so that its
next run does what was put back and nothing else, and ``replayed``, because its feeds may have
been taken away since. A restored snapshot is *killed*: it says of itself what was so when it
was made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from scrapy_resilience.checkpoint.state import META, checked
from scrapy_resilience.frontier.codec import ValueCodec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from typing_extensions import Self

__all__ = ["JobMeta", "State"]

State: TypeAlias = Literal["created", "running", "killed", "stopped", "held", "finished"]

_values = ValueCodec(allow_pickle=False)


@dataclass
class JobMeta:
    """Part of each commit."""

    spider: str | None = None
    created: float | None = None
    """Seconds since 1970, as all times here."""
    arguments: dict[str, Any] | None = None
    """Of the spider; None in a job of before they were kept."""
    stock: str | None = None
    """The digest of the job of Scrapy's own scheduler that was imported."""
    runs: int = 0
    commits: int = 0
    last_checkpoint: float | None = None
    pending: int = 0
    held: int = 0
    done: int = 0
    items: int = 0
    dead_letters: int = 0
    clean: bool = False
    finished: bool = False
    replayed: bool = False
    start_done: bool = False
    reason: str | None = None
    """Of the last close of the spider."""

    @classmethod
    def of(cls, state: Mapping[str, bytes]) -> Self:
        """What is in the state of a store. Raises :exc:`DamagedError`."""
        return checked(_values.decode(state[META]) if META in state else {}, cls, "its job")

    def encode(self) -> bytes:
        return _values.encode(self.record())

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def state(self, *, running: bool) -> State:
        """*running*: whether a process has the lock of the job."""
        if running:
            return "running"
        if self.finished:
            return "finished"
        if not self.runs:
            return "created"
        if not self.clean:
            return "killed"
        return "held" if 0 < self.held == self.pending else "stopped"

    @property
    def ident(self) -> str:
        """The same for all runs of a job, in whatever folder, and for no other job."""
        born = f"{self.spider}\n{self.created!r}"
        return sha256(born.encode()).hexdigest()[:8]

    def begin_run(self, *, rerun_start: bool) -> None:
        self.runs += 1
        self.start_done = self.start_done and not rerun_start
        self.clean = self.finished = self.replayed = False
        self.reason = None

    def replay(self, letters: int, pending: int) -> None:
        """So many *letters* are requests again, of which *pending* are in the job now."""
        if self.finished:
            self.finished, self.replayed, self.start_done = False, True, True
        self.dead_letters -= letters
        self.pending = pending
