"""Draws the way of a request through the gates; run it after a change here.

python docs/_ext/gates_diagram.py
"""

from __future__ import annotations

from pathlib import Path

from svg_parts import arrow, box, page, text

FILE = Path(__file__).resolve().parents[1] / "explanation" / "gates.svg"

_BOXES = [
    ((20, 60, 110, 60, "#d9dee5"), ["spider"]),
    (
        (250, 30, 170, 120, "#bfe3c6"),
        ["frontier", "lane of a.example", "lane of b.example", "lane of c.example"],
    ),
    ((600, 60, 140, 60, "#d9dee5"), ["downloader"]),
    (
        (250, 270, 170, 150, "#fbe3a8"),
        [
            "gate of one domain",
            "breaker",
            "hold",
            "rate limit, pace",
            "slow start",
            "probation",
        ],
    ),
    ((600, 310, 140, 70, "#d9dee5"), ["middlewares:", "one verdict"]),
    ((20, 310, 110, 60, "#f5c2c0"), ["dead letters"]),
]
"""x, y, width, height and colour of each box, and what is in it."""

_ARROWS = [
    ("130 90 L 244 90", (187, 80, "middle"), ["requests"]),
    ("290 150 L 290 264", (282, 212, "end"), ["may I?"]),
    ("380 270 L 380 156", (388, 192, "start"), ["now, or", "not before t"]),
    ("420 70 L 594 70", (507, 60, "middle"), ["request with a ticket"]),
    ("670 120 L 670 304", (680, 216, "start"), ["answer or", "exception"]),
    ("600 360 L 426 360", (512, 380, "middle"), ["outcome settles", "the ticket"]),
    ("600 320 L 480 320 L 480 120 L 426 120", (490, 262, "start"), ["retry with", "its delay"]),
    ("250 130 L 75 130 L 75 304", (85, 172, "start"), ["given up"]),
]
"""The path of each arrow, where its label begins and how it is aligned, and the label."""


def _words(place: tuple[int, int, int, int, str], lines: list[str]) -> str:
    x, y, width, height, _ = place
    return text(x + width // 2, y + height // 2 - 8 * len(lines) + 13, lines, "middle")


def draw() -> str:
    """Return the diagram as SVG."""
    shapes = [box(*place) for place, _ in _BOXES]
    shapes += [arrow(path) for path, _, _ in _ARROWS]
    texts = [_words(place, lines) for place, lines in _BOXES]
    texts += [text(x, y, lines, anchor) for _, (x, y, anchor), lines in _ARROWS]
    return page((760, 440), "Drawn by docs/_ext/gates_diagram.py.", shapes, texts)


if __name__ == "__main__":
    FILE.write_text(draw(), "utf-8")
