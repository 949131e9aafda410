"""What the first error of a group keeps of its page: how it looked, and what its console said.

A page lingers for a moment when its request is downloaded, so that an error of it, of its
answer or of its callback still finds it there. Only the first error of a group looks at it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, Final

from scrapy_resilience.browsers.bounded import within
from scrapy_resilience.core.masking import clipped
from scrapy_resilience.observe.record.samples import MAX_SCREENSHOT

__all__ = ["Console", "screenshot"]

_LINES: Final = 10
_LONGEST: Final = 300
"""Characters of a line."""
_HEARD: Final = 100
"""Messages of a page, after which its console is not listened to any more."""
_WIDTH, _HEIGHT = 1280, 1024
"""Of a screenshot, at most."""
_QUALITY: Final = 40
"""Of a JPEG, where a PNG is too large."""
_HIDDEN: Final = (
    'input[type="password" i], [autocomplete*="password" i], [autocomplete^="cc-" i], '
    '[autocomplete="one-time-code" i]'
)
"""Painted over, in frames, too: fields for cards are often in one of their own."""
_FRAMES: Final = 50
"""Of a page, at most: each is looked through."""


class Console:
    """The last errors that the console of a page has shown."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._heard = 0
        self.lines: deque[str] = deque(maxlen=_LINES)
        handle.on("console", self._said)
        handle.on("pageerror", self._raised)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            place = message.location or {}
            where = (
                f" ({place['url']}:{place.get('lineNumber', 0)})" if place.get("url") else ""
            )
            self._add(f"{message.text[:_LONGEST]}{where}")
        self._count()

    def _raised(self, error: Any) -> None:
        self._add(f"Uncaught {getattr(error, 'name', '')}: {getattr(error, 'message', error)}")
        self._count()

    def _add(self, text: str) -> None:
        self.lines.append(clipped(text, _LONGEST))

    def _count(self) -> None:
        """One that never ends must not keep us busy."""
        self._heard += 1
        if self._heard == _HEARD:
            with suppress(Exception):
                self._handle.remove_listener("console", self._said)
                self._handle.remove_listener("pageerror", self._raised)


async def screenshot(handle: Any, seconds: float) -> bytes:
    """How a page looks now; nothing where it can't be seen in time."""
    if handle.is_closed() or handle.url == "about:blank":  # nothing has come
        return b""
    if len(handle.frames) > _FRAMES:
        return b""
    options: dict[str, Any] = {
        "mask": [frame.locator(_HIDDEN) for frame in handle.frames],
        "animations": "disabled",
        "scale": "css",
        "timeout": seconds * 1000,
    }
    if size := handle.viewport_size:
        width, height = min(size["width"], _WIDTH), min(size["height"], _HEIGHT)
        options["clip"] = {"x": 0, "y": 0, "width": width, "height": height}
    with suppress(Exception):
        taken: bytes = await within(handle.screenshot(**options), seconds)
        if len(taken) <= MAX_SCREENSHOT:
            return taken
        smaller = handle.screenshot(**options, type="jpeg", quality=_QUALITY)
        taken = await within(smaller, seconds / 2)
        return taken if len(taken) <= MAX_SCREENSHOT else b""
    return b""
