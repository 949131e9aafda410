"""The fault site and the folder server as processes, asked by plain clients."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from scrapy_resilience.testing import (
    FaultSite,
    SiteConfig,
    running_folder,
    running_site,
)

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SLOW = 0.3
QUICK = SiteConfig(
    hosts=2,
    pages=12,
    redirects=0.5,
    first_try_503=0.5,
    cookies=True,
    slow=SLOW,
    outage=SLOW,
    throttle_requests=2,
    throttle_period=60.0,
    throttle_window=SLOW,
    ban_after=2,
    ban_window=SLOW,
)


@pytest.fixture(scope="module")
def process():
    """One site for all tests that need no other config."""
    with running_site(QUICK) as site:
        yield site


@pytest.fixture
def site(process):
    """The site as if just started."""
    process.reset()
    return process


@contextmanager
def asking(port, host, path="/", *, timeout=5.0, **headers):
    """A client that has sent a request for a host to a local port."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        client.request("GET", path, headers={"Host": f"{host}:{port}", **headers})
        yield client
    finally:
        client.close()


def ask(site, host, path="/", **headers):
    """Status, headers and body of the answer."""
    with asking(site.port, host, path, **headers) as client:
        response = client.getresponse()
        return response.status, response.headers, response.read()


def statuses(site, host, times):
    """The statuses of several requests for the front page of a host."""
    return [ask(site, host)[0] for _ in range(times)]


def wait_until(condition, seconds=60.0):
    """Return as soon as the condition holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def refuses(port):
    """Whether nothing listens on a local port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


# Healthy hosts ------------------------------------------------------------------------


def crawl(site, host):
    """The SKUs on all pages of a host that links lead to."""
    seen, waiting, skus = set(), ["/"], []
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        status, headers, body = ask(site, host, path)
        if status == 503:
            status, headers, body = ask(site, host, path)
        seen.add(path)
        waiting += headers.get_all("Location", [])
        waiting += re.findall(r'<li><a href="([^"]+)">', body.decode())
        skus += re.findall(r'data-sku="([^"]+)"', body.decode())
    return skus


def test_a_crawl_finds_the_expected_items(site):
    """Links, redirects and second tries lead to all expected items, each once."""
    found = [sku for host in ("h0.test", "h1.test") for sku in crawl(site, host)]

    assert sorted(found) == sorted(item["sku"] for item in site.expected_items())
    stats = site.stats()
    assert stats["total"]["pages"] == QUICK.hosts * QUICK.pages
    outcomes = stats["hosts"]["h0.test"]["paths"]
    assert all(counts.get("200", 1) == 1 for counts in outcomes.values())
    assert {"200", "302", "503"} == {key for counts in outcomes.values() for key in counts}


def test_double_downloads_are_counted(site):
    """Each path says how often it was answered in which way."""
    for _ in range(3):
        ask(site, "slow.test", "/page/99")

    assert site.stats()["hosts"]["slow.test"]["paths"] == {"/page/99": {"404": 3}}


def test_proxy_form(site):
    """A request in the form that is sent to a proxy reaches the host it names."""
    status, _, body = ask(site, "h0.test", f"{site.url('error.test')}?x=1")

    assert (status, body[:9]) == (503, b"<!DOCTYPE")
    assert list(site.stats()["hosts"]) == ["error.test"]


def test_parallel_requests_are_counted(site):
    """The maximum of requests in flight is kept for the host and the site."""
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: ask(site, "slow.test"), range(5)))

    stats = site.stats()
    assert stats["hosts"]["slow.test"]["parallel"] == 5
    assert stats["total"] == {"requests": 5, "pages": 5, "parallel": 5}


def test_reset_forgets_everything(site):
    """After a reset there are no counts, and gates start anew."""
    assert statuses(site, "throttled.test", 3) == [200, 200, 429]
    site.reset()

    assert site.stats()["total"] == {"requests": 0, "pages": 0, "parallel": 0}
    assert statuses(site, "throttled.test", 2) == [200, 200]


def test_sessions(site):
    """A visitor without a session cookie gets a new one, one with a cookie does not."""
    cookies = [ask(site, "h0.test", "/r/1")[1]["Set-Cookie"] for _ in range(2)]
    kept = ask(site, "h0.test", "/r/1", Cookie=cookies[0].split(";")[0])[1]

    assert cookies[0] != cookies[1]
    assert kept["Set-Cookie"] is None
    assert site.stats()["hosts"]["h0.test"]["sessions"] == 2


def test_control_of_unknown_commands(site):
    """Control paths other than stats and reset are not found, and not counted."""
    assert ask(site, "h0.test", "/__site__/reset")[0] == 404
    assert site.stats()["hosts"] == {}


# Faulty hosts -------------------------------------------------------------------------


def test_silent(site):
    """silent.test accepts and never answers; the lost request counts as gone."""
    with asking(site.port, "silent.test", timeout=SLOW) as client:
        with pytest.raises(TimeoutError):
            client.getresponse()
        assert site.stats()["hosts"]["silent.test"]["paths"] == {}

    wait_until(lambda: site.stats()["hosts"]["silent.test"]["paths"] == {"/": {"gone": 1}})


def test_slow(site):
    """slow.test answers late, with a page."""
    start = time.monotonic()

    assert ask(site, "slow.test", "/page/1")[0] == 200
    assert time.monotonic() - start >= SLOW


def test_error(site):
    """error.test answers 503, time after time."""
    assert statuses(site, "error.test", 4) == [503] * 4


def test_throttled(site):
    """throttled.test answers 429 after too many requests, until the window is over."""
    assert statuses(site, "throttled.test", 4) == [200, 200, 429, 429]
    time.sleep(SLOW)
    assert statuses(site, "throttled.test", 1) == [200]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("seconds", r"1"),
        ("date", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
        ("absurd", r"9{9}"),
        ("garbage", r"\D+"),
    ],
)
def test_retry_after(site, kind, form):
    """Each kind of Retry-After can be asked for by path."""
    status, headers, _ = ask(site, "throttled.test", f"/retry-after/{kind}")

    assert status == 429
    assert re.fullmatch(form, headers["Retry-After"])


def test_outage(site):
    """outage.test fails from its first request on, and then recovers."""
    assert statuses(site, "outage.test", 2) == [503, 503]
    time.sleep(SLOW)
    assert statuses(site, "outage.test", 2) == [200, 200]


def test_banned(site):
    """banned.test turns to a captcha with status 200, and back."""
    bodies = [ask(site, "banned.test")[2] for _ in range(3)]
    time.sleep(SLOW)
    bodies.append(ask(site, "banned.test")[2])

    assert ["g-recaptcha" in body.decode() for body in bodies] == [0, 0, 1, 0]
    assert site.stats()["hosts"]["banned.test"]["pages"] == 3


def test_banned_with_gzip():
    """The captcha can come gzip encoded."""
    with running_site(SiteConfig(ban_after=0, ban_gzip=True)) as site:
        status, headers, body = ask(site, "banned.test")

    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert b"g-recaptcha" in gzip.decompress(body)


def test_loop(site):
    """loop.test redirects to a path that redirects back."""
    there = ask(site, "loop.test", "/page/1")[1]["Location"]

    assert there != "/page/1"
    assert ask(site, "loop.test", there)[1]["Location"] == "/page/1"


def test_truncated(site):
    """truncated.test closes before all announced bytes are sent."""
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(site, "truncated.test")

    assert b"<main" in caught.value.partial
    assert site.stats()["hosts"]["truncated.test"]["paths"] == {"/": {"cut": 1}}


def test_refused(site):
    """Nothing listens on the port of refused.test."""
    assert site.url("refused.test") == f"http://refused.test:{site.refused_port}/"
    with pytest.raises(ConnectionRefusedError), asking(site.refused_port, "x.test"):
        pass


# Processes ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_site_at_once(number):
    """SIGTERM and SIGINT end the process cleanly, also with a request under way."""
    with (
        server_process("site", stdin=subprocess.PIPE) as (process, port),
        asking(port, "silent.test"),
    ):
        wait_until(lambda: count_requests(port) == 1)
        process.send_signal(number)

        assert process.wait(60) == 0


@contextmanager
def server_process(*arguments, stdin):
    """A server that was started as from a shell, and its port."""
    command = [sys.executable, "-m", f"scrapy_resilience.testing.{arguments[0]}"]
    process = subprocess.Popen(
        [*command, *arguments[1:]],
        stdin=stdin,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with process:
        try:
            line = process.stdout.readline()
            yield process, int(re.search(r'"port": (\d+)', line)[1])
        finally:
            process.kill()


def count_requests(port):
    """The requests that the site on a port has counted."""
    with asking(port, "x.test", "/__site__/stats") as client:
        stats = client.getresponse().read().decode()
    return int(re.search(r'"requests": (\d+)', stats)[1])


@pytest.mark.parametrize("kind", [("site",), ("folder", str(ROOT))])
def test_a_port_that_is_taken(kind):
    """One line says so, and the exit code is 1."""
    name, *more = kind
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", f"scrapy_resilience.testing.{name}", "--port", port]
        run = subprocess.run(
            [*map(str, command), *more], capture_output=True, text=True, check=False, cwd=ROOT
        )

    assert run.returncode == 1
    assert str(port) in run.stderr
    assert run.stderr.endswith("give another port, or 0 for any that is free\n")
    assert len(run.stderr.splitlines()) == 1


def test_the_end_of_stdin_ends_the_site():
    """A site whose stdin is a pipe ends with that pipe."""
    with server_process("site", stdin=subprocess.PIPE) as (process, _):
        process.stdin.close()

        assert process.wait(60) == 0


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            "from scrapy_resilience.testing import running_site as start\n"
            "with start() as site:\n"
            "    print(site.pid, site.port, flush=True)\n"
            "    input()\n",
            id="running_site",
        ),
        pytest.param(
            "import json, subprocess, sys\n"
            "name = 'scrapy_resilience.testing.site'\n"
            "site = subprocess.Popen([sys.executable, '-m', name],\n"
            "    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)\n"
            "port = json.loads(site.stdout.readline())['port']\n"
            "print(site.pid, port, flush=True)\n"
            "input()\n",
            id="without a pipe",
        ),
    ],
)
def test_the_site_ends_with_its_parent(start):
    """A parent that is killed leaves no site behind."""
    parent = subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with parent:
        pid, port = map(int, parent.stdout.readline().split())
        assert not refuses(port)
        parent.kill()

    wait_until(lambda: refuses(port))
    wait_until(lambda: not is_running(pid))


def is_running(pid):
    """Whether a process runs; always False on systems without /proc."""
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_leaving_the_context_ends_the_site():
    """After the context, the process is gone and its port is free."""
    with running_site() as site:
        assert ask(site, "h0.test")[0] == 200

    assert refuses(site.port)
    assert not is_running(site.pid)


def test_a_site_comes_back_on_its_port():
    """A site can be started again on the ports of one that was stopped."""
    with running_site() as first:
        ask(first, "h0.test")
    with running_site(port=first.port, refused_port=first.refused_port) as again:
        assert (again.port, again.refused_port) == (first.port, first.refused_port)


def test_a_taken_port_is_named(process):
    """A site that cannot listen raises an error that says why."""
    with (
        pytest.raises(RuntimeError, match=rf"did not start(?s:.*){process.port}"),
        running_site(port=process.port),
    ):
        pass


def test_the_start_is_bounded():
    """A site that says nothing in time is stopped and reported."""
    with (
        pytest.raises(RuntimeError, match="nothing within"),
        running_site(start_timeout=0.001),
    ):
        pass


def test_the_package_needs_no_server_libraries():
    """Importing the package and its resolver imports no aiohttp."""
    check = (
        "import sys\n"
        "from scrapy_resilience.testing import SiteConfig, running_site\n"
        "assert 'aiohttp' not in sys.modules\n"
        "from scrapy_resilience.testing import LoopbackResolver\n"
        "assert not {'aiohttp', 'twisted.internet.reactor'} & set(sys.modules)\n"
    )

    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)


# In process ---------------------------------------------------------------------------


def test_fault_site_in_a_loop():
    """FaultSite serves inside an event loop, and is gone after its context."""

    async def visit():
        async with FaultSite(SiteConfig(hosts=1, pages=3)) as site:
            headers = {"Host": "h0.test"}
            url = f"http://127.0.0.1:{site.port}/page/1"
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, headers=headers) as response,
            ):
                assert response.status == 200
            assert site.stats()["hosts"]["h0.test"]["pages"] == 1
            site.reset()
            assert site.stats()["total"]["requests"] == 0
        return site.port

    # A thread of its own: pytest-twisted runs its loop in this one.
    with ThreadPoolExecutor(1) as pool:
        port = pool.submit(asyncio.run, visit()).result(20)
    assert refuses(port)


# Folders ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A served folder with a secret beside it."""
    base = tmp_path_factory.mktemp("served")
    (base / "secret.txt").write_text("secret")
    root = base / "root"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<h1>Front</h1>")
    (root / "index.html.gz").write_bytes(gzip.compress(b"compressed"))
    (root / "sub/index.html").write_text("<h1>Below</h1>")
    (root / "style.css").write_text("h1 { color: red; }")
    (root / "archive.html.gz").write_bytes(gzip.compress(b"archive"))
    (root / "out.txt").symlink_to(base / "secret.txt")
    with running_folder(root) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/index.html", "text/html"),
        ("/sub/index.html", "text/html"),
        ("/style.css", "text/css"),
    ],
)
def test_files_have_their_type(folder, path, kind):
    """Files are served whole, with the type that belongs to their name."""
    status, headers, body = ask(folder, "127.0.0.1", path)

    assert (status, headers.get_content_type()) == (200, kind)
    assert body == (folder.root / path.lstrip("/")).read_bytes()


@pytest.mark.parametrize("path", ["/", "/sub/", "//other.test/"])
def test_folders_lead_to_their_index(folder, path):
    """Addresses that end in a slash redirect to the index beside them."""
    status, headers, _ = ask(folder, "127.0.0.1", path)

    assert (status, headers["Location"]) == (302, "index.html")


@pytest.mark.parametrize(
    "path",
    [
        "/missing.html",
        "/sub",
        "/out.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/%00.html",
        "/index.html.gz",
        "/archive.html.gz",
    ],
)
def test_only_files_of_the_folder_are_served(folder, path):
    """Folders, .gz files and whatever is outside the folder are not found."""
    status, _, body = ask(folder, "127.0.0.1", path)

    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("path", ["/index.html", "/archive.html"])
def test_gz_files_never_stand_in(folder, path):
    """A .gz file is not sent in place of the file that was asked for."""
    headers = {"Accept-Encoding": "gzip"}
    status, answered, _ = ask(folder, "127.0.0.1", path, **headers)

    assert answered["Content-Encoding"] is None
    assert status == (200 if path == "/index.html" else 404)


def test_a_missing_folder_is_named(tmp_path):
    """A folder that does not exist raises an error that names it."""
    with (
        pytest.raises(RuntimeError, match="nowhere"),
        running_folder(tmp_path / "nowhere"),
    ):
        pass
