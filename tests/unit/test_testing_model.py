"""The fault site without a server."""

from __future__ import annotations

import math
import re
from argparse import ArgumentParser
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.resolver import CachingThreadedResolver, dnscache

from scrapy_resilience import testing
from scrapy_resilience.testing import LoopbackResolver, SiteConfig, model, site, walk_folder
from scrapy_resilience.testing.address import SiteAddress
from scrapy_resilience.testing.answers import Delivery, too_many
from scrapy_resilience.testing.arguments import (
    add_site_arguments,
    site_arguments,
    site_config,
)
from scrapy_resilience.testing.counters import SiteCounters
from scrapy_resilience.testing.faults import Gate, SiteModel
from scrapy_resilience.testing.pages import shop_page

NOW = 1_700_000_000.0

shares = st.floats(0, 1)
configs = st.builds(
    SiteConfig,
    hosts=st.integers(0, 3),
    pages=st.integers(1, 40),
    fanout=st.integers(1, 6),
    items=st.integers(0, 3),
    redirects=shares,
    first_try_503=shares,
    cookies=st.booleans(),
    seed=st.integers(),
    slow=st.floats(0, 10),
    retry_after=st.sampled_from(model.RETRY_AFTER_KINDS),
)


def hrefs(html):
    """The targets of all links between shelves."""
    return re.findall(r'<li><a href="([^"]+)">', html.decode())


# The site -----------------------------------------------------------------------------


@given(configs)
def test_every_page_but_the_first_is_the_child_of_one_page(config):
    """Each page but page 0 has one parent, so the tree reaches all pages."""
    below = [child for page in range(config.pages) for child in model.children(config, page)]

    assert below == list(range(1, config.pages))


@given(configs)
def test_expected_items_are_unique(config):
    """A full crawl finds hosts * pages * items different SKUs."""
    skus = {item["sku"] for item in model.expected_items(config)}

    assert len(skus) == config.hosts * config.pages * config.items


@given(configs, st.integers(0, 39))
def test_a_page_holds_its_items_and_links(config, page):
    """The HTML of a page carries exactly the SKUs and links of the model."""
    html = shop_page(config, "h0.test", page)

    skus = re.findall(r'data-sku="([^"]+)"', html.decode())
    linked = [
        *model.children(config, page),
        *model.back_links(config, "h0.test", page),
    ]
    assert skus == [item["sku"] for item in model.products(config, "h0.test", page)]
    assert hrefs(html) == [model.link_path(config, "h0.test", one) for one in linked]


def test_pages_have_a_realistic_size():
    """Pages with the default number of items are 2 to 6 kB long."""
    config = SiteConfig(pages=200)
    sizes = [len(shop_page(config, "h0.test", page)) for page in range(200)]

    assert 2000 <= min(sizes) <= max(sizes) <= 6000


@given(st.integers(0, 39))
def test_page_paths_lead_back_to_their_page(page):
    """The path of a page serves that page."""
    assert model.page_number(SiteConfig(pages=40), model.page_path(page)) == page


@given(st.one_of(st.text(), st.text("0123456789/").map("/page/{}".format)))
def test_a_page_has_one_path(path):
    """No path but the page's own serves it."""
    page = model.page_number(SiteConfig(pages=40), path)

    assert page is None or model.page_path(page) == path


@given(st.one_of(st.text(), st.from_regex(r"h[0-9]{1,3}\.test", fullmatch=True)))
def test_healthy_hosts_are_exactly_the_named_ones(host):
    """is_healthy agrees with healthy_hosts on every name."""
    config = SiteConfig(hosts=12)

    assert model.is_healthy(config, host) == (host in model.healthy_hosts(config))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_shares_are_met(share):
    """About the wanted share of pages redirects, and as many fail first."""
    config = SiteConfig(pages=2001, redirects=share, first_try_503=share)
    pages = range(1, 2001)

    redirected = sum(model.is_redirected(config, "h0.test", page) for page in pages)
    failing = sum(model.fails_first(config, "h0.test", page) for page in pages)
    assert redirected / 2000 == pytest.approx(share, abs=0.05)
    assert failing / 2000 == pytest.approx(share, abs=0.05)


def test_the_seed_decides():
    """Equal seeds give equal items, another seed other prices."""
    first, same, other = (
        [item["price"] for item in model.expected_items(SiteConfig(seed=seed))]
        for seed in (1, 1, 2)
    )

    assert first == same != other


@pytest.mark.parametrize(
    "wrong",
    [
        {"pages": 0},
        {"fanout": 0},
        {"redirects": 1.1},
        {"first_try_503": -0.1},
        {"retry_after": "later"},
    ],
)
def test_impossible_configs_are_refused(wrong):
    """A config that describes no site raises ValueError."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SiteConfig(**wrong)


def test_wrong_arguments_are_refused_in_one_line(monkeypatch, capsys):
    """The command names what is wrong, without a traceback."""
    monkeypatch.setattr("sys.argv", ["site", "--retry-after", "4"])

    with pytest.raises(SystemExit) as stopped:
        site.main()
    assert stopped.value.code == 2
    assert "retry_after must be one of seconds" in capsys.readouterr().err


@given(configs)
def test_arguments_describe_the_config(config):
    """A config survives the way through the command line."""
    parser = ArgumentParser()
    add_site_arguments(parser)

    assert site_config(parser.parse_args(site_arguments(config))) == config


def test_addresses():
    """URLs carry the site's port, and the refused host the port that refuses."""
    site = SiteAddress(SiteConfig(hosts=2, pages=2), 81, 82)

    assert site.start_urls() == ["http://h0.test:81/", "http://h1.test:81/"]
    assert site.start_urls("refused.test") == ["http://refused.test:82/"]
    assert site.page_urls("slow.test") == [
        "http://slow.test:81/",
        "http://slow.test:81/page/1",
    ]
    assert {item["host"] for item in site.expected_items("slow.test")} == {"slow.test"}


# The faults ---------------------------------------------------------------------------


def ask(site, host, path="/", after=0.0):
    """The model's answer some seconds after NOW."""
    return site.answer(host, path, NOW + after)


def test_a_full_crawl_finds_the_expected_items():
    """Following links and redirects, and asking again after a 503, reaches all."""
    config = SiteConfig(hosts=1, pages=40, redirects=0.5, first_try_503=0.5)
    site, seen, waiting, skus = SiteModel(config), set(), ["/"], []

    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        answer = ask(site, "h0.test", path)
        if answer.status == 503:
            answer = ask(site, "h0.test", path)
        seen.add(path)
        waiting += [value for name, value in answer.headers if name == "Location"]
        waiting += hrefs(answer.body)
        skus += re.findall(r'data-sku="([^"]+)"', answer.body.decode())

    assert sorted(skus) == sorted(item["sku"] for item in model.expected_items(config))


def test_first_tries_fail_once():
    """With a share of 1, the first request of each path fails and no other."""
    site = SiteModel(SiteConfig(first_try_503=1.0))

    paths = ["/", "/page/1", "/", "/page/1", "/"]
    assert [ask(site, "h0.test", path).status for path in paths] == [
        503,
        503,
        200,
        200,
        200,
    ]


def test_reset_forgets_first_tries():
    """After a reset, first tries fail again."""
    site = SiteModel(SiteConfig(first_try_503=1.0))
    ask(site, "h0.test")
    site.reset()

    assert ask(site, "h0.test").status == 503


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("h0.test", "/page/50"),
        ("h0.test", "/page/0"),
        ("h0.test", "/r/50"),
        ("h0.test", "/robots.txt"),
        ("h4.test", "/"),
        ("elsewhere.test", "/"),
        ("slow.test", "/r/1"),
    ],
)
def test_unknown_addresses_are_not_found(host, path):
    """Hosts and pages beyond the config answer 404."""
    assert ask(SiteModel(SiteConfig(hosts=4, pages=50)), host, path).status == 404


def test_silence_delay_and_truncation():
    """silent, slow and truncated differ in how their answers are delivered."""
    site = SiteModel(SiteConfig(slow=7))

    assert ask(site, "silent.test").delivery is Delivery.NEVER
    assert ask(site, "slow.test").delay == 7
    assert ask(site, "truncated.test").delivery is Delivery.CUT


def test_error_never_recovers():
    """error.test answers 503 at any time."""
    site = SiteModel(SiteConfig())

    assert {ask(site, "error.test", after=day * 86400).status for day in range(5)} == {503}


def test_an_outage_ends():
    """outage.test fails until its time is over, counted from its first request."""
    site = SiteModel(SiteConfig(outage=10))

    answers = [ask(site, "outage.test", after=after) for after in (100, 109, 110)]
    assert [answer.status for answer in answers] == [503, 503, 200]


def test_a_ban_comes_and_goes():
    """banned.test serves a captcha after ban_after requests, for ban_window."""
    site = SiteModel(SiteConfig(ban_after=2, ban_window=5))

    answers = [ask(site, "banned.test", after=after) for after in (0, 50, 60, 64, 65)]
    assert [answer.outcome for answer in answers] == [
        "200",
        "200",
        "captcha",
        "captcha",
        "200",
    ]
    assert {answer.status for answer in answers} == {200}


def test_throttling_names_the_wait():
    """throttled.test answers 429 with the seconds that are left of the window."""
    site = SiteModel(SiteConfig(throttle_requests=1, throttle_window=9))

    answers = [ask(site, "throttled.test", after=after) for after in (0, 0, 4.5, 9)]
    assert [answer.status for answer in answers] == [200, 429, 429, 200]
    assert [dict(answer.headers).get("Retry-After") for answer in answers[1:3]] == [
        "9",
        "5",
    ]


def test_a_patient_crawl_is_not_throttled():
    """No more than throttle_requests in each throttle_period are never refused."""
    site = SiteModel(SiteConfig(throttle_requests=2, throttle_period=1))

    times = [number / 2 for number in range(20)]
    assert {ask(site, "throttled.test", after=after).status for after in times} == {200}


@pytest.mark.parametrize("kind", model.RETRY_AFTER_KINDS)
def test_each_kind_of_retry_after_has_a_path(kind):
    """/retry-after/KIND answers 429 at once, with that kind of header."""
    site = SiteModel(SiteConfig(throttle_window=3))

    answer = ask(site, "throttled.test", f"/retry-after/{kind}")
    assert answer == too_many(kind, 3, NOW)


def test_a_retry_date_is_never_too_early():
    """The date is rounded up to a whole second."""
    headers = dict(too_many("date", 1.2, NOW).headers)

    date = parsedate_to_datetime(headers["Retry-After"])
    assert date.timestamp() == NOW + 2


@given(st.from_regex(r"/[a-z/]{0,20}", fullmatch=True))
def test_a_loop_never_ends(path):
    """loop.test redirects between two paths, whatever the path."""
    site = SiteModel(SiteConfig())

    visited = []
    for _ in range(5):
        visited.append(path)
        path = dict(ask(site, "loop.test", path).headers)["Location"]
    assert visited[1:3] == visited[3:5]
    assert visited[1] != visited[2]


@given(
    st.integers(0, 4),
    st.lists(st.floats(0, 2), max_size=30),
)
def test_a_gate_passes_no_more_than_its_limit(limit, pauses):
    """In each period that starts with a passing request, at most limit pass."""
    gate, now, passed = Gate(limit, 1.0, 3.0), 0.0, []
    for pause in pauses:
        now += pause
        if not gate.wait(now):
            passed.append(now)

    # Two fixed periods may meet inside a sliding one.
    assert all(sum(start <= one < start + 1 for one in passed) <= 2 * limit for start in passed)


@given(st.floats(0, 2.9))
def test_a_closed_gate_says_when_it_opens(after):
    """The wait of a closed gate leads to the moment at which it opens."""
    gate = Gate(1, math.inf, 3.0)
    gate.wait(0.0)
    gate.wait(0.0)

    assert gate.wait(after) == pytest.approx(3.0 - after)
    assert gate.wait(3.0) == 0


# Counting -----------------------------------------------------------------------------


def test_counters_keep_the_maximum_of_parallel_requests():
    """The parallel maximum outlasts the requests; pages count 200s only."""
    counters = SiteCounters()
    counters.begin("a.test")
    counters.begin("a.test")
    counters.end("a.test", "/", "200")
    counters.begin("b.test")
    counters.end("a.test", "/", "503")

    stats = counters.stats()
    assert stats["total"] == {"requests": 3, "pages": 1, "parallel": 2}
    assert stats["hosts"]["a.test"] == {
        "requests": 2,
        "pages": 1,
        "parallel": 2,
        "sessions": 0,
        "paths": {"/": {"200": 1, "503": 1}},
    }


def test_reset_keeps_requests_under_way():
    """A request under way at the reset still counts as parallel."""
    counters = SiteCounters()
    counters.begin("a.test")
    counters.reset()

    assert counters.stats()["total"] == {"requests": 0, "pages": 0, "parallel": 1}


# Helpers ------------------------------------------------------------------------------


def test_public_names():
    """All public names exist, also those that are imported on first use."""
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = testing.nothing_like_it


@pytest.fixture
def resolver(monkeypatch):
    """A resolver whose parent answers every name alike."""
    # Every Scrapy resolver sets the limit of the process-wide cache.
    monkeypatch.setattr(dnscache, "limit", dnscache.limit)
    monkeypatch.setattr(CachingThreadedResolver, "getHostByName", lambda *_: "asked the parent")
    return LoopbackResolver(None, 0, 1.0)


@pytest.mark.parametrize("name", ["h0.test", "a.b.test", "SLOW.TEST", "localhost"])
def test_test_names_mean_this_machine(resolver, name):
    """Names below .test and localhost resolve to 127.0.0.1 without DNS."""
    assert resolver.getHostByName(name).result == "127.0.0.1"


@pytest.mark.parametrize("name", ["example.com", "test", "h0.test.example", "atest"])
def test_other_names_go_to_the_parent(resolver, name):
    """Names outside .test resolve as with Scrapy's default resolver."""
    assert resolver.getHostByName(name) == "asked the parent"


def test_walk_folder(tmp_path):
    """The walk finds linked HTML files inside the folder, and nothing else."""
    outside = tmp_path / "outside.html"
    outside.write_text("<p>outside</p>")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "unlinked.html").write_text("<p>unlinked</p>")
    (root / "notes.txt").write_text("plain")
    (root / "LICENSE").write_text("plain")
    (root / "link.html").symlink_to(outside)
    (root / "a b.html").write_text('<a href="#here">here</a>')
    (root / "sub/index.html").write_text('<area href="../index.html?x=1">')
    (root / "index.html").write_text(
        '<a href="a%20b.html#top">1</a> <a href=" sub/ ">2</a> <a>3</a>'
        '<a href="missing.html">4</a> <a href="notes.txt">5</a>'
        '<a href="LICENSE">6</a> <a href="link.html">7</a>'
        '<a href="../outside.html">8</a> <a href="https://h0.test/x.html">9</a>'
        '<a href="mailto:a@h0.test">10</a> <!-- <a href="unlinked.html">11</a> -->'
    )

    assert walk_folder(root) == {"/index.html", "/a b.html", "/sub/index.html"}


def test_walk_folder_heeds_base(tmp_path):
    """Links are resolved against the page's base element."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/page.html").touch()
    (tmp_path / "index.html").write_text('<base href="sub/"><a href="page.html">1</a>')

    assert walk_folder(tmp_path) == {"/index.html", "/sub/page.html"}
