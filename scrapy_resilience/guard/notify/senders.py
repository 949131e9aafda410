"""Who sends to a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience.guard.notify.apprise_service import AppriseService
from scrapy_resilience.guard.notify.webhook import Webhook

if TYPE_CHECKING:
    from scrapy_resilience.guard.notify.channels import Channel
    from scrapy_resilience.guard.notify.outcomes import Sender

__all__ = ["sender_of"]


def sender_of(channel: Channel, secret: str) -> Sender:
    """*secret* signs what goes to plain webhooks."""
    if channel.kind == "apprise":
        return AppriseService(channel.url, attach=channel.attach_report, name=channel.name)
    return Webhook(channel.url, slack=channel.kind == "slack", secret=secret)
