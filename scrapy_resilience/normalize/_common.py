"""What all normalizers share: the contract of the decorator, and the table of the CLDR."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache, wraps
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from scrapy_resilience.exceptions import MissingLibraryError, ResilienceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Found = dict[str, Any] | None

__all__ = ["MAX_LENGTH", "chain", "cldr", "library", "normalizer", "plain"]

MAX_LENGTH = 500
"""Characters that a normalizer looks at: some libraries need minutes for 100,000."""

CACHE_SIZE = 4096
"""Results that each normalizer remembers."""

strict = False
"""Whether faults of libraries, and our own, are raised: tests want to see them."""

_P = ParamSpec("_P")


def normalizer(function: Callable[_P, Found]) -> Callable[_P, Found]:
    """Make a function of ``(text, **hints)`` what users call.

    ``None`` for anything but a str with something in it. The function gets at most
    `MAX_LENGTH` characters, without space around them; a longer text is cut before the word
    that does not fit, so that no number is cut in two. What a library raises becomes ``None``;
    a `ResilienceError` (a missing library, a wrong hint) and a hint that does not exist are
    raised. The last results are remembered by text and hints, each caller gets a dict of its
    own, and ``raw`` is the text as it was given.
    """
    careful = _careful(function)
    cached = lru_cache(CACHE_SIZE)(careful)

    @wraps(function)
    def normalize(text: Any, **hints: Any) -> Found:
        if type(text) is not str:
            if not isinstance(text, str):
                return None
            text = str.__str__(text)  # markup and its like change what they are asked for
        short = text if len(text) <= MAX_LENGTH else text.strip()
        if len(short) > MAX_LENGTH:
            short = _whole_words(short[: MAX_LENGTH + 1])
        short = short.strip()
        if not short:
            return None
        try:
            found = cached(short, **hints)
        except TypeError:  # a hint that can't be hashed, or one that does not exist
            found = careful(short, **hints)
        return None if found is None else {**found, "raw": text}

    vars(normalize).update(  # as functools.lru_cache() has them
        cache_clear=cached.cache_clear, cache_parameters=cached.cache_parameters
    )
    return cast("Callable[_P, Found]", normalize)


def _careful(function: Callable[_P, Found]) -> Callable[..., Found]:
    def careful(*args: Any, **hints: Any) -> Found:
        try:
            return function(*args, **hints)
        except ResilienceError:
            raise
        except (ValueError, OverflowError):  # 25:00, the year 10,000: no such value
            return None
        except Exception as error:
            # With no frame below this one, the call itself was wrong: a misspelled hint.
            if strict or error.__traceback__ is None or error.__traceback__.tb_next is None:
                raise
            return None

    return careful


def _whole_words(text: str) -> str:
    if text[-1].isspace():
        return text
    head, *tail = text.rsplit(maxsplit=1)
    return head if tail else ""


def library(name: str) -> ModuleType:
    """Import a module of the extra ``quality``, or say how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{name} is not installed: run pip install 'scrapy-resilience[quality]'"
        ) from error


_INVISIBLE = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u200b\u2066\u2067\u2068\u2069\ufeff"))
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")


def plain(text: str) -> str:
    """*text* in compatibility form, with ASCII digits and without marks of direction."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
    return _FOREIGN_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), text)


@cache
def cldr() -> dict[str, Any]:
    """The table that ``tools/cldr.py`` makes."""
    table: dict[str, Any] = json.loads(
        files("scrapy_resilience.normalize").joinpath("cldr.json").read_text("utf-8")
    )
    return table


@lru_cache(256)
def chain(locale: str) -> tuple[str, ...]:
    """The names of a locale in the table, from the language on: ``de-CH`` → ``de, de_CH``.

    Empty for a locale that the CLDR does not know.
    """
    parts = locale.replace("-", "_").partition(".")[0].split("_")
    parts = [
        parts[0].lower(),
        *(part.title() if len(part) == 4 else part.upper() for part in parts[1:]),
    ]
    names = ["_".join(parts[:length]) for length in range(1, len(parts) + 1)]
    known = cldr()["locales"]
    if names[0] not in known:
        return ()
    return tuple(name for name in names if name in known)
