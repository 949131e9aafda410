"""What the scripts that draw diagrams have in common: text, arrows, boxes, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["arrow", "box", "page", "text"]


def text(x: int, y: int, lines: Sequence[str], anchor: str) -> str:
    """Lines of text below each other."""
    spans = "".join(
        f'<tspan x="{x}" dy="{16 if number else 0}">{line}</tspan>'
        for number, line in enumerate(lines)
    )
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{spans}</text>'


def arrow(path: str, *, dashed: bool = False) -> str:
    """An arrow along a path of SVG, its first M left out."""
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="M {path}" marker-end="url(#head)"{dashes}/>'


def box(x: int, y: int, width: int, height: int, colour: str) -> str:
    """A box by its left upper corner."""
    size = f'width="{width}" height="{height}"'
    return f'<rect x="{x}" y="{y}" {size} rx="8" fill="{colour}"/>'


def page(
    size: tuple[int, int], made_by: str, shapes: Sequence[str], texts: Sequence[str]
) -> str:
    """The whole file."""
    width, height = size
    lines = "\n    ".join(shapes)
    words = "\n    ".join(texts)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, \
sans-serif" font-size="14">
  <!-- {made_by} -->
  <marker id="head" viewBox="0 0 10 10" refX="6" refY="5" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M 0 0 L 10 5 L 0 10 z" fill="#1f2933"/></marker>
  <rect width="{width}" height="{height}" fill="#ffffff"/>
  <g stroke="#1f2933" stroke-width="1.5" fill="none">
    {lines}
  </g>
  <g fill="#1f2933">
    {words}
  </g>
</svg>
"""
