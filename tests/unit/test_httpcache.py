"""An entry of the HTTP cache is whole or not there, wherever its writing ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scrapy import Request, Spider
from scrapy.extensions.httpcache import FilesystemCacheStorage
from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.utils.test import get_crawler

from scrapy_resilience.extensions.httpcache import AtomicCacheStorage

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


def test_a_kill_while_an_old_entry_is_removed(storage, spider, monkeypatch):
    """An entry that is half removed is none."""
    storage().store_response(spider, REQUEST, page(b"old"))
    plain = shutil.rmtree

    def removed(path, **kwargs):
        if kwargs:
            return plain(path, **kwargs)
        (Path(path) / "response_body").unlink()
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", removed)
        with pytest.raises(KilledError):
            storage().store_response(spider, REQUEST, page(b"new"))

    assert storage().retrieve_response(spider, REQUEST) is None
    storage().store_response(spider, REQUEST, page(b"new"))
    assert storage().retrieve_response(spider, REQUEST).body == b"new"


def test_entries_are_those_of_scrapy(storage, spider):
    """Scrapy's own storage reads what this one has written, and the other way round."""
    for writer, reader in (
        (AtomicCacheStorage, FilesystemCacheStorage),
        (FilesystemCacheStorage, AtomicCacheStorage),
    ):
        body = writer.__name__.encode()
        storage(writer).store_response(spider, REQUEST, page(body))
        assert storage(reader).retrieve_response(spider, REQUEST).body == body
