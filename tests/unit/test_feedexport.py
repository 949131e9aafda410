"""With which batch a resumed feed goes on."""

from __future__ import annotations

import pytest

from scrapy_resilience.feeds.earlier_feeds import EarlierFeeds
from scrapy_resilience.feeds.records import FeedRecord


def batch(number, offset):
    """A record of one batch of a feed."""
    return FeedRecord("t", "u", f"/f{number}", 0, False, False, number, offset)  # noqa: FBT003


@pytest.mark.parametrize(
    ("offsets", "taken", "left"),
    [
        ([10], 1, []),
        ([10, 0], 2, []),  # the first is full, and was not closed yet at the commit
        ([5, None], 1, [2]),  # the second was opened after the commit: it comes again
        ([5, None, None], 1, [2, 3]),
        ([None, None], 1, [2]),  # there was no commit, or its batch is full again
    ],
)
def test_the_last_committed_batch_goes_on(offsets, taken, left):
    """A full batch is not written to again, and one after the commit waits for its turn."""
    earlier = EarlierFeeds([batch(n, offset) for n, offset in enumerate(offsets, 1)])

    assert earlier.take("t", spooled=False).batch_id == taken
    assert [record.batch_id for record in earlier.records] == left
    full = [batch(n, None).name for n in range(1, taken)]
    assert earlier.let_go == full  # a later resume must not miss them
