"""What a client of the live page is told: only what has changed, and not too much at once."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from views import large_view

from scrapy_resilience.observe.endpoint.changes import Changes
from scrapy_resilience.observe.view import DomainView, EventView, JobView, View

KEYS = {"domains": "name", "errors": "number", "events": "number"}


class Page:
    """A client: it puts together what it is told, as the live page does."""

    def __init__(self):
        self.version = 0
        self.parts = {}
        self.rows = {part: {} for part in (*KEYS, "stats")}

    def hear(self, changes):
        """Take the next message; return how many bytes it has."""
        message = changes.since(self.version)
        self.version = changes.version
        news = json.loads(message) if message else {}
        for part, found in news.pop("rows", {}).items():
            for row in found["changed"]:
                key, row = row if part == "stats" else (row[KEYS[part]], row)  # noqa: PLW2901
                self.rows[part][key] = row
            for key in found["gone"]:
                self.rows[part].pop(key, None)
        self.parts.update(news)
        return len(message)

    def check(self, view):
        """It shows what the view says."""
        wanted = json.loads(msgspec.json.encode(view))
        assert wanted.pop("history") is not None
        for part, key in KEYS.items():
            assert self.rows[part] == {row[key]: row for row in wanted.pop(part)}
        assert self.rows["stats"] == wanted.pop("stats")
        assert self.parts == wanted


def test_a_new_client_is_told_everything():
    """But for the history."""
    view, changes, page = large_view(), Changes(), Page()
    changes.take(view)
    page.hear(changes)
    page.check(view)


def test_nothing_new():
    """A client is told nothing then."""
    changes, page = Changes(), Page()
    changes.take(View())
    page.hear(changes)
    changes.take(View())
    assert page.hear(changes) == 0


def test_only_what_has_changed():
    """Parts whole, rows each for itself."""
    changes, page = Changes(), Page()
    domains = [DomainView(name=f"{number}.example") for number in range(10)]
    changes.take(View(domains=domains, stats={"a": 1, "b": 2}))
    page.hear(changes)
    domains[3].requests = 5
    changes.take(
        View(time=1.0, domains=domains[:9], stats={"a": 1, "b": 3}, job=JobView(run=2))
    )

    news = json.loads(changes.since(page.version))

    assert set(news) == {"time", "job", "rows"}
    assert [row["name"] for row in news["rows"]["domains"]["changed"]] == ["3.example"]
    assert news["rows"]["domains"]["gone"] == ["9.example"]
    assert news["rows"]["stats"] == {"changed": [["b", 3]], "gone": []}


def test_an_update_of_a_thousand_domains_is_bounded():
    """Each of them changes each second: no message is above 100 KB, and none is left behind."""
    view, changes, page = large_view(hostile=False), Changes(), Page()
    changes.take(view)
    page.hear(changes)
    for _ in range(7):
        view.time += 1
        for domain in view.domains:
            domain.requests += 1
        changes.take(view)
        assert page.hear(changes) < 100_000
    for _ in range(5):
        changes.take(view)
        page.hear(changes)
    page.check(view)


def test_a_usual_update_of_a_thousand_domains_is_small():
    """Thirty pages a second: no message is above 10 KB."""
    view, changes, page = large_view(hostile=False), Changes(), Page()
    changes.take(view)
    page.hear(changes)
    for second in range(20):
        view.time += 1
        view.progress.pages += 30
        for domain in view.domains[second * 30 : second * 30 + 30]:
            domain.requests += 1
        changes.take(view)
        assert page.hear(changes) < 10_000
        page.check(view)


def test_what_has_gone_comes_back():
    """A domain that leaves the first thousand may return."""
    changes, page = Changes(), Page()
    for there in ([1, 2, 3], [1, 3], [1, 2, 3], [], [2]):
        view = View(domains=[DomainView(name=str(each)) for each in there])
        changes.take(view)
        page.hear(changes)
        page.check(view)


def test_what_has_gone_is_forgotten():
    """New events for a week: their number in memory stays bounded."""
    changes = Changes()
    for second in range(1000):
        changes.take(View(events=[EventView(time=0, kind="x", text="", number=second)]))
    assert len(changes.since(0)) < 10_000
    assert len(changes._rows["events"]._told) < 70


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
            st.dictionaries(st.text("xyz\x00\u2028", max_size=2), st.integers(0, 3)),
            st.lists(st.booleans(), min_size=3, max_size=3),
        ),
        max_size=12,
    )
)
def test_whatever_happens_all_clients_see_the_view(steps):
    """Those that read each update, and those that read some."""
    changes, pages = Changes(), [Page(), Page(), Page()]
    for domains, stats, reads in steps:
        view = View(
            domains=[DomainView(name=name, requests=n) for name, n in domains.items()],
            stats=dict(stats),
        )
        changes.take(view)
        for page, does in zip(pages, reads, strict=True):
            if does:
                page.hear(changes)
                page.check(view)
