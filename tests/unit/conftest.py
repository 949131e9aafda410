"""Helpers beside the tests can be imported by name, also in pytest's importlib mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("store_contract")
sys.path.append(str(Path(__file__).parent))
