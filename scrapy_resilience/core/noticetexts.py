"""Notices as receivers want them. A page or a site may have chosen words of a notice.

What goes to people is plain text, in which nothing is a mention, a link with another text or
a command. What goes to programs is JSON, as it is.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.core.masking import printable

if TYPE_CHECKING:
    from scrapy_resilience.core.notices import Notice

__all__ = ["body", "for_programs", "for_slack", "harmless", "title"]

_BREAK: Final = "\u200b"
"""A space without width: what it parts looks the same, and means nothing to a program."""
_MEANS_SOMETHING: Final = re.compile(
    r"@(?=everyone|here|channel|all\b)"  # wherever it is
    r"|(?<!\w)@(?=\w)"  # and not an address of mail
    r"|<(?=[@!#&:/a-zA-Z])"
    r"|\](?=[(\[])",
    re.IGNORECASE,
)
_LONGEST: Final = 3000
"""Characters of a message: Slack and Telegram take about 4,000."""
_LONGEST_TITLE: Final = 150
_LONGEST_DETAIL: Final = 200


def harmless(text: str) -> str:
    """*text* without mentions, tags and links, for services that look for such."""
    return _MEANS_SOMETHING.sub(lambda found: found[0] + _BREAK, text)


def title(notice: Notice) -> str:
    """One line: whose it is, of what kind and how bad."""
    many = f", {notice.count:,} times" if notice.count > 1 else ""
    text = f"{notice.spider or 'crawl'}: {notice.kind} ({notice.severity}{many})"
    return harmless(printable(text))[:_LONGEST_TITLE]


def body(notice: Notice) -> str:
    """What has happened, the details, and the id."""
    lines = [*notice.texts]
    if (more := notice.count - len(notice.texts)) > 0:
        lines.append(f"and {more} more")
    lines += [
        f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in notice.details.items()
    ]
    lines.append(f"{_time(notice.time)}, event {notice.id}")
    return "\n".join(harmless(printable(line)) for line in lines)[:_LONGEST]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,}" if isinstance(value, (int, float)) else str(value)
    return text[:_LONGEST_DETAIL]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def for_slack(notice: Notice) -> dict[str, Any]:
    """What Slack, and those that understand its messages, take."""
    text = f"{title(notice)}\n{body(notice)}"
    for char, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, escaped)
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def for_programs(notice: Notice) -> dict[str, Any]:
    """The JSON of a webhook; its fields are documented, and only get more."""
    return {
        "version": 1,
        "id": notice.id,
        "time": notice.time,
        "last": notice.last,
        "kind": notice.kind,
        "severity": notice.severity,
        "count": notice.count,
        "text": notice.texts[0] if notice.texts else "",
        "texts": notice.texts,
        "domain": notice.domain,
        "spider": notice.spider,
        "job": notice.job,
        "run": notice.run,
        "details": notice.details,
    }
