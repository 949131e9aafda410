"""SQLAlchemy is a library of the extra ``sql``: whoever needs it asks here first."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from scrapy.utils.misc import load_object

from scrapy_resilience.exceptions import MissingLibraryError

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

__all__ = ["check_library", "knows_ids"]


def check_library(what: str) -> None:
    """Raises :exc:`MissingLibraryError` where *what* can't be had for want of SQLAlchemy."""
    if find_spec("sqlalchemy") is None:
        raise MissingLibraryError(
            f'{what} needs SQLAlchemy: pip install "scrapy-resilience[sql]"'
        )


def knows_ids(settings: BaseSettings) -> bool:
    """Whether items of the crawl have ids: the scheduler gives them."""
    return bool(getattr(load_object(settings["SCHEDULER"]), "runs_jobs", False))
