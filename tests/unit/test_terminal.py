"""The progress at the foot of a terminal, and what is written above it."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.extensions.terminal import Terminal
from scrapy_resilience.observe.terminal import terminal as shown_view
from scrapy_resilience.observe.terminal.screen import Above, Screen, harmless, size_of
from scrapy_resilience.observe.terminal.streams import shows_lines
from scrapy_resilience.observe.terminal.terminal import lines_of, one_line
from scrapy_resilience.observe.view import (
    Accounting,
    BrowsersView,
    DomainView,
    GuardView,
    JobView,
    PauseView,
    Progress,
    Resources,
    Traffic,
    View,
)

sys.path.append(str(Path(__file__).parents[1] / "integration"))
from terminals import Emulated

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil\u2066\x00\r\x9b31m"


class Screened:
    """A screen that draws on an emulated terminal."""

    def __init__(self, width=40):
        self.terminal = Emulated(width)
        self.screen = Screen(self, lambda: self.terminal.width)
        self.log = Above(self.screen, self, clean=True)
        self.out = Above(self.screen, self, clean=False)

    def write(self, text):
        self.terminal.feed(text.replace("\n", "\r\n"))

    def flush(self):
        pass

    def draw(self, *lines):
        self.screen.draw(lines, [len(line) for line in lines])

    @property
    def seen(self):
        return [line.rstrip() for line in self.terminal.lines if line.rstrip()]


def test_lines_stay_at_the_foot():
    """Each text is above them, and each redraw takes the place of the one before."""
    screen = Screened()
    screen.draw("one", "two")
    screen.log.write("first\n")
    screen.draw("three")
    screen.log.write("second\nthird\n")
    assert screen.seen == ["first", "second", "third", "three"]


def test_a_text_without_an_end_is_left_alone():
    """Somebody asks for input: the lines come back with the next redraw, below it."""
    screen = Screened()
    screen.draw("foot")
    screen.out.write("(Pdb) ")
    assert screen.seen == ["(Pdb)"]
    screen.out.write("next\n")
    screen.out.write("half")
    screen.draw("foot")
    assert screen.seen == ["(Pdb) next", "half", "foot"]


def test_many_texts_are_not_followed_by_the_lines_each():
    """They come back at the next redraw."""
    screen = Screened()
    screen.draw("foot")
    for number in range(100):
        screen.log.write(f"line {number}\n")
    assert "foot" not in screen.seen
    screen.draw("foot")
    assert screen.seen == [*(f"line {number}" for number in range(100)), "foot"]


def test_a_terminal_that_has_become_narrower():
    """The lines that it has folded are taken away."""
    screen = Screened(width=40)
    screen.log.write("above\n")
    screen.draw("x" * 30, "y" * 12)
    lines = []
    for line in screen.terminal.lines:
        lines += [line[at : at + 10] for at in range(0, max(len(line), 1), 10)]
    screen.terminal.width, screen.terminal.lines = 10, lines
    screen.terminal.row = len(lines) - 1

    screen.draw("z")

    assert screen.seen == ["above", "z"]


def test_the_last_lines_stay():
    """What comes later is below them."""
    screen = Screened()
    screen.draw("foot")
    screen.screen.leave()
    screen.log.write("after\n")
    assert screen.seen == ["foot", "after"]


def test_a_terminal_that_is_gone():
    """Is left alone."""

    class Gone(io.StringIO):
        def write(self, _):
            raise OSError(5, "Input/output error")

    screen = Screen(Gone(), lambda: 80)
    screen.draw(["foot"], [4])
    screen.draw(["foot"], [4])
    assert screen.gone


@given(st.text())
def test_no_text_of_a_log_moves_the_cursor(text):
    """Whatever it is, only lines, tabs and colours are obeyed."""
    left = re.sub(r"\x1b\[[0-9;]*m|[\n\t]", "", harmless(text))
    assert left.isprintable()


def test_hostile_texts():
    """Are escaped; colours of a formatter stay, and end with the text."""
    assert "\\x1b]0;owned\\x07" in harmless(HOSTILE)
    assert "\\u202e" in harmless(HOSTILE)
    assert harmless("\x1b[31mred\n") == "\x1b[31mred\n\x1b[0m"
    assert harmless("plain\n") == "plain\n"


def test_a_stream_above_is_like_the_terminal():
    """Its encoding, descriptor and bytes are those of the stream below."""
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        above = Above(Screen(stream, lambda: 80), stream, clean=True)
        assert (above.encoding, above.errors) == ("utf-8", "strict")
        assert above.fileno() == stream.fileno()
        assert above.buffer is stream.buffer
        assert not above.isatty()
        assert above.writable()
        assert above.write("") == 0


def test_the_size_of_what_is_no_terminal(tmp_path):
    """Is the usual one."""
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        assert size_of(file) == (80, 24)
    assert size_of(file) == (80, 24)


# --- the lines --------------------------------------------------------------------


def view(**parts):
    """A crawl in the middle of its work."""
    made = View(
        time=1000.0,
        job=JobView(spider="shop", sentence="All is well.", running_seconds=90.0),
        progress=Progress(
            done=750,
            pending=250,
            under_way=8,
            held=20,
            dead_letters=1,
            pages=1234,
            items=2468,
            pages_per_second=12.34,
            seconds_left=20.0,
        ),
        traffic=Traffic(failures={"server_error": 1}, retries=3),
        domains=[
            DomainView(name="a.example", pending=20, waits_for="rate limit", next_try=1002.0),
            DomainView(name="well.example", pending=9),
        ],
        accounting=Accounting(sentence="61 % of the last hour waited"),
        stats={"log_count/ERROR": 2, "log_count/CRITICAL": None},
    )
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def plain(lines):
    """Lines without their colours."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines.lines]


def test_what_is_shown():
    """Pages, items, rates, what is left and held and why, errors, and the time left."""
    assert plain(lines_of(view(), 100, 24)) == [
        " shop running  All is well.",
        " 1,234 pages 12.3/s   2,468 items 0.0/s   running for 90 s",
        " ━━━━━━━━━━━━━━━━━━━━━━━━ 75 % 250 to do, 8 under way, 20 held, about 20 s left",
        " 2 errors in the log, 1 failed try, 3 retried, 1 request given up",
        " a.example: 20 requests, rate limit, next try in 2 s",
        " 61 % of the last hour waited",
    ]


def test_a_crawl_that_is_paused_or_eased_off():
    """The state says so, and one line more says what slows it down."""
    guard = GuardView(pauses=[PauseView(reason="mine")], sentence="Eased off: memory.")
    found = plain(lines_of(view(guard=guard), 100, 24))

    assert found[0] == " shop paused  All is well."
    assert found[3] == " Eased off: memory."
    assert one_line(view(guard=guard)) == "shop: paused. All is well. Eased off: memory."


def test_what_is_left_may_not_be_known():
    """Another scheduler does not tell."""
    found = view()
    found.progress.pending, found.progress.seconds_left = None, None

    assert plain(lines_of(found, 100, 24))[2] == (
        " not known how many to do, 8 under way, 20 held"
    )


def test_little_is_shown_of_a_crawl_that_has_just_begun():
    """No bar without an end, and no trouble where there is none."""
    found = plain(lines_of(View(job=JobView(spider="shop")), 100, 24))
    assert found == [
        " shop running  ",
        " 0 pages 0.0/s   0 items 0.0/s   running for 0.0 s",
        " 0 to do, 0 under way",
    ]


@pytest.mark.parametrize(("width", "height"), [(20, 3), (40, 24), (1, 1), (300, 100)])
def test_it_fits(width, height):
    """No line is as wide as the terminal, and there are no more than it has."""
    found = lines_of(view(), width, height)
    assert max(found.lengths) < max(width, 20)
    assert len(found.lines) <= max(height - 1, 5)
    assert [len(line) for line in plain(found)] == found.lengths


def test_wide_characters_are_counted():
    """A line of them is cut where the terminal ends."""
    found = lines_of(view(job=JobView(spider="書" * 50)), 40, 24)
    assert found.lengths[0] <= 39


def test_browsers_have_a_line():
    """What is open and what it takes; what went wrong is told when there is something."""
    found = view(
        browsers=BrowsersView(used=True, running=1, contexts=2, pages=3),
        resources=Resources(browser_memory=512_000_000),
    )
    assert " 1 browser, 2 contexts, 3 pages open, 512 MB" in plain(lines_of(found, 100, 24))
    found.browsers.waiting, found.browsers.crashes, found.browsers.page_crashes = 5, 1, 2
    [line] = [line for line in plain(lines_of(found, 100, 24)) if "browser" in line]
    assert line.endswith("512 MB, 5 waiting; 1 ended, 2 pages crashed")


def test_hostile_names_are_escaped():
    """In each text that comes from elsewhere, and no markup is obeyed."""
    bad = f"[red]{HOSTILE}[/red]"
    made = view(
        job=JobView(spider=bad, state=bad, sentence=bad),
        domains=[DomainView(name=bad, pending=1, waits_for=bad)],
        accounting=Accounting(sentence=bad),
        guard=GuardView(sentence=bad),
    )
    for line in plain(lines_of(made, 400, 24)):
        assert line.isprintable()
    assert "[red]" in lines_of(made, 400, 24).lines[0]
    assert one_line(made).isprintable()


@pytest.mark.parametrize("colourless", [True, False])
def test_no_colour_where_none_is_wanted(monkeypatch, colourless):
    """NO_COLOR is heeded."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if colourless:
        monkeypatch.setenv("NO_COLOR", "1")
    found = "".join(lines_of(view(), 100, 24).lines)
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", found)) is not colourless


class Tty(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "shows"),
    [
        (Tty(), {"TERM": "xterm"}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (Tty(), {}, os.name != "posix"),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (None, {"TERM": "xterm"}, False),
        (object(), {"TERM": "xterm"}, False),
    ],
)
def test_where_lines_are_shown(stream, environ, shows):
    """On a terminal that can take them back."""
    assert shows_lines(stream, environ) is shows


def test_a_closed_stream_shows_nothing():
    """It can't even be asked."""
    stream = Tty()
    stream.isatty = io.StringIO.isatty.__get__(stream)
    stream.close()
    assert not shows_lines(stream, {"TERM": "xterm"})


def test_without_rich(monkeypatch):
    """The extra is not installed: nothing is shown, and nothing is said."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not shows_lines(Tty(), {"TERM": "xterm"})


# --- the extension -------------------------------------------------------------------


@pytest.fixture
def crawl(monkeypatch, fake_clock):
    """An extension that has the terminal, as its spider is opened."""
    terminal = Screened(100)
    terminal.isatty = lambda: True
    terminal.fileno = lambda: -1
    extension = Terminal.__new__(Terminal)
    extension._observer = SimpleNamespace(view=view)
    extension._stream, extension._handlers = terminal, []
    extension._screen, extension._timer, extension._stdout = terminal.screen, None, None
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    yield SimpleNamespace(
        extension=extension, terminal=terminal, handler=handler, clock=fake_clock
    )
    Terminal._owner = None


def test_logging_goes_above(crawl):
    """From the beginning to the end, and then as before."""
    crawl.extension._begin()
    crawl.handler.emit(logging.makeLogRecord({"msg": "a line"}))
    assert crawl.terminal.seen[0] == "a line"
    crawl.extension._end()
    assert crawl.handler.stream is crawl.terminal
    assert Terminal._owner is None


def test_it_is_drawn_each_second(crawl):
    """Neither more often nor after the end."""
    drawn = []
    crawl.extension._observer = SimpleNamespace(view=lambda: drawn.append(1) or view())
    crawl.extension._begin()
    crawl.clock.advance(10)
    assert len(drawn) == 11
    crawl.extension._end()
    crawl.clock.advance(10)
    assert len(drawn) == 12


def test_a_view_that_fails(crawl):
    """Ends the display, not the crawl."""
    crawl.extension._observer = SimpleNamespace(view=lambda: 1 / 0)
    crawl.extension._begin()
    crawl.clock.advance(10)
    crawl.extension._end()
    assert crawl.handler.stream is crawl.terminal


def test_the_second_crawl_of_a_process(crawl):
    """Leaves the terminal to the first."""
    other = Terminal.__new__(Terminal)
    crawl.extension._begin()
    other._begin()
    other._end()
    assert Terminal._owner is crawl.extension


def test_rich_is_not_loaded_for_nothing():
    """The module that shows a view imports it when it shows one."""
    source = Path(shown_view.__file__).read_text("utf-8")
    assert not re.search(r"^(from|import) rich", source, re.MULTILINE)
