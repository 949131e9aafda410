"""No test asserts how long something took: that depends on what else the machine does.

A test says in which order things happen, how often, and at which moment of a clock that it
moves itself; or that a hold was kept, "not before", which load does not break. What a program
reads about the time has one of two kinds here: a moment, and the seconds between two of them.
"""

from __future__ import annotations

import ast
import re
from collections import ChainMap
from pathlib import Path

import pytest
from report import report

TESTS = Path(__file__).parents[1]
CHECKED = sorted(TESTS.rglob("*.py"))

_CLOCK = re.compile(
    r"(time\.)?(monotonic|perf_counter|process_time|thread_time)(_ns)?|time\.time(_ns)?"
)
_STAT = "elapsed_time_seconds"
_WORTH_A_LOOK = re.compile(rf"{_CLOCK.pattern}|{_STAT}")
_ASKED = "times"
"""What tests call a server's list of the moments at which it was asked."""
_MOMENT, _SECONDS = "moment", "seconds"
_CONTAINERS = {"min", "max", "sum", "abs", "sorted", "list", "round", "median", "mean", "zip"}
_CHANGES = {"append", "extend", "add", "insert", "setdefault"}


class Times:
    """What in a module is a moment, and what a number of seconds."""

    def __init__(self, module):
        self._module = module
        self._functions = {}
        """What a function returns: one kind, or one for each part of a tuple."""
        self._shared = {}
        """Attributes, as ``.name``, and the module's own names."""
        self._scopes = [
            node
            for holder in ast.walk(module)
            if isinstance(holder, (ast.Module, ast.ClassDef))
            for node in holder.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        self._names = {id(scope): {} for scope in self._scopes}
        while self._learn():
            pass

    def _learn(self):
        """Follow what is assigned and returned; whether anything was new."""
        known = repr((self._functions, self._shared, self._names))
        for scope in self._scopes:
            names = self._names[id(scope)]
            for node in ast.walk(scope):
                self._follow(node, names)
        for node in self._module.body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                self._follow(node, self._shared)
        return known != repr((self._functions, self._shared, self._names))

    def _follow(self, node, names):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, names)
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr, ast.AugAssign)) and node.value:
            self._assign(node.target, node.value, names)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self._assign(node.target, node.iter, names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _CHANGES and node.args:
                self._assign(node.func.value, node.args[-1], names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value:
                    self._functions[node.name] = self._kinds(inner.value, names)

    def _assign(self, target, value, names):
        kinds = self._kinds(value, names)
        if isinstance(target, (ast.Tuple, ast.List)):
            if not isinstance(kinds, list):
                kinds = [kinds] * len(target.elts)
            for part, kind in zip(target.elts, kinds, strict=False):
                self._note(part, kind, names)
        elif not isinstance(kinds, list):
            self._note(target, kinds, names)

    def _note(self, target, kind, names):
        while isinstance(target, (ast.Subscript, ast.Starred)):
            target = target.value
        if kind and isinstance(target, ast.Name):
            names[target.id] = kind
        elif kind and isinstance(target, ast.Attribute):
            self._shared["." + target.attr] = kind

    def _kinds(self, node, names):
        if isinstance(node, ast.Tuple):
            return [self._kind(part, names) for part in node.elts]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found = self._functions.get(node.func.id)
            if isinstance(found, list):
                return found
        return self._kind(node, names)

    def _kind(self, node, names):  # noqa: C901, PLR0911 - a table of the language
        names = ChainMap(names, self._shared)
        match node:
            case ast.Name(id=name):
                return names.get(name)
            case ast.Call(func=function) if _CLOCK.fullmatch(ast.unparse(function)):
                return _MOMENT
            case ast.Subscript(slice=ast.Constant(value=key)) if key == _STAT:
                return _SECONDS
            case ast.Call(args=[ast.Constant(value=key), *_]) if key == _STAT:
                return _SECONDS
            case ast.Call(func=ast.Name(id=name), args=args) if name in _CONTAINERS:
                return self._strongest(args, names)
            case ast.Call(func=ast.Name(id=name)):
                found = self._functions.get(name)
                return None if isinstance(found, list) else found
            case ast.Call(func=ast.Attribute(attr=name)):
                return _MOMENT if name == _ASKED else None
            case ast.Call():
                return None
            case ast.Attribute(attr=name):
                return names.get("." + name)
            case ast.BinOp(op=ast.Sub(), left=left, right=right):
                kinds = {self._kind(left, names), self._kind(right, names)}
                return _SECONDS if kinds == {_MOMENT} else self._strongest([left, right], names)
            case ast.Subscript(value=value):
                return self._kind(value, names)
            case ast.Lambda() | ast.Compare():
                return None
        return self._strongest(ast.iter_child_nodes(node), names)

    def _strongest(self, nodes, names):
        kinds = {self._kind(node, names) for node in nodes}
        return _SECONDS if _SECONDS in kinds else _MOMENT if _MOMENT in kinds else None

    def asserted(self):
        """Yield the lines that assert how long something took."""
        for scope in self._scopes:
            waits = {
                id(inner)
                for loop in ast.walk(scope)
                if isinstance(loop, ast.While)
                for inner in ast.walk(loop)
            }
            for node in ast.walk(scope):
                if isinstance(node, ast.Assert) and self._is_timed(
                    node, self._names[id(scope)], may_wait=id(node) in waits
                ):
                    yield node.lineno

    def _is_timed(self, node, names, *, may_wait):
        for compare in ast.walk(node):
            if isinstance(compare, ast.Compare) and not self._is_not_before(compare, names):
                kinds = {
                    self._kind(part, names) for part in (compare.left, *compare.comparators)
                }
                if _SECONDS in kinds and kinds != {_SECONDS}:
                    return True
                text = ast.unparse(compare)
                if not may_wait and _CLOCK.search(text) and "+" in text:
                    return True  # time.monotonic() < began + 3
        return False

    def _is_not_before(self, compare, names):
        """Whether something is said to have taken at least so long: load makes it longer."""
        is_more = isinstance(compare.ops[0], (ast.Gt, ast.GtE)) and len(compare.ops) == 1
        return is_more and self._kind(compare.left, names) == _SECONDS


def asserted(path):
    """The lines of a module that assert how long something took."""
    source = path.read_text("utf-8")
    return Times(ast.parse(source)).asserted() if _WORTH_A_LOOK.search(source) else ()


def test_no_test_asserts_how_long_something_took():
    """Neither against a number nor against a name that stands for one."""
    report(f"{path.relative_to(TESTS)}:{line}" for path in CHECKED for line in asserted(path))


def lines(*body):
    """The lines of a test's body that the rule finds, from 1."""
    source = "\n".join(["def test():", *("    " + line for line in body)])
    return [line - 1 for line in Times(ast.parse(source)).asserted()]


@pytest.mark.parametrize(
    "body",
    [
        ["began = time.monotonic()", "assert time.monotonic() - began < 3"],
        ["began = time.time()", "took = time.time() - began", "assert took < LIMIT"],
        ["began = perf_counter()", "assert 1 < perf_counter() - began < 3"],
        ["began = time.process_time()", "work()", "assert time.process_time() < began + 3"],
        ["assert stats['elapsed_time_seconds'] < 5"],
        ["assert stats.get_value('elapsed_time_seconds') < 5"],
        ["assert crawl.stats()['elapsed_time_seconds'] - 1 < 5, 'slow'"],
        ["a, b = 1, time.time()", "b = time.time() - b", "assert a and (b < 1 or b > 2)"],
        ["self.at = time.time()", "assert time.time() - self.at <= 1"],
        ["a = time.time()", "b = []", "b.append(time.time() - a)", "assert min(b) < 1"],
        ["at = [time.time() for _ in x]", "assert max(at) - min(at) < 0.5"],
        ["at = []", "at.append(time.time())", "assert all(b - a < 1 for a, b in zip(at, at))"],
        ["assert max(web.times(HOST)) - min(web.times(HOST)) < 3"],
        ["def f(at):", "    at = time.time()", "    return 1, time.time() - at", "",
         "x, took = f()", "assert took < 3"],
    ],
    ids=" ; ".join,
)  # fmt: skip
def test_what_is_found(body):
    """The last line is, and no other."""
    assert lines(*body) == [len(body)]


@pytest.mark.parametrize(
    "body",
    [
        ["at = time.time()", "assert time.time() - at >= 1"],
        ["end = time.monotonic() + 20", "while not done():",
         "    assert time.monotonic() < end, 'waited in vain'"],
        ["now = time.time()", "assert row['since'] == now"],
        ["before = time.time()", "work()", "assert before <= row['created'] <= time.time()"],
        ["a = time.time()", "b = time.time() - a", "c = time.time() - a", "assert b < c"],
        ["assert keeper.ready_at(lane, time.monotonic()) is None"],
        ["assert stats['elapsed_time_seconds']"],
        ["began = time.time()", "assert len(rows) < 3"],
        ["assert clock.now - began < 3"],
        ["assert len(web.times(HOST)) < 3"],
        ["assert [at for at in web.times(HOST) if at < opens + 8] == []"],
    ],
    ids=" ; ".join,
)  # fmt: skip
def test_what_is_not_found(body):
    """Deadlines of loops that wait, order, stated moments, and clocks that tests move."""
    assert lines(*body) == []
