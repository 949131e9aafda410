"""The tables of input and output in the reference of the normalizers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
_ROW = re.compile(r"^    \* - ``(?P<call>.+)``\n      - ``(?P<result>.+)``$", re.MULTILINE)


def rows(name):
    """Return (text, hints, result) of each row of a page."""
    page = (DOCS / f"{name.replace('_', '-')}.rst").read_text("utf-8")
    found = []
    for row in _ROW.finditer(page):
        call = ast.parse(row["call"], mode="eval").body
        assert ast.unparse(call.func) == name
        hints = {hint.arg: ast.literal_eval(hint.value) for hint in call.keywords}
        found.append((ast.literal_eval(call.args[0]), hints, ast.literal_eval(row["result"])))
    return found
