"""Frames: what is read is a beginning of what was written, whatever has become of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.core.frames import MAX_PAYLOAD, frame, frames

payloads = st.lists(st.binary(min_size=1, max_size=60), max_size=8)


def read(data):
    """The payloads that are whole."""
    return [payload for payload, _ in frames(data)]


@given(payloads)
def test_what_was_written(written):
    """All of it is read, and the places at which frames end are right."""
    data = b"".join(map(frame, written))

    assert read(data) == written
    for number, (_, end) in enumerate(frames(data), 1):
        assert data[:end] == b"".join(map(frame, written[:number]))


@given(payloads, st.data())
def test_a_kill_between_any_two_bytes(written, data):
    """What is whole of a file that ends anywhere is read."""
    whole = b"".join(map(frame, written))
    cut = data.draw(st.integers(0, len(whole)))

    found = read(whole[:cut])

    assert found == written[: len(found)]
    rest = b"".join(map(frame, written[: len(found) + 1]))
    assert len(found) == len(written) or cut < len(rest)


@given(payloads.filter(bool), st.data())
def test_any_flipped_bit(written, data):
    """What comes before the damage is read, and nothing that was not written."""
    whole = bytearray(b"".join(map(frame, written)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))

    found = read(bytes(whole))

    assert found == written[: len(found)]
    assert len(found) < len(written)


@given(payloads, st.binary(max_size=200))
def test_any_bytes_behind(written, noise):
    """Noise takes nothing away from what comes before it."""
    found = read(b"".join(map(frame, written)) + noise)

    assert found[: len(written)] == written


def test_zeros_are_no_frames():
    """A hole in a file, of any length, holds nothing."""
    assert read(frame(b"a") + bytes(10_000)) == [b"a"]


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_what_has_no_form(size):
    """Nothing, and more than is ever written, is refused."""
    with pytest.raises(ValueError, match="a frame of"):
        frame(bytes(size))
