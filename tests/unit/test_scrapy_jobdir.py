"""Files of Scrapy's own scheduler: read whole and in order, or refused by name."""

from __future__ import annotations

import json
import os
import pickle
from types import SimpleNamespace

import pytest
from scrapy import Request, Spider, squeues
from scrapy.core.scheduler import Scheduler
from scrapy.dupefilters import RFPDupeFilter
from scrapy.pqueues import DownloaderAwarePriorityQueue, ScrapyPriorityQueue
from scrapy.utils.test import get_crawler

from scrapy_resilience.exceptions import CheckpointError
from scrapy_resilience.files import ownership
from scrapy_resilience.frontier.codec import RequestCodec, ValueCodec
from scrapy_resilience.frontier.lanes import Frontier
from scrapy_resilience.frontier.store import MemoryStore
from scrapy_resilience.jobs.scrapy_jobdir import ScrapyJobdir
from scrapy_resilience.scheduling.scrapy_settings import take_over

CLASSES = [name for name in vars(squeues) if name.endswith("Queue") and "Memory" not in name]
CLASSES = sorted(name for name in CLASSES if not name.startswith("_"))
VALUES = ValueCodec()


class Shop(Spider):
    """A spider with callbacks."""

    name = "shop"

    def page(self, response):
        """Parse a page."""

    def failed(self, failure):
        """Take an error."""


class Downloader:
    """Knows the slot of a request, as Scrapy's does."""

    def __init__(self):
        self.slots = {}

    def get_slot_key(self, request):
        """Return the host."""
        return request.url.split("/")[2]


class Engine:
    """Holds the downloader."""

    downloader = Downloader()


def stock_scheduler(path, **settings):
    """Scrapy's own scheduler on a JOBDIR."""
    crawler = get_crawler(Shop, {"JOBDIR": str(path), **settings})
    crawler.spider = Shop.from_crawler(crawler)
    crawler.engine = Engine()
    scheduler = Scheduler.from_crawler(crawler)
    scheduler.open(crawler.spider)
    return scheduler


def requests(count=5):
    """Requests of two hosts, priorities and kinds; those of each are numbered."""
    for number in range(count):
        for host in ("a.test", "b.test"):
            yield Request(f"http://{host}/{number}", Shop.page, errback=Shop.failed)
            yield Request(f"http://{host}/first/{number}", priority=7)
            yield Request(
                f"http://{host}/start/{number}",
                dont_filter=number % 2 == 0,
                meta={"is_start_request": True, "n": number},
            )


def bound(request, spider):
    """Make callbacks methods of *spider*."""
    for name in ("callback", "errback"):
        function = getattr(request, name)
        if function is not None:
            setattr(request, name, getattr(spider, function.__name__))
    return request


@pytest.fixture
def spider():
    """Return a spider."""
    return Shop()


@pytest.fixture
def filled(tmp_path):
    """``filled(**settings)``: a JOBDIR that Scrapy has closed."""

    def fill(pops=4, pqueue=DownloaderAwarePriorityQueue, state=None, **settings):
        scheduler = stock_scheduler(tmp_path, SCHEDULER_PRIORITY_QUEUE=pqueue, **settings)
        for request in requests():
            scheduler.enqueue_request(bound(request, scheduler.spider))
        gone = {scheduler.next_request().url for _ in range(pops)}
        scheduler.close("finished")
        if state is not None:
            (tmp_path / "spider.state").write_bytes(pickle.dumps(state, protocol=4))
        return tmp_path, gone

    return fill


def urls(job, spider):
    """The URLs of a job's requests."""
    codec = RequestCodec(spider, VALUES)
    return [codec.decode(request.payload).url for request in job.requests]


@pytest.mark.parametrize("pqueue", [DownloaderAwarePriorityQueue, ScrapyPriorityQueue])
@pytest.mark.parametrize(
    ("name", "start"),
    [(name, start) for name in CLASSES for start in (None, "PickleFifoDiskQueue")],
)
def test_every_queue(filled, spider, name, start, pqueue):
    """Each queue class gives what was pushed and not popped, in the order of pushing."""
    path, gone = filled(
        pqueue=pqueue,
        SCHEDULER_DISK_QUEUE=f"scrapy.squeues.{name}",
        SCHEDULER_START_DISK_QUEUE=start and f"scrapy.squeues.{start}",
    )

    job = ScrapyJobdir.find(path)
    job.read(spider, VALUES)

    left = [request for request in requests() if request.url not in gone]
    found = urls(job, spider)
    assert sorted(found) == sorted(request.url for request in left)
    for host in ("a.test", "b.test"):
        for kind in ("first/", "start/", ""):
            mine = [url for url in found if url.startswith(f"http://{host}/{kind}")]
            mine = [url for url in mine if kind or url.count("/") == 3]
            assert mine == sorted(mine)
    assert {request.slot for request in job.requests} == {"a.test", "b.test"}
    assert all(request.priority == 7 for request in job.requests if b"first" in request.payload)
    assert all(request.start == (b"/start/" in request.payload) for request in job.requests)
    unfiltered = {url for url in found if "start" in url and int(url[-1]) % 2 == 0}
    assert {request.url for request in job.unfiltered_starts} == unfiltered


def test_callbacks_and_meta(filled, tmp_path, spider):
    """A request comes back with its callbacks and meta."""
    filled(pops=0)
    job = ScrapyJobdir.find(tmp_path)
    job.read(spider, VALUES)

    codec = RequestCodec(spider, VALUES)
    found = {r.url: r for r in (codec.decode(request.payload) for request in job.requests)}

    assert found["http://a.test/1"].callback == spider.page
    assert found["http://a.test/1"].errback == spider.failed
    assert found["http://a.test/start/3"].meta["n"] == 3


def test_requests_go_into_the_lanes_of_their_domains(filled, tmp_path, spider):
    """As requests of our own do: a breaker and a limit are the domain's, by the settings."""
    filled(pops=0)
    stock = ScrapyJobdir.find(tmp_path)
    stock.read(spider, VALUES)
    frontier = Frontier(MemoryStore(), limit=lambda _: 8)
    keeper = SimpleNamespace(lane=lambda slot, request: f"{slot} {request.method}")

    take_over(SimpleNamespace(stock=stock, values=VALUES), frontier, spider, keeper)

    lanes = {f"{request.slot} GET" for request in stock.requests}
    assert sum(map(frontier.waiting, lanes)) == len(stock.requests) > 1


def test_fingerprints_and_state(filled, tmp_path, spider):
    """Every fingerprint and spider.state come back."""
    filled(state={"pages": {1, 2}})
    job = ScrapyJobdir.find(tmp_path)
    job.read(spider, VALUES)

    stock = RFPDupeFilter(str(tmp_path))
    stock.close("finished")
    assert job.fingerprints == stock._fingerprints
    assert len(job.fingerprints) == 24
    assert job.state == {"pages": {1, 2}}


def test_large_fifo_queues(filled, tmp_path, spider, monkeypatch):
    """A queue of several files is read through all of them."""
    monkeypatch.setattr(squeues.queue.FifoDiskQueue.__init__, "__defaults__", (2,))
    filled(SCHEDULER_DISK_QUEUE="scrapy.squeues.PickleFifoDiskQueue")

    job = ScrapyJobdir.find(tmp_path)
    job.read(spider, VALUES)

    assert len(list(tmp_path.rglob("q0000*"))) > 10
    assert len(job.requests) == 26


def test_nothing_is_changed(filled, tmp_path, spider):
    """Reading changes no byte and no name."""
    filled(state={})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    ScrapyJobdir.find(tmp_path).read(spider, VALUES)

    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_moved_aside(filled, tmp_path):
    """The files are kept in a folder of their own, beside those of an earlier import."""
    for name in ("stock", "stock.2"):
        filled(state={})
        job = ScrapyJobdir.find(tmp_path)
        job.moves_state = True

        assert job.move_aside() == tmp_path / name
        assert ScrapyJobdir.find(tmp_path) is None
        assert (tmp_path / name / "requests.queue" / "active.json").is_file()
        assert (tmp_path / name / "requests.seen").is_file()
        assert (tmp_path / name / "spider.state").is_file()


def test_no_job(tmp_path):
    """A folder without a queue, or with one that has no file, holds no job."""
    assert ScrapyJobdir.find(tmp_path) is None
    (tmp_path / "requests.queue").mkdir()
    assert ScrapyJobdir.find(tmp_path) is None


def test_digests_differ(filled, tmp_path):
    """Another job in the same folder has another digest."""
    filled(pops=4)
    first = ScrapyJobdir(tmp_path).digest
    assert ScrapyJobdir(tmp_path).digest == first

    (tmp_path / "requests.queue" / "active.json").write_text("{}")

    assert ScrapyJobdir(tmp_path).digest != first


# --- refusals -----------------------------------------------------------------------


def queue(path):
    """Some queue's file."""
    return next(file for file in sorted(path.rglob("*")) if file.name in {"0", "q00000"})


def cut(path):
    """Take the last byte of a queue away."""
    file = queue(path)
    file.write_bytes(file.read_bytes()[:-1])


def grow(path):
    """Add a record that the sizes do not know."""
    with queue(path).open("ab") as file:
        file.write(b"\0\0\0\1x" if file.name.endswith("q00000") else b"x\0\0\0\1")


def empty(path):
    """Leave an empty file, as a kill does."""
    queue(path).write_bytes(b"")


def no_active(path):
    """Take away what is written at a clean stop only."""
    (path / "requests.queue" / "active.json").unlink()


def stale_active(path):
    """Leave what an earlier stop has written."""
    (path / "requests.queue" / "active.json").write_text('{"a.test": [0]}')


def torn_active(path):
    """Cut the list of queues."""
    (path / "requests.queue" / "active.json").write_text('{"a.te')


def odd_active(path):
    """Write something that is not a list of queues."""
    (path / "requests.queue" / "active.json").write_text('{"a.test": "0"}')


def foreign(path):
    """Add a file that no queue of Scrapy has."""
    (path / "requests.queue" / "mine").write_text("mine")


def torn_seen(path):
    """Cut the last fingerprint."""
    file = path / "requests.seen"
    file.write_bytes(file.read_bytes()[:-1])


def odd_state(path):
    """Write something that is not a pickle."""
    (path / "spider.state").write_bytes(b"\x80\x04no pickle")


def gone_code(path):
    """Store a class that is not there any more."""
    (path / "spider.state").write_bytes(b"\x80\x04cnowhere\nThing\n.")


@pytest.mark.parametrize("name", ["PickleLifoDiskQueue", "PickleFifoDiskQueue"])
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (cut, "damaged"), (grow, "damaged"), (empty, "damaged"), (no_active, "active.json"),
        (stale_active, "does not name"), (torn_active, "damaged"), (odd_active, "damaged"),
        (foreign, "mine"), (torn_seen, "requests.seen"), (odd_state, "spider.state"),
        (gone_code, "nowhere"),
    ],
)  # fmt: skip
def test_what_is_not_whole(filled, spider, name, change, word):
    """What is torn, stale, foreign or can't be read is refused and named."""
    path, _ = filled(SCHEDULER_DISK_QUEUE=f"scrapy.squeues.{name}", state={})
    change(path)
    job = ScrapyJobdir.find(path)

    with pytest.raises(CheckpointError, match=word) as caught:
        job.read(spider, VALUES)

    assert "JOBDIR" in str(caught.value)
    assert not job.is_read


def test_a_damaged_database(filled, tmp_path, spider):
    """A queue in SQLite that is not a whole database is refused."""
    filled(SCHEDULER_DISK_QUEUE="scrapy.squeues.PickleLifoSQLiteQueue")
    file = queue(tmp_path)
    file.write_bytes(file.read_bytes()[:4096])

    with pytest.raises(CheckpointError, match="damaged"):
        ScrapyJobdir.find(tmp_path).read(spider, VALUES)


def test_a_callback_that_is_gone(filled, tmp_path):
    """A request whose callback the spider no longer has is refused."""
    filled()

    with pytest.raises(CheckpointError, match="page"):
        ScrapyJobdir.find(tmp_path).read(Spider("shop"), VALUES)


def test_without_pickle(filled, tmp_path, spider):
    """Without RESILIENCE_ALLOW_PICKLE nothing is read."""
    filled()

    with pytest.raises(CheckpointError, match="RESILIENCE_ALLOW_PICKLE"):
        ScrapyJobdir.find(tmp_path).read(spider, ValueCodec(allow_pickle=False))


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize(
    "name", ["requests.queue", "requests.queue/active.json", "spider.state"]
)
def test_writable_by_others(filled, tmp_path, spider, name):
    """Pickles that somebody else may have written are not read."""
    filled(state={})
    (tmp_path / name).chmod(0o777)

    with pytest.raises(CheckpointError, match="chmod -R go-w"):
        ScrapyJobdir.find(tmp_path).read(spider, VALUES)


@pytest.mark.skipif(os.name != "posix", reason="owners of files")
def test_another_users_files(filled, tmp_path, spider, monkeypatch):
    """Pickles of another user are not read."""
    filled()
    monkeypatch.setattr(ownership, "_trusted", lambda: {4711})

    with pytest.raises(CheckpointError, match="another user"):
        ScrapyJobdir.find(tmp_path).read(spider, VALUES)


def test_a_name_that_is_no_number(filled, tmp_path, spider):
    """Priorities are whole numbers."""
    filled()
    active = tmp_path / "requests.queue" / "active.json"
    active.write_text(json.dumps({"a.test": ["../../x"]}))

    with pytest.raises(CheckpointError, match="damaged"):
        ScrapyJobdir.find(tmp_path).read(spider, VALUES)
