"""Notices of your own: told to the channels of ``RESILIENCE_NOTIFY``, and in the event log.

.. code-block:: python

    from scrapy_resilience.notifications import notify


    def parse(self, response):
        if not response.css(".product"):
            notify(self.crawler, "The list is empty", severity="warning", kind="empty_list")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy_resilience.core.notices import SEVERITIES
from scrapy_resilience.signals import crawl_event

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["notify"]


def notify(
    crawler: Crawler, text: str, *, severity: str = "info", kind: str = "note", domain: str = ""
) -> None:
    """Tell the crawl's owner something; nobody waits until it is sent.

    Those that come within ``RESILIENCE_NOTIFY_GROUP`` seconds with the same kind and severity
    are one message. Call it in the event loop.

    :param text: one sentence; secrets in it are masked, and 300 characters are kept
    :param severity: ``"info"``, ``"warning"`` or ``"error"``
    :param kind: a word by which channels choose; they are told a kind of your own where their
        ``events`` name it, and everywhere when it is an error
    :param domain: which one it is about, if it is about one
    :raises ValueError: for another severity
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity!r}: use one of {', '.join(SEVERITIES)}")
    crawler.signals.send_catch_log(
        crawl_event, kind=kind, text=text, severity=severity, domain=domain
    )
