"""The country that a page is of, by the address of its site."""

from __future__ import annotations

from typing import Final

__all__ = ["region_of"]

_GENERIC: Final = frozenset(
    "ac ag ai am as bz cc cd cf cm co dj fm ga gg gl gq im io is la li ly me ml mn ms mu nu "
    "pw sc sh sn so sr st su tk tm to tv vc vg vu ws".split()
)
"""Top-level domains of countries that are sold to the whole world."""


def region_of(domain: str | None) -> str | None:
    """Return the country of a host name's or a URL's top-level domain, None for ``.com``.

    None also for countries that sell their domain to everyone, such as ``.io``.
    """
    if not domain:
        return None
    host = domain.rpartition("//")[2].partition("/")[0].partition(":")[0].rstrip(".")
    label = host.rpartition(".")[2].casefold()
    if len(label) != len("uk") or label in _GENERIC:
        return None
    return "GB" if label == "uk" else label.upper()
