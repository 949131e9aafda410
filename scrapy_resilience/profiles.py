"""What a profile changes: the weakest source of a setting's value."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["PROFILES"]

_DEVELOPMENT: Final[dict[str, Any]] = {
    "snapshot_interval": 60.0,
    "snapshot_retention": 5,
    "snapshot_compression": False,
    "snapshot_encryption": False,
    "retry_policy": "development",
    "retry_concurrency": 3,
}

_STAGING: Final[dict[str, Any]] = {
    "snapshot_retention": 20,
    "retry_policy": "production",
    "retry_concurrency": 10,
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
