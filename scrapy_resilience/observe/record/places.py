"""Where in the code something happens: an error, a callback that waits, a loop that stands."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from functools import cache
from typing import TYPE_CHECKING, Final

from scrapy_resilience.core.errorgroups import Frame, place_of, short, users_frame
from scrapy_resilience.core.masking import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["frame_of", "short_file", "shown_frame", "shown_place"]

_LONGEST_PLACE: Final = 200
"""Characters."""


def frame_of(frame: FrameType, line: int | None = None) -> Frame:
    """What is told of a frame; *line* is where it stands, if not now."""
    return Frame(
        frame.f_code.co_filename,
        line or frame.f_lineno or 0,
        frame.f_code.co_name,
        str(frame.f_globals.get("__name__", "")),
    )


def shown_place(frames: Sequence[Frame]) -> str:
    """``file:line:function`` in code of the user's, or of a component; may be empty."""
    return printable(place_of(frames, _standard(), _roots()))[-_LONGEST_PLACE:]


def short_file(frame: Frame) -> str:
    """Its file, as it is shown."""
    return printable(short(frame.file, _roots()))[-_LONGEST_PLACE:]


def shown_frame(frames: Sequence[Frame]) -> Frame | None:
    """The frame that :func:`shown_place` names."""
    return users_frame(frames, _standard())


@cache
def _standard() -> str:
    return sysconfig.get_path("stdlib")


@cache
def _roots() -> tuple[str, ...]:
    """Folders from which code is imported."""
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    paths = map(os.path.abspath, [*sys.path, os.curdir, *installed])
    return tuple(path + os.sep for path in {*paths} if path != os.sep)
