"""The settings of what keeps results and saves work: part of the ``Config``."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the types of settings are read
from dataclasses import dataclass
from typing import Any

from scrapy_resilience.settings_values import setting

__all__ = ["KeepConfig"]


@dataclass(frozen=True, init=False, repr=False, eq=False)  # those are of the whole
class KeepConfig:
    """The database sink, the cache, what was seen before, and dry runs."""

    # --- the database sink ---
    sql_url: str = setting(
        "",
        "Items become rows of the database with this SQLAlchemy URL, such as "
        "`postgresql://user:password@host/database`; empty for none.",
        secret=True,
    )
    sql_table: str | Mapping[str, Any] = setting(
        "items",
        "A table, a dict of item classes and their tables, or the import path of a function "
        "that is given an item and returns its table.",
    )
    sql_columns: Mapping[str, Any] = setting(
        dict,
        "Fields of items and the columns that hold them, where they have other names; an empty "
        "column leaves a field out.",
    )
    sql_key: tuple[str, ...] | Mapping[str, Any] = setting(
        (),
        "Columns that tell rows apart, or a dict of tables and theirs; empty for the item's id "
        "in the column `item_id`.",
    )
    sql_create: bool = setting(False, "Create tables and columns that are missing.")
    sql_marks: str = setting(
        "table",
        "Where it is kept which commit has brought a row: in a `table` of its own, or in "
        "hidden `columns` of the row.",
        choices=("table", "columns"),
    )
    sql_batch: int = setting(
        100, "Rows that are written in one transaction.", minimum=1, maximum=1000
    )
    sql_buffer: int = setting(
        1000, "Rows that wait in memory at most; then pipelines wait.", minimum=1
    )
    sql_flush_interval: float = setting(
        5.0, "Seconds for which a row waits at most where there are no commits.", minimum=0.01
    )
    sql_timeout: float = setting(
        30.0, "Seconds that the database may take to connect, and for a statement.", minimum=1
    )

    # --- the cache ---
    cache_url: str = setting(
        "",
        "URL of a Redis (`redis://`, `rediss://`, `unix://`) for the cache; empty: it is in "
        "memory. With a password, set it in the environment.",
        secret=True,
    )
    cache_prefix: str = setting("scrapy:", "What the keys of the cache begin with in Redis.")
    cache_ttl: float = setting(
        300.0, "Seconds that a value is kept, where nobody says otherwise.", minimum=0.001
    )
    cache_negative_ttl: float = setting(
        0.0,
        "Seconds for which functions with `@cached` keep None and the exceptions that they "
        "name; 0: not at all.",
        minimum=0,
    )
    cache_size: int = setting(1_000, "Values in memory at most.", minimum=0)
    cache_memory_mb: float = setting(
        64.0, "Their size together, in MB (2**20 bytes).", minimum=0
    )
    cache_serializer: str = setting(
        "json",
        "What values are made of. With pickle any value can be kept; as reading one can run "
        "any code, that needs RESILIENCE_CACHE_SECRET where there is a Redis.",
        choices=("json", "pickle"),
    )
    cache_secret: str = setting(
        "",
        "Secret text that signs what is written to Redis, and nothing else is read then; set "
        "it in the environment.",
        minimum=16,
        secret=True,
    )
    cache_compress_from: int = setting(
        1_024, "Bytes from which on a value is compressed in Redis; 0: never.", minimum=0
    )
    cache_connections: int = setting(
        50, "Connections to Redis at most.", minimum=1, maximum=1_000
    )
    cache_timeout: float = setting(
        1.0, "Seconds after which a Redis that does not answer is away.", minimum=0.01
    )
    cache_retry_after: float = setting(
        5.0,
        "Seconds after which a Redis that is away is looked at again, twice as many after each "
        "look in vain, up to 30; at least twice RESILIENCE_CACHE_TIMEOUT.",
        minimum=0.01,
    )
    cache_wait: float = setting(
        60.0,
        "Seconds that a call waits for the result of another one with the same arguments "
        "before it is made, too.",
        minimum=0,
    )

    # --- Scrapy's HTTP cache ---
    httpcache_max_mb: float = setting(
        0.0,
        "Megabytes that the pages of a spider may take in `SQLiteCacheStorage` or "
        "`RedisCacheStorage`: those that were stored longest ago go first; 0 for no limit.",
        minimum=0,
    )
    httpcache_redis_url: str = setting(
        "",
        "URL of the Redis of `RedisCacheStorage`, such as `redis://127.0.0.1:6379/0`; set it "
        "in the environment when it has a password.",
        secret=True,
    )
    httpcache_redis_prefix: str = setting(
        "httpcache",
        "How the keys of pages begin in Redis; the spider's name follows.",
        minimum=1,
    )
    httpcache_redis_timeout: float = setting(
        0.5,
        "Seconds for which the crawl may wait for Redis when it looks for a page.",
        minimum=0.01,
        maximum=10,
    )

    # --- what was seen before ---
    seen_store: str = setting(
        "",
        "File of the pages that earlier jobs have brought, which are skipped; `%(spider)s` is "
        "the spider's name. Empty for none.",
    )
    seen_age: float = setting(
        0.0, "Seconds after which a page that was seen is due again; 0 for never.", minimum=0
    )
    seen_adaptive: bool = setting(
        False,
        "Let that age follow how often a page changes: it grows by 0.4 of itself when a page "
        "has not changed, and shrinks by 0.2 when it has.",
    )
    seen_age_min: float = setting(
        3_600.0, "The least age that RESILIENCE_SEEN_ADAPTIVE comes to, in seconds.", minimum=1
    )
    seen_age_max: float = setting(
        2_592_000.0,
        "The greatest age that RESILIENCE_SEEN_ADAPTIVE comes to, in seconds.",
        minimum=1,
    )
    seen_conditional: bool = setting(
        True,
        "Ask for a page that is due only where it has changed, by the ETag and Last-Modified "
        "that came with it; 304 counts as seen and unchanged.",
    )
    seen_changed_only: bool = setting(
        True, "Leave out items of a page that is due which are as they were at the last visit."
    )
    seen_ignored_fields: tuple[str, ...] = setting(
        (), "Fields that say nothing of whether an item has changed, such as its time."
    )
    seen_field: str = setting(
        "",
        "Field of the items whose value is what was seen, in the place of their page: requests "
        "with that value as their meta `resilience_seen_key` are skipped.",
    )
    seen_with_links: bool = setting(
        False,
        "Skip pages, too, that have given requests beside items: what they link to is not "
        "found through them then.",
    )
    seen_urls: bool = setting(
        True,
        "Keep the URL of each page in the store, so that `scrapy resilience seen` can name "
        "and forget it: some 100 bytes a page.",
    )

    # --- dry runs ---
    dry_run: int = setting(
        0,
        "Requests that a dry run makes, which writes nothing and says what would have failed; "
        "0 for a crawl.",
        minimum=0,
    )
    dry_run_safe: tuple[str, ...] = setting(
        (),
        "Import paths of components of yours that write nothing, so that a dry run may run "
        "them, beside those that say `dry_run_safe = True`.",
    )
