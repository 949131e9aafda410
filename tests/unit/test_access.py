"""Who may ask the endpoint, and where it listens."""

from __future__ import annotations

import pytest

from scrapy_resilience.core.access import (
    Access,
    check_listening,
    is_loopback,
    port_range,
    url_of,
)
from scrapy_resilience.exceptions import ConfigurationError

TOKEN = "a-token-of-many-letters"  # noqa: S105 - for tests
ANY = "0.0.0.0"  # noqa: S104 - nothing listens


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f" Bearer  {TOKEN} "])
def test_the_token(header):
    """It is known by its scheme, in any case, and its text."""
    assert Access(TOKEN).knows_token(header)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x",
     f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", "Bearer \udcff\udcfe",
     "Bearer ümläut", "Bearer \0"],
)  # fmt: skip
def test_what_is_not_the_token(header):
    """Nothing else is, whatever bytes it has."""
    assert not Access(TOKEN).knows_token(header)


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer x"])
def test_without_a_token(header):
    """An empty one is known by nobody."""
    assert not Access("").knows_token(header)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9410", "127.0.0.1", "localhost:9410", "LOCALHOST", "localhost.", "[::1]:9410",
     "::1", "10.1.2.3:9410", "crawl.localhost", "crawler.lan:9410", ""],
)  # fmt: skip
def test_hosts_that_name_this_machine(host):
    """Addresses, localhost, and names that a setting has."""
    assert Access("", ["Crawler.lan"]).knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9410", "127.0.0.1.evil.example", "localhost.evil.example",
     "localhost@evil.example", "notlocalhost", "[evil.example]:80", "a:b:c", "[]", ":80x"],
)  # fmt: skip
def test_hosts_of_others(host):
    """A name that leads here may be any site's."""
    assert not Access("", ["crawler.lan"]).knows_host(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"]
)
def test_loopback(host):
    """These can be reached from this machine only."""
    assert is_loopback(host)
    check_listening(host, "", insecure=False)


@pytest.mark.parametrize("host", ["", ANY, "::", "10.0.0.1", "crawler.lan", "127.0.0.1."])
def test_beyond_loopback(host):
    """These need a token, or a setting that says that none is needed."""
    assert not is_loopback(host)
    check_listening(host, TOKEN, insecure=False)
    check_listening(host, "", insecure=True)
    with pytest.raises(ConfigurationError, match="RESILIENCE_HTTP_TOKEN"):
        check_listening(host, "", insecure=False)


@pytest.mark.parametrize(
    "token", ["has a space inside", "line-end-behind\n", "ümläute-überall"]
)
def test_tokens_that_no_header_can_hold(token):
    """They are refused, and not shown."""
    with pytest.raises(ConfigurationError) as caught:
        check_listening("127.0.0.1", token, insecure=False)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "ports"),
    [((9410,), [9410]), ((0,), [0]), ((9410, 9412), [9410, 9411, 9412]), ((80, 80), [80])],
)
def test_ports(values, ports):
    """One, any, or a range with both its ends."""
    assert list(port_range(values)) == ports


@pytest.mark.parametrize(
    "values", [(), (1, 2, 3), (9412, 9410), (-1,), (65_536,), (0, 9410), (65_000, 70_000)]
)
def test_what_is_no_range(values):
    """It is refused."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_HTTP_PORT"):
        port_range(values)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1/"),
        (ANY, "http://127.0.0.1:1/"),
        ("", "http://127.0.0.1:1/"),
        ("::", "http://[::1]:1/"),
        ("::1", "http://[::1]:1/"),
        ("crawler.lan", "http://crawler.lan:1/"),
    ],
)
def test_urls(host, url):
    """By which this machine reaches itself."""
    assert url_of(host, 1) == url
