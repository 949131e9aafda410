"""The report of a crawl: one file, with the view in it."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from hashlib import sha256

import msgspec
import pytest
from views import HOSTILE, large_view

from scrapy_resilience.exceptions import ConfigurationError
from scrapy_resilience.observe.endpoint.assets import ASSETS, POLICY, asset
from scrapy_resilience.observe.report.report import (
    check_place,
    data_in,
    render_report,
    write_report,
)
from scrapy_resilience.observe.view import View
from scrapy_resilience.settings import Config


@pytest.fixture(scope="module")
def view():
    """A view with every hostile text in it."""
    return large_view(domains=30)


@pytest.fixture(scope="module")
def text(view):
    """Its report."""
    return render_report(view).decode()


def data_of(text):
    """What is in a report, read as a browser finds it."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_it_holds_the_view(view, text):
    """The view comes out of it as it went in."""
    assert msgspec.convert(data_of(text)["view"], View) == view


def test_no_element_begins_or_ends_in_the_data(text):
    """Whatever a text of a page says, the data has no less-than sign."""
    assert HOSTILE[2] in json.dumps(data_of(text))
    data = text[text.index('id="data">') + len('id="data">') :]
    assert "<" not in data[: data.index("</script>")]


def test_nothing_is_loaded(text):
    """Styles and scripts are in it, and it names no address for anything else."""
    markup = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r'\b(src|href)="(?!#|data:,")', markup)
    assert '<link rel="stylesheet' not in markup


def test_its_policy_allows_its_own_script_and_style(text):
    """The hashes are those of what stands there, and nothing else may run."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00", b'<script type="application/json" id="data">{"view": 3}</script>'],
)
def test_what_is_no_report_holds_nothing(tmp_path, view, content):
    """A file that says something else is written over."""
    path = tmp_path / "report.html"
    path.write_bytes(content)
    assert data_in(path) is None
    write_report(path, view)
    assert data_in(path).view == view


def test_it_is_for_the_user_alone(tmp_path, view):
    """Or for whom the file was before; its folders are made, and nothing else is left there."""
    path = tmp_path / "new" / "report.html"
    write_report(path, view)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    write_report(path, view)
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["report.html"]  # noqa: PTH208 - names


def test_a_link_stays_one(tmp_path, view):
    """What it leads to is written."""
    (tmp_path / "link").symlink_to(tmp_path / "report.html")
    write_report(tmp_path / "link", view)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "report.html").is_file()


def test_an_error_leaves_what_was_there(tmp_path, view, monkeypatch):
    """A disk that is full leaves the report before, and no half of a new one."""
    path = tmp_path / "report.html"
    path.write_text("before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_report(path, view)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["report.html"]  # noqa: PTH208 - names


@pytest.mark.parametrize("place", ["folder", "file/report.html", "pipe", "\0", "n" * 300])
def test_a_place_that_is_none_is_refused(tmp_path, place):
    """Before the crawl begins."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="RESILIENCE_REPORT="):
        check_place(Config(report=str(tmp_path / place)))


def test_a_place_is_tried_without_a_trace(tmp_path):
    """Neither the file nor its folder is made."""
    check_place(Config(report=str(tmp_path / "new" / "report.html")))
    assert list(tmp_path.iterdir()) == []


def test_each_asset_is_in_the_package():
    """And its page names no script and no style that is not one."""
    page = asset("index.html").decode()
    named = re.findall(r'(?:src|href)="([^#"]+\.(?:js|css))"', page)
    assert set(named) <= ASSETS.keys()
    assert all(asset(name) for name in ASSETS)
    with pytest.raises(KeyError):
        asset("../view.py")


def test_the_page_has_no_script_or_style_in_it():
    """Its policy would refuse them."""
    page = asset("index.html").decode()
    assert not re.search(r"<style|<script(?! defer src=)|\sstyle=|\son\w+=", page)
    assert "unsafe" not in POLICY
    scripts = b"".join(
        asset(name) for name in ASSETS if name.endswith(".js") and "/" not in name
    )
    assert not re.search(
        rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", scripts
    )
