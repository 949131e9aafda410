"""Kinds of texts in which a value can be silently wrong, made from sources of others."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.normalize_kinds import KINDS, RIGHT, WRONG


@pytest.mark.parametrize("name", KINDS)
def test_no_value_is_silently_wrong(name):
    """A text is read right, is None or marked as ambiguous; most are read."""
    kind = KINDS[name]
    counts: Counter[str] = Counter()
    wrong = []
    for made in kind.texts():
        counts[made.became] += 1
        if made.became == WRONG:
            wrong.append(made)

    assert not wrong[:20]
    assert counts[RIGHT] >= kind.read * counts.total(), counts
    assert counts.total() > 200
