"""One fault site for each worker, and crawls of it."""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.databases import SERVERS
from scrapy_resilience.testing import SiteConfig, running_site

# importlib mode leaves sys.path alone: this is how tests find the helpers beside them
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "unit"))  # views, which all faces share
pytest.register_assert_rewrite("crawls", "damages", "forkserver", "tables", "web")

SITE = SiteConfig(hosts=3, pages=40, latency=0.02, redirects=0.2, first_try_503=0.1)
PLAIN = SiteConfig(hosts=3, pages=40, latency=0.02)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call):
    """Show the crawls of a test that has failed."""
    from crawls import Crawl  # noqa: PLC0415 - found through the path set above

    report = yield
    if report.failed:
        report.sections += [(f"crawl in {job.folder}", job.report()) for job in Crawl.made]
    if call.when == "teardown":
        Crawl.made.clear()
    return report


@pytest.fixture(scope="session", autouse=True)
def fork_servers():
    """What crawls are forked from, until the session ends."""
    from crawls import end_fork_servers  # noqa: PLC0415 - found through the path set above

    yield
    end_fork_servers()


@pytest.fixture(scope="session")
def chromium(missing_service):
    """The port of a browser for the whole session."""
    from browser import browser  # noqa: PLC0415 - found through the path set above

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing_service("chromium", "apt-get install chromium")
    with browser(found) as port:
        yield port


@pytest.fixture(scope="session")
def database_server(missing_service):
    """``database_server(kind)``: one of its own for the whole session, begun when asked for."""
    running = {}
    with ExitStack() as stack:

        def found(kind):
            if kind.program() is None:
                missing_service(kind.name, f"apt-get install {kind.package}")
            if kind not in running:
                running[kind] = stack.enter_context(kind())
            running[kind].start()  # a test that has failed may have left it stopped
            return running[kind]

        yield found


@pytest.fixture
def database_of(database_server, tmp_path):
    """``database_of(kind)``: a new database, of a server or in a file."""
    from tables import Database  # noqa: PLC0415 - found through the path set above

    def made(kind):
        if kind == "sqlite":
            return Database(kind, f"sqlite:///{tmp_path}/rows.db")
        server = database_server(SERVERS[kind])
        return Database(kind, server.database(), server)

    return made


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request, database_of):
    """A new database of each kind."""
    return database_of(request.param)


@pytest.fixture(params=SERVERS)
def served(request, database_of):
    """A new database of each server."""
    return database_of(request.param)


@pytest.fixture(scope="session")
def site_process():
    """A site with faults for the whole session."""
    with running_site(SITE) as site:
        yield site


@pytest.fixture(scope="session")
def plain_process():
    """A site without faults for the whole session."""
    with running_site(PLAIN) as site:
        yield site


@pytest.fixture
def site(site_process):
    """Three shops with redirects and first answers of 503, as if just started."""
    site_process.reset()
    return site_process


@pytest.fixture
def plain(plain_process):
    """Three shops without faults, as if just started."""
    plain_process.reset()
    return plain_process


@pytest.fixture
def rng():
    """Random moments; a failure shows the seed, RESILIENCE_TEST_SEED sets it."""
    seed = int(os.environ.get("RESILIENCE_TEST_SEED") or random.randrange(10**6))
    print(f"RESILIENCE_TEST_SEED={seed}")  # noqa: T201 - pytest shows it at a failure
    return random.Random(seed)


@pytest.fixture
def crawl(tmp_path, site, rng):
    """``crawl(source, **settings)``: a project that crawls the site with faults."""
    from crawls import Crawl  # noqa: PLC0415 - found through the path set above

    return lambda source, **settings: Crawl(tmp_path, source, site, rng, **settings)


@pytest.fixture
def plain_crawl(tmp_path, plain, rng):
    """``plain_crawl(source, **settings)``: a project that crawls the site without faults."""
    from crawls import Crawl  # noqa: PLC0415 - found through the path set above

    return lambda source, **settings: Crawl(tmp_path, source, plain, rng, **settings)


@pytest.fixture(scope="session")
def image_server():
    """A server that has an image at each path."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415
    from io import BytesIO  # noqa: PLC0415
    from threading import Thread  # noqa: PLC0415

    image = pytest.importorskip("PIL.Image")
    png = BytesIO()
    image.new("RGB", (8, 8), "red").save(png, "PNG")

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # headers and body in one packet

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(png.getvalue())))
            self.end_headers()
            self.wfile.write(png.getvalue())

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """A crawl that is killed closes its connections."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def killer(rng, record_property):
    """Ends crawls at random; how often is told in the test's record."""
    from soaking import Killer  # noqa: PLC0415 - found through the path set above

    killer = Killer(rng)
    yield killer
    record_property("kills", killer.count)
