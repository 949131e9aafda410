"""Classes that stored values name: they must be importable."""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial

import scrapy
from scrapy import Field, FormRequest, Item, Request
from scrapy.http import JsonRequest


class Book(Item):
    """A plain item."""

    title = Field()
    more = Field()


class Novel(Book):
    """An item of a subclass."""

    author = Field()


class Shouting(Item):
    """An item whose constructor does more than Item's."""

    title = Field()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.setdefault("title", "LOUD")


class Shelf:
    """Holds an item class, as loaders and page objects do."""

    class Book(Item):
        """An item whose class has no importable name."""

        title = Field()


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: list = field(default_factory=list)


class Colour(enum.Enum):
    """An enum."""

    RED = 1


class Level(enum.IntEnum):
    """An enum that is an int."""

    LOW = 1


class Text(str):
    """A str with a class of its own."""

    __slots__ = ()


class Number(int):
    """An int with a class of its own."""


class Table(dict):
    """A dict with a class of its own."""


class MyRequest(Request):
    """A request with one more attribute."""

    attributes = (*Request.attributes, "tag")

    def __init__(self, *args, tag=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.tag = tag


class PostRequest(Request):
    """A request with another default method."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("method", "POST")
        super().__init__(*args, **kwargs)


class Requests:
    """Holds a request class."""

    class Nested(Request):
        """A request whose class has no importable name."""


def unnamed(method):
    """Decorate as people do who don't know functools.wraps."""

    def wrapper(self, response):
        return method(self, response)

    return wrapper


class Base(scrapy.Spider):
    """Where private names are mangled once more."""

    name = "base"

    def __hidden(self, response):
        """Return nothing."""

    def inherited_hidden(self):
        """Return the private method of the base class."""
        return self.__hidden


class CodecSpider(Base):
    """A spider with callbacks of every kind."""

    name = "codec"

    def parse(self, response):
        """Return nothing."""

    def parse_book(self, response, shelf=None):
        """Return nothing."""

    alias = parse_book

    def __private(self, response):
        """Return nothing."""

    def private(self):
        """Return the private method."""
        return self.__private

    def failed(self, failure):
        """Return nothing."""

    @staticmethod
    def static(response):
        """Return nothing."""

    @classmethod
    def of_class(cls, response):
        """Return nothing."""

    async def parse_async(self, response):
        """Return nothing."""

    @unnamed
    def parse_wrapped(self, response):
        """Return nothing."""

    parse_partial = partial(parse_book, shelf=1)


class TroubledSpider(CodecSpider):
    """A spider with a property that fails."""

    @property
    def about(self):
        """Fail."""
        raise RuntimeError("not connected yet")


__all__ = [
    "Base", "Book", "CodecSpider", "Colour", "FormRequest", "JsonRequest", "Level", "MyRequest",
    "Novel", "Number", "OrderedDict", "Point", "PostRequest", "Requests", "Shelf", "Shouting",
    "Table", "Text", "TroubledSpider",
]  # fmt: skip
