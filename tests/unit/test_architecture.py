"""The house rules that a parser can check."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest
from report import report

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
    assert "scrapy_resilience._scrapy.hooks" in MODULES


def _is_pure(module):
    if module.startswith("scrapy_resilience"):
        return module.startswith(("scrapy_resilience.core", "scrapy_resilience.exceptions"))
    return module == "urllib.parse" or module.split(".")[0] not in IMPURE


def test_the_core_is_pure():
    """core/ imports no framework, no I/O and no clock, and of the package itself and errors."""
    report(
        f"{name} imports {module}"
        for name in under("core")
        for module, _ in imports(name)
        if not _is_pure(module)
    )


def test_the_core_calls_nothing_impure():
    """core/ opens, prints and evaluates nothing."""
    impure = {"open", "print", "input", "eval", "exec", "__import__"}
    report(
        f"{name}:{node.lineno}: {node.func.id}()"
        for name in under("core")
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in impure
    )


def test_the_errors_import_nothing():
    """Every layer may raise from exceptions.py."""
    assert {module for module, _ in imports("scrapy_resilience.exceptions")} == {"__future__"}


_REAL_TIME = {
    "_clock": "reads it for all others",
    "_scrapy.engine": "polls what the event loop does",
    "_scrapy.private_names": "asks whether there is an event loop",
    "breaker": "for use outside of a crawl: the clock is an argument",
    "checkpoint.timer": "polls what the event loop does",
    "checkpoint.exit_watchdog": "a thread that ends the process in time, whatever hangs",
    "guard.stuck.loop_watch": "a thread that sees when the event loop stands still",
    "jobs.restore": "names a folder, which no other may be called",
    "files.lock": "waits for another process",
    "extensions.shutdown": "the deadline of the process, as checkpoint.exit_watchdog has it",
    "observe.accounting.loop_time": "the processor's time of a thread",
    "observe.logs.log_calls": "for use outside of a crawl",
    "retry": "for use outside of a crawl: sleep is an argument",
    "snapshots.verification": "a thread that rests as long as it has worked",
    "snapshots.store": "the clock is an argument",
    "testing.clock": "what its clocks are made of",
    "testing.site": "a server, which a crawl sees from outside",
}
_TELLS_TIME = re.compile(
    r"time\.\w+|asyncio\.sleep|(datetime|date)\.(now|utcnow|today)"
    r"|from (time|scrapy\.utils\.asyncio) import .*|\w*loop\.call_(later|at)"
)


def _tells_time(node):
    """Whether a name or an import is a clock's."""
    if isinstance(node, ast.ImportFrom):
        return bool(_TELLS_TIME.fullmatch(ast.unparse(node)))
    if not isinstance(node, ast.Attribute):
        return False
    owner = getattr(node.value, "id", getattr(node.value, "attr", ""))
    return bool(_TELLS_TIME.fullmatch(f"{owner}.{node.attr}"))


def _timed(name):
    """Whether a module tells the time; a turn of the event loop takes none."""
    nodes = list(ast.walk(tree(MODULES[name])))
    turns = {
        id(node.func)
        for node in nodes
        if isinstance(node, ast.Call)
        and [getattr(argument, "value", None) for argument in node.args] == [0]
    }
    return any(_tells_time(node) for node in nodes if id(node) not in turns)


def test_the_time_is_told_by_one_module():
    """Glue reads the time and sleeps through _clock.py, but for what needs real time."""
    telling = {name.removeprefix("scrapy_resilience.") for name in filter(_timed, MODULES)}
    assert telling == set(_REAL_TIME)


def test_the_names_import_nothing_of_ours():
    """names.py holds literals."""
    assert {module for module, _ in imports("scrapy_resilience.names")} <= {
        "__future__",
        "typing",
    }


def test_the_frontier_knows_no_framework():
    """frontier/ but for its codec imports no Scrapy, Twisted or asyncio, and no clock."""
    forbidden = FRAMEWORKS | {"time", "datetime", "random"}
    report(
        f"{name} imports {module}"
        for name in under("frontier")
        if not name.endswith(".codec")
        for module, _ in imports(name)
        if module.split(".")[0] in forbidden
    )


_LEAVES = {"_clock", "_log", "exceptions", "failpoints", "names"}
_LAYERS = {
    "core": {"core", "exceptions"},
    "normalize": {"exceptions", "normalize"},
    "_scrapy": {"_log", "_scrapy", "exceptions", "names"},
    "frontier": {"core", "frontier", "exceptions", "names"},
    "files": _LEAVES | {"files"},
    "snapshots": {"_log", "core", "exceptions", "files", "frontier", "snapshots"},
    "scheduling": _LEAVES | {"_scrapy", "frontier", "scheduling", "settings", "waits"},
    "waits": _LEAVES | {"core", "files"},
    "checkpoint": _LEAVES | {"_scrapy", "checkpoint", "core", "files", "frontier", "waits"},
    "feeds": _LEAVES | {"checkpoint", "core", "deadletters", "feeds", "files", "frontier"},
    "jobs": _LEAVES
    | {"_scrapy", "checkpoint", "core", "feeds", "files", "frontier", "jobs", "settings"}
    | {"snapshots", "waits"},
    "seen": _LEAVES
    | {"_scrapy", "checkpoint", "core", "files", "frontier", "scheduling", "seen"}
    | {"settings", "signals", "waits"},
    "gates": _LEAVES
    | {"_scrapy", "checkpoint", "core", "deadletters", "frontier", "gates", "scheduling"}
    | {"settings", "signals"},
}


def test_imports_run_downwards():
    """A layer imports at run time only of itself and of what is below it."""
    report(
        f"{name} imports {module}"
        for layer, below in _LAYERS.items()
        for name in under(layer)
        for module in runtime_imports(name)
        if module.startswith("scrapy_resilience.") and module.split(".")[1] not in below
    )


def _within(module, name):
    """The module that an import names: a package's module, or what has the name."""
    full = f"{module}.{name}"
    return full if full in MODULES else module


def test_there_are_no_circles():
    """Whatever a module imports, for types only or not, does not import it in turn."""
    left = {
        name: {_within(*each) for each in imports(name)} & MODULES.keys() - {name}
        for name in MODULES.keys() - {"scrapy_resilience"}
    }
    while free := {name for name, wanted in left.items() if not wanted & left.keys()}:
        left = {name: wanted for name, wanted in left.items() if name not in free}
    report(f"{name} imports {sorted(wanted & left.keys())}" for name, wanted in left.items())


_PRIVATE = {"_slot", "_extensions", "_engine", "_crawl", "_downloader", "_scraper", "nextcall"}


def test_scrapys_private_names_are_in_one_package():
    """engine._slot and the like are touched in _scrapy/ only."""
    report(
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name in GLUE
        if "._scrapy." not in name
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.Attribute)
        and node.attr in _PRIVATE
        # what a class of ours calls its own is its own
        and ast.unparse(node.value) not in {"self", "cls"}
    )


_MAIN = {"scrapy_resilience", "scrapy_resilience.names"}  # literals only: all are public


def test_what_others_import_is_in_all():
    """A module names in __all__ what other modules import from it."""
    report(
        f"{module}.{used}, which {name} imports"
        for name in MODULES
        for module, used in imports(name)
        if used and module in MODULES.keys() - _MAIN and f"{module}.{used}" not in MODULES
        if used.startswith("_") or used not in (public(MODULES[module]) or ())
    )


def test_all_names_what_is_there():
    """Each name in an __all__ exists."""
    report(
        f"{name}.{each}"
        for name, path in MODULES.items()
        for each in public(path) or ()
        if not hasattr(importlib.import_module(name), each)
    )


def _strings(name):
    """The string literals of a module that are not docstrings."""
    nodes = list(ast.walk(tree(MODULES[name])))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    literals = (node for node in nodes if isinstance(node, ast.Constant))
    return [
        node for node in literals if isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_stat_and_meta_names_are_literals_in_one_module():
    """Stat keys, meta keys and close reasons are written out in names.py only."""
    report(
        f"{name}:{node.lineno}: {node.value!r}"
        for name in GLUE
        if name != "scrapy_resilience.names"
        for node in _strings(name)
        if node.value.startswith(("resilience/", "resilience_"))
    )


def _keys(name):
    """What a module looks up: ``settings[key]``, ``settings.getbool(key)``."""
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Subscript):
            yield node.slice
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if called.startswith("get"):
                yield node.args[0]


def test_settings_are_named_once():
    """A setting is read in settings.py; elsewhere its full name stands in messages only."""
    report(
        f"{name}:{key.lineno}: {key.value}"
        for name in GLUE
        if name != "scrapy_resilience.settings"
        for key in _keys(name)
        if isinstance(key, ast.Constant)
        and isinstance(key.value, str)
        and key.value.startswith("RESILIENCE_")
    )


def test_every_module_says_what_it_is_for():
    """A module that holds anything has a docstring and postpones its annotations."""
    report(
        name
        for name, path in MODULES.items()
        if path.stat().st_size
        if not ast.get_docstring(tree(path))
        or ("__future__", "annotations") not in imports(name)
    )


def test_the_package_exports_its_all():
    """Each public name of the package can be had from it; anything else is AttributeError."""
    for name in scrapy_resilience.__all__:
        assert getattr(scrapy_resilience, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = scrapy_resilience.nothing
