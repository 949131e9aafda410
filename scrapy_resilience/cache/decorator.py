"""``@cached``: calls that were made before are not made again."""

from __future__ import annotations

from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from scrapy_resilience.cache.cache import checked_ttl
from scrapy_resilience.cache.counts import CacheInfo
from scrapy_resilience.cache.fetching import MISSING, Plan
from scrapy_resilience.cache.of_crawl import current
from scrapy_resilience.callables import check_function, is_async
from scrapy_resilience.core.cachekeys import CallKey, place_of
from scrapy_resilience.core.keypatterns import KeyPattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy_resilience.cache.cache import Cache

__all__ = ["cached"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


@overload
def cached(ttl: _Function, /) -> _Function: ...
@overload
def cached(
    ttl: float | None = None,
    key_prefix: str = "",
    *,
    negative_ttl: float | None = None,
    exceptions: type[Exception] | Iterable[type[Exception]] = (),
    ignore: str | Iterable[str] = (),
    cache: Cache | None = None,
) -> Callable[[_Function], _Function]: ...
def cached(ttl: Any = None, key_prefix: str = "", **options: Any) -> Any:
    """Keep what a function gives, by its arguments, for *ttl* seconds.

    A coroutine function uses the cache as it is, with Redis where there is one. A plain
    function uses its memory only: to wait for Redis would block the event loop.

    While a call is under way, others with the same arguments wait for it; if it fails, they
    fail, too, and nothing is kept. ``cache_info()`` tells hits and misses, and
    ``cache_clear()``, of a coroutine function to be awaited, forgets the results.

    :param ttl: seconds; None: what the cache has, 300 by default
    :param key_prefix: before the keys, which begin with the function's module and name
    :param negative_ttl: seconds that None, and what *exceptions* names, are kept; 0: not at
        all; None: what the cache has
    :param exceptions: classes whose errors are kept, and raised again; not those made of them
    :param ignore: names of arguments that the result does not depend on. ``self`` is an
        argument like others: name it here, or give its class a method ``__cache_key__()``
    :param cache: which one; None: that of the crawl that calls, outside of crawls one in memory

    A call raises :exc:`TypeError` for an argument that no key can be made of. Decorating raises
    it for a generator, and for a function that has no name of its own, such as a method of an
    object, and no *key_prefix*.
    """
    if callable(ttl):
        return cached()(ttl)

    def decorate(function: _Function) -> _Function:
        decorated: _Function = _decorated(function, ttl, key_prefix, **options)
        return decorated

    return decorate


def _decorated(
    function: Any,
    ttl: float | None,
    key_prefix: str,
    *,
    negative_ttl: float | None = None,
    exceptions: type[Exception] | Iterable[type[Exception]] = (),
    ignore: str | Iterable[str] = (),
    cache: Cache | None = None,
) -> Any:
    check_function(function)
    place = _name_of(function, key_prefix)
    make_key = CallKey(function, ignore)
    plan = _plan_of(place, ttl, negative_ttl, exceptions)
    start = f"{place}:"
    call: Any
    if is_async(function):

        @wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            key = start + make_key(args, kwargs)
            return await (cache or current()).fetch(key, plan, function, *args, **kwargs)

        async def clear_async() -> int:
            return await (cache or current()).clear(f"{start}*")

        call.cache_clear = clear_async
    else:

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            key = start + make_key(args, kwargs)
            used = cache or current()
            found = used.found_here(key, plan)  # first: all other ways cost more
            if found is not MISSING:
                return found
            return used.fetch_here(key, plan, function, *args, **kwargs)

        def clear() -> int:
            return (cache or current()).memory.clear(KeyPattern(f"{start}*"))

        call.cache_clear = clear
    call.cache_info = lambda: CacheInfo(plan.hits, plan.misses, plan.waits, plan.refused)
    return call


def _plan_of(
    place: str,
    ttl: float | None,
    negative_ttl: float | None,
    exceptions: type[Exception] | Iterable[type[Exception]],
) -> Plan:
    if negative_ttl:  # 0 keeps none
        negative_ttl = checked_ttl(negative_ttl, "negative_ttl")
    ttl = None if ttl is None else checked_ttl(ttl)
    return Plan(ttl, negative_ttl, _by_place(exceptions), place)


def _name_of(function: Any, key_prefix: str) -> str:
    """What keys begin with: nothing that two functions have in common."""
    if "*" in key_prefix:
        raise TypeError(f"key_prefix={key_prefix!r}: leave out the *")
    try:
        place = place_of(function)
    except AttributeError:
        raise TypeError(f"{function!r} has no name: decorate a function") from None
    owner = getattr(function, "__self__", None)
    is_bound = owner is not None and not isinstance(owner, ModuleType)
    is_one_of_many = (
        is_bound
        or "<lambda>" in place
        or ("<locals>" in place and getattr(function, "__closure__", None))
    )
    if is_one_of_many and not key_prefix:
        raise TypeError(
            f"{place} may be several functions, which would share their results: give each "
            "a key_prefix of its own"
        )
    return f"{key_prefix}{place}"


def _by_place(
    exceptions: type[Exception] | Iterable[type[Exception]],
) -> dict[str, type[Exception]]:
    given: tuple[Any, ...] = (
        (exceptions,) if isinstance(exceptions, type) else tuple(exceptions)
    )
    for each in given:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            raise TypeError(f"exceptions={each!r}: use classes of exceptions")
    return {place_of(each): each for each in given}
