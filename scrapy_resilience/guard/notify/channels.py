"""``RESILIENCE_NOTIFY``: where notices go, and which of them.

URLs hold keys, so nothing but a channel's name and the beginning of its URL is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from scrapy_resilience.core.notices import KINDS, SEVERITIES, Rule
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.guard.notify.apprise_service import is_known

if TYPE_CHECKING:
    from scrapy_resilience.settings import Config

__all__ = ["Channel", "channels_of", "check_channels"]

_SLACK: Final = "hooks.slack.com"
_SLACK_FORMAT: Final = {"slack+http": "http", "slack+https": "https"}
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,30})://")
_NAME: Final = re.compile(r"[\w][\w .-]{0,49}")
_KEYS: Final = ("url", "name", "events", "severity", "attach_report")

Kind: TypeAlias = Literal["webhook", "slack", "apprise"]


@dataclass(frozen=True)
class Channel:
    """One place for notices."""

    name: str
    kind: Kind
    url: str = field(repr=False)
    rule: Rule
    attach_report: bool = False

    @property
    def is_vague(self) -> bool:
        """Whether it may have reached somebody when it fails, as :class:`.Outbox` says."""
        return self.kind == "apprise"


def channels_of(config: Config) -> list[Channel]:
    """The channels of the settings; none where notifications are off.

    Raises :exc:`ConfigurationError`.
    """
    if not config.notify_enabled:
        return []
    found: dict[str, Channel] = {}
    for number, entry in enumerate(config.notify, 1):
        channel = _channel(number, entry, found)
        found[channel.name] = channel
    return [*found.values()]


def check_channels(config: Config) -> None:
    """Raises :exc:`ConfigurationError`, and :exc:`MissingLibraryError` without apprise.

    What apprise is given is read by it, too, once: that takes half a second of processor time.
    """
    for number, channel in enumerate(channels_of(config), 1):
        if channel.kind != "apprise":
            continue
        if find_spec("apprise") is None:
            raise MissingLibraryError(
                f"Channel {number} of RESILIENCE_NOTIFY needs apprise: pip install "
                '"scrapy-resilience[notify]"'
            )
        if not is_known(channel.url):
            raise _wrong(number, "apprise does not understand its URL")


def _wrong(number: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"Channel {number} of RESILIENCE_NOTIFY: {what}.")


def _channel(number: int, entry: Any, known: Mapping[str, Channel]) -> Channel:
    told: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {"url": entry}
    if unknown := [key for key in told if key not in _KEYS]:
        raise _wrong(number, f"use {', '.join(_KEYS)}, and not {str(unknown[0])[:30]!r}")
    kind, url, scheme = _place(number, told.get("url"))
    attach = told.get("attach_report", False)
    if not isinstance(attach, bool):
        raise _wrong(number, "attach_report is True or False")
    if attach and kind != "apprise":
        raise _wrong(number, "a webhook takes no files: remove attach_report")
    name = told.get("name") or _free_name(kind if kind != "apprise" else scheme, known)
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _wrong(number, "its name is a text of up to 50 letters, digits, dots and dashes")
    if name in known:
        raise _wrong(number, f"another one is called {name!r}, too")
    return Channel(name, kind, url, _rule(number, told), attach)


def _free_name(kind: str, known: Mapping[str, Channel]) -> str:
    """``webhook``, and for more of its kind ``webhook-2`` and so on."""
    names = (kind if number == 1 else f"{kind}-{number}" for number in range(1, len(known) + 2))
    return next(name for name in names if name not in known)


def _place(number: int, url: Any) -> tuple[Kind, str, str]:
    """What understands a URL, that URL, and its scheme."""
    found = _SCHEME.match(url.strip()) if isinstance(url, str) else None
    if found is None:
        raise _wrong(number, 'it has no URL: use "https://…", "slack+https://…" or apprise\'s')
    url, scheme = url.strip(), found[1].lower()
    if scheme in _SLACK_FORMAT:
        url = _SLACK_FORMAT[scheme] + url[len(scheme) :]
        return "slack", _web_address(number, url), scheme
    if scheme in {"http", "https"}:
        is_slack = urlsplit(_web_address(number, url)).hostname == _SLACK
        return ("slack" if is_slack else "webhook"), url, scheme
    return "apprise", url, scheme


def _web_address(number: int, url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        fine = False
    if not fine:
        raise _wrong(number, "its URL has no host, or a port that is none")
    return url


def _rule(number: int, told: Mapping[str, Any]) -> Rule:
    severity, events = told.get("severity", SEVERITIES[0]), told.get("events", ())
    if severity not in SEVERITIES:
        raise _wrong(number, f"its severity is one of {', '.join(SEVERITIES)}")
    events = [events] if isinstance(events, str) else events
    if not (
        isinstance(events, (list, tuple, set, frozenset))
        and all(isinstance(each, str) and each for each in events)
    ):
        raise _wrong(number, 'its events are a list of kinds, such as ["abort", "pause"]')
    for each in events:
        if each not in KINDS and (close := get_close_matches(each, KINDS, n=1, cutoff=0.75)):
            raise _wrong(number, f"in its events, {each!r}: did you mean {close[0]!r}?")
    return Rule(frozenset(events), severity)
