"""What is printed and logged: no secret, and nothing that a terminal obeys."""

from __future__ import annotations

import argparse
import ast
import json
import logging
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError

import msgspec
import pytest
from cost import passes
from hypothesis import given
from hypothesis import strategies as st
from report import report
from scrapy import Request
from scrapy.exceptions import UsageError
from scrapy.settings import Settings
from snapshot_samples import make_store, snapshots_of

import scrapy_resilience
from scrapy_resilience._log import get_logger
from scrapy_resilience.checkpoint.state import GATES, StateRegistry
from scrapy_resilience.commands.resilience import Command
from scrapy_resilience.commands.tables import tell_json
from scrapy_resilience.commands.usage import usage
from scrapy_resilience.core.deadletter import KINDS, About
from scrapy_resilience.core.masking import (
    lines,
    mask,
    mask_each,
    mask_uri,
    mask_value,
    reason,
    shown,
)
from scrapy_resilience.feeds.records import FeedRecord
from scrapy_resilience.files.layout import DAMAGED, ERRORS, JOURNAL, LOCK
from scrapy_resilience.files.lock import FileLock
from scrapy_resilience.frontier.codec import ValueCodec
from scrapy_resilience.frontier.sqlite import SQLiteStore
from scrapy_resilience.frontier.store import Changes, Letter
from scrapy_resilience.jobs.jobmeta import JobMeta
from scrapy_resilience.jobs.progress import about
from scrapy_resilience.observe.record.journalfile import Batch, JournalFile
from scrapy_resilience.observe.record.samples import Sample, Samples

PACKAGE = Path(scrapy_resilience.__file__).parent
SECRET = "hunter2"  # noqa: S105 - of nothing
EVIL = f"\x1b[2J\x07\x9b31m\u202e\r\nforged http://me:{SECRET}@h/?api_key={SECRET}&page=2"
"""Clears the screen, rings, colours, turns the text around, forges a line, holds a password."""
values = ValueCodec()


def check_harmless(text):
    """It has lines of printable characters only, none forged, and no secret."""
    assert all(line.isprintable() for line in text.split("\n")), ascii(text)
    assert not any(line.startswith("forged") for line in text.split("\n")), ascii(text)
    assert SECRET not in text, ascii(text)


# --- masking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://h/a?api_key=x1&page=2", "https://h/a?api_key=***&page=2"),
        ("https://h/a?page=2&password=x1#top", "https://h/a?page=2&password=***#top"),
        ("https://h/?X-Amz-Signature=x1&X-Amz-Date=5", "https://h/?X-Amz-Signature=***&X-Amz-Date=5"),
        ("https://h/?AWSAccessKeyId=x1", "https://h/?AWSAccessKeyId=***"),
        ("https://h/?access_token=x1;sig=x2", "https://h/?access_token=***;sig=***"),
        ("host=h password=x1 dbname=x", "host=h password=*** dbname=x"),
        ("password='x 1\\' 2' dbname=x", "password=*** dbname=x"),
        ("connect('h', passwd=\"x1\", port=5)", "connect('h', passwd=***, port=5)"),
        ("Server=h;Password=x1;Uid=u", "Server=h;Password=***;Uid=u"),
        ("Password=x&1,y;Uid=u", "Password=***;Uid=u"),
        ("pass=2 of 3, no password, tokens=5", "pass=2 of 3, no password, tokens=5"),
        ("https://h/?user[password]=x1&a[page]=2", "https://h/?user[password]=***&a[page]=2"),
        ("https://h/?user%5Bpassword%5D=x1&b=2", "https://h/?user%5Bpassword%5D=***&b=2"),
        ("https://h/?user.password=x1&b.c=2", "https://h/?user.password=***&b.c=2"),
        ("https://h/?page_token=5&author=6&keys=7", "https://h/?page_token=5&author=6&keys=7"),
        ("https://h/?pass=x1&compass=2&sid=x2", "https://h/?pass=***&compass=2&sid=***"),
        ("https://h/?jwt=x1&PHPSESSID=x2", "https://h/?jwt=***&PHPSESSID=***"),
        ("https://h/?session_token=x1&csrf_token=x2", "https://h/?session_token=***&csrf_token=***"),
        ("https://h/#access_token=x1&state=2", "https://h/#access_token=***&state=2"),
        ("https://h/?pass%77ord=x1&%61=2", "https://h/?pass%77ord=***&%61=2"),
        ("https://h/?a[b][password]=x1", "https://h/?a[b][password]=***"),
        ("s3://k:se/cret@bucket/a", "s3://***@bucket/a"),
        ("http://me:pw#x@h/a", "http://***@h/a"),
        ("https://h/?token[]=x1&user[password][]=x2", "https://h/?token[]=***&user[password][]=***"),
        *[
            (harmless, harmless)
            for harmless in (
                "http://h:8080/@me http://h:80?a=b@c",
                "file:///C:/dir/icon@2x.png",
                "http://h:/x@y",
                "https://h/?token=&page=2",
            )
        ],
        ("{'Authorization': 'Basic eDE='}", "{'Authorization': ***"),
        ("Cookie: a=x1; b=x2\nnext", "Cookie: ***\nnext"),
        ("a cookie jar", "a cookie jar"),
    ],
)  # fmt: skip
def test_secrets_in_text(text, masked):
    """Parameters with a secret's name, and the headers that hold credentials."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("s3://key:secret@bucket/a", "s3://***@bucket/a"),
        ("az://box/a?sv=1&se=2&x=3", "az://box/a?***"),
        ("/srv/what?.jsonl", "/srv/what?.jsonl"),
        ("redis://:/word@host:6379/0", "redis://***@host:6379/0"),
        ("redis://me:1/2@word@host", "redis://***@host"),
        ("redis://me:1?#word@host", "redis://***@host"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_secrets_of_a_place(uri, masked):
    """A place's whole query is hidden: signatures have many names."""
    assert mask_uri(uri) == masked


def test_secrets_in_settings():
    """Values with a secret's name, and URLs, however deep."""
    value = {"password": "x1", "deep": [{"Cookie": "x1", "url": "ftp://a:x1@h/"}], "rate": 5}

    masked = mask_value(value)

    assert masked == {
        "password": "***",
        "deep": [{"Cookie": "***", "url": "ftp://***@h/"}],
        "rate": 5,
    }
    assert mask_value(("ftp://a:x1@h/",)) == ("ftp://***@h/",)


@given(st.text())
def test_any_text_is_one_line(text):
    """Whatever it holds, a text is printable, and lines stay as many as they are."""
    assert shown(text).isprintable()
    assert lines(text).count("\n") == text.count("\n")


# --- commands -----------------------------------------------------------------------------


@pytest.fixture
def evil_job(tmp_path):
    """Return a job of which every string is hostile, with a snapshot of it."""
    folder = tmp_path / "job"
    folder.mkdir(mode=0o700)
    gates = StateRegistry({}, values)
    names = ("state", "hold_reason", "last_failure")
    gates.register_map(GATES, lambda: {EVIL: {**dict.fromkeys(names, EVIL), "trips": EVIL}})
    texts = ("url", "domain", "class", "reason", "exception", "status")
    letters = [
        Letter(
            n,
            values.encode({"url": "http://a.test/"}),
            values.encode({**dict.fromkeys(texts, EVIL), "kind": kind, "last": EVIL}),
        )
        for n, kind in enumerate((*KINDS, EVIL), 1)
    ]
    feed = FeedRecord(EVIL, EVIL, EVIL, 0, existed=False, overwrite=False, batch_id=1)
    state = {**gates.changed(), feed.name: ValueCodec().encode(asdict(feed))}
    path = make_store(folder, spider=EVIL, state=state, reason=EVIL)
    with closing(SQLiteStore(path)) as store:
        store.commit(Changes(letters=letters))
    write_errors(folder, JobMeta.of(state_of(path)).ident)
    snapshots_of(folder).create(path, about, kind=EVIL, metadata={EVIL: EVIL})
    return folder


def state_of(path):
    """The named state of a store."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        return store.state()


def write_errors(folder, job):
    """A journal and a sample of which every string is hostile."""
    file = JournalFile(folder / JOURNAL, job, 0)
    entries = [
        ("error", [1, 5, 1.0, {EVIL: 5}, [EVIL, EVIL, EVIL, 1.0, EVIL, EVIL, True]]),
        ("event", {"time": 1.0, "kind": EVIL, "text": EVIL, "domain": EVIL, "number": 1}),
    ]
    packed = [(kind, msgspec.Raw(msgspec.msgpack.encode(value))) for kind, value in entries]
    file.append(Batch(job, 0, packed))
    file.close()
    texts = ("trace_id", "url", "method", "response_url", "traceback", "encoding")
    headers = {EVIL: EVIL}
    Samples(folder / ERRORS).put(
        1,
        Sample(
            cause=(EVIL,) * 3, time=1.0, page=EVIL.encode(), is_html=True,
            request_headers=headers, response_headers=headers, **dict.fromkeys(texts, EVIL),
        ),
    )  # fmt: skip


def run(*args, **settings):
    """Run the command; return its exit code."""
    command = Command()
    command.settings = Settings(settings)
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    opts, rest = parser.parse_known_args([str(arg) for arg in args])
    command.run(rest, opts)
    return command.exitcode


JOB = "the job"
COMMANDS = [
    ("status", JOB),
    ("checkpoints", JOB),
    ("restore", JOB),
    ("deadletters", JOB),
    ("deadletters", JOB, "--csv"),
    ("breakers", JOB),
    ("breakers", JOB, "open", EVIL),
    ("breakers", JOB, "reset", EVIL),
    ("replay", JOB),
    ("errors", JOB),
    ("errors", JOB, "--open", "1"),
    ("feeds", JOB),
    ("feeds", JOB, "forget", EVIL),
    ("config",),
    ("selectors", "list"),
    ("report", JOB),
    ("cost", JOB),
    ("doctor",),
]
REFUSED = [
    ("status", EVIL),
    ("checkpoints", EVIL),
    ("restore", JOB, EVIL),
    ("restore", JOB, "--from", f"nowhere://me:{SECRET}@h/{EVIL}"),
    ("breakers", JOB, EVIL, "x"),
    ("breakers", JOB, "reset", f"another {EVIL}"),
    ("feeds", JOB, "forget", f"another {EVIL}"),
    ("feeds", JOB, "relink", EVIL, f"another {EVIL}"),
    ("errors", JOB, "--open", "2"),
    ("errors", JOB, "--open", "1", "--output", "job"),
    ("selectors", "show", EVIL),
    ("selectors", "add", EVIL),
    ("operations", f"no/such/{EVIL}"),
    ("report", EVIL),
    ("cost", EVIL),
    ("seen", EVIL),
    ("seen", "no-store", "forget", EVIL),
    ("notify", EVIL),
    ("notify", JOB),
]


@pytest.mark.parametrize("form", ["", "--json"])
@pytest.mark.parametrize("args", COMMANDS + REFUSED, ids=lambda args: args[0])
def test_commands_on_a_hostile_job(evil_job, monkeypatch, capsys, args, form):
    """Each prints what is harmless, in as many lines as it means to, or refuses in one."""
    monkeypatch.chdir(evil_job.parent)
    args = [evil_job if arg is JOB else arg for arg in args]
    if "--csv" in args:
        form = ""
    elif form:
        args.append(form)

    try:
        code = run(*args, RESILIENCE_SNAPSHOT_INTERVAL=5)
    except UsageError as misuse:  # Scrapy prints it
        check_harmless(str(misuse))
        return
    found = capsys.readouterr()

    if form and found.out:
        json.loads(found.out)
        assert found.out.isascii()
        assert SECRET not in found.out
    else:
        check_harmless(found.out)
    check_harmless(found.err)
    if code:
        assert found.err.count("\n") == 1


def test_each_command_was_run():
    """A new command is added to the lists above."""
    named = {line.split()[0] for line in usage().splitlines()}
    assert {"status", "restore", "config", "selectors"} <= named
    named -= {"dryrun"}  # which is a crawl
    assert {args[0] for args in COMMANDS + REFUSED} >= named


def test_settings_with_secrets(capsys):
    """``config`` shows no password of a URL and no key, in both forms."""
    where = f"s3://me:{SECRET}@bucket/x?token={SECRET}"
    for form in ([], ["--json"]):
        code = run(
            "config",
            *form,
            RESILIENCE_SNAPSHOT_DIR=where,
            RESILIENCE_ENCRYPTION_KEY=SECRET * 3,
            RESILIENCE_INJECT=[
                {"status": 503, "headers": {"Cookie": SECRET, "api_key": SECRET}}
            ],
        )
        out = capsys.readouterr().out
        assert code == 0
        assert "bucket/x" in out
        assert SECRET not in out


def test_an_error_of_a_setting_shows_no_secret(capsys):
    """Nor does the refusal of a value."""
    assert run("config", RESILIENCE_CHECKPOINT_INTERVAL=f"http://me:{SECRET}@h/\x1b[2J") == 1
    err = capsys.readouterr().err

    check_harmless(err)
    assert "RESILIENCE_CHECKPOINT_INTERVAL" in err


def test_a_mark_of_damage(evil_job, capsys):
    """A command that refuses says why in one line."""
    (evil_job / DAMAGED).write_text(EVIL)

    assert run("replay", evil_job) == 1
    check_harmless(capsys.readouterr().err)


def calls(module):
    """Return (line, source of the function) of each call of a module."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_commands_print_in_one_place_only():
    """What escapes is commands/tables.py, and nobody passes by it."""
    report(
        f"{module.name}:{line}: {function}()"
        for module in sorted((PACKAGE / "commands").glob("*.py"))
        if module.name != "tables.py"
        for line, function in calls(module)
        if function in {"print", "sys.stdout.write", "sys.stderr.write"}
    )


# --- logs ---------------------------------------------------------------------------------


def test_all_loggers_are_ours():
    """What escapes what is logged is _log.py, and nobody logs without it."""
    theirs = {"_log.py", "refusals.py", "watching.py"}  # Scrapy's and Twisted's own, too
    theirs |= {
        "logs.py",
        "apprise_service.py",
        "jsonlog.py",
        "log_calls.py",
        "log_folder.py",
        "logfiles.py",
        "scrapy_stream.py",
    }  # users'
    report(
        f"{module.relative_to(PACKAGE)}:{line}: {function}()"
        for module in sorted(PACKAGE.rglob("*.py"))
        if module.name not in theirs and "testing" not in module.parts
        for line, function in calls(module)
        if (function.startswith("logging.") and function != "logging.DEBUG")
        or (function == "print" and module.parent.name != "commands")
    )


@pytest.fixture
def logged(caplog):
    """Return a logger of ours, and a function that gives what a handler writes."""
    logger = get_logger("scrapy_resilience.hostile")
    caplog.set_level(logging.DEBUG, logger.name)
    form = logging.Formatter("%(levelname)s: %(message)s")
    return logger, lambda: "\n".join(map(form.format, caplog.records))


_FORMS = {
    "%s": "before %s after %d",
    "%r": "before %r after %d",
    "%.200s": "before %.200s after %d",
    "%-9s": "before %-9s after %d",
}


class EvilError(Exception):
    """An error whose text and name are hostile."""

    def __repr__(self):
        return EVIL


@pytest.mark.parametrize(
    "value", [EVIL, Path(EVIL), EvilError(EVIL), Request(f"http://me:{SECRET}@h/")]
)
@pytest.mark.parametrize("form", _FORMS)
def test_hostile_arguments(logged, form, value):
    """Whatever is logged, and however: one line without secrets."""
    logger, written = logged

    logger.warning(_FORMS[form], value, 5)

    check_harmless(written())
    assert written().startswith("WARNING: before ")
    assert written().endswith(" after 5")
    assert "\n" not in written()


def test_a_hostile_message(logged):
    """Also where the text is put together before."""
    logger, written = logged

    logger.error(EVIL)

    check_harmless(written())
    assert "\n" not in written()


def test_a_hostile_error(logged):
    """A traceback has its lines, and each of them is harmless."""
    logger, written = logged

    try:
        raise EvilError(EVIL)  # noqa: TRY301 - to have a traceback
    except EvilError:
        logger.exception("It failed")

    assert "Traceback" in written()
    assert all(line.isprintable() for line in written().split("\n"))
    assert SECRET not in written()


def test_numbers_stay_numbers(logged):
    """Formats of numbers work, and named arguments."""
    logger, written = logged

    logger.info("%.1f s, %d, %5.2f%%", 1.25, 3, 50)
    logger.info("%(a)s", {"a": 1})

    assert written() == "INFO: 1.2 s, 3, 50.00%\nINFO: 1"


def test_letters_keep_no_secret():
    """A dead letter is masked when it is made: its URL may be shown anywhere."""
    letter = About.make(
        url=f"http://a.test/?access_token={SECRET}",
        domain="a.test",
        now=1.0,
        kind="permanent",
        failure_class="http",
        reason="HTTP 404",
        exception=ValueError(f"Cookie: {SECRET}"),
    )

    assert SECRET not in repr(letter)


def test_the_lock_names_a_hostile_holder(evil_job, capsys):
    """The text of a lock is somebody's as well."""
    lock = FileLock(evil_job / LOCK)
    lock.acquire()
    (evil_job / LOCK).write_text(EVIL)

    assert run("replay", evil_job) == 1
    check_harmless(capsys.readouterr().err)
    lock.release()


@pytest.mark.parametrize("text", ["x:/" + ":" * 20_000, "?" + "passw" * 4_000])
def test_hostile_text_is_masked_at_the_cost_of_its_length(text):
    """A page that was made to be slow holds no crawl up."""
    assert passes(lambda number: mask(f"{text}{number}")) < 20


URI = f"ftp://me:{SECRET}@h/x?token={SECRET}"


class Named(NamedTuple):
    """What is made of its arguments, not of a sequence."""

    uri: str


@pytest.mark.parametrize(
    "value", [{URI: {}}, {URI}, URI.encode(), [(URI,)], Named(URI)], ids=repr
)
def test_a_setting_is_masked_wherever_its_secrets_stand(value):
    """FEEDS has the URIs as its keys."""
    assert SECRET not in repr(mask_value(value))
    assert "@h/x" in repr(mask_value(value))


def test_a_url_within_a_parameter_is_masked_too():
    """The parameter that holds it is not a secret itself."""
    assert (
        mask("/go?u=http://h/?token=x1&api_key=x2") == "/go?u=http://h/?token=***&api_key=***"
    )


def test_data_whose_names_tell_secrets():
    """Wherever they stand; what is empty or no secret is left as it is."""
    data = {"password": "hunter2", "note": "hunter", "token": "", 5: [{"api_key": ["a", 1]}]}

    assert mask_each(data) == {
        "password": "***", "note": "hunter", "token": "", 5: [{"api_key": "***"}],
    }  # fmt: skip


def test_a_secret_in_the_metadata_of_a_snapshot(tmp_path, capsys):
    """It is the user's own: neither listed nor in the text of the object."""
    store = make_store(tmp_path)
    made = snapshots_of(tmp_path).create(store, about, metadata={"password": "hunter2"})
    tell_json([asdict(made)])

    listed = capsys.readouterr().out
    assert '"password": "***"' in listed
    assert "hunter2" not in listed + repr(made)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory"),
        (URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (URLError("no host given"), "<urlopen error no host given>"),
        (HTTPError("http://a.example", 500, "Broken", {}, None), "HTTP Error 500: Broken"),
        (OSError("told in words"), "told in words"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_reason(error, text):
    """Without what errors of the system have in front of it."""
    assert reason(error) == text
