"""Components that don't go together: ours beside Scrapy's, and those of others with ours.

Some of others keep something of their own, which no checkpoint can hold: one line at the
start for each that is in use says what is not covered, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrapy.utils.misc import load_object

from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

__all__ = ["refuse_both", "uncovered"]

_SETTINGS: Final = (
    "SPIDER_MIDDLEWARES",
    "DOWNLOADER_MIDDLEWARES",
    "EXTENSIONS",
    "ITEM_PIPELINES",
)


class _Known(NamedTuple):
    """*prefix* of the module, what happens, what to do, and the setting that turns it on."""

    prefix: str
    text: str
    switch: str = ""
    default: bool = True
    resumed: bool = False
    """Whether it matters in a resumed run only."""


_KNOWN: Final = (
    _Known(
        "scrapy_deltafetch",
        "after a kill it skips pages whose items are in no feed. Go on then with "
        "DELTAFETCH_ENABLED=False: the job knows what it has seen. RESILIENCE_SEEN_STORE does "
        "the same, and goes back with the job",
        switch="DELTAFETCH_ENABLED",
        default=False,
    ),
    _Known(
        "scrapy_crawl_once",
        "after a kill it ignores pages whose items are in no feed. Go on then with "
        "CRAWL_ONCE_ENABLED=False: the job knows what it has seen",
        switch="CRAWL_ONCE_ENABLED",
    ),
    _Known(
        "scrapy_redis.spiders",
        "a kill loses URLs that it has just taken off Redis. Push them again, or read them in "
        "start() and take them off at checkpoint_committed",
    ),
    _Known(
        "scrapy_redis.pipelines",
        "after a kill some items are pushed again. Put item_id() into them in a pipeline "
        "before it, and leave out those that came before",
    ),
    _Known(
        "scrapyelasticsearch",
        "a kill loses the items that it has collected. Set ELASTICSEARCH_BUFFER_LENGTH=1",
    ),
    _Known(
        "scrapy_mongodb",
        "a kill loses the items that it has collected. Set MONGODB_BUFFER_DATA=0",
        switch="MONGODB_BUFFER_DATA",
        default=False,
    ),
    _Known(
        "spidermon",
        "its monitors see the stats of this run. Those of the whole job are under "
        "resilience/total/",
        switch="SPIDERMON_ENABLED",
        default=False,
        resumed=True,
    ),
)


def uncovered(
    settings: BaseSettings, spidercls: type[Spider], *, resumed: bool
) -> Iterator[str]:
    """One line for each component in use, or made of one, that is not part of a checkpoint."""
    for cls in _in_use(settings, spidercls):
        for known in _KNOWN:
            if (
                any(_is_in(base.__module__, known.prefix) for base in cls.__mro__)
                and (not known.switch or _is_on(settings, known))
                and resumed >= known.resumed
            ):
                name = f"{cls.__module__}.{cls.__qualname__}"
                yield f"{name} is not part of the checkpoint: {known.text}"


def _in_use(settings: BaseSettings, spidercls: type[Spider]) -> list[type]:
    """The spider's class, and those of the components; one in two settings comes once."""
    found: list[Any] = [spidercls]
    for setting in _SETTINGS:
        orders = settings.get_component_priority_dict_with_base(setting)
        found += [load_object(key) for key, order in orders.items() if order is not None]
    return [each for each in dict.fromkeys(found) if isinstance(each, type)]


def _is_in(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def _is_on(settings: BaseSettings, known: _Known) -> bool:
    return settings.getbool(known.switch, known.default)


def refuse_both(crawler: Crawler, setting: str, ours: type, replaced: type) -> None:
    """Raises :exc:`ConfigurationError` when *ours* is listed, and Scrapy's own is not out."""
    orders = crawler.settings.get_component_priority_dict_with_base(setting)
    enabled = {load_object(key) for key, order in orders.items() if order is not None}
    if {ours, replaced} <= enabled:
        path = f"{replaced.__module__}.{replaced.__qualname__}"
        error = ConfigurationError(
            f'{setting} has both {ours.__name__} and what it replaces: add "{path}": None.'
        )
        fail_quietly(crawler, error)
        raise error
