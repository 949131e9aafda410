"""Every setting: its values, its layers, its errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations_with_replacement

import pytest
from report import report
from scrapy.settings import SETTINGS_PRIORITIES, Settings

from scrapy_resilience import settings as module
from scrapy_resilience import settings_sources
from scrapy_resilience.exceptions import ConfigurationError, ResilienceError
from scrapy_resilience.profiles import PROFILES
from scrapy_resilience.settings import PREFIX, Config, fields_by_name
from scrapy_resilience.settings_sources import PRIORITIES, apply_layers, describe, origin
from scrapy_resilience.settings_values import setting

INTERVAL = "RESILIENCE_CHECKPOINT_INTERVAL"
ORDER = ["profile", "file", "environment", "project", "spider", "cmdline"]


def parse(**values) -> Config:
    """Return the config of project settings, given without their prefix."""
    return Config.from_settings(
        Settings({PREFIX + name.upper(): value for name, value in values.items()})
    )


def fields_of(kind):
    """Return the names of all settings of a type."""
    return [name for name, f in fields_by_name().items() if module._types()[f.name] is kind]


# --- values -----------------------------------------------------------------------------


def test_no_setting_gives_the_defaults():
    """Without any setting a config is the one that the class makes."""
    assert Config.from_settings(Settings()) == Config()


def test_a_config_is_frozen():
    """A parsed config does not change."""
    with pytest.raises(AttributeError):
        Config().enabled = False


_SPELLINGS = [
    (True, True), (False, False), (1, True), (0, False), ("True", True), ("false", False),
    ("1", True), ("0", False), (" yes ", True), ("NO", False), ("on", True), ("off", False),
]  # fmt: skip


def test_booleans():
    """A switch is on or off in every spelling that people use."""
    switches = fields_of(bool)
    for raw, value in _SPELLINGS:
        config = Config.from_settings(Settings(dict.fromkeys(switches, raw)))
        report(
            f"{name}={raw!r} is not {value}"
            for name in switches
            if getattr(config, name.removeprefix(PREFIX).lower()) is not value
        )


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("checkpoint_interval", 2, 2.0),
        ("checkpoint_interval", "2.5", 2.5),
        ("checkpoint_interval", "1e-2", 0.01),
        ("checkpoint_align_timeout", 0, 0.0),
        ("checkpoint_max_changes", "5", 5),
        ("checkpoint_max_changes", 5.0, 5),
        ("concurrent_items", 1, 1),
    ],
)
def test_numbers(name, raw, value):
    """A number is taken from a number or from its text, as the setting's type."""
    found = getattr(parse(**{name: raw}), name)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("retry_policies", {"a": {}}, {"a": {}}),
        ("retry_policies", '{"a": {"base": 2}}', {"a": {"base": 2}}),
        ("inject", [{"status": 503}], ({"status": 503},)),
        ("inject", ({"status": 503},), ({"status": 503},)),
        ("inject", '[{"status": 503}]', ({"status": 503},)),
    ],
)
def test_dicts_and_lists(name, raw, value):
    """A dict or a list is taken as it is, or from its JSON."""
    assert getattr(parse(**{name: raw}), name) == value


@pytest.mark.parametrize("raw", ["{", "5", 5, None.__class__, True])
@pytest.mark.parametrize(("name", "kind"), [("RETRY_POLICIES", "dict"), ("INJECT", "list")])
def test_bad_dicts_and_lists(name, kind, raw):
    """What is neither is named, with what is allowed."""
    with pytest.raises(ConfigurationError, match=f"use a {kind}, or its JSON") as caught:
        Config.from_settings(Settings({PREFIX + name: raw}))

    assert str(caught.value).startswith(f"{PREFIX}{name}=")


def test_none_is_the_default():
    """A setting of None is a setting that nobody made."""
    assert Config.from_settings(Settings(dict.fromkeys(fields_by_name()))) == Config()


_NUMBERS = ["text", "", None.__class__, [], {}, True, "nan", "inf", float("nan"), float("-inf")]
_BAD = [
    *(
        (name, raw, "True or False")
        for name in fields_of(bool)
        for raw in (2, "maybe", "", [], 0.5)
    ),
    *((name, raw, "a number") for name in fields_of(float) for raw in (*_NUMBERS, -1, "-0.5")),
    *(
        (name, raw, "a whole number")
        for name in fields_of(int)
        for raw in (*_NUMBERS, -2, 1.5, "1.5", "1e3")
    ),
    ("RESILIENCE_CHECKPOINT_MAX_CHANGES", -1, "a whole number of at least 1"),
    ("RESILIENCE_PROFILE", "prod", ", ".join(PROFILES)),
    ("RESILIENCE_PROFILE", "", ", ".join(PROFILES)),
    ("RESILIENCE_PROFILE", 5, ", ".join(PROFILES)),
    (INTERVAL, 0, "a number of at least 0.01"),
    (INTERVAL, 10**400, "a number of at least 0.01"),
    *(
        ("RESILIENCE_SHUTDOWN_TIMEOUT", raw, "a number of at most 1e+09")
        for raw in ("inf", 1e10, "1e300")  # no thread can wait as long
    ),
    ("RESILIENCE_CHECKPOINT_MAX_CHANGES", "0", "a whole number of at least 1"),
    ("RESILIENCE_CONCURRENT_ITEMS", 0, "a whole number of at least 1"),
    ("RESILIENCE_SNAPSHOT_RETENTION", 0, "a whole number of at least 1"),
]


def refusal(name, raw):
    """What a setting's value is refused with."""
    try:
        Config.from_settings(Settings({name: raw}))
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - reported
        return repr(error)
    return "was taken"


def test_a_bad_value_is_named():
    """The error holds the setting's name, the value and what is allowed."""
    refusals = [
        (f"{name}={raw!r}: ", allowed, refusal(name, raw)) for name, raw, allowed in _BAD
    ]
    report(
        f"{begin}… {allowed} … expected, but: {text}"
        for begin, allowed, text in refusals
        if not (text.startswith(begin) and allowed in text)
    )


def test_a_bad_value_is_a_value_error_of_this_package():
    """ConfigurationError can be caught as either of its two kinds."""
    for kind in (ValueError, ResilienceError):
        with pytest.raises(kind):
            parse(checkpoint_interval="soon")


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("RESILIENCE_CHECKPOINT_INTERVALL", INTERVAL),
        ("RESILIENCE_CHECKPONT_INTERVAL", INTERVAL),
        ("RESILIENCE_ENABLE", "RESILIENCE_ENABLED"),
        ("RESILIENCE_PROFIL", "RESILIENCE_PROFILE"),
        ("RESILIENCE_COOKIE_ENABLED", "RESILIENCE_COOKIES_ENABLED"),
    ],
)
def test_an_unknown_name_suggests_the_close_one(name, close):
    """A misspelt setting is an error that names it and the one that was meant."""
    with pytest.raises(ConfigurationError, match=rf"^{name} .*Did you mean {close}\?$"):
        Config.from_settings(Settings({name: 1}))


@pytest.mark.parametrize("name", ["Z" * 40, "X", "SHELF", "MAX_ERRORS"])
def test_an_unknown_name_without_a_close_one_suggests_nothing(name):
    """A name that is like no setting, but for the prefix that all have, gets no hint."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_settings(Settings({f"RESILIENCE_{name}": 1}))

    assert "Did you mean" not in str(caught.value)


def test_other_settings_are_none_of_our_business():
    """Names without the prefix are not looked at."""
    settings = Settings({"RESILIENT": 1, "MY_RESILIENCE_X": 2, "FEEDS": {}})

    assert Config.from_settings(settings) == Config()


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("default", (300, 10, True, True)),
        ("production", (300, 20, True, True)),
        ("staging", (300, 20, True, True)),
        ("development", (60, 5, False, False)),
        ("testing", (60, 5, False, False)),
    ],
)
def test_snapshots_of_a_profile(profile, expected):
    """A profile says how often snapshots are made, how many stay, and in which form."""
    config = Config(**PROFILES[profile])

    assert expected == (
        config.snapshot_interval,
        config.snapshot_retention,
        config.snapshot_compression,
        config.snapshot_encryption,
    )


def test_a_short_key_is_refused_and_not_shown():
    """A key of less than 16 characters is refused, and no text shows it."""
    with pytest.raises(ConfigurationError, match="at least 16 characters") as caught:
        Config.from_settings(Settings({"RESILIENCE_ENCRYPTION_KEY": "hunter2hunter2!"}))

    assert "hunter2" not in str(caught.value)
    assert (
        Config.from_settings(Settings({"RESILIENCE_ENCRYPTION_KEY": ""})).encryption_key == ""
    )


def test_a_key_is_never_printed():
    """Neither a config nor the list of settings shows the key."""
    settings = Settings({"RESILIENCE_ENCRYPTION_KEY": "correct horse battery"})

    assert "horse" not in repr(Config.from_settings(settings))
    assert "horse" not in repr(describe(settings))


def test_profiles_name_fields_with_values_that_are_allowed():
    """What a profile sets is a setting, with a value that parses."""
    for values in PROFILES.values():
        assert parse(**values)


# --- layers ------------------------------------------------------------------------------


def layered(tmp_path, monkeypatch, layers) -> Settings:
    """Return settings where each layer says another interval, from 1 for the profile on."""
    settings = Settings()
    environ = {}
    for number, layer in enumerate(ORDER, 1):
        if layer not in layers:
            continue
        if layer == "profile":
            monkeypatch.setitem(PROFILES, "testing", {"checkpoint_interval": number})
            settings.set("RESILIENCE_PROFILE", "testing", "project")
        elif layer == "file":
            path = tmp_path / "r.json"
            path.write_text(json.dumps({INTERVAL: number}))
            settings.set("RESILIENCE_CONFIG_FILE", str(path), "project")
        elif layer == "environment":
            environ[INTERVAL] = str(number)
        else:
            settings.set(INTERVAL, number, layer)
    apply_layers(settings, environ)
    return settings


def test_the_stronger_layer_wins(tmp_path, monkeypatch):
    """Default < profile < file < environment < project < spider < command line, in pairs."""
    for weaker, stronger in combinations_with_replacement(ORDER, 2):  # one alone: the default's
        settings = layered(tmp_path, monkeypatch, {weaker, stronger})
        interval = Config.from_settings(settings).checkpoint_interval

        assert (origin(settings, INTERVAL), interval) == (stronger, ORDER.index(stronger) + 1)


def test_all_layers_at_once(tmp_path, monkeypatch):
    """With every layer the command line wins."""
    settings = layered(tmp_path, monkeypatch, set(ORDER))

    assert Config.from_settings(settings).checkpoint_interval == 6


def test_all_layers_are_weaker_than_a_project():
    """What comes from outside the project goes in below the project's own settings."""
    below = [PRIORITIES[name] for name in ORDER[:3]]

    assert sorted(set(below)) == below
    assert SETTINGS_PRIORITIES["default"] < below[0]
    assert below[-1] < SETTINGS_PRIORITIES["project"]


def test_profile_and_file_may_be_named_by_the_environment(tmp_path, monkeypatch):
    """The environment may say which file is read and which profile it starts from."""
    monkeypatch.setitem(PROFILES, "staging", {"checkpoint_interval": 1, "concurrent_items": 3})
    path = tmp_path / "r.toml"
    path.write_text("checkpoint_interval = 2.5\n")
    settings = Settings()

    apply_layers(
        settings, {"RESILIENCE_PROFILE": "staging", "RESILIENCE_CONFIG_FILE": str(path)}
    )

    config = Config.from_settings(settings)
    assert (config.checkpoint_interval, config.concurrent_items) == (2.5, 3)


def test_a_file_may_name_the_profile(tmp_path, monkeypatch):
    """The profile may stand in the file."""
    monkeypatch.setitem(PROFILES, "staging", {"concurrent_items": 3})
    path = tmp_path / "r.json"
    path.write_text('{"profile": "staging"}')
    settings = Settings({"RESILIENCE_CONFIG_FILE": str(path)})
    apply_layers(settings, {})

    assert Config.from_settings(settings).concurrent_items == 3


def test_an_unknown_profile_is_named():
    """A profile that is none goes through the layers and is refused by name."""
    settings = Settings({"RESILIENCE_PROFILE": "fast"})
    apply_layers(settings, {})

    with pytest.raises(ConfigurationError, match="RESILIENCE_PROFILE='fast'"):
        Config.from_settings(settings)


def test_unknown_environment_variables_are_returned():
    """A RESILIENCE_ variable that is not a setting is reported, not raised."""
    settings = Settings()

    unknown = apply_layers(settings, {"RESILIENCE_TEST_X": "1", "PATH": "", INTERVAL: "3"})

    assert unknown == ["RESILIENCE_TEST_X"]
    assert Config.from_settings(settings).checkpoint_interval == 3


def test_the_environment_is_that_of_the_process(monkeypatch):
    """Without an argument the process's own environment is read."""
    monkeypatch.setenv(INTERVAL, "7")
    settings = Settings()
    apply_layers(settings)

    assert Config.from_settings(settings).checkpoint_interval == 7


# --- files -------------------------------------------------------------------------------


def from_file(path) -> Config:
    """Return the config that a file gives."""
    settings = Settings({"RESILIENCE_CONFIG_FILE": str(path)})
    apply_layers(settings, {})
    return Config.from_settings(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"RESILIENCE_CHECKPOINT_INTERVAL": 9, "RESILIENCE_ALLOW_PICKLE": false}'),
        ("a.json", '{"checkpoint_interval": 9, "allow_pickle": false}'),
        ("a.json", '{"Checkpoint_Interval": "9", "ALLOW_PICKLE": "no"}'),
        ("a.json", '{"resilience": {"checkpoint_interval": 9, "allow_pickle": 0}, "other": 1}'),
        ("a.toml", "RESILIENCE_CHECKPOINT_INTERVAL = 9\nRESILIENCE_ALLOW_PICKLE = false"),
        ("a.toml", "checkpoint_interval = 9.0\nallow_pickle = false"),
        ("a.toml", "[resilience]\ncheckpoint_interval = 9\nallow_pickle = false\n[other]\nx=1"),
    ],
)
def test_files(tmp_path, name, text):
    """JSON and TOML, names with and without the prefix, with and without a table."""
    path = tmp_path / name
    path.write_text(text)

    assert from_file(path) == Config(
        config_file=str(path), checkpoint_interval=9, allow_pickle=False
    )


@pytest.mark.parametrize("text", ["{}", '{"resilience": {}}', '{"checkpoint_interval": null}'])
def test_an_empty_file_changes_nothing(tmp_path, text):
    """A file without values leaves the defaults."""
    path = tmp_path / "a.json"
    path.write_text(text)

    assert from_file(path) == Config(config_file=str(path))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("missing.json", None, "No such file"),
        ("a.json", "{", "Expecting"),
        ("a.json", "", "Expecting"),
        ("a.toml", "a = ", "value"),
        ("a.toml", "[resilience", "end"),
        ("a.json", "[1]", "table"),
        ("a.json", "5", "table"),
        ("a.json", '{"resilience": 5}', "table"),
        ("a.json", b"\xff\xfe", "utf-8"),
        ("a.toml", b"\xff\xfe", "utf-8"),
        ("a.yaml", "a: 1", r"\.json or \.toml"),
        ("a", "{}", r"\.json or \.toml"),
        ("a.JSON.bak", "{}", r"\.json or \.toml"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path, name, text, problem):
    """The error holds the setting, the path and what is wrong."""
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(
        ConfigurationError, match=f"(?s)^RESILIENCE_CONFIG_FILE=.*{problem}"
    ) as caught:
        from_file(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    """A folder in the file's place is an error that names it."""
    path = tmp_path / "a.json"
    path.mkdir()

    with pytest.raises(ConfigurationError, match=r"RESILIENCE_CONFIG_FILE=.*directory"):
        from_file(path)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("checkpoint_intervall", INTERVAL),
        ("RESILIENCE_CHECKPOINT_INTERVALL", INTERVAL),
        ("config_file", ""),
    ],
)
def test_an_unknown_key_in_a_file_is_named(tmp_path, key, hint):
    """A key that is not a setting is an error that names it, the file and the close setting."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({key: 1}))

    with pytest.raises(ConfigurationError, match=f"RESILIENCE_.*{hint}") as caught:
        from_file(path)
    assert str(path) in str(caught.value)


def test_a_bad_value_in_a_file_is_named(tmp_path):
    """A value in a file is checked as any other."""
    path = tmp_path / "a.toml"
    path.write_text('checkpoint_interval = "soon"')

    with pytest.raises(ConfigurationError, match=f"{INTERVAL}='soon': use a number"):
        from_file(path)


@pytest.mark.parametrize("raw", [5, ["a.json"], True])
def test_a_file_name_that_is_no_text_is_named(raw):
    """A config file that is not text is a ConfigurationError, not a TypeError."""
    settings = Settings({"RESILIENCE_CONFIG_FILE": raw})

    with pytest.raises(ConfigurationError, match="RESILIENCE_CONFIG_FILE"):
        apply_layers(settings, {})


def test_a_file_name_may_be_a_path(tmp_path):
    """A project may give a pathlib.Path."""
    path = tmp_path / "a.json"
    path.write_text('{"checkpoint_interval": 9}')
    settings = Settings({"RESILIENCE_CONFIG_FILE": path})
    apply_layers(settings, {})

    assert Config.from_settings(settings).checkpoint_interval == 9


# --- description ---------------------------------------------------------------------------


def test_describe_lists_every_setting_once():
    """Each field of the config is one row, with its default and a meaning."""
    rows = describe(Settings({INTERVAL: 3}))

    assert [row["name"] for row in rows] == list(fields_by_name())
    assert all(row["meaning"].endswith(".") for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert (by_name[INTERVAL]["value"], by_name[INTERVAL]["origin"]) == (3, "project")
    assert by_name[INTERVAL]["default"] == 5
    assert by_name["RESILIENCE_ENABLED"]["origin"] == "default"


@pytest.fixture
def _secret_config(monkeypatch):
    """Replace the config by one that has a secret of each kind."""

    @dataclass(frozen=True)
    class SecretConfig:
        key: str = setting("", "A key.", secret=True)
        pin: int = setting(0, "A number.", secret=True)
        mode: str = setting("a", "A choice.", choices=("a", "b"), secret=True)
        from_settings = classmethod(Config.from_settings.__func__)

    types = {"key": str, "pin": int, "mode": str}
    fields_by_name.cache_clear()
    module._types.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(module, "Config", SecretConfig)
        patch.setattr(settings_sources, "Config", SecretConfig)
        patch.setattr(module, "_types", lambda: types)
        yield
    fields_by_name.cache_clear()


@pytest.mark.usefixtures("_secret_config")
def test_a_secret_is_never_shown():
    """Secrets that are set are masked in the description; empty ones are seen to be empty."""
    rows = describe(Settings({"RESILIENCE_KEY": "hunter2", "RESILIENCE_PIN": 4711}))

    assert {row["name"]: row["value"] for row in rows} == {
        "RESILIENCE_KEY": "***",
        "RESILIENCE_PIN": "***",
        "RESILIENCE_MODE": "***",
    }
    assert "hunter2" not in repr(rows)
    assert "4711" not in repr(rows)


@pytest.mark.usefixtures("_secret_config")
@pytest.mark.parametrize(("name", "raw"), [("PIN", "hunter2"), ("MODE", "hunter2")])
def test_a_bad_secret_is_not_shown_in_the_error(name, raw):
    """The error for a secret names the setting and not the value, in its cause neither."""
    with pytest.raises(ConfigurationError, match=rf"RESILIENCE_{name}=\*\*\*: use") as caught:
        module.Config.from_settings(Settings({f"RESILIENCE_{name}": raw}))

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
