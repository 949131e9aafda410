"""Whether the place of a remote feed lets us in: it is asked, and nothing is put there."""

from __future__ import annotations

from ftplib import FTP, FTP_TLS
from ssl import create_default_context
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from scrapy.extensions.feedexport import FTPFeedStorage, S3FeedStorage
from scrapy.utils.misc import load_object

from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import mask_uri, message_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.settings import BaseSettings

    Reach = Callable[[Any], None]

__all__ = ["WAYS", "judge_remote", "storage_class"]

_PATIENCE: Final = 10.0
_NOT_ALLOWED: Final = "403"


def judge_remote(
    uri: str, scheme: str, settings: BaseSettings, ways: Mapping[type, Reach]
) -> Finding:
    """*ways*: by class of the storage, what logs in there and raises what is wrong."""
    place, cls = mask_uri(uri), storage_class(settings, scheme)
    if cls not in ways:
        return Finding("feeds", "note", f"{place} was not tried: that might write to it")
    try:
        crawler: Any = SimpleNamespace(settings=settings)
        ways[cls](cls.from_crawler(crawler, uri, feed_options={}))
    except Exception as error:  # noqa: BLE001 - each client has errors of its own
        why = shown(message_of(error) or type(error).__name__)
        if _NOT_ALLOWED in why:  # to look is another right than to write
            return Finding("feeds", "note", f"{place} can't be looked at ({why})")
        return Finding(
            "feeds",
            "problem",
            f"{place} can't be reached: {why}",
            "see its host, bucket and login",
        )
    return Finding("feeds", "ok", f"{place} can be reached")


def storage_class(settings: BaseSettings, scheme: str) -> Any:
    """What stores feeds of that scheme; None where it can't be loaded."""
    try:
        return load_object(settings.getwithbase("FEED_STORAGES").get(scheme))
    except Exception:  # noqa: BLE001 - Scrapy says what is wrong with it
        return None


def _log_in(storage: FTPFeedStorage) -> None:
    ftp = FTP_TLS(context=create_default_context()) if storage.tls else FTP()  # noqa: S321 - as the feed
    with ftp:
        ftp.connect(storage.host, storage.port, timeout=_PATIENCE)
        ftp.login(storage.username, storage.password)


def _ask_for_bucket(storage: S3FeedStorage) -> None:
    storage.s3_client.head_bucket(Bucket=storage.bucketname)


WAYS: Final[Mapping[type, Reach]] = {FTPFeedStorage: _log_in, S3FeedStorage: _ask_for_bucket}
