"""The tables of input and output in the reference of the normalizers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
_ROW = re.compile(r"^    \* - ``(.+)``\n      - ``(.+)``$", re.MULTILINE)


def documented(page):
    """(text, hints, expected) of each row of the table of a page."""
    rows = []
    for given, expected in _ROW.findall((REFERENCE / page).read_text("utf-8")):
        call = ast.parse(f"f({given})", mode="eval").body
        hints = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        rows.append((ast.literal_eval(call.args[0]), hints, ast.literal_eval(expected)))
    assert rows, page
    return rows
