"""RESILIENCE_NOTIFY: what it may hold, and what is said of a wrong value."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scrapy.settings import Settings

from scrapy_resilience.core.notices import Notice
from scrapy_resilience.exceptions import ConfigurationError, MissingLibraryError
from scrapy_resilience.guard.notify import channels as module
from scrapy_resilience.guard.notify.apprise_service import AppriseService, without_parts
from scrapy_resilience.guard.notify.channels import channels_of, check_channels
from scrapy_resilience.settings import Config

HOOK = "https://example.test/hook/s3cr3t"
SLACK = "https://hooks.slack.com/services/T000/B000/s3cr3t"
MAIL = "mailto://me:s3cr3t@example.com"


def config(*entries, **more):
    """The config of a project with these channels."""
    values = {f"RESILIENCE_{name.upper()}": value for name, value in more.items()}
    return Config.from_settings(Settings({"RESILIENCE_NOTIFY": list(entries), **values}))


def found(*entries):
    """(name, kind, URL) of each channel."""
    return [(each.name, each.kind, each.url) for each in channels_of(config(*entries))]


def test_kinds():
    """A plain address is a webhook, Slack's or slack+https is in its format, else apprise."""
    assert found(HOOK, SLACK, "slack+http://chat.test/hooks/1", MAIL, "tgram://1:a/2") == [
        ("webhook", "webhook", HOOK),
        ("slack", "slack", SLACK),
        ("slack-2", "slack", "http://chat.test/hooks/1"),
        ("mailto", "apprise", MAIL),
        ("tgram", "apprise", "tgram://1:a/2"),
    ]


def test_names():
    """Channels of a kind are numbered; one may have a name of its own."""
    assert [name for name, *_ in found(HOOK, {"url": HOOK, "name": "team"}, HOOK, HOOK)] == [
        "webhook", "team", "webhook-2", "webhook-3",
    ]  # fmt: skip


def test_rules():
    """Events and the least severity."""
    [channel] = channels_of(config({"url": HOOK, "events": ["run"], "severity": "error"}))
    assert channel.rule.wants("run", "error")
    assert not channel.rule.wants("run", "warning")
    [channel] = channels_of(config({"url": HOOK, "events": "run"}))
    assert channel.rule.wants("run", "info")


@pytest.mark.parametrize(
    ("raw", "count"),
    [(HOOK, 1), (f"{HOOK} {SLACK}\n{MAIL}", 3), (f'["{HOOK}"]', 1), ("", 0), ("[]", 0)],
)
def test_as_text(raw, count):
    """An environment variable has one URL, several, or JSON."""
    settings = Settings({"RESILIENCE_NOTIFY": raw})
    assert len(channels_of(Config.from_settings(settings))) == count


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("s3cr3t", "has no URL"),
        ("//s3cr3t.test", "has no URL"),
        (17, "has no URL"),
        ({}, "has no URL"),
        ("https:///s3cr3t", "has no host"),
        ("https://s3cr3t:port/", "has no host, or a port"),
        ("https://a.test/s3 cr3t", "has no host, or a port"),
        ({"url": HOOK, "event": "s3cr3t"}, "and not 'event'"),
        ({"url": HOOK, "severity": "s3cr3t"}, "one of info, warning, error"),
        ({"url": HOOK, "events": [1]}, "a list of kinds"),
        ({"url": HOOK, "events": {"a": 1}}, "a list of kinds"),
        ({"url": HOOK, "events": ["abort", "finish"]}, "'finish': did you mean 'finished'"),
        ({"url": HOOK, "name": "a/s3cr3t"}, "its name is a text"),
        ({"url": HOOK, "attach_report": True}, "a webhook takes no files"),
        ({"url": MAIL, "attach_report": "yes"}, "is True or False"),
    ],
)
def test_what_is_wrong(entry, words):
    """The error names the channel and what to change, and nothing of its URL."""
    with pytest.raises(ConfigurationError, match="Channel 2 of RESILIENCE_NOTIFY") as caught:
        channels_of(config(HOOK, entry))
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_two_of_a_name():
    """They are refused."""
    entry = {"url": HOOK, "name": "team"}
    with pytest.raises(ConfigurationError, match="another one is called 'team'"):
        channels_of(config(entry, entry))


@pytest.mark.parametrize("profile", ["development", "testing"])
def test_profiles_without(profile):
    """Where the profile turns notifications off there is no channel."""
    from scrapy_resilience.settings_sources import apply_layers  # noqa: PLC0415

    settings = Settings({"RESILIENCE_NOTIFY": [HOOK], "RESILIENCE_PROFILE": profile})
    apply_layers(settings, {})
    assert channels_of(Config.from_settings(settings)) == []


def test_no_secret_is_shown():
    """Neither a config nor a channel shows a URL."""
    made = config(HOOK, MAIL, notify_secret="s3cr3t" * 4)
    assert "s3cr3t" not in f"{made!r} {channels_of(made)!r}"


def test_apprise_is_missing(monkeypatch):
    """It is said with the extra that has it; webhooks need no library."""
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    check_channels(config(HOOK, SLACK))
    with pytest.raises(MissingLibraryError, match=r"Channel 2 .*scrapy-resilience\[notify\]"):
        check_channels(config(HOOK, MAIL))


# apprise looks for that module of Python's, which later versions lack
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("url", ["nothing://s3cr3t", "tgram://s3cr3t"])
def test_what_apprise_does_not_know(url):
    """It is refused at the start, without its URL."""
    check_channels(config(MAIL))
    with pytest.raises(ConfigurationError, match="apprise does not understand") as caught:
        check_channels(config(url))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_a_report_is_attached_once(tmp_path):
    """It may be the report that fails: another try of its channel is without."""
    report = tmp_path / "report.html"
    report.write_text("<html>")
    told = {"id": "1", "time": 0.0, "kind": "finished", "severity": "info", "texts": []}
    notice = Notice(**told, report=str(report))
    service = AppriseService(MAIL, attach=True, name="mail")
    takes_files = SimpleNamespace(attachment_support=True)

    assert service._attachment(takes_files, notice) is not None
    notice.tries["pager"] = 1
    assert service._attachment(takes_files, notice) is not None
    notice.tries["mail"] = 1
    assert service._attachment(takes_files, notice) is None


def test_what_a_service_says():
    """Nothing of its URL is in it, quoted or not."""
    url = "tgram://12345:tok%2Fen-key/chat_id/?x=hunter2"
    text = "POST /bot12345/sendMessage failed: tok/en-key tok%2Fen-key hunter2 \n chat_id"
    assert without_parts(text, url) == r"POST /bot***/sendMessage failed: *** *** *** \n ***"
