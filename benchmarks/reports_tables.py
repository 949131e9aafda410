"""The tables of strings in the tests of other projects, as cases: prices and phones.

Their files are read as text, with `ast`: nothing of theirs is imported or run. What can't be
judged, or contradicts what our reference says, is left out by a rule, and counted; `RULES`
says which there are.
"""

from __future__ import annotations

import ast
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from babel import Locale

from benchmarks.reports_cases import ANY, Case

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

__all__ = ["RULES", "given", "no_numbers", "numbers", "prices", "tables", "values"]

RULES: Final = {
    "not literal": "a value that is worked out as their test runs",
    "no number": "a price of a text without a digit: theirs tests the symbol alone",
    "abbreviations": "a table of abbreviations of currencies, and of no strings of sites",
    "hint": "a hint that ours lacks (a mark for decimals other than the point, the order YDM),"
    " or that their own value contradicts",
    "two prices": "several numbers beside the same sign: theirs takes the first, ours the one"
    " that a word says, or none",
    "cents": "99¢ is 99 for theirs, and 0.99 for ours",
    "thousands": "1.234 without a currency: a thousand for theirs, not to be told for ours",
    "clock": "a day, month or year that is not in the text, but of the clock of their test",
    "settings": "a table that a setting of theirs changes (prefer, strict)",
    "digits": "a number that is a time of Unix, or a date only by guessing (12595)",
    "two days": "June 12-14, 2021 is its first day for theirs, and none for ours",
    "point": "11.12.2014 is November for theirs, and December for ours",
    "zone": "a time with a zone: theirs leaves it as it stands, ours is in UTC",
    "no direction": "2 hours, without a word of the CLDR for the past: ago for theirs, none"
    " for ours",
    "years": "before 1583: ours has no such days",
    "metadata": "a number that phonenumbers itself reads otherwise: the countries of its table"
    " are made up",
}
"""What is left out, and why."""
_MARK, _GROUPS = "decimal_separator", "digit_group_separator"
_CODES: Final = frozenset(Locale("en").currencies)
_THOUSANDS: Final = re.compile(r"\D*\d{1,3}\.\d{3}\D*")
_NUMBER: Final = r"\d[\d.,' \xa0]*"


# --- price-parser ----------------------------------------------------------------------


def prices(source: str, skipped: Counter[str]) -> Iterator[Case]:
    """``Example(hint, text, currency, amount as text, amount, decimal mark, …)``.

    The currency is judged where theirs is a code of ISO 4217; else it is a symbol in the text.
    """
    fields = ("hint", "text", "currency", "_", "amount", _MARK, _GROUPS)
    for table, call in _examples(ast.parse(source)):
        row = values(call, fields)
        if rule := _rule(table, row):
            skipped[rule] += 1
        elif row and row.get("text"):
            hints = {"currency": row.get("hint"), "locale": "und" if row.get(_MARK) else None}
            yield Case("price", row["text"], given(hints), _priced(row), "price-parser")


def _examples(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for call in ast.walk(node.value):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Example":
                    yield ast.unparse(node.targets[0]), call


def _rule(table: str, row: dict[str, Any] | None) -> str | None:
    """The name of the rule by which a row is left out."""
    if row is None:
        return "not literal"
    if row.get("amount") is None:
        return None
    text, sign, mark = (row.get(key) or "" for key in ("text", "currency", _MARK))
    rules = {
        "no number": not re.search(r"\d", text),
        "abbreviations": table.endswith("TO_BE_ADDED"),
        "hint": mark not in {"", "."} or row.get(_GROUPS) == ".",
        "cents": sign == "¢",
        "two prices": _are_several(text, sign),
        "thousands": not mark and not sign and bool(_THOUSANDS.fullmatch(text)),
    }
    return next((rule for rule, breaks in rules.items() if breaks), None)


def _are_several(text: str, sign: str) -> bool:
    """Whether two different numbers stand beside the sign."""
    mark = re.escape(sign)
    found = re.findall(rf"{mark}\s?({_NUMBER})|({_NUMBER}){mark}", text) if sign else ()
    return len({re.sub(r"\D", "", before or behind) for before, behind in found}) > 1


def _priced(row: dict[str, Any]) -> dict[str, Any] | None:
    if (amount := row.get("amount")) is None:
        return None
    code = row.get("currency")
    return {"amount": Decimal(str(amount)), "currency": code if code in _CODES else ANY}


# --- phonenumbers ----------------------------------------------------------------------


def numbers(
    source: str, skipped: Counter[str], read: Callable[[str, str | None], str | None]
) -> Iterator[Case]:
    """``assertEqual(NUMBER, phonenumbers.parse(text, region))`` with a number of the module.

    *read* is what the library makes of a text with the countries that there are.
    """
    tree = ast.parse(source)
    known = {
        node.targets[0].id: _number(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call in _calls(tree, "self.assertEqual"):
        match call.args:
            case [ast.Name(id=name), ast.Call() as parsed] if known.get(name):
                pass
            case _:
                continue
        if ast.unparse(parsed.func) != "phonenumbers.parse":
            continue
        row = values(parsed, ("text", "region"))
        if row is None:
            skipped["not literal"] += 1
            continue
        region = None if row.get("region") == "ZZ" else row.get("region")
        if read(row["text"], region) != known[name]:
            skipped["metadata"] += 1
        else:
            wanted = {"e164": known[name]}
            yield Case("phone", row["text"], given({"region": region}), wanted, "phonenumbers")


def no_numbers(source: str, skipped: Counter[str]) -> Iterator[Case]:
    """``IMPOSSIBLE_CASES``: texts that are no phone."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "IMPOSSIBLE_CASES":
            for call in _calls(node.value, "NumberTest"):
                row = values(call, ("text", "region"))
                if row is None:
                    skipped["not literal"] += 1
                else:
                    hints = {"region": row["region"]}
                    yield Case("phone", row["text"], hints, None, "phonenumbers")


def _number(node: ast.expr) -> str | None:
    """The E.164 form of ``FrozenPhoneNumber(country_code=…, national_number=…)``."""
    if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("PhoneNumber"):
        return None
    words = values(node, ()) or {}
    if not {"country_code", "national_number"} <= words.keys():
        return None
    zero = "0" if words.get("italian_leading_zero") else ""
    return f"+{words['country_code']}{zero}{words['national_number']}"


# --- what they share -------------------------------------------------------------------


def given(hints: dict[str, Any]) -> dict[str, Any]:
    """The hints that there are."""
    return {name: value for name, value in hints.items() if value}


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def tables(
    source: str, names: dict[str, str]
) -> Iterator[tuple[str, tuple[str, ...], ast.Call]]:
    """The rows of ``@parameterized.expand([param(…), …])``: their test and its arguments.

    *names* are other names for arguments.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        fields = tuple(names.get(each.arg, each.arg) for each in node.args.args[1:])
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and decorator.args:
                for row in getattr(decorator.args[0], "elts", ()):
                    if isinstance(row, ast.Call):
                        for word in row.keywords:
                            word.arg = names.get(str(word.arg), word.arg)
                        yield node.name, fields, row


def values(call: ast.Call, fields: tuple[str, ...]) -> dict[str, Any] | None:
    """The arguments of a call by their names, None when one is no literal."""
    try:
        found = {name: _value(node) for name, node in zip(fields, call.args, strict=False)}
        return found | {str(word.arg): _value(word.value) for word in call.keywords}
    except ValueError:
        return None


_MADE: Final[dict[str, Callable[..., Any]]] = {
    "datetime": datetime,
    "Decimal": Decimal,
    "dict": dict,
    "u": str,
}


def _value(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    made = _MADE.get(ast.unparse(node.func))
    if made is None:
        raise ValueError(ast.unparse(node))
    words = {str(word.arg): _value(word.value) for word in node.keywords}
    return made(*map(_value, node.args), **words)
