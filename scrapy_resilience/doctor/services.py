"""Whether a port is free for the endpoint, and what the crawl sends to can be reached.

A connection is opened and closed again: nothing is sent.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scrapy_resilience.core.access import port_range
from scrapy_resilience.core.findings import Finding
from scrapy_resilience.core.masking import HIDDEN, counted, mask_uri, message_of, reason, shown
from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.httpcache.redis import client_of
from scrapy_resilience.snapshots.places import open_place
from scrapy_resilience.sql.library import check_library, knows_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy_resilience.dryrun.checks import Subject

__all__ = [
    "check_endpoint",
    "check_redis",
    "check_services",
    "check_snapshots",
    "check_sql",
    "unreachable",
]

_PATIENCE: Final = 3.0
_REDIS: Final = ("cache_url", "httpcache_redis_url")
"""Fields of the config."""
_PORTS: Final = {"http": 80, "https": 443, "redis": 6379}
_NO_URL: Final = "it is no URL (in a password write %2F for /, %23 for # and %3F for ?)"


def check_endpoint(subject: Subject) -> Iterator[Finding]:
    """The first port of the range that is free."""
    config = subject.config
    if not (config.http_enabled and config.observe_enabled):
        return
    host, ports = config.http_host, port_range(config.http_port)
    for port in ports:
        if (error := _cant_bind(host, port)) is None:
            yield Finding("endpoint", "ok", f"port {port} of {host or 'all addresses'} is free")
            return
        if error.errno != errno.EADDRINUSE:
            what = f"nothing can listen on {host} ({reason(error)})"
            advice = "change RESILIENCE_HTTP_HOST: a crawl goes on without its endpoint"
            yield Finding("endpoint", "warning", what, advice)
            return
    yield Finding(
        "endpoint",
        "warning",
        f"no port of {host} is free from {ports[0]} to {ports[-1]}",
        "give RESILIENCE_HTTP_PORT a wider range: a crawl goes on without its endpoint",
    )


def _cant_bind(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        return error
    return None


def check_snapshots(subject: Subject) -> Iterator[Finding]:
    """A place of snapshots that is not in the job: its names are read."""
    where, config = subject.config.snapshot_dir, subject.config
    if not (where and config.snapshot_enabled and subject.settings["JOBDIR"]):
        return
    place = open_place(where)
    try:
        names = place.names()
    except OSError as error:
        what = f"{place} can't be read: {message_of(error)}"
        yield Finding("snapshots", "warning", shown(what), "a crawl goes on without snapshots")
    else:
        yield Finding("snapshots", "ok", f"{place} can be read: {counted(len(names), 'file')}")


def check_sql(subject: Subject) -> Iterator[Finding]:
    """The database of the sink, its tables and their columns: raises what is wrong."""
    config = subject.config
    if config.sql_url:
        check_library("RESILIENCE_SQL_URL")
        from scrapy_resilience.sql.checks import check_database  # noqa: PLC0415 - SQLAlchemy

        check_database(config, own_ids=knows_ids(subject.settings))
        yield Finding(
            "database", "ok", f"{mask_uri(config.sql_url)} and its tables are as needed"
        )


def check_redis(subject: Subject) -> Iterator[Finding]:
    """Each Redis of the settings is asked whether it is there."""
    for field in _REDIS:
        url = getattr(subject.config, field)
        if not url:
            continue
        try:
            if field == "cache_url":
                from scrapy_resilience.cache.of_crawl import check_cache  # noqa: PLC0415 - as there

                check_cache(subject.config)
            _ping(url)
        except ImportError:
            continue  # which is told of the libraries
        except ConfigurationError as error:  # a crawl is refused, too
            yield Finding("redis", "problem", shown(str(error)))
        except Exception as error:  # noqa: BLE001 - of whatever kind: that is what it found
            why = _NO_URL if isinstance(error, ValueError) else message_of(error)
            what = f"Redis {_place(url)} can't be used: {why}"
            advice = f"start it, or change RESILIENCE_{field.upper()}"
            yield Finding("redis", "warning", shown(what), advice)
        else:
            yield Finding("redis", "ok", f"Redis {_place(url)} answers")


def _place(url: str) -> str:
    """Host and port, or a path: all else of it may be a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS["redis"]
    except ValueError:
        return HIDDEN
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return HIDDEN
    return shown(parts.path if parts.scheme == "unix" else f"{host}:{port}")


def _ping(url: str) -> None:
    """Raises ValueError for what is no URL of one, whose password may look like a port."""
    if _place(url) == HIDDEN:
        raise ValueError
    client = client_of(url, _PATIENCE)
    try:
        client.ping()
    finally:
        client.connection_pool.disconnect()


def check_services(subject: Subject) -> Iterator[Finding]:
    """The Pushgateway and the receiver of spans."""
    config = subject.config
    named = {
        "RESILIENCE_PUSHGATEWAY_URL": config.pushgateway_url,
        "RESILIENCE_TRACES_ENDPOINT": config.traces_endpoint if config.traces == "otlp" else "",
    }
    for setting, url in named.items():
        if not url:
            continue
        if why := unreachable(url):
            what = f"{mask_uri(url)} can't be reached ({why})"
            yield Finding("services", "warning", what, f"start it, or change {setting}")
        else:
            yield Finding("services", "ok", f"{mask_uri(url)} can be reached")


def unreachable(url: str) -> str:
    """Why nothing listens there; empty when something does."""
    try:
        parts = urlsplit(url)
        place = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
        socket.create_connection(place, timeout=_PATIENCE).close()
    except OSError as error:
        return reason(error)
    except ValueError:  # which quotes what may be a password
        return _NO_URL
    return ""
