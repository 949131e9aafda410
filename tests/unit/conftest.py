"""Helpers beside the tests can be imported by name, also in pytest's importlib mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from scrapy_resilience.normalize import _common

pytest.register_assert_rewrite("store_contract")
sys.path.append(str(Path(__file__).parent))

# A machine that does other work too misses hypothesis' deadline of 200 ms now and then.
settings.register_profile("unit", deadline=None, max_examples=50)
settings.register_profile("soak", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("RESILIENCE_TEST_HYPOTHESIS", "unit"))

# A fault of ours is an error here, where users get None.
_common.strict = True


@pytest.fixture
def fake_clock():
    """A clock that stands still until it is moved, for all glue."""
    from scrapy_resilience.testing import (  # noqa: PLC0415 - most tests need no Scrapy
        FakeClock,
        use_clock,
    )

    clock = FakeClock()
    with use_clock(clock):
        yield clock
