"""Draws the circuit breaker's states from its table; run it when the table has changed.

    python docs/_ext/state_diagram.py

Labels come from the table, places from here: a transition without a place is an error.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from svg_parts import arrow, box, page, text

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
    (State.CLOSED, State.OPEN): ("250 86 L 534 86", (395, 44, "middle")),
    (State.OPEN, State.HALF_OPEN): ("570 114 L 440 224", (480, 160, "end")),
    (State.HALF_OPEN, State.OPEN): ("460 252 L 620 252 L 620 120", (632, 190, "start")),
    (State.HALF_OPEN, State.CLOSED): ("330 252 L 185 252 L 185 120", (177, 190, "end")),
    (State.OPEN, State.CLOSED): ("540 106 L 256 106", (395, 124, "middle")),
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


def _box(state: State) -> tuple[str, str]:
    x, y, colour = _BOXES[state]
    name = state.value.replace("_", " ")
    return box(x, y, _WIDTH, _HEIGHT, colour), text(x + _WIDTH // 2, y + 27, [name], "middle")


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
        shapes.append(arrow(path))
        texts.append(text(x, y, labels, anchor))
    for state, labels in everywhere.items():
        x, y, _ = _BOXES[state]
        middle = x + _WIDTH // 2
        shapes.append(arrow(f"{middle} {y - 36} L {middle} {y - 6}", dashed=True))
        texts.append(text(middle, y - 44, [f"{' or '.join(labels)}, from any state"], "middle"))
    made_by = "Drawn by docs/_ext/state_diagram.py from the breaker's table."
    return page((790, 440), made_by, shapes, texts)


if __name__ == "__main__":
    FILE.write_text(draw(), "utf-8")
