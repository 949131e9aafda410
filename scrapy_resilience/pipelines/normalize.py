"""Makes typed values of the texts that spiders find."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from itemadapter import ItemAdapter, is_item
from scrapy.utils.httpobj import urlparse_cached

from scrapy_resilience import _clock
from scrapy_resilience._log import get_logger
from scrapy_resilience._scrapy.refusals import fail_quietly
from scrapy_resilience.exceptions import ResilienceError
from scrapy_resilience.names import STAT_NORMALIZE_FAILED, STAT_NORMALIZED
from scrapy_resilience.normalize._regions import region_of
from scrapy_resilience.pipelines.writing import put
from scrapy_resilience.scheduling.item_context import current, follow_items
from scrapy_resilience.settings import PREFIX, Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

    from scrapy_resilience.normalize.rules import Rule

__all__ = ["NormalizePipeline", "normalize_rules"]

logger = get_logger(__name__)

_KEY: Final = "normalize"
"""Of the metadata of a field."""
_SETTING: Final = PREFIX + "NORMALIZE"
_MINUTE: Final = 60


class _Step(NamedTuple):
    """What is done with one field of an item class."""

    field: str
    rule: Rule
    target: str
    good: str
    bad: str


class NormalizePipeline:
    """Reads fields by ``RESILIENCE_NORMALIZE`` and by the metadata of item classes.

    What can't be read stays as it is and is counted. Order 100: before what uses the values.
    """

    def __init__(self, crawler: Crawler, rules: Mapping[str, Rule]) -> None:
        self.crawler = crawler
        self._rules = rules
        self._steps: dict[type, tuple[_Step, ...]] = {}
        self._failed: set[tuple[type, str]] = set()
        self._stats: Any = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        config = Config.from_settings(crawler.settings)
        try:
            return cls(crawler, normalize_rules(config))
        except ResilienceError as error:
            fail_quietly(crawler, error)
            raise

    def open_spider(self) -> None:
        follow_items(self.crawler)

    def process_item(self, item: Any) -> Any:
        kind = type(item)
        steps = self._steps.get(kind)
        if steps is None:
            steps = self._steps[kind] = tuple(self._plan(kind)) if is_item(item) else ()
        if steps:
            self._normalize(ItemAdapter(item), steps)
        return item

    # --- item classes ---

    def _plan(self, kind: type) -> Iterator[_Step]:
        """The steps of an item class; a wrong one is left out, and the log says so once."""
        names = ItemAdapter.get_field_names_from_class(kind)
        for name in self._rules if names is None else names:
            try:
                rule = self._rule(kind, name, declared=names is not None)
            except ResilienceError as error:
                logger.error("The field stays as it is: %s", error)  # noqa: TRY400 - no traceback
                continue
            if rule is None:
                continue
            target = rule.to or name
            if names is not None and target not in names:
                logger.error(
                    "%s.%s stays as it is: %s has no field %r for the result",
                    kind.__name__, name, kind.__name__, target,
                )  # fmt: skip
                continue
            yield _Step(
                name, rule, target, STAT_NORMALIZED + name, STAT_NORMALIZE_FAILED + name
            )

    def _rule(self, kind: type, name: str, *, declared: bool) -> Rule | None:
        """Metadata goes before the setting; an empty one switches the field off."""
        if declared:
            metadata: Mapping[str, Any] = ItemAdapter.get_field_meta_from_class(kind, name)
            extra = metadata.get(
                "json_schema_extra"
            )  # where pydantic keeps what is not its own
            if isinstance(extra, Mapping):
                metadata = extra
            if _KEY in metadata:
                return _rule_of(f"{kind.__name__}.{name}", metadata[_KEY])
        return self._rules.get(name)

    # --- items ---

    def _normalize(self, item: ItemAdapter, steps: tuple[_Step, ...]) -> None:
        passage = current()
        page = _Page(passage.response)
        unread = []
        for step in steps:
            try:
                good, bad = _take(item, step, page)
            except Exception as error:  # noqa: BLE001 - an item's own code never costs the item
                good, bad = 0, 1
                self._report(type(item.item), step.field, error)
            if good:
                self._stats.inc_value(step.good, good)
            if bad:
                self._stats.inc_value(step.bad, bad)
                unread.append(step.field)
        passage.unread = tuple(unread)

    def _report(self, kind: type, field: str, error: Exception) -> None:
        """Say once for a field of a class that it fails."""
        if (kind, field) not in self._failed:
            self._failed.add((kind, field))
            logger.error(
                "%s.%s stays as it is: it can't be read", kind.__name__, field, exc_info=error
            )


def normalize_rules(config: Config) -> dict[str, Rule]:
    """The rules of ``RESILIENCE_NORMALIZE`` by field; errors as in :func:`.make_rules`."""
    if not config.normalize:
        return {}
    from scrapy_resilience.normalize.rules import make_rules  # noqa: PLC0415 - for those with some

    return make_rules(_SETTING, config.normalize)


def _rule_of(where: str, raw: Any) -> Rule | None:
    if not raw:
        return None
    from scrapy_resilience.normalize.rules import make_rule  # noqa: PLC0415 - likewise

    return make_rule(where, raw)


def _take(item: ItemAdapter, step: _Step, page: _Page) -> tuple[int, int]:
    """Do a step, and return how many values were read and how many were not."""
    value = item.get(step.field)
    if value is None:
        return 0, 0
    result, good, bad = step.rule.read(value, page)
    if good and not put(item, step.target, result):
        return 0, good + bad
    return good, bad


class _Page(dict[str, Any]):
    """Hints that a page gives, each worked out when it is asked for."""

    def __init__(self, response: Response | None) -> None:
        self._response = response

    def __missing__(self, hint: str) -> Any:
        value = self[hint] = _HINTS[hint](self._response)
        return value


def _now(response: Response | None) -> float:
    """When the page was made, to the minute: a result may then be remembered.

    An answer from a cache says so in its Date.
    """
    sent = _moment(response.headers.get("Date")) if response is not None else None
    return (sent or _clock.wall()) // _MINUTE * _MINUTE


@lru_cache(256)
def _moment(date: bytes | None) -> float | None:
    try:
        return (
            None if date is None else parsedate_to_datetime(date.decode("latin-1")).timestamp()
        )
    except (ValueError, OverflowError):
        return None


def _domain(response: Response | None) -> str | None:
    return None if response is None else urlparse_cached(response).hostname


def _region(response: Response | None) -> str | None:
    return region_of(_domain(response))


_HINTS: Final = {"now": _now, "domain": _domain, "region": _region}
