"""What systemd is told of a service with ``Type=notify``: no library is needed for that.

A datagram to the socket that ``NOTIFY_SOCKET`` names. What can't be sent is left out: a crawl
does not depend on who started it.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notifier"]

_LONGEST: Final = 200
"""Characters of a status."""
_SOCKET: Final = "NOTIFY_SOCKET"


class Notifier:
    """Sends to *address*: a path, or ``@`` and an abstract name.

    :ivar watchdog: seconds within which systemd wants to hear of this process; None for never
    """

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0.0)

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Notifier | None:
        """Of this process; None where nobody has asked."""
        address = environ.get(_SOCKET, "")
        if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return None
        return cls(address, _watchdog(environ))

    def send(self, *lines: str) -> None:
        """Tell, such as ``READY=1`` or ``STATUS=…``; never waits and never raises."""
        with suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows, in one line."""
        self.send("STATUS=" + " ".join(text.split())[:_LONGEST])

    def close(self) -> None:
        self._socket.close()


def _watchdog(environ: Mapping[str, str]) -> float | None:
    try:
        seconds = int(environ["WATCHDOG_USEC"]) / 1e6
        pid = int(environ.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 and pid == os.getpid() else None
