"""The house rules that a parser can check."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

import scrapy_resilience

ROOT = Path(scrapy_resilience.__file__).parent
MODULES = {
    ".".join(("scrapy_resilience", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}
GLUE = {name: path for name, path in MODULES.items() if ".testing" not in name}
FRAMEWORKS = {"scrapy", "twisted", "asyncio", "itemadapter", "w3lib", "parsel"}
IMPURE = FRAMEWORKS | {
    "aiohttp", "io", "logging", "multiprocessing", "os", "pathlib", "random", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib", "concurrent", "secrets", "uuid", "sys",
}  # fmt: skip


@cache
def tree(path):
    """Return the parsed source of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(name):
    """Return (module, name) of all imports, those for types only included."""
    found = []
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
            module = resolve_name("." * node.level + (node.module or ""), package)
            found += [(module, alias.name) for alias in node.names]
    return found


def runtime_imports(name):
    """Return the top packages that a module imports when it runs."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree(MODULES[name])):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def under(package):
    """Return the names of the modules of a package, itself included."""
    package = f"scrapy_resilience.{package}"
    return [name for name in MODULES if name == package or name.startswith(package + ".")]


def public(path):
    """Return __all__ of a module, None when it has none."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def test_there_is_something_to_check():
    """The modules were found, where this file expects them."""
    assert "scrapy_resilience.core.totals" in MODULES
    assert "scrapy_resilience.frontier.lanes" in MODULES
    assert "scrapy_resilience._scrapy" in MODULES


@pytest.mark.parametrize("name", under("core"))
def test_the_core_is_pure(name):
    """core/ imports no framework, no I/O and no clock, and of the package itself and errors."""
    for module, _ in imports(name):
        assert module.split(".")[0] not in IMPURE, module
        if module.startswith("scrapy_resilience"):
            assert module.startswith(("scrapy_resilience.core", "scrapy_resilience.exceptions"))
    calls = {
        node.func.id
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec", "__import__"}


def test_the_errors_import_nothing():
    """Every layer may raise from exceptions.py."""
    assert {module for module, _ in imports("scrapy_resilience.exceptions")} == {"__future__"}


_REAL_TIME = {
    "_clock": "reads it for all others",
    "_scrapy": "polls what the event loop does",
    "breaker": "for use outside of a crawl: the clock is an argument",
    "checkpoint.ending": "a thread that ends the process in time, whatever hangs",
    "checkpoint.restore": "names a folder, which no other may be called",
    "checkpoint.lock": "waits for another process",
    "extensions.checkpoint": "polls what the event loop does",
    "extensions.shutdown": "the deadline of the process, as checkpoint.ending has it",
    "retry": "for use outside of a crawl: sleep is an argument",
    "snapshots.verification": "a thread that rests as long as it has worked",
    "snapshots.store": "the clock is an argument",
    "testing.clock": "what its clocks are made of",
    "testing.site": "a server, which a crawl sees from outside",
}
_TELLS_TIME = re.compile(
    r"time\.\w+|asyncio\.sleep|(datetime|date)\.(now|utcnow|today)"
    r"|from (time|scrapy\.utils\.asyncio) import .*|\w*loop\w*\.call_(later|at)"
)


def _tells_time(name):
    nodes = list(ast.walk(tree(MODULES[name])))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    # a turn of the event loop takes no time
    turns = {id(call.func) for call in calls if ast.unparse(call) == "asyncio.sleep(0)"}
    return any(
        _TELLS_TIME.fullmatch(ast.unparse(node))
        for node in nodes
        if isinstance(node, (ast.Attribute, ast.ImportFrom)) and id(node) not in turns
    )


def test_the_time_is_told_by_one_module():
    """Glue reads the time and sleeps through _clock.py, but for what needs real time."""
    telling = {name.removeprefix("scrapy_resilience.") for name in filter(_tells_time, MODULES)}
    assert telling == set(_REAL_TIME)


def test_the_names_import_nothing_of_ours():
    """names.py holds literals."""
    assert {module for module, _ in imports("scrapy_resilience.names")} <= {
        "__future__",
        "typing",
    }


@pytest.mark.parametrize(
    "name", [name for name in under("frontier") if not name.endswith(".codec")]
)
def test_the_frontier_knows_no_framework(name):
    """frontier/ but for its codec imports no Scrapy, Twisted or asyncio, and no clock."""
    for module, _ in imports(name):
        assert module.split(".")[0] not in FRAMEWORKS | {"time", "datetime", "random"}, module


_LAYERS = {
    "core": {"core", "exceptions"},
    "normalize": {"exceptions", "normalize"},
    "frontier": {"core", "frontier", "exceptions", "names"},
    "snapshots": {"frontier", "snapshots", "exceptions"},
    "checkpoint": {
        "_clock",
        "_scrapy",
        "core",
        "frontier",
        "snapshots",
        "checkpoint",
        "exceptions",
        "names",
        "settings",
    },
    "gates": {
        "_clock",
        "_scrapy",
        "checkpoint",
        "core",
        "deadletters",
        "exceptions",
        "gates",
        "names",
        "settings",
        "shares",
        "signals",
    },
}


@pytest.mark.parametrize("layer", list(_LAYERS))
def test_imports_run_downwards(layer):
    """A layer imports at run time only of itself and of what is below it."""
    for name in under(layer):
        for module in runtime_imports(name):
            if module.startswith("scrapy_resilience."):
                assert module.split(".")[1] in _LAYERS[layer], f"{name} imports {module}"


_PRIVATE = {"_slot", "_extensions", "_engine", "_crawl", "_downloader", "_scraper", "nextcall"}


@pytest.mark.parametrize("name", [name for name in GLUE if not name.endswith("._scrapy")])
def test_scrapys_private_names_are_in_one_module(name):
    """engine._slot and the like are touched in _scrapy.py only."""
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Attribute) and node.attr in _PRIVATE:
            owner = ast.unparse(node.value)
            # what a class of ours calls its own is its own
            assert owner in {"self", "cls"}, f"{name}:{node.lineno}: {owner}.{node.attr}"


def _used_elsewhere():
    used = {}
    for name in MODULES:
        for module, imported in imports(name):
            if module in MODULES and imported and f"{module}.{imported}" not in MODULES:
                used.setdefault(module, set()).add(imported)
    return used


USED = _used_elsewhere()


_MAIN = {"scrapy_resilience", "scrapy_resilience.names"}  # literals only: all are public


@pytest.mark.parametrize("name", sorted(set(USED) - _MAIN))
def test_what_others_import_is_in_all(name):
    """A module names in __all__ what other modules import from it."""
    assert not {each for each in USED[name] if each.startswith("_")}
    declared = public(MODULES[name])
    assert declared is not None, f"{name} has no __all__"
    assert USED[name] <= declared


@pytest.mark.parametrize("name", [name for name in MODULES if public(MODULES[name])])
def test_all_names_what_is_there(name):
    """__all__ is sorted as ruff wants it, and each of its names exists."""
    module = __import__(name, fromlist=["*"])

    assert all(hasattr(module, each) for each in public(MODULES[name]))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in GLUE
        if name != "scrapy_resilience.names" and MODULES[name].stat().st_size
    ],
)
def test_stat_and_meta_names_are_literals_in_one_module(name):
    """Stat keys, meta keys and close reasons are written out in names.py only."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert id(node) in docstrings or not node.value.startswith(
                ("resilience/", "resilience_")
            ), f"{name}:{node.lineno}: {node.value!r}"


@pytest.mark.parametrize("name", [name for name in GLUE if MODULES[name].stat().st_size])
def test_settings_are_named_once(name):
    """A setting is read in settings.py; elsewhere its full name stands in messages only."""
    if name == "scrapy_resilience.settings":
        return
    for node in ast.walk(tree(MODULES[name])):
        key = None
        if isinstance(node, ast.Subscript):
            key = node.slice
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            key = node.args[0] if called.startswith("get") else None
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            assert not key.value.startswith("RESILIENCE_"), f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_says_what_it_is_for(name):
    """A module that holds anything has a docstring and postpones its annotations."""
    if MODULES[name].stat().st_size:
        assert ast.get_docstring(tree(MODULES[name]))
        assert ("__future__", "annotations") in imports(name)


def test_the_package_exports_its_all():
    """Each public name of the package can be had from it; anything else is AttributeError."""
    for name in scrapy_resilience.__all__:
        assert getattr(scrapy_resilience, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = scrapy_resilience.nothing
