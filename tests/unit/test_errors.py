"""The errors of a crawl: what is told of them, what is kept, and what is not."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from journals import JOB, Run
from scrapy import Request
from scrapy.http import HtmlResponse, Response, TextResponse
from twisted.python.failure import Failure

from scrapy_resilience.names import META_TRACE_ID
from scrapy_resilience.observe.record import samples as samples_module
from scrapy_resilience.observe.record.causes import cause_of
from scrapy_resilience.observe.record.errors import ErrorGroups
from scrapy_resilience.observe.record.journal import Journal, stored_journal
from scrapy_resilience.observe.record.record import Record, stored_record
from scrapy_resilience.observe.record.samples import MAX_PAGE, Sample, Samples


def raised(error):
    """The error, with a traceback through this function."""
    try:
        raise error
    except type(error) as caught:
        return caught


class Kept(Run):
    """A run of a job whose errors are kept."""

    def __init__(self, folder, commits=0):
        super().__init__(folder, commits)
        self.record = Record(self.journal, folder / "errors")
        self.errors = self.record.errors


def stored(folder, commits=100):
    """The groups of a job, as a command sees them."""
    return stored_record(folder, JOB, commits).errors


def counts(errors):
    """How many errors each message stands for."""
    return {group.message: group.count for group in errors.view()}


@pytest.fixture
def errors():
    """Groups that are kept in memory."""
    return ErrorGroups(Journal())


PAGE = HtmlResponse("http://a.test/p?token=hidden", body=b"<p>page", encoding="utf-8")


def request(url="http://a.test/", **meta):
    """A request that carries secrets."""
    headers = {"Authorization": "Bearer hidden", "Cookie": "a=hidden", "Accept": "text/html"}
    return Request(url, headers=headers, meta=meta)


# --- what is told -----------------------------------------------------------------------------


def test_a_group(errors):
    """It has its place in the code, its class, its message, and counts by domain."""
    for number in range(3):
        errors.note(raised(ValueError(f"no price on page {number}")), request())
    errors.note(raised(ValueError("no price on page 9")), request("http://b.test/"))

    [group] = errors.view()

    assert group.place == f"test_errors.py:{raised.__code__.co_firstlineno + 3}:raised"
    assert (group.kind, group.message) == ("ValueError", "no price on page <number>")
    assert (group.count, group.domains) == (4, {"a.test": 3, "b.test": 1})
    assert group.url == "http://a.test/"
    assert group.first <= group.last
    assert errors.total == 4


def test_a_failure_is_its_exception(errors):
    """With the traceback that it has, however Twisted has cleaned it."""
    error = raised(ValueError("no"))
    errors.note(Failure(error))
    errors.note(error)

    assert len(errors.view()) == 1


def test_a_request_that_is_given_up(errors):
    """It is grouped by its failure class and the reason, and has no place."""
    for text in ("after 3 s", "after 5 s"):
        error = raised(TimeoutError(text))
        errors.note(error, request(), failure_class="transient", reason="a timeout")
    errors.note(None, request(), failure_class="http", reason="HTTP 404 is not handled")

    assert [(each.place, each.kind, each.message, each.count) for each in errors.view()] == [
        ("", "transient", "a timeout: TimeoutError: after <number> s", 2),
        ("", "http", "HTTP 404 is not handled", 1),
    ]


def test_an_error_without_a_request(errors):
    """Such as one of start(), or of the checkpoint."""
    errors.note(raised(OSError(28, "No space left on device")))
    [group] = errors.view()
    assert (group.url, group.trace_id, group.has_page) == ("", "", False)


def test_the_first_sample(errors):
    """It has request, answer, page, traceback and trace id of the first error only."""
    errors.note(raised(ValueError("no")), request(**{META_TRACE_ID: "ab" * 16}), PAGE)
    errors.note(raised(ValueError("no")), request("http://b.test/"))

    sample = errors.sample(1)

    assert sample.url == "http://a.test/"
    assert sample.trace_id == errors.view()[0].trace_id == "ab" * 16
    assert (sample.method, sample.status, sample.is_html) == ("GET", 200, True)
    assert "in raised\n    raise error" in sample.traceback
    assert sample.traceback.endswith("ValueError: no")


def test_no_secret_is_kept(errors):
    """Of URLs, headers, messages and tracebacks."""
    url = "http://user:hidden@a.test/?password=hidden"
    error = raised(ValueError(f"can't read {url} with Cookie: hidden"))
    errors.note(error, request(url), PAGE)
    errors.note(f"{url} failed", request(url), failure_class="http", reason=f"see {url}")

    told = repr([errors.view(), errors.sample(1), errors.sample(2)])

    assert "hidden" not in told
    assert "text/html" in told


def test_two_groups_with_secrets_are_one(errors):
    """What is masked makes no difference."""
    for secret in ("one", "two"):
        errors.note(f"failed at http://a.test/x?token={secret} with Cookie: {secret}")
    assert len(errors.view()) == 1


class MuteError(Exception):
    """Can't say what is wrong."""

    def __str__(self):
        raise RuntimeError


def test_an_exception_that_says_nothing(errors):
    """It is counted by its class."""
    errors.note(raised(MuteError()), request())
    [group] = errors.view()
    assert (group.kind, group.message) == ("MuteError", "")
    assert "MuteError" in errors.sample(1).traceback


def deep(depth):
    """Recurse."""
    return deep(depth - 1) if depth else 1 / 0


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "\x1b[31m\u202e\0", "<script>alert(1)</script>", "\ud800"]
)
def test_hostile_texts(errors, text):
    """They are bounded, and nothing in them is obeyed by a terminal."""
    errors.note(raised(ValueError(text)), request(), PAGE)
    told = [*vars_of(errors.view()[0]), *vars_of(errors.sample(1))]
    assert all(len(each) < 20_000 for each in told)
    assert all(each.replace("\n", "").isprintable() for each in told)


def vars_of(struct):
    """The texts of a struct."""
    return [
        value
        for name in struct.__struct_fields__
        if isinstance(value := getattr(struct, name), str)
    ]


def test_a_recursion(errors):
    """A traceback of a thousand calls is told by its end."""
    try:
        deep(400)
    except ZeroDivisionError as error:
        errors.note(error)
    [group] = errors.view()
    assert group.place.endswith(":deep")
    assert len(errors.sample(1).traceback) < 16_000


def test_each_new_group_is_told_of(errors):
    """Once, when it is counted already."""
    heard = []
    errors.heard = lambda group: heard.append((group.cause.kind, group.count))
    errors.note(raised(ValueError("no")))
    errors.note(raised(ValueError("no")))
    errors.note(raised(TypeError("no")))
    assert heard == [("ValueError", 1), ("TypeError", 1)]


# --- what is kept -----------------------------------------------------------------------------


def test_groups_outlive_the_process(tmp_path):
    """The next run counts on, under the same numbers, and a command sees both."""
    run = Kept(tmp_path)
    run.errors.note(raised(ValueError("a")), request(), PAGE)
    run.errors.note(raised(TypeError("b")), request())
    run.commit()
    run.errors.note(raised(ValueError("a")), request("http://b.test/"))
    run.commit()
    run.kill()
    before = stored(tmp_path).view()

    again = Kept(tmp_path, run.commits)
    assert again.errors.view() == before == run.errors.view()
    again.errors.begin()
    again.errors.note(raised(TypeError("b")), request())
    again.errors.note(raised(KeyError("c")), request())
    again.commit()
    again.kill()

    assert counts(stored(tmp_path)) == {"a": 2, "b": 2, "<text>": 1}
    assert [group.number for group in stored(tmp_path).view()] == [1, 2, 3]
    assert stored(tmp_path).sample(1).page == b"<p>page"


def test_a_job_that_goes_back(tmp_path):
    """Errors that came later are forgotten: they come again, or not."""
    run = Kept(tmp_path)
    run.errors.note(raised(ValueError("a")))
    run.commit()
    at = run.commits
    run.errors.note(raised(ValueError("a")))
    run.errors.note(raised(TypeError("b")), request(), PAGE)
    run.commit()
    run.kill()

    assert counts(stored(tmp_path, at)) == {"a": 1}
    again = Kept(tmp_path, at)
    again.errors.begin()
    again.errors.note(raised(KeyError("c")), request())
    again.commit()

    assert counts(again.errors) == {"a": 1, "<text>": 1}
    assert stored(tmp_path).sample(2).cause[1] == "KeyError"


def test_a_sample_of_another_group(tmp_path):
    """A file that was left by a group that is forgotten is not shown as another's."""
    run = Kept(tmp_path)
    run.errors.note(raised(ValueError("a")), request(), PAGE)
    run.settle()
    run.kill()

    again = Kept(tmp_path)
    again.errors._may_sample = lambda _: False
    again.errors.note(raised(TypeError("b")), request())
    assert again.errors.sample(1) is None
    again.errors.begin()
    again.settle()
    assert again.errors.sample(1) is None


def test_files_of_no_group_are_removed(tmp_path):
    """A kill between a file and its commit leaves none behind for ever."""
    run = Kept(tmp_path)
    run.errors.note(raised(ValueError("a")), request(), PAGE)
    run.kill()
    (tmp_path / "errors" / "x.sample").write_bytes(b"")

    again = Kept(tmp_path)
    again.errors.begin()
    again.settle()

    assert [*(tmp_path / "errors").iterdir()] == []


def flood(run, count):
    """Errors that are never alike."""
    words = "".join(chr(97 + int(digit)) for digit in f"{count:04d}")
    run.errors.note(raised(ValueError(words)), request(), PAGE)


def test_a_flood_of_groups(tmp_path):
    """Groups, files and entries are bounded, and no error is lost; over a restart, too."""
    run = Kept(tmp_path)
    for number in range(500):
        flood(run, number)
        if number % 50 == 0:
            run.settle()
    for _ in range(200):
        run.commit()
    run.kill()

    assert len(run.errors.view()) == 201
    assert sum(group.count for group in run.errors.view()) == 500
    assert len([*(tmp_path / "errors").iterdir()]) <= 200
    assert sorted(counts(stored(tmp_path)).items()) == sorted(counts(run.errors).items())
    again = Kept(tmp_path, run.commits)
    assert again.errors.view() == run.errors.view()


def test_a_flood_in_memory(errors):
    """Nothing that is for nobody is kept: memory is bounded."""
    for number in range(3000):
        errors.note("".join(chr(97 + int(digit)) for digit in f"{number:04d}"), request())

    assert len(errors._unsaved) <= 201
    assert len(errors._samples._in_memory) <= 200
    assert sum(group.count for group in errors.view()) == 3000


def test_samples_of_a_flood(tmp_path):
    """Not more than one a second is taken after the first 200."""
    run = Kept(tmp_path)
    assert sum(run.errors._may_sample(100.0) for _ in range(1000)) == 200
    assert [run.errors._may_sample(now) for now in (100.5, 101.5, 101.6, 102.6)] == [
        False, True, False, True,
    ]  # fmt: skip


def test_entries_are_folded(tmp_path):
    """A file that is written anew says the same, in less."""
    run = Kept(tmp_path)
    for number in range(300):
        run.errors.note(raised(ValueError("a" if number % 3 else "b")), request(), PAGE)
        run.commit()
    size = (tmp_path / "resilience.journal").stat().st_size
    before = stored(tmp_path, run.commits).view()

    run.file._limit = size // 2
    run.file.rewrite(run.journal._folded)

    assert (tmp_path / "resilience.journal").stat().st_size < size / 2
    assert stored(tmp_path, run.commits).view() == before


# --- what browsers tell -----------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def test_evidence_comes_to_the_first_error(tmp_path):
    """Whoever has its page is asked once, and what comes later is kept, over restarts, too."""
    run = Kept(tmp_path)
    asked = []
    run.errors.look = lambda group, of: asked.append((group, of.url))
    for host in ("a.test", "b.test"):
        run.errors.note(raised(ValueError("a")), request(f"http://{host}/"), PAGE)
    run.errors.note(raised(ValueError("b")))
    run.commit()
    [(group, url)] = asked
    assert url == "http://a.test/"
    assert not run.errors.view()[0].has_evidence

    run.errors.add_evidence(group, PNG, ["no such thing"])
    run.commit()
    run.kill()

    known = stored(tmp_path)
    assert [each.has_evidence for each in known.view()] == [True, False]
    assert known.view()[0].count == 2
    sample = known.sample(1)
    assert (sample.page, sample.screenshot, sample.console) == (
        b"<p>page", PNG, ["no such thing"],
    )  # fmt: skip
    assert sample.evidence.type == "image/png"
    again = Kept(tmp_path, run.commits)
    assert again.errors.view() == known.view()


def test_evidence_in_memory(errors):
    """Without a job there is no picture, as there is no page."""
    groups = []
    errors.look = lambda group, _: groups.append(group)
    for text in ("a", "b"):
        errors.note(raised(ValueError(text)), request())
    errors.add_evidence(groups[0], PNG, ["said"])
    errors.add_evidence(groups[1], PNG, [])

    assert [each.has_evidence for each in errors.view()] == [True, False]
    assert (errors.sample(1).console, errors.sample(1).screenshot) == (["said"], b"")


def test_evidence_of_a_group_that_has_given_way(tmp_path):
    """It comes too late, and no other group gets it."""
    run = Kept(tmp_path)
    groups = []
    run.errors.look = lambda group, _: groups.append(group)
    for number in range(300):
        flood(run, number)
    gone = next(each for each in groups if run.errors._groups.find(each.cause) is not each)
    run.errors.add_evidence(gone, PNG, ["late"])
    run.commit()
    assert not any(each.has_evidence for each in run.errors.view())


def test_pictures_are_bounded_together(tmp_path, monkeypatch):
    """As pages are; one that is too large for itself is left out."""
    samples = Samples(tmp_path / "errors")
    samples.put(1, sample(b"page"))
    samples.add(1, sample().cause, bytes(samples_module.MAX_SCREENSHOT + 1), ["said"])
    assert (samples.get(1).screenshot, samples.get(1).console) == (b"", ["said"])

    samples.add(1, ("of", "another", "group"), PNG, [])
    assert samples.get(1).console == ["said"]

    monkeypatch.setattr(samples_module, "_MAX_ALL", 0)
    samples.add(1, sample().cause, PNG, ["said"])
    found = samples.get(1)
    assert (found.page, found.screenshot, found.console) == (b"", b"", ["said"])


# --- samples ----------------------------------------------------------------------------------


def sample(page=b"", number=1):
    """A sample with a page."""
    return Sample(cause=("a", "b", str(number)), time=1.0, page=page)


def test_a_sample_file(tmp_path):
    """It is the user's alone, small, and gives back what was kept."""
    samples = Samples(tmp_path / "errors")
    kept = sample(b"<p>" * 10_000)

    samples.put(1, kept)

    [path] = (tmp_path / "errors").iterdir()
    assert samples.get(1) == kept
    assert path.stat().st_size < 1000
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    samples.forget(1)
    assert samples.get(1) is None


def test_a_large_page(errors):
    """Its first 256 KB are kept."""
    run = []
    errors._samples.put = lambda _, kept: run.append(len(kept.page))
    errors.note("no", request(), Response("http://a.test/", body=bytes(MAX_PAGE + 1)))
    assert run == [MAX_PAGE]


def test_pages_are_bounded_together(tmp_path, monkeypatch):
    """Samples that come when there is too much have no page."""
    monkeypatch.setattr(samples_module, "_MAX_ALL", 2500)
    samples = Samples(tmp_path / "errors")
    for number in range(5):
        samples.put(number, sample(os.urandom(900)))

    assert [bool(samples.get(number).page) for number in range(5)] == [True] * 3 + [False] * 2
    again = Samples(tmp_path / "errors")
    again.keep_only({0, 1, 2, 3, 4})
    again.put(5, sample(b"page"))
    assert not again.get(5).page


@pytest.mark.parametrize("data", [b"", b"noise", b"\x28\xb5\x2f\xfd" * 9])
def test_a_damaged_sample(tmp_path, data):
    """There is none then."""
    samples = Samples(tmp_path)
    samples.put(1, sample(b"page"))
    (tmp_path / "1.sample").write_bytes(data)
    assert samples.get(1) is None


def test_a_sample_that_is_a_link(tmp_path):
    """It is neither read nor written through."""
    (tmp_path / "other").write_text("mine")
    (tmp_path / "1.sample").symlink_to("other")
    (tmp_path / "2.new").symlink_to("other")
    samples = Samples(tmp_path)
    assert samples.get(1) is None
    with pytest.raises(PermissionError):
        samples.put(2, sample())
    samples.put(1, sample())
    assert (tmp_path / "other").read_text() == "mine"


def test_a_disk_that_takes_no_sample(tmp_path, caplog):
    """The group is counted, and one warning is logged."""
    (tmp_path / "errors").write_text("a file")
    run = Kept(tmp_path)
    run.errors.note(raised(ValueError("a")), request(), PAGE)
    run.errors.note(raised(TypeError("b")), request(), PAGE)
    run.commit()

    assert counts(run.errors) == {"a": 1, "b": 1}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_pages_that_are_no_text(errors):
    """They are kept as bytes."""
    seen = []
    errors._samples.put = lambda _, kept: seen.append((kept.encoding, kept.is_html))
    for number, kind in enumerate([Response, TextResponse, HtmlResponse]):
        errors.note("abc"[number], request(), kind("http://a.test/", body=b"a"))
    assert seen == [("", False), ("cp1252", False), ("cp1252", True)]


def test_roots_are_folders():
    """A place begins with no separator, and with none of this machine's folders."""
    cause = cause_of(raised(ValueError("no")))
    assert not Path(cause.place).is_absolute()
    assert Journal().is_kept is stored_journal(Path("nowhere"), JOB, 1).is_kept is False
