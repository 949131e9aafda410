"""A log record becomes one line of JSON, whatever it holds."""

from __future__ import annotations

import json
import logging
import sys
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapy_resilience.observe.logs.jsonlog import JsonFormatter
from scrapy_resilience.observe.logs.log_context import LogContext
from scrapy_resilience.observe.logs.plain_values import LONGEST
from scrapy_resilience.observe.logs.prettylog import PrettyFormatter

KEYS = [
    "timestamp", "level", "logger_name", "module", "function_name", "line_number", "trace_id",
    "request_id", "user_id", "component", "url", "duration_ms", "message",
]  # fmt: skip
SECRET = "hunter2"  # noqa: S105 - of nothing
EVIL = (
    f"\x00\x1b[2J\x07\x9b31m\u202e\u2028\x7f\r\n\ud800 http://me:{SECRET}@h/?api_key={SECRET}"
)


class Broken:
    """Can't be shown."""

    def __repr__(self):
        raise RuntimeError

    __str__ = __repr__


def record(msg="hello", *args, exc_info=None, **extra):
    """Make a record as a logger does."""
    logger = logging.getLogger("a.b")
    return logger.makeRecord(
        "a.b", logging.INFO, "place.py", 7, msg, args, exc_info, "f", extra
    )


def raised(text):
    """What a handler of an exception is given."""
    try:
        raise ValueError(text)  # noqa: TRY301 - to have a traceback
    except ValueError:
        return sys.exc_info()


def line(*args, formatter=None, **kwargs):
    """What comes of a record, decoded; it is one line that a terminal may show."""
    text = (formatter or JsonFormatter()).format(record(*args, **kwargs))
    assert text.splitlines() == [text]
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in text)
    assert "\u202e" not in text
    assert SECRET not in text
    return json.loads(text)


def test_the_keys():
    """Each line has all of them, in their order, and null for what is not known."""
    found = line("hello %s", "you")

    assert list(found) == KEYS
    assert (found["message"], found["level"], found["logger_name"]) == (
        "hello you",
        "INFO",
        "a.b",
    )
    assert (found["module"], found["function_name"], found["line_number"]) == ("place", "f", 7)
    assert found["trace_id"] is found["url"] is found["duration_ms"] is None


def test_the_time():
    """UTC, to the millisecond, with a Z."""
    made = record()
    made.created, made.msecs = 1732838400.25, 250.0
    formatter = JsonFormatter()

    first = json.loads(formatter.format(made))["timestamp"]
    made.created += 1
    second = json.loads(formatter.format(made))["timestamp"]

    assert (first, second) == ("2024-11-29T00:00:00.250Z", "2024-11-29T00:00:01.250Z")


def test_extra_fields():
    """They follow the message; what has a key goes there, and none is overwritten."""
    found = line(duration_ms=2.5, user_id=3, sku="A", level="mine", _own=1)

    assert list(found) == [*KEYS, "sku", "extra_level"]
    assert (found["duration_ms"], found["user_id"], found["level"]) == (2.5, 3, "INFO")


def test_behind_a_plain_formatter():
    """What that has left in the record is no extra field."""
    made = record("hello", spider=SimpleNamespace(name="shop"))
    logging.Formatter("%(asctime)s %(message)s").format(made)

    found = json.loads(JsonFormatter().format(made))
    assert list(found) == [*KEYS, "spider"]
    vars(made)["sku"] = "A"
    assert json.loads(JsonFormatter().format(made))["sku"] == "A"


def test_scrapys_extra_fields():
    """A spider is shown by its name, a crawler not at all."""
    found = line(spider=SimpleNamespace(name="shop"), crawler=object())

    assert list(found) == [*KEYS, "spider"]
    assert found["spider"] == "shop"


def test_a_table_in_place_of_a_message():
    """Its fields are extra fields."""
    assert line({"sku": "A", 3: 4})["3"] == 4


def test_a_context():
    """What it has is in the line; what the record sets goes before it."""
    with LogContext(told={"trace_id": "t", "user_id": 1, "order": "A"}):
        found = line(user_id=2)

    assert (found["trace_id"], found["user_id"], found["order"]) == ("t", 2, "A")


@pytest.mark.parametrize("ascii_only", [False, True])
def test_hostile_text(ascii_only):
    """What a terminal obeys is escaped, secrets are hidden, half characters are told."""
    formatter = JsonFormatter(ascii_only=ascii_only)
    found = line(EVIL + "é日", formatter=formatter, note=EVIL, **{EVIL: EVIL})

    assert found["message"].startswith("\x00\x1b[2J\x07\x9b31m\u202e\u2028\x7f\r\n\\ud800 http")
    assert found["message"].endswith("api_key=***")
    assert formatter.format(record("é日\U000e0041")).isascii() == ascii_only


def test_a_long_message():
    """A megabyte is cut in its middle, and a secret at the cut is hidden all the same."""
    text = "a" * 1_000_000
    secret = f" http://me:{SECRET}@h/ "
    place = LONGEST * 3 // 4 - 14

    found = line(text[:place] + secret + text)

    assert len(found["message"]) < LONGEST + 100
    assert "characters left out" in found["message"]


def test_values_of_any_kind():
    """Each becomes plain data, or says that it can't."""
    cycle = {"a": 1}
    cycle["self"] = [cycle]
    found = line(
        nan=float("nan"),
        huge=2**70,
        many=list(range(1000)),
        raw=b"\xff\x00",
        broken=Broken(),
        cycle=cycle,
        amount=Decimal("1.5"),
        error=ValueError("no"),
        headers={"Authorization": SECRET, "Accept": "x", 3: {Broken()}},
        password=SECRET,
    )

    assert (found["nan"], found["huge"], found["raw"]) == (None, str(2**70), "\\xff\x00")
    assert found["broken"] == "<Broken that can't be shown>"
    assert len(found["many"]) == 200
    assert found["amount"] == "1.5"
    assert found["error"] == "ValueError: no"
    assert found["headers"]["Authorization"] == found["password"] == "***"
    assert found["headers"]["3"] == ["<Broken that can't be shown>"]


def test_a_value_that_holds_itself_many_times():
    """It has an end."""
    wide = []
    wide += [wide] * 1000

    assert len(json.dumps(line(wide=wide, also={"a": wide}))) < 100_000


def test_a_spider_of_the_users():
    """A text in the place of a spider is shown as it is."""
    assert line(spider="mine")["spider"] == "mine"


def test_too_many_extra_fields():
    """A line has a bound: what does not fit is named."""
    found = line(**{f"field{n}": "é" * LONGEST for n in range(9)})

    assert found["left_out"] == [f"field{n}" for n in range(9)]


def test_arguments_that_do_not_fit():
    """The message is there without them."""
    assert line("%d", "x")["message"] == "%d (its arguments: TypeError)"
    assert line("%s", Broken())["message"] == "%s (its arguments: RuntimeError)"


def test_a_record_that_is_none():
    """There is a line all the same."""
    made = record()
    made.created = made.lineno = None

    found = json.loads(JsonFormatter().format(made))

    assert found["message"] == "A record that can't be written (TypeError): hello"
    assert list(found) == KEYS


def test_an_exception():
    """Its traceback is a field, without secrets and bounded."""
    found = line(exc_info=raised(EVIL + "x" * 1_000_000))

    assert list(found) == [*KEYS, "exception"]
    assert found["exception"].startswith("Traceback (most recent call last)")
    assert len(found["exception"]) < LONGEST + 100


def test_a_stack():
    """It is a field."""
    made = record()
    made.stack_info = "Stack (most recent call last):"

    assert json.loads(JsonFormatter().format(made))["stack_info"] == made.stack_info


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.floats()))
def test_any_text(text, extra):
    """Each is one line of JSON."""
    made = record(text)
    vars(made).update({f"x{name}": value for name, value in extra.items()})

    found = JsonFormatter().format(made)

    assert found.splitlines() == [found]
    assert json.loads(found)["level"] == "INFO"


# --- for people -------------------------------------------------------------------


def test_a_pretty_line():
    """It has the message, extra fields, the logger and the beginning of the trace id."""
    with LogContext(told={"trace_id": "0123456789abcdef"}):
        text = PrettyFormatter().format(record("hello\nworld", sku="A"))

    assert text[12:] == " INFO     hello\nworld  sku=A a.b 01234567"


def test_a_pretty_hostile_line():
    """A terminal obeys nothing of it but our colours."""
    made = record(EVIL, exc_info=raised(EVIL), note=EVIL)
    plain, coloured = (
        PrettyFormatter(colours=colours).format(made) for colours in (False, True)
    )

    assert all(part.isprintable() for part in plain.split("\n"))
    assert SECRET not in plain
    assert coloured.count("\x1b") == 4
