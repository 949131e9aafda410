"""The tables of input and output in the reference of the normalizers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
_ROW = re.compile(r"^    \* - ``(.+)``\n      - ``(.+)``$", re.MULTILINE)


def documented(name):
    """(text, hints, expected) of each row of the table on the page of a function."""
    page = REFERENCE / f"{name.replace('_', '-')}.rst"
    rows = []
    for given, expected in _ROW.findall(page.read_text("utf-8")):
        call = ast.parse(given, mode="eval").body
        assert ast.unparse(call.func) == name
        hints = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        rows.append((ast.literal_eval(call.args[0]), hints, ast.literal_eval(expected)))
    assert rows, page
    return rows
