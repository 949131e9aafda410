"""Values that pipelines of ours add to items of any class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy_resilience._log import get_logger

if TYPE_CHECKING:
    from itemadapter import ItemAdapter

__all__ = ["Writer", "put"]

logger = get_logger(__name__)


def put(item: ItemAdapter, name: str, value: Any) -> bool:
    """Whether the item takes the value.

    A frozen one does not, nor one without the field, nor one that validates it away.
    """
    try:
        item[name] = value
    except Exception:  # noqa: BLE001 - validators raise what they like
        return False
    return True


class Writer:
    """Sets one field, and says once for each item class that it can't."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._refused: set[type] = set()

    def write(self, item: ItemAdapter, value: Any) -> None:
        kind = type(item.item)
        if not put(item, self._name, value) and kind not in self._refused:
            self._refused.add(kind)
            logger.warning(
                "%s can't take %s: give it such a field that holds a dict",
                kind.__name__,
                self._name,
            )
