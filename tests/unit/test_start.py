"""What a crawl imports at its start: what it needs, and nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from report import report
from scrapy.utils.misc import load_object

import scrapy_resilience.addon

SPIDER = """
from scrapy import Spider

class Shop(Spider):
    name = "shop"

    async def start(self):
        yield {"sku": "one"}
"""
RUN = """
import json, sys
from scrapy.cmdline import execute
from scrapy_resilience.commands.resilience import Command

first = sorted(sys.modules)
try:
    execute(sys.argv)
except SystemExit as end:
    assert not end.code
print(json.dumps([first, sorted(sys.modules)]))
"""
MOST = 335
"""Modules of ours: beyond it, something is imported that many crawls do not need."""

UNUSED = (
    # of ours
    "scrapy_resilience.browsers.handler",
    "scrapy_resilience.commands.run",
    "scrapy_resilience.downloadermiddlewares.injection",
    "scrapy_resilience.extensions.adaptive",
    "scrapy_resilience.extensions.notifications",
    "scrapy_resilience.extensions.report",
    "scrapy_resilience.extensions.terminal",
    "scrapy_resilience.extensions.tracing",
    "scrapy_resilience.guard.notify",
    "scrapy_resilience.jobs.restore",
    "scrapy_resilience.jobs.scrapy_jobdir",
    "scrapy_resilience.normalize.rules",
    "scrapy_resilience.observe.logs.jsonlog",
    "scrapy_resilience.observe.logs.logfiles",
    "scrapy_resilience.observe.metrics.exposition",
    "scrapy_resilience.observe.offline_view",
    "scrapy_resilience.observe.report",
    "scrapy_resilience.observe.tracing.tracing",
    "scrapy_resilience.pipelines.confidence",
    "scrapy_resilience.pipelines.unique",
    "scrapy_resilience.selectors.candidates",
    "scrapy_resilience.selectors.registry",
    "scrapy_resilience.testing",
    # of others
    "apprise", "babel", "boto3", "dateparser", "fsspec", "opentelemetry", "phonenumbers",
    "playwright", "price_parser", "prometheus_client", "pythonjsonlogger", "redis", "regex",
    "rich", "sqlalchemy", "tomli_w", "tomllib",
)  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Return what is imported of the command, and what a crawl has imported."""
    folder = tmp_path_factory.mktemp("crawl")
    (folder / "spider.py").write_text(SPIDER, "utf-8")
    settings = {
        "ADDONS": '{"scrapy_resilience.ResilienceAddon": 500}',
        "JOBDIR": "job",
        "LOG_LEVEL": "ERROR",
        "RESILIENCE_HTTP_PORT": "0",
    }
    words = [f"-s{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "runspider", "spider.py", "-oitems.jsonl", *words],
        cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert json.loads((folder / "items.jsonl").read_text("utf-8")) == {"sku": "one"}
    return json.loads(done.stdout.splitlines()[-1])


def ours(modules):
    """Return those of this package."""
    return [name for name in modules if name.split(".")[0] == "scrapy_resilience"]


def test_other_commands_do_not_pay(imported):
    """Scrapy makes all commands to run one: ours is small until it is the one."""
    assert ours(imported[0]) == [
        "scrapy_resilience",
        "scrapy_resilience.commands",
        "scrapy_resilience.commands.resilience",
    ]


def test_what_is_off_is_not_imported(imported):
    """Nor is what has nothing to do, nor a library that only that needs."""
    report(
        name
        for name in imported[1]
        if any(name == each or name.startswith(f"{each}.") for each in UNUSED)
    )


def test_the_list_is_of_what_there_is():
    """A module that was renamed would not be missed."""
    root = Path(scrapy_resilience.__file__).parent.parent
    report(
        name
        for name in UNUSED
        if name.startswith("scrapy_resilience")
        if not (root / Path(*name.split("."))).with_suffix(".py").is_file()
        if not (root / Path(*name.split("."))).is_dir()
    )


def test_a_crawl_imports_a_part_of_the_package(imported):
    """Not timed, but counted: each module takes a millisecond or two."""
    assert 100 < len(ours(imported[1])) <= MOST


def _plugged():
    """The components that the add-on may plug in: setting and path."""
    source = Path(scrapy_resilience.addon.__file__).read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_default":
            name, path = node.args[1:3]
            if isinstance(path, ast.Constant):
                yield name.value, path.value


@pytest.mark.parametrize(("name", "path"), [*_plugged()])
def test_what_is_plugged_in_is_there(name, path):
    """A path that leads nowhere would fail only where its setting is on."""
    assert isinstance(load_object(f"{scrapy_resilience.addon._FOLDERS[name]}.{path}"), type)
