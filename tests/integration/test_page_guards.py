"""The panels of guards, costs and abort policies on the live page, in a real browser."""

from __future__ import annotations

import pytest
from browser import Server, run
from page_texts import amount, count, dollars, seconds, share, size
from test_page import crawl, opened

from scrapy_resilience.observe.sentences import eased_off, sentence, until
from scrapy_resilience.observe.view import (
    AbortView,
    BrowsersView,
    BudgetView,
    ConditionView,
    CostView,
    GuardView,
    PauseView,
    Resources,
)

pytestmark = pytest.mark.integration

CARDS = ("guards-card", "told-card", "cost-card", "abort-card", "browsers-card")


def rows(table):
    """Ask for the cells of a table."""
    cells = "[...row.cells].map((cell) => cell.textContent)"
    return f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => {cells})"


def bars(name):
    """Ask for the label, the text and the width in percent of each bar."""
    parts = (
        "item.firstElementChild.textContent, item.lastElementChild.textContent, "
        "Math.round(parseFloat(item.querySelector('i').style.width))"
    )
    return f"[...document.querySelectorAll('#{name} li')].map((item) => [{parts}])"


def hidden(name):
    """Ask whether something is not shown."""
    return f"document.getElementById('{name}').hidden"


def answers(chromium, view, *questions):
    """Return what the page of a view answers."""

    async def scenario():
        async with opened(chromium, Server(view)) as tab:
            found = [await tab.run(each) for each in questions]
            assert tab.complaints == []
            return found

    return run(scenario())


def test_each_number_of_guards_is_that_of_the_status(chromium):
    """Readings with the mark at which something is done, rungs, breaches, channels."""
    view = crawl(hostile=False)
    found, ladders, breaches, notices, note = answers(
        chromium, view, bars("readings"), rows("ladders"), rows("breaches"), rows("notices"),
        "document.getElementById('concurrency').textContent",
    )  # fmt: skip

    memory, disk, cpu = view.guard.ladders
    resources = view.resources
    told = {label: (text, width) for label, text, width in found}
    assert told["Memory"] == (
        f"{size(memory.used)} of {size(memory.limit)}, acts at {size(memory.high)}",
        round(100 * memory.used / memory.limit),
    )
    job = resources.disks[0]
    assert told["Disk of job"][0] == (
        f"{size(job.free)} free of {size(job.total)}, acts at {size(disk.high)}"
    )
    assert told["Disk of temporary files"][0].endswith(", does not answer")
    assert told["Processors that are allowed"] == (share(resources.cpu_share), 42)
    late = told["Event loop, late by its own work"][0]
    assert late == f"{seconds(cpu.used)}, acts at {seconds(cpu.high)}"
    assert told["Open files"][0] == f"{resources.open_files} of {count(1_024)}"
    assert [row[:3] for row in ladders] == [["Memory", "fewer requests", memory.text]]
    assert ladders[0][4] == "cleared 4, fewer 2"
    guard = view.guard
    assert breaches == [
        [name, count(guard.breaches[name]), count(guard.recoveries[name])]
        for name in guard.breaches
    ]
    assert notices == [
        [each.name, count(each.waiting), count(each.sent), count(each.failures), each.problem]
        for each in guard.channels
    ]
    assert note == f"{guard.concurrency} of {guard.most} requests at a time"


def test_each_number_of_costs_is_that_of_the_status(chromium):
    """By resource, domain and proxy, and what budgets have left."""
    view = crawl(hostile=False)
    view.cost.budgets[0].moves = view.time + 419.8
    spent, domains, proxies, budgets = answers(
        chromium, view, rows("spent"), rows("cost-domains"), rows("cost-proxies"),
        bars("budgets"),
    )  # fmt: skip

    cost = view.cost
    assert [[row[1], row[3]] for row in spent] == [
        [amount(each.amount), dollars(each.cost)] for each in cost.resources
    ]
    for found, expected in ((domains, cost.domains), (proxies, cost.proxies)):
        assert [row[:2] for row in found] == [[e.name, dollars(e.cost)] for e in expected]
    first, second = cost.budgets
    end = f"moves {until(first.moves, view.time)}, then a pause"
    assert budgets == [
        [first.text, f"{dollars(first.used)} of {dollars(first.limit)}, {end}", 92],
        [second.text, f"{amount(second.used)} of {amount(second.limit)}, then a warning", 61],
    ]  # fmt: skip


def facts(name):
    """Ask for the names and values of a list of facts."""
    pair = "[dt.textContent, dt.nextSibling.textContent]"
    return f"[...document.querySelectorAll('#{name} dt')].map((dt) => {pair})"


def test_each_number_of_browsers_is_that_of_the_status(chromium):
    """What is open, what it uses, and what went wrong."""
    view = crawl(hostile=False)
    view.browsers.failure = "<b>it ended at once"
    pages, told, problems, failure = answers(
        chromium, view, bars("browsers-pages"), facts("browsers-facts"),
        facts("browsers-problems"), "document.getElementById('browsers-failure').textContent",
    )  # fmt: skip

    shown = view.browsers
    assert pages == [["Pages open", "7 of 8, 3 requests wait", 88]]
    known = dict(told)
    assert known["Memory of browsers"] == size(view.resources.browser_memory)
    assert known["Contexts recycled"] == count(shown.recycled)
    assert (known["Browsers now"], known["Contexts open"]) == ("1", "2")
    assert dict(problems)["Browsers that have ended"] == count(shown.crashes)
    assert dict(problems)["Requests that took too long"] == count(shown.timeouts)
    assert failure == shown.failure


def test_what_is_near_comes_first(chromium):
    """Of the conditions that have a limit; those that are met before."""
    view = crawl(hostile=False)
    title, found, failures = answers(
        chromium, view, "document.getElementById('abort-title').textContent",
        bars("conditions"), rows("told-failures"),
    )  # fmt: skip

    assert title == f"Abort policy {view.abort.policy}"
    assert found == [
        ["Coverage.price", "met: 41 %, at least 50 %", 100],
        ["Failure rate", "24 % of 30 %", 80],
        ["Failures in a row", "2 of 30", 7],
        ["No item for", "4 s of 15 min", 0],
    ]
    assert failures[0][1:] == ["login", "the session has ended", "shops/spiders/shops.py:40"]


def test_what_is_not_known_is_not_near(chromium):
    """A condition without a value yet has an empty bar."""
    view = crawl(hostile=False)
    condition = ConditionView(name="confidence", limit=0.4)
    view.abort = AbortView(policy="mine", conditions=[condition], needed=10)
    (found, note) = answers(
        chromium, view, bars("conditions"), "document.getElementById('abort-note').textContent"
    )

    assert found == [["Confidence", "not known, at least 0.4", 0]]
    assert note == "judged from 10 requests on"


def test_panels_without_anything_to_say_are_not_there(chromium):
    """Nor is the way to them."""
    view = crawl(hostile=False)
    view.guard, view.cost, view.abort = GuardView(), CostView(), AbortView()
    view.resources, view.browsers = Resources(), BrowsersView()
    eased = "document.querySelector('.eased').hidden"
    names = (*CARDS, "guards", "to-guards")
    assert answers(chromium, view, *map(hidden, names), eased) == [True] * 8


def test_parts_without_anything_to_say_are_not_there(chromium):
    """A crawl that is well has readings only."""
    view = crawl(hostile=False)
    view.guard = GuardView(concurrency=16, most=16, ladders=view.guard.ladders[1:])
    view.cost, view.abort, view.browsers = CostView(), AbortView(), BrowsersView()
    parts = ("pauses-part", "stuck-part", "ladders-part", *CARDS[1:])
    assert answers(chromium, view, *map(hidden, parts)) == [True] * 7
    assert answers(chromium, view, hidden("guards-card")) == [False]


def test_a_pause_is_on_the_first_screen(chromium):
    """In place of the state, with its reason, since and until when; a hint is beside it."""
    view = crawl(hostile=False)
    view.guard.pauses = [
        PauseView(reason="budget", text="the budget is used up", since=view.time - 190,
                  until=view.time + 419.8),
        PauseView(reason="mine", text="I want it", since=view.time),
    ]  # fmt: skip
    view.cost.budgets = [BudgetView(resource="usd", limit=1, used=1, text="$1.00 an hour")]
    view.job.sentence, view.guard.sentence = sentence(view), eased_off(view)
    state, said, hint, found = answers(
        chromium, view, "document.getElementById('state').textContent",
        "document.querySelector('.sentence').textContent",
        "document.querySelector('.eased').textContent", rows("pauses"),
    )  # fmt: skip

    assert state == "Paused"
    assert said == "It is paused: the budget is used up; it goes on in 7 min."
    assert hint.startswith("Also paused: I want it.")
    assert [[row[0], row[1], row[3]] for row in found] == [
        ["budget", "the budget is used up", "in 7 min"],
        ["mine", "I want it", "that has changed"],
    ]


def test_a_pause_that_ends_is_taken_away(chromium):
    """By the next message."""

    async def scenario():
        server = Server(crawl(hostile=False))
        server.view.guard.pauses = [PauseView(reason="mine", text="I want it")]
        async with opened(chromium, server) as tab:
            assert await tab.text("#state") == "Paused"
            await tab.until("document.getElementById('link').textContent === 'Live'")
            server.tell({}, guard=GuardView(), time=server.view.time + 1)
            await tab.until("document.getElementById('state').textContent === 'Running'")
            assert await tab.run(hidden("pauses-part"))

    run(scenario())
