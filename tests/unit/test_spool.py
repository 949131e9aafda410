"""Spools: items come back as they were, or damage is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.exceptions import DamagedError
from scrapy_resilience.feeds import spool


def written(folder, items):
    """Write a spool of items; return its path."""
    file = spool.open_spool(folder / "spool" / "one")
    for item in items:
        spool.append(file, item)
    file.close()
    return folder / "spool" / "one"


@given(st.lists(st.binary(max_size=40)))
def test_items_come_back(tmp_path_factory, items):
    """Each item is read as it was written, in its order."""
    assert list(spool.read(written(tmp_path_factory.mktemp("job"), items))) == items


@given(st.lists(st.binary(max_size=40), min_size=1), st.data())
def test_each_flipped_bit_is_found(tmp_path_factory, items, data):
    """No item is read that is not what was written, whichever bit the disk has changed."""
    path = written(tmp_path_factory.mktemp("job"), items)
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)

    with pytest.raises(DamagedError):
        spool.verify(path)
    assert all(item in items for item in read_until_damage(path))


def read_until_damage(path):
    """Read what comes before the damage."""
    found = []
    with pytest.raises(DamagedError):
        found.extend(spool.read(path))
    return found


@pytest.mark.parametrize(
    "change", [bytes.upper, lambda data: data[:-1], lambda data: bytes(len(data))]
)
def test_what_was_not_written_is_no_item(tmp_path, change):
    """Neither other bytes nor a torn end nor a page of zeros is an item."""
    path = written(tmp_path, [b"some", b"thing"])
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(DamagedError, match=f"{path} is damaged"):
        spool.verify(path)


def test_what_no_commit_covers_may_be_torn(tmp_path):
    """Behind the committed size anything may stand: it is cut."""
    path = written(tmp_path, [b"some"])
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"half")

    spool.verify(path, size)
    assert list(spool.read(path, size)) == [b"some"]
