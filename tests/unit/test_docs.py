"""What the package has is documented, and what the documentation names is there."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from report import report

import scrapy_resilience
from scrapy_resilience import exceptions, names, retry, testing
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import PREFIX, Config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "scrapy_resilience"
PAGES = sorted(page for page in DOCS.rglob("*.rst") if "_build" not in page.parts)
MARKDOWN = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
TEXTS = [*PAGES, *MARKDOWN]
SETTINGS = {PREFIX + field.name.upper() for field in fields(Config)}
PLACEHOLDERS = {"RESILIENCE_CHEKPOINT_INTERVAL", "RESILIENCE_NAME"}
"""Names in the documentation that stand for a wrong or any setting."""


def read(*parts):
    """The text of a page, with single spaces."""
    return re.sub(r"\s+", " ", DOCS.joinpath(*parts).read_text("utf-8"))


def named(path):
    """A page's path in a report."""
    return str(path.relative_to(ROOT))


def every(prefix):
    """The values in names.py whose names begin with *prefix*."""
    return sorted(value for name, value in vars(names).items() if name.startswith(prefix))


# --- what the package has -----------------------------------------------------------


def test_settings_come_from_config():
    """The page of settings holds no list of its own, but the directive that reads Config."""
    assert ".. resilience-settings::" in read("reference", "settings.rst")
    assert ".. resilience-profiles::" in read("reference", "settings.rst")


def test_each_setting_has_a_meaning():
    """Each setting has one sentence that says what it does."""
    for field in fields(Config):
        assert re.fullmatch(r"[A-Z].+\.", field.metadata["meaning"]), field.name


def test_stats():
    """Each stat is in the reference."""
    page = read("reference", "stats.rst")
    wanted = [
        f"``{stat}…``" if stat.endswith("/") else f"``{stat}``" for stat in every("STAT_")
    ]
    report(stat for stat in wanted if stat not in page)


def test_meta_keys():
    """Each meta key is in the reference."""
    page = read("reference", "meta.rst")
    report(key for key in every("META_") if f"``{key}``" not in page)


def test_close_reasons():
    """Each close reason is in the reference."""
    page = read("reference", "closing.rst")
    report(reason for reason in every("REASON_") if f"``{reason}``" not in page)


def test_public_names():
    """Each public name is in the reference."""
    page = read("reference", "api.rst")
    report(
        f"{module.__name__}.{name}"
        for module in (scrapy_resilience, exceptions, retry, testing)
        for name in module.__all__
        if not re.search(rf":: {re.escape(module.__name__)}\.{name}\s", page)
    )


def test_profiles():
    """The guide names every profile."""
    for profile in PROFILES:
        assert f"``{profile}``" in read("how-to", "configure.rst")


def test_commands():
    """The reference describes every key of the report and both commands' usage."""
    source = (PACKAGE / "jobs" / "report.py").read_text("utf-8")
    report = source[source.index("def read_report") :]
    page = read("reference", "commands.rst")
    for key in re.findall(r'^        "(\w+)":', report, re.MULTILINE):
        assert f"``{key}``" in page, key
    assert "scrapy resilience status <jobdir> [--json]" in page
    assert "scrapy resilience checkpoints <jobdir> [--from PLACE] [--json]" in page
    assert "scrapy resilience restore <jobdir> [<id>] [--from PLACE] [--json]" in page
    assert "scrapy resilience deadletters <jobdir> [FILTERS] [--json | --csv]" in page
    assert "scrapy resilience replay <jobdir> [FILTERS] [--json]" in page
    assert "scrapy resilience breakers <jobdir> [open <domain> | reset <domain>]" in page
    assert "scrapy resilience config [--json]" in page
    for name in ("list", "show", "test", "diff", "add", "rollback"):
        assert f"scrapy resilience selectors {name} " in page


# --- messages -----------------------------------------------------------------------


def text_of(node):
    """The fixed parts of a literal: an f-string has several."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.split(r"%\w", node.value)
    return []


def messages():
    """(module, fixed parts) of each message that a user may read."""
    ours = {"CheckpointError", "ConfigurationError", "JobLockedError", "UnserializableError"}
    ours |= {"SnapshotError", "SnapshotKeyError", "ValueError", "_changed"}
    ours |= {"MissingLibraryError"}
    for module in sorted(PACKAGE.rglob("*.py")):
        if "testing" in module.parts:
            continue
        for call in ast.walk(ast.parse(module.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and call.args):
                continue
            function = call.func
            logs = (
                isinstance(function, ast.Attribute)
                and ast.unparse(function.value) == "logger"
                and function.attr in {"warning", "error", "exception", "critical"}
            )
            if logs or (isinstance(function, ast.Name) and function.id in ours):
                for part in (text for argument in call.args for text in text_of(argument)):
                    yield module.name, part.strip()


LONG = 12  # shorter parts are punctuation


TROUBLESHOOTING = sorted((DOCS / "how-to").glob("troubleshoot*.rst"))


def test_messages():
    """Each message is in the troubleshooting guides, word for word, wherever lines break."""
    page = " ".join(read(page) for page in TROUBLESHOOTING)
    found = sorted({found for found in messages() if len(found[1]) >= LONG})
    assert len(found) > LONG, "the messages were not found"
    report(
        f"{module}: {part!r}" for module, part in found if re.sub(r"\s+", " ", part) not in page
    )


@pytest.mark.parametrize("page", TROUBLESHOOTING, ids=named)
def test_troubleshooting_is_readable(page):
    """A page is short enough to be read through, and no message wider than its column."""
    text = page.read_text("utf-8")
    assert text.count("\n") < 250
    blocks = re.findall(r"^\.\. code-block:: text\n\n((?: {4}.*\n)+)", text, re.MULTILINE)
    report(line for block in blocks for line in block.splitlines() if len(line) > 100)


# --- what the documentation names ---------------------------------------------------


def test_settings_exist():
    """No text names a RESILIENCE_ setting that does not exist."""
    report(
        f"{named(page)}: {setting}"
        for page in TEXTS
        for setting in re.findall(r"\bRESILIENCE_[A-Z_]*[A-Z]\b", page.read_text("utf-8"))
        if setting not in SETTINGS | PLACEHOLDERS
    )


def test_stats_exist():
    """No text names a resilience/ stat that does not exist."""
    known = {stat.rstrip("/") for stat in every("STAT_")}
    report(
        f"{named(page)}: {stat}"
        for page in TEXTS
        for stat in re.findall(r"\bresilience/[a-z_/]*[a-z]\b", page.read_text("utf-8"))
        if stat not in known and not stat.startswith(names.STAT_TOTAL_PREFIX)
    )


def test_links():
    """Each relative link leads to a file."""
    report(
        f"{named(page)}: {target}"
        for page in MARKDOWN
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).is_file()
    )


def targets(page):
    """The pages, images and snippets that a page refers to."""
    text = page.read_text("utf-8")
    docs = re.findall(r":doc:`(?:[^`<]*<)?\s*([^`>]+)>?`", text)
    files = re.findall(r"\.\. (?:literalinclude|image):: (\S+)", text)
    return [*(f"{doc}.rst" for doc in docs), *files]


def test_links_between_pages():
    """Each page, image and snippet that a page refers to is there."""
    report(
        f"{named(page)}: {target}"
        for page in PAGES
        for target in targets(page)
        if not (
            (DOCS if target.startswith("/") else page.parent) / target.lstrip("/")
        ).is_file()
    )


def test_pages_are_reachable():
    """Each page is in the table of contents of its folder."""
    for page in PAGES:
        index = page.parent / "index.rst"
        if page != index:
            assert re.search(rf"^ +{page.stem}$", index.read_text("utf-8"), re.MULTILINE), page


def test_named_modules_exist():
    """The dotted names of the package in texts can be imported."""
    dotted = re.compile(r"\bscrapy_resilience(?:\.\w+)+")
    for page in TEXTS:
        for name in dotted.findall(page.read_text("utf-8")):
            module, _, attribute = name.rpartition(".")
            try:
                importlib.import_module(name)
            except ImportError:
                assert hasattr(importlib.import_module(module), attribute), (page, name)


def test_the_map_of_the_source():
    """It names everything at the top level, and nothing that is not there."""
    text = (DOCS / "explanation" / "design.rst").read_text("utf-8")
    folder, found, top = "", [], set()
    for indent, name in re.findall(r"^    ( *)(\w+(?:\.py|/)) +\S", text, re.MULTILINE):
        if not indent:
            folder = name if name.endswith("/") else ""
            top.add(name.rstrip("/"))
        found.append((folder if indent else "") + name)
    there = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}

    assert [name for name in found if not (PACKAGE / name).exists()] == []
    assert top == there - {"__init__.py", "__pycache__"}


def test_run_commands():
    """Each ./run command in the README and the tutorial is one of ./run."""
    script = (ROOT / "run").read_text("utf-8")
    for page in (ROOT / "README.md", DOCS / "tutorial" / "index.rst"):
        found = re.findall(r"\./run (\w+)", page.read_text("utf-8"))
        assert found
        for command in found:
            assert re.search(rf"^ +{command}\) ", script, re.MULTILINE), command


def test_scrapy_commands():
    """Each scrapy resilience subcommand in texts is one that the command has."""
    source = (PACKAGE / "commands" / "run.py").read_text("utf-8")
    known = set(re.findall(r'^ +"(\w+)": \(self\._', source, re.MULTILINE))
    for page in TEXTS:
        text = page.read_text("utf-8")
        found = set(re.findall(r"scrapy resilience (?!…)([a-z]+)", text))
        assert found <= known, page


def test_extras():
    """The extras that texts install exist."""
    known = set(
        importlib.metadata.metadata("scrapy-resilience").get_all("Provides-Extra") or ()
    )
    for page in TEXTS:
        for extra in re.findall(r"scrapy-resilience\[(\w+)\]", page.read_text("utf-8")):
            assert extra in known, (page, extra)


@pytest.mark.integration
@pytest.mark.slow
def test_the_tested_project(tmp_path):
    """The tests that the guide shows pass."""
    for name in ("shop_spider.py", "test_shop.py", "test_feeds.py"):
        (tmp_path / name).write_text((DOCS / "snippets" / name).read_text("utf-8"), "utf-8")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout
