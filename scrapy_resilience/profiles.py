"""What a profile changes: the weakest source of a setting's value."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["ABORT_POLICY_WHEN_ON", "PROFILES"]

_DEVELOPMENT: Final[dict[str, Any]] = {
    "snapshot_interval": 60.0,
    "snapshot_retention": 5,
    "snapshot_compression": False,
    "snapshot_encryption": False,
    "retry_policy": "development",
    "retry_concurrency": 3,
    "notify_enabled": False,
    "watchdog_interval": 60.0,
    "watchdog_heals": False,
    "memory_limit_mb": 1024.0,
    "cpu_limit_percent": 90.0,
    "abort_interval": 300.0,
    "abort_after": 5,
    # the browser that one looks at is not replaced
    "browser_context_pages": 0,
    "browser_context_max_age": 0.0,
    "browser_context_idle": 0.0,
    "browser_contexts": 0,
}

_STAGING: Final[dict[str, Any]] = {
    "snapshot_retention": 20,
    "retry_policy": "production",
    "retry_concurrency": 10,
    "memory_limit_mb": 4096.0,
    "cpu_limit_percent": 75.0,
    "abort_policy": "production",
    "abort_after": 20,
}

_PRODUCTION: Final[dict[str, Any]] = {
    **_STAGING,
    "snapshot_encryption": True,  # said aloud: without a key there is a warning
}

PROFILES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "production": _PRODUCTION,
    "staging": _STAGING,
    "development": {**_DEVELOPMENT, "log_pretty": True},
    "testing": {**_DEVELOPMENT, "http_enabled": False},
}
"""What a profile changes, by field name. The rows grow with the features they tune."""

ABORT_POLICY_WHEN_ON: Final[dict[str, str]] = {
    "default": "conservative",
    "production": "production",
    "staging": "production",
    "development": "development",
    "testing": "development",
}
"""The abort policy of a profile where the setting says "on", by profile."""
