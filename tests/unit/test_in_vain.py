"""Settings that do nothing because of another one."""

from __future__ import annotations

import pytest
from scrapy.settings import Settings

from scrapy_resilience.core.abort import Policy
from scrapy_resilience.guard.in_vain import conditions_in_vain, settings_in_vain
from scrapy_resilience.settings import Config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, []),
        ({"STALL_CLOSE": True}, []),
        ({"NOTIFY": "https://a.example/hook"}, []),
        ({"NOTIFY": "https://a.example/hook", "OBSERVE_ENABLED": False}, ["OBSERVE_ENABLED"]),
        ({"STALL_CLOSE": True, "STALL_TIMEOUT": 0}, ["RESILIENCE_STALL_TIMEOUT is 0"]),
        ({"STALL_CLOSE": True, "WATCHDOG_ENABLED": False}, ["WATCHDOG_ENABLED is off"]),
        (
            {"CALLBACK_TIMEOUT_ACTION": "cancel", "CALLBACK_TIMEOUT": 0},
            ["RESILIENCE_CALLBACK_TIMEOUT is 0"],
        ),
    ],
)
def test_settings(settings, words):
    """Each line names what to change, and no secret."""
    named = {f"RESILIENCE_{name}": value for name, value in settings.items()}
    lines = [*settings_in_vain(Config.from_settings(Settings(named)))]

    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line
        assert "a.example" not in line


def test_conditions():
    """A field that nobody counts, and a confidence that nobody computes."""
    policy = Policy("mine", {"confidence": 0.5}, {"price": 0.9})

    assert not [*conditions_in_vain(policy, coverage=True, confidence=True)]
    first, second = conditions_in_vain(policy, coverage=False, confidence=False)
    assert "coverage" in first
    assert "RESILIENCE_CONFIDENCE_FIELD" in second
