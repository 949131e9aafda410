"""How the page writes a value, said a second time, in Python."""

from __future__ import annotations

from typing import Any

UNKNOWN = "not known"


def count(value: float) -> str:
    """As ``1,234``."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """As ``0.12``, ``12.3``, ``1,234``."""
    return count(value) if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def share(value: float) -> str:
    """As ``61 %``, ``9.8 %``."""
    percent = value * 100
    exact = percent in {0, 100} or 10 <= percent <= 99
    return f"{percent:.{0 if exact else 1}f} %"


def size(value: float) -> str:
    """As ``1.2 GB``."""
    units = ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def dollars(value: float) -> str:
    """As ``$0.0002``, ``$1,310.25``."""
    return f"${value:,.4f}" if value < 1 else f"${value:,.2f}"


def amount(value: float) -> str:
    """As ``0.5``, ``1,234.25``, ``100,000``."""
    if value and abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def seconds(value: float) -> str:
    """As ``0.412 s``."""
    return f"{float(f'{value:.3g}'):g} s" if value < 60 else duration(value)


def duration(value: float) -> str:
    """As ``13 h 37 min``."""
    left, parts = round(value), []
    for unit, span in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, span)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def word(value: str) -> str:
    """As ``Half open``."""
    return value.replace("_", " ").capitalize()


def known(progress: Any) -> str:
    """All requests that are known."""
    return UNKNOWN if progress.pending is None else count(progress.done + progress.pending)


_KINDS = {"count": count, "rate": rate, "share": share, "bytes": size, "seconds": seconds,
          "duration": duration, "word": word, "known": known,
          "dollars": dollars, "text": str}  # fmt: skip


def written(view: Any, path: str, kind: str) -> str:
    """What stands on the page for the value at *path*."""
    value = view
    for name in path.split("."):
        value = getattr(value, name)
    return UNKNOWN if value is None else _KINDS[kind](value)
