"""Draws the circuit breaker's states from its table; run it when the table has changed.

    python docs/_ext/state_diagram.py

Labels come from the table, places from here: a transition without a place is an error.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from scrapy_resilience.core.breaker import TRANSITIONS, State

FILE = Path(__file__).resolve().parents[1] / "explanation" / "breaker.svg"

_WIDTH, _HEIGHT = 130, 44

_BOXES = {
    State.CLOSED: (120, 70, "#bfe3c6"),
    State.OPEN: (540, 70, "#f5c2c0"),
    State.HALF_OPEN: (330, 230, "#fbe3a8"),
    State.FORCED_OPEN: (120, 370, "#d9dee5"),
    State.DISABLED: (330, 370, "#d9dee5"),
    State.METRICS_ONLY: (540, 370, "#d9dee5"),
}
"""Where a state's box has its left upper corner, and its colour."""

_ARROWS = {
    (State.CLOSED, State.OPEN): ("250 92 L 534 92", (395, 50, "middle")),
    (State.OPEN, State.HALF_OPEN): ("570 114 L 440 224", (480, 160, "end")),
    (State.HALF_OPEN, State.OPEN): ("460 252 L 620 252 L 620 120", (632, 190, "start")),
    (State.HALF_OPEN, State.CLOSED): ("330 252 L 185 252 L 185 120", (195, 242, "start")),
}
"""The path of an arrow, and where its label begins and how it is aligned."""

_Edges = dict[tuple[State, State], list[str]]


def _edges() -> tuple[_Edges, dict[State, list[str]]]:
    """Transitions from one state, and those to a state from every other one."""
    single: _Edges = defaultdict(list)
    everywhere: dict[State, list[str]] = defaultdict(list)
    for (old, event), new in TRANSITIONS.items():
        if all((other, event) in TRANSITIONS for other in State if other is not new):
            if event.value not in everywhere[new]:
                everywhere[new].append(event.value)
        else:
            single[old, new].append(event.value)
    return single, everywhere


def _text(x: int, y: int, lines: list[str], anchor: str) -> str:
    spans = "".join(
        f'<tspan x="{x}" dy="{16 if number else 0}">{line}</tspan>'
        for number, line in enumerate(lines)
    )
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{spans}</text>'


def _arrow(path: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="M {path}" marker-end="url(#head)"{dashes}/>'


def _box(state: State) -> tuple[str, str]:
    x, y, colour = _BOXES[state]
    rect = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{colour}"/>'
    name = state.value.replace("_", " ")
    return rect, _text(x + _WIDTH // 2, y + 27, [name], "middle")


def draw() -> str:
    """Return the diagram as SVG."""
    single, everywhere = _edges()
    shapes, texts = [], []
    for state in State:
        rect, name = _box(state)
        shapes.append(rect)
        texts.append(name)
    for edge, labels in single.items():
        path, (x, y, anchor) = _ARROWS[edge]
        shapes.append(_arrow(path))
        texts.append(_text(x, y, labels, anchor))
    for state, labels in everywhere.items():
        x, y, _ = _BOXES[state]
        middle = x + _WIDTH // 2
        shapes.append(_arrow(f"{middle} {y - 36} L {middle} {y - 6}", dashed=True))
        texts.append(
            _text(middle, y - 44, [f"{' or '.join(labels)}, from any state"], "middle")
        )
    lines = "\n    ".join(shapes)
    words = "\n    ".join(texts)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 790 440" font-family="system-ui, \
sans-serif" font-size="14">
  <!-- Drawn by docs/_ext/state_diagram.py from the breaker's table. -->
  <marker id="head" viewBox="0 0 10 10" refX="6" refY="5" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M 0 0 L 10 5 L 0 10 z" fill="#1f2933"/></marker>
  <rect width="790" height="440" fill="#ffffff"/>
  <g stroke="#1f2933" stroke-width="1.5" fill="none">
    {lines}
  </g>
  <g fill="#1f2933">
    {words}
  </g>
</svg>
"""


if __name__ == "__main__":
    FILE.write_text(draw(), "utf-8")
