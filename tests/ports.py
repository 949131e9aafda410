"""Ports that are free, for servers that tests begin."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

BELOW_THOSE_GIVEN_OUT = range(20_000, 30_000)
"""No connection and no server of another test is given one of these by the system."""


def free_port(in_a_row=1):
    """The first of some ports at which nobody listens."""
    while True:
        first = random.SystemRandom().choice(BELOW_THOSE_GIVEN_OUT)
        try:
            with ExitStack() as stack:
                for port in range(first, first + in_a_row):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
