"""``scrapy resilience notify``: tries the channels, or sends what a job has left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy_resilience.commands.tables import table
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.guard.notify.channels import channels_of, check_channels
from scrapy_resilience.guard.notify.leftovers import send_left, try_channels

if TYPE_CHECKING:
    from scrapy_resilience.guard.notify.channels import Channel
    from scrapy_resilience.settings import Config

__all__ = ["notify"]


def notify(config: Config, jobdir: str, channel: str) -> tuple[Any, str, bool]:
    """Of a job where *jobdir* is not empty; of one channel, by its name or number.

    What came of it, the same as text, and whether something could not be sent.
    """
    check_channels(config)
    channels = channels_of(config)
    chosen = _chosen(channels, channel)
    if jobdir:
        tried = asyncio.run(send_left(Path(jobdir), channels, chosen, config))
    else:
        tried = asyncio.run(try_channels(chosen, config))
    rows = [each._asdict() for each in tried]
    cells = [(each.channel, str(each.sent), str(each.left), each.problem) for each in tried]
    text = table([("channel", "sent", "not sent", "why"), *cells])
    return rows, text, any(each.left for each in tried)


def _chosen(channels: list[Channel], wanted: str) -> list[Channel]:
    if not channels:
        raise ConfigurationError(
            "RESILIENCE_NOTIFY has no channels, or RESILIENCE_NOTIFY_ENABLED is off, by a "
            "profile perhaps"
        )
    numbered = enumerate(channels, 1)
    found = [each for number, each in numbered if wanted in {"", str(number), each.name}]
    if not found:
        names = ", ".join(each.name for each in channels)
        raise ConfigurationError(
            f"RESILIENCE_NOTIFY has no channel {wanted!r}: use one of {names}."
        )
    return found
