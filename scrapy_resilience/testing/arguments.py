"""``SiteConfig`` as command line arguments, and back."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import asdict, fields

from .model import SiteConfig

__all__ = ["add_site_arguments", "site_arguments", "site_config"]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_site_arguments(parser: ArgumentParser) -> None:
    """Add one option for each field of ``SiteConfig``."""
    for field in fields(SiteConfig):
        if isinstance(field.default, bool):
            parser.add_argument(
                _option(field.name), action=BooleanOptionalAction, default=field.default
            )
        else:
            parser.add_argument(
                _option(field.name), type=type(field.default), default=field.default
            )


def site_config(namespace: Namespace) -> SiteConfig:
    """The config that parsed arguments describe."""
    return SiteConfig(
        **{field.name: getattr(namespace, field.name) for field in fields(SiteConfig)}
    )


def site_arguments(config: SiteConfig) -> list[str]:
    """The arguments that describe a config."""
    return [_argument(name, value) for name, value in asdict(config).items()]


def _argument(name: str, value: object) -> str:
    if isinstance(value, bool):
        return _option(name if value else f"no_{name}")
    return f"{_option(name)}={value}"
