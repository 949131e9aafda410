"""Services that a machine may lack, for all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Return how many workers ``-n auto`` means: crawls wait for a part of their time."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config, items):
    """Give each worker slow tests first, then crawls, which wait, then what fills the waits."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    kinds = {"slow": [], "integration": [], "": []}
    for item in items:
        kinds[next((kind for kind in kinds if item.get_closest_marker(kind)), "")].append(item)
    items[:] = [
        item
        for number in range(workers)
        for kind in kinds.values()
        for item in kind[len(kind) * number // workers : len(kind) * (number + 1) // workers]
    ]


_SERVICES_REQUIRED = os.environ.get("RESILIENCE_TEST_REQUIRE_SERVICES") == "1"


@pytest.fixture(autouse=True)
def _no_words_to_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to the tests is not a user's setting, and would be told as a wrong one."""
    for name in [name for name in os.environ if name.startswith("RESILIENCE_TEST_")]:
        if name != "RESILIENCE_TEST_SEED":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def missing_service() -> Callable[[str, str], None]:
    """Skip a test that lacks a service, or fail it where all must be there."""

    def missing(name: str, hint: str) -> None:
        reason = f"{name} is missing: {hint}"
        if _SERVICES_REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return missing


@pytest.fixture(scope="session")
def python_docs(missing_service: Callable[[str, str], None]) -> Path:
    """Return the folder of Debian's Python documentation as HTML."""
    found = sorted(Path("/usr/share/doc").glob("python3*/html/index.html"))
    if not found:
        missing_service("python3-doc", "apt-get install python3-doc")
    return found[0].parent.resolve()


@pytest.fixture(scope="session")
def redis_program(missing_service: Callable[[str, str], None]) -> str:
    """Return the path of a Redis server that tests may run."""
    return _program("redis-server", "redis-server", missing_service)


def _program(name: str, package: str, missing: Callable[[str, str], None]) -> str:
    found = shutil.which(name)
    if found is None:
        missing(name, f"apt-get install {package}")
    return found


@pytest.fixture(scope="session")
def promtool(missing_service: Callable[[str, str], None]) -> str:
    """Return the path of Prometheus' own tool, which checks metrics and rules."""
    return _program("promtool", "prometheus", missing_service)


@pytest.fixture(scope="session")
def pushgateway_program(missing_service: Callable[[str, str], None]) -> str:
    """Return the path of a Pushgateway that tests may run."""
    return _program("prometheus-pushgateway", "prometheus-pushgateway", missing_service)
