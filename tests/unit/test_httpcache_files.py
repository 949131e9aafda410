"""An entry of the HTTP cache is whole or not there, wherever its writing ended."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scrapy import Request, Spider
from scrapy.extensions.httpcache import FilesystemCacheStorage
from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.utils.test import get_crawler

from scrapy_resilience.httpcache import AtomicCacheStorage

REQUEST = Request("http://shop.test/")
FILES = 7


class KilledError(Exception):
    """Stands for the end of the process."""


def page(body):
    """Return a page with *body*."""
    return HtmlResponse(REQUEST.url, body=body, request=REQUEST)


@pytest.fixture
def spider():
    """A spider of a crawler, for its fingerprinter."""
    return get_crawler(Spider)._create_spider("shop")


@pytest.fixture
def storage(tmp_path, spider):
    """``storage(cls)``: one on the same folder each time."""

    def make(cls=AtomicCacheStorage):
        found = cls(Settings({"HTTPCACHE_DIR": str(tmp_path), "HTTPCACHE_EXPIRATION_SECS": 0}))
        found.open_spider(spider)
        return found

    return make


def killed_at(storage, number):
    """Make the storage fail at the file with this number, after an empty one was made."""
    plain, count = open, 0

    def opened(path, mode):
        nonlocal count
        file = plain(path, mode)
        count += 1
        if count == number:
            file.close()
            raise KilledError
        return file

    storage._open = opened


@pytest.mark.parametrize("number", range(1, FILES + 1))
def test_a_kill_at_any_file_leaves_no_half_entry(storage, spider, number):
    """After a kill in mid-entry there is none, and a second try succeeds."""
    killed = storage()
    killed_at(killed, number)
    with pytest.raises(KilledError):
        killed.store_response(spider, REQUEST, page(b"<h1>Shop</h1>"))

    assert storage().retrieve_response(spider, REQUEST) is None
    storage().store_response(spider, REQUEST, page(b"<h1>Shop</h1>"))
    assert storage().retrieve_response(spider, REQUEST).body == b"<h1>Shop</h1>"


@pytest.mark.parametrize("number", range(1, FILES + 1))
def test_a_kill_leaves_an_older_entry_alone(storage, spider, number):
    """A kill while an entry is written anew leaves the old one."""
    storage().store_response(spider, REQUEST, page(b"old"))
    killed = storage()
    killed_at(killed, number)
    with pytest.raises(KilledError):
        killed.store_response(spider, REQUEST, page(b"new"))

    assert storage().retrieve_response(spider, REQUEST).body == b"old"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_while_an_old_entry_is_replaced(storage, spider, monkeypatch, number):
    """After a kill between any two steps there is a whole entry, or none."""
    storage().store_response(spider, REQUEST, page(b"old"))
    plain, count = Path.rename, 0

    def renamed(path, target):
        nonlocal count
        count += 1
        if count == number:
            raise KilledError
        return plain(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renamed)
        with pytest.raises(KilledError):
            storage().store_response(spider, REQUEST, page(b"new"))

    found = storage().retrieve_response(spider, REQUEST)
    assert found is None if number == 3 else found.body == b"old"
    storage().store_response(spider, REQUEST, page(b"new"))
    assert storage().retrieve_response(spider, REQUEST).body == b"new"


def test_a_folder_that_can_not_be_written(storage, spider, monkeypatch, tmp_path, caplog):
    """The old entry stays, nothing else does, and the page goes on."""
    storage().store_response(spider, REQUEST, page(b"old"))

    def renamed(_path, _target):
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renamed)
        storage().store_response(spider, REQUEST, page(b"new"))

    assert "read-only" in caplog.text
    assert not list(tmp_path.rglob("*.new"))
    assert storage().retrieve_response(spider, REQUEST).body == b"old"


# --- several processes -------------------------------------------------------------------


@pytest.fixture
def other(storage, spider, monkeypatch):
    """``other(body)`` is another process that stores the page."""

    def store(body):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            storage().store_response(spider, REQUEST, page(body))

    return store


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_two_processes_store_a_page(  # noqa: PLR0917 - fixtures
    storage, spider, monkeypatch, other, number, old
):
    """Whenever the other one comes in between, one of the two entries is there, whole."""
    if old:
        storage().store_response(spider, REQUEST, page(b"old"))
    plain, count = Path.rename, 0

    def renamed(path, target):
        nonlocal count
        count += 1
        if count == number:
            other(b"theirs")
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    storage().store_response(spider, REQUEST, page(b"ours"))

    assert storage().retrieve_response(spider, REQUEST).body in {b"ours", b"theirs"}


def test_one_that_always_comes_in_between(storage, spider, monkeypatch, other, tmp_path):
    """Then theirs is kept, and nothing of ours is left."""
    plain = Path.rename

    def renamed(path, target):
        if str(path).endswith(".new") and "-1-" not in str(path):
            other(b"theirs")
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    storage().store_response(spider, REQUEST, page(b"ours"))

    assert storage().retrieve_response(spider, REQUEST).body == b"theirs"
    assert not [*tmp_path.rglob("*.new"), *tmp_path.rglob("*.old")]


@pytest.mark.parametrize("name", ["pickled_meta", "response_body", "response_headers"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_page_is_read_while_another_process_stores_it(storage, spider, other, name, gone):
    """What is read is of one entry; one that is gone is none."""
    storage().store_response(spider, REQUEST, page(b"old"))
    reader, plain, done = storage(), open, []

    def opened(path, mode):
        if Path(path).name == name and not done:
            done.append(True)
            if gone:
                shutil.rmtree(Path(path).parent)
            else:
                other(b"new")
        return plain(path, mode)

    reader._open = opened
    found = reader.retrieve_response(spider, REQUEST)

    assert found is None if gone else found.body == b"new"


def test_threads_share_a_folder(storage, spider):
    """Writers and readers at once: nothing is raised, and nothing is mixed."""
    bodies = [b"a" * 100, b"b" * 200]

    def write(body):
        own = storage()
        for _ in range(50):
            own.store_response(spider, REQUEST, page(body))

    def read():
        own = storage()
        return {own.retrieve_response(spider, Request(REQUEST.url)) for _ in range(50)}

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, body) for body in bodies]
        found = {each and each.body for each in pool.submit(read).result()}
        for each in writing:
            each.result()

    assert found <= {None, *bodies}
    assert storage().retrieve_response(spider, REQUEST).body in bodies


def test_entries_are_those_of_scrapy(storage, spider):
    """Scrapy's own storage reads what this one has written, and the other way round."""
    for writer, reader in (
        (AtomicCacheStorage, FilesystemCacheStorage),
        (FilesystemCacheStorage, AtomicCacheStorage),
    ):
        body = writer.__name__.encode()
        storage(writer).store_response(spider, REQUEST, page(body))
        assert storage(reader).retrieve_response(spider, REQUEST).body == body


def full(path, _mode):
    """What a disk without room says."""
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


@pytest.mark.parametrize("torn", [b"", b"\x80\x04"])
def test_an_entry_that_stock_scrapy_has_torn(storage, spider, tmp_path, torn):
    """It is none, without a traceback."""
    storage().store_response(spider, REQUEST, page(b"whole"))
    [meta] = tmp_path.rglob("pickled_meta")
    meta.write_bytes(torn)

    assert storage().retrieve_response(spider, REQUEST) is None


def test_a_full_disk_costs_an_entry_and_no_page(storage, spider, tmp_path, caplog):
    """The page goes on, nothing half is left, and the log says so once."""
    cache = storage()
    plain, cache._open = cache._open, full
    for _ in range(3):
        cache.store_response(spider, REQUEST, page(b"new"))

    assert [message.partition(":")[0] for message in caplog.messages] == [
        "The HTTP cache can't store a page, which goes on without it"
    ]
    assert not list(tmp_path.rglob("*.new"))
    cache._open = plain
    assert cache.retrieve_response(spider, REQUEST) is None
    cache.store_response(spider, REQUEST, page(b"later"))
    assert cache.retrieve_response(spider, REQUEST).body == b"later"


def test_an_entry_that_can_not_be_read_is_none(storage, spider, caplog):
    """The site is asked instead."""
    cache = storage()
    cache.store_response(spider, REQUEST, page(b"there"))
    cache._open = full

    assert cache.retrieve_response(spider, REQUEST) is None
    assert "can't read a page" in caplog.text
