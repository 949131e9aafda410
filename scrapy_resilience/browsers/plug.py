"""What the add-on does where scrapy-playwright is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrapy.utils.misc import load_object

from scrapy_resilience._log import get_logger
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

__all__ = ["make_browsers_durable"]

logger = get_logger(__name__)

_SETTING: Final = "DOWNLOAD_HANDLERS"
_HANDLER: Final = "ScrapyPlaywrightDownloadHandler"
_MODULE: Final = "scrapy_playwright"
_NEEDED: Final = (
    "_close",
    "_create_browser_context",
    "_create_page",
    "_download_request",
    "_download_request_with_page",
    "_download_request_with_retry",
    "_launch",
    "_make_close_browser_context_callback",
    "_make_close_page_callback",
    "_maybe_launch_browser",
    "_maybe_launch_in_thread",
)
"""Of scrapy-playwright's handler, which does not promise to keep them."""


def make_browsers_durable(settings: BaseSettings) -> None:
    """Put our handler in the place of scrapy-playwright's, and before subclasses of it.

    Raises :exc:`ConfigurationError` where it can't run.
    """
    handlers = settings.getdict(_SETTING)
    found = {scheme: _of_playwright(value) for scheme, value in handlers.items()}
    changed = {scheme: _durable(cls) for scheme, cls in found.items() if cls is not None}
    if changed and not settings.getbool("TWISTED_REACTOR_ENABLED", default=True):
        raise ConfigurationError(
            "scrapy-playwright needs Twisted's reactor: remove TWISTED_REACTOR_ENABLED=False, "
            "or its handler from DOWNLOAD_HANDLERS."
        )
    if changed:
        settings.set(_SETTING, {**handlers, **changed}, settings.getpriority(_SETTING) or 0)


def _of_playwright(value: Any) -> type[Any] | None:
    """The class of a handler, where it is scrapy-playwright's or made of it."""
    if value is None or (isinstance(value, str) and value.startswith("scrapy.")):
        return None
    try:
        cls = load_object(value)
    except Exception:  # noqa: BLE001 - Scrapy tells what is wrong with it
        return None
    bases = getattr(cls, "__mro__", ())
    is_its = any(b.__name__ == _HANDLER and b.__module__.startswith(_MODULE) for b in bases)
    return cls if is_its else None


def _durable(cls: type[Any]) -> type[Any]:
    missing = [name for name in _NEEDED if not hasattr(cls, name)]
    if missing:
        logger.warning(
            "%s has no %s: browser pages are not durable. Use scrapy-playwright 0.0.48, or set "
            "RESILIENCE_BROWSER_ENABLED=False",
            cls.__name__,
            ", ".join(missing),
        )
        return cls
    from scrapy_resilience.browsers.handler import durable  # noqa: PLC0415 - few need it

    make: Any = durable
    made: type[Any] = make(cls)
    return made
