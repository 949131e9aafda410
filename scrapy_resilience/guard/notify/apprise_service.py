"""Services that apprise knows: mail, Telegram, Discord and some hundred more.

apprise blocks, so it is called in a thread. What it and the library below it write into the
log has URLs in it, and so keys: it gets no further than the thread.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from scrapy_resilience.core.masking import HIDDEN, clipped
from scrapy_resilience.core.noticetexts import body, title
from scrapy_resilience.guard.notify.outcomes import SENT, Outcome
from scrapy_resilience.waits import in_thread, let_go

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Thread

    from scrapy_resilience.core.notices import Notice

__all__ = ["AppriseService", "is_known", "without_parts"]

_TALKERS: Final = (
    "apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "requests",
    "requests_oauthlib", "MARKDOWN", "charset_normalizer",
)  # fmt: skip
_TYPES: Final = {"info": "info", "warning": "warning", "error": "failure"}
_LARGEST: Final = 10_000_000
"""Bytes of a report that is attached."""
_LONGEST: Final = 200
_PARTS: Final = re.compile(r"[/:@?&=,;#\s]+")
_SHORTEST: Final = 4
"""Characters of a part of a URL that may be a secret."""


_heard: Final[ContextVar[list[str] | None]] = ContextVar("heard", default=None)
"""What was logged while a notice was sent; also in threads that apprise begins for it."""


class _Apart(logging.Filter):
    """Keeps what is logged while a notice is sent, and lets it go nowhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        texts = _heard.get()
        if texts is None:
            return True
        if record.levelno >= logging.WARNING:
            texts.append(record.getMessage())
        return False


@cache
def _set_apart() -> None:
    for name in _TALKERS:
        logging.getLogger(name).addFilter(_Apart())


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Nothing that is logged within gets any further."""
    _set_apart()
    texts: list[str] = []
    token = _heard.set(texts)
    try:
        yield texts
    finally:
        _heard.reset(token)


@cache
def _asset() -> Any:
    import apprise  # noqa: PLC0415 - the extra "notify", and half a second with the first service

    told: dict[str, Any] = {"async_mode": False, "storage_mode": "memory"}
    if "service_timeout" in signature(apprise.AppriseAsset.__init__).parameters:
        told["service_timeout"] = 0  # else it begins threads that the process can't end without
    asset = apprise.AppriseAsset(app_id="scrapy_resilience", secure_logging=True, **told)
    if hasattr(asset, "http_redirects"):  # of later versions
        asset.http_redirects = False
    return asset


def _service(url: str) -> Any:
    """None where apprise does not understand it."""
    import apprise  # noqa: PLC0415 - as above

    with _listening(), suppress(Exception):  # of some service's code
        return apprise.Apprise.instantiate(url, asset=_asset())
    return None


def is_known(url: str) -> bool:
    """Whether there is a service for a URL, and it has all that it needs."""
    return _service(url) is not None


class AppriseService:
    """One service, of the channel *name*.

    *attach*: send the report of the crawl with the notice that has one, at the first try. It
    may be what fails, and apprise says only whether all went well.
    """

    def __init__(self, url: str, *, attach: bool = False, name: str = "") -> None:
        self._url = url
        self._attach = attach
        self._name = name
        self._thread: Thread | None = None

    async def send(self, notice: Notice, seconds: float) -> Outcome:
        """One at a time: while a call hangs there is no other one."""
        if self._thread is not None and self._thread.is_alive():
            return Outcome("the try before has not come back", begun=False)
        call = partial(self.send_blocking, notice, seconds)
        done, thread = in_thread(call, "resilience-notify")
        self._thread = thread
        try:
            await asyncio.wait({done}, timeout=seconds)
        finally:
            if not done.done():
                let_go(thread)
        return done.result() if done.done() else Outcome(f"not sent within {seconds:.0f} s")

    def send_blocking(self, notice: Notice, seconds: float) -> Outcome:
        service = _service(self._url)
        if service is None:
            return Outcome("apprise does not understand its URL", begun=False)
        with _listening() as heard:
            try:
                fine = self._notify(service, notice)
            except Exception as error:  # noqa: BLE001 - of some service's code
                return Outcome(f"apprise has failed ({type(error).__name__})")
        return SENT if fine else Outcome(self._problem(heard))

    def _notify(self, service: Any, notice: Notice) -> bool:
        import apprise  # noqa: PLC0415 - as above

        services = apprise.Apprise(asset=_asset())
        services.add(service)
        return bool(
            services.notify(
                title=title(notice), body=body(notice), body_format="text",
                notify_type=_TYPES.get(notice.severity, "info"),
                attach=self._attachment(service, notice), interpret_escapes=False,
            )
        )  # fmt: skip

    def _attachment(self, service: Any, notice: Notice) -> Any:
        """None where there is no report, it is too large, or the service takes no files."""
        wanted = self._attach and notice.report and not notice.tries.get(self._name)
        if not (wanted and getattr(service, "attachment_support", False)):
            return None
        from apprise.attachment.file import AttachFile  # noqa: PLC0415 - as above

        path = Path(notice.report).resolve()
        try:
            if not 0 < path.stat().st_size <= _LARGEST:
                return None
        except OSError:
            return None
        attachment: Any = AttachFile
        return attachment(path=str(path), mimetype="text/html", asset=_asset())

    def _problem(self, heard: list[str]) -> str:
        last = heard[-1] if heard else ""
        return f"apprise could not send it: {without_parts(last, self._url)}".rstrip(": ")


def without_parts(text: str, url: str) -> str:
    """*text* in one line, without anything that is in *url*."""
    parts = {part for each in _PARTS.split(url) for part in (each, unquote(each))}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST:
            text = text.replace(part, HIDDEN)
    return clipped(text, _LONGEST)
