"""Selector sets as files: whole or refused, never changed, written by many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Event, Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import Registry, files, registry
from scrapy_resilience.selectors.registry import BUILTIN

DRAFT = """set = "shop"
version = "1.0.0"
changelog = "first"
urls = ["https://shop.test/*"]
[fields]
title = ["css:h1", 'regex:"name":\\s*"([^"]+)"']
[fields.price]
selectors = ["css:.price"]
type = "price"
"""
PAGE = '<h1>Mug</h1><p class="price">5 €</p><p class="amount">6 €</p>'


@pytest.fixture
def folder(tmp_path):
    """The folder of RESILIENCE_SELECTORS_DIR."""
    return tmp_path / "selectors"


@pytest.fixture
def add(tmp_path, folder):
    """``add(text)``: add a draft to the folder, in a registry of its own."""

    def add_(text=DRAFT, **more):
        draft = tmp_path / "draft.toml"
        draft.write_text(text, encoding="utf-8")
        return Registry(folder).add_file(draft, **more)

    return add_


def fixture(folder, name, body=PAGE, **expected):
    """Save a page and what must come out of it."""
    place = folder / "shop" / "fixtures"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.html").write_text(body, encoding="utf-8")
    data = {"url": "https://shop.test/1", "expected": expected}
    (place / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")


def later(version, **fields):
    """Return the draft of another version."""
    lines = "\n".join(f"{name} = {json.dumps(each)}" for name, each in fields.items())
    return f'set = "shop"\nversion = "{version}"\n[fields]\n{lines}\n'


# --- reading and writing ----------------------------------------------------------------


def test_a_set_comes_back_as_it_was(add, folder):
    """What is added is read by another registry, with the same hash."""
    added = add()
    read = Registry(folder).get("shop")

    assert read.hash == added.hash
    assert read.changelog == "first"
    assert read.get_selectors("title") == ("css:h1", r'regex:"name":\s*"([^"]+)"')
    assert read.fields["price"].kind == "price"
    assert Registry(folder).match("https://shop.test/1").name == "shop"


def test_matches_do_not_look_at_the_folder(folder, tmp_path, monkeypatch):
    """It is read once, not for each page, and what this registry adds is matched."""
    own = Registry(folder)
    assert own.match("https://shop.test/1") is None
    (tmp_path / "draft.toml").write_text(DRAFT, encoding="utf-8")
    own.add_file(tmp_path / "draft.toml")
    assert own.match("https://shop.test/1").name == "shop"

    monkeypatch.setattr(files, "set_names", lambda _: pytest.fail("read again"))
    assert own.match("https://shop.test/1").name == "shop"


def test_new_versions_and_rollbacks_are_files(add, folder):
    """A version is a file, a rollback is a word in another; no file of a version changes."""
    add()
    first = (folder / "shop" / "1.0.0.toml").read_bytes()

    Registry(folder).get("shop").add_version("1.1.0", {"title": "css:h2"}, "second")
    assert Registry(folder).get("shop").version == "1.1.0"
    Registry(folder).get("shop").rollback()
    assert Registry(folder).get("shop").version == "1.0.0"
    Registry(folder).get("shop").add_version("1.2.0", {"title": "css:h3"}, "third")

    assert Registry(folder).get("shop").version == "1.2.0"
    assert (folder / "shop" / "1.0.0.toml").read_bytes() == first
    assert sorted(path.name for path in (folder / "shop").iterdir()) == [
        "1.0.0.toml", "1.1.0.toml", "1.2.0.toml",
    ]  # fmt: skip


def test_built_in_sets_are_never_written(folder):
    """A new version of a built-in set goes to the folder, and the package stays as it is."""
    before = sorted(BUILTIN.rglob("*"))

    Registry(folder).get("amazon_product").add_version(
        "1.1.0", {"title": "css:#t"}, "", extends="amazon_product@1.0.0", force=True
    )
    Registry(folder).get("amazon_product").rollback()

    assert sorted(BUILTIN.rglob("*")) == before
    assert Registry(folder).get("amazon_product").version == "1.0.0"
    assert list(Registry(folder).get("amazon_product").versions) == ["1.0.0", "1.1.0"]
    assert list(Registry(None).get("amazon_product").versions) == ["1.0.0"]


def test_a_project_has_a_version_before_the_package(add, folder, tmp_path, monkeypatch):
    """What extends the project's version is whole when the package brings one of its name."""
    add()
    add(DRAFT.replace('"shop"', '"inn"').replace("urls", 'extends = "shop@1.0.0"\nurls'))
    package = Registry(tmp_path / "package")
    (tmp_path / "other.toml").write_text(DRAFT.replace("css:h1", "css:h6"), encoding="utf-8")
    package.add_file(tmp_path / "other.toml")
    monkeypatch.setattr(registry, "BUILTIN", package.folder)

    assert Registry(folder).get("shop").get_selectors("title")[0] == "css:h1"
    assert Registry(folder).get("inn").version == "1.0.0"


def test_any_text_survives_the_file(add, folder):
    """Quotes, backslashes, line breaks, control characters and emoji come back."""
    add()
    log = "'\"\\ \n\t\x7f\x01 é 🫖 \u2028"
    source = 'xpath://a[@x="\\\\é🫖"]'

    Registry(folder).get("shop").add_version("2", {"a": source}, log)

    assert Registry(folder).get("shop").changelog == log
    assert Registry(folder).get("shop").get_selectors("a") == (source,)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_files_have_the_users_mode(add, folder):
    """Files can be read by whom the umask lets, as any file of a project."""
    mask = os.umask(0o022)
    try:
        add()
    finally:
        os.umask(mask)
    assert (folder / "shop" / "1.0.0.toml").stat().st_mode & 0o777 == 0o644


class Versions(RuleBasedStateMachine):
    """One set, any number of registries that read and write its folder."""

    def __init__(self):
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "selectors"
        draft = Path(self.temporary.name) / "draft.toml"
        draft.write_text(DRAFT, encoding="utf-8")
        self.hashes = {"1.0.0": Registry(self.folder).add_file(draft).hash}
        self.active = "1.0.0"
        self.registries = [Registry(self.folder)]

    def teardown(self):
        """Remove the folder."""
        self.temporary.cleanup()

    @property
    def fresh(self):
        """The set as a new process reads it."""
        return Registry(self.folder).get("shop")

    @rule(minor=st.integers(1, 30), old=st.booleans())
    def add(self, minor, old):
        """A later version is taken, any other refused, also by who read the set before."""
        registry = self.registries[-1] if old else Registry(self.folder)
        self.registries.append(registry)
        version, name = f"1.{minor}.0", list(self.hashes)[-1]
        if minor > int(name.split(".")[1]):
            made = registry.get("shop").add_version(version, {"title": f"css:.v{minor}"}, "")
            self.hashes[version], self.active = made.hash, version
        else:
            with pytest.raises(SelectorError, match="choose a later one"):
                registry.get("shop").add_version(version, {"title": "css:h1"}, "")

    @rule(data=st.data())
    def roll_back(self, data):
        """Any version that is there can be chosen."""
        self.active = data.draw(st.sampled_from(list(self.hashes)))
        self.fresh.rollback(self.active)

    @invariant()
    def all_is_there(self):
        """A new process sees all versions as they were added, and the chosen one."""
        versions = self.fresh.versions
        assert {name: each.hash for name, each in versions.items()} == self.hashes
        assert self.fresh.version == self.active


EXAMPLES = settings.default.max_examples
TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=EXAMPLES // 5, stateful_step_count=15)


# --- damage -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("css:.price", "css:.prize"),
        ("first", "1st"),
        ("https://shop.test/*", "https://*"),
        ('type = "price"', 'type = "number"'),
        ("css:h1", "css:h2"),
    ],
)
def test_tampered_files(add, folder, old, new):
    """Whatever is changed in a version's file, the file is named and the set refused."""
    add()
    path = folder / "shop" / "1.0.0.toml"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    with pytest.raises(SelectorError, match=r"1\.0\.0\.toml is not what was stored"):
        Registry(folder).get("shop")


def test_a_tampered_parent(add, folder):
    """A parent that was replaced, hash and all, does not go unseen."""
    add()
    Registry(folder).get("shop").add_version("2", {"a": "css:a"}, "", extends="shop@1.0.0")
    (folder / "shop" / "1.0.0.toml").unlink()
    Registry(folder.with_name("other")).add_file(_other(folder))
    (folder / "shop" / "1.0.0.toml").write_bytes(
        (folder.with_name("other") / "shop" / "1.0.0.toml").read_bytes()
    )

    with pytest.raises(SelectorError, match=r"2\.toml is not what was stored"):
        Registry(folder).get("shop")


def _other(folder):
    draft = folder.with_name("other.toml")
    draft.write_text(DRAFT.replace("css:h1", "css:h6"), encoding="utf-8")
    return draft


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("1.0.0", "x = [", "is not TOML"),
        ("1.0.0", "\udcff", "is not TOML"),
        ("1.0.0", "", "set must be there"),
        ("1.0.0", 'set = "shop"\nversion = 1.0', "version must be there, as a text"),
        ("1.0.0", DRAFT + "\n[more]\n", "'more' is none of"),
        ("1.0.0", DRAFT, "has no hash"),
        ("2.0.0", DRAFT + "", r"holds shop 1\.0\.0: its folder and name"),
        ("1.0.0", DRAFT.replace("css:h1", "css:h1["), "1.0.0.toml: .*field title"),
        ("1.0.0", "urls = 5\n" + DRAFT.replace("urls", "#"), "urls a list"),
        ("1.0.0", "extends = 5\n" + DRAFT, "extends must be a text"),
        ("1.0.0", 'extends = "shop"\n' + DRAFT, "extends must name a set and a version"),
        ("1.0.0", 'extends = "shop@9"\n' + DRAFT, "no set shop with a version '9'"),
        ("1.0.0", "#" * 1_000_001, "larger than"),
        ("1.0.0", DRAFT.replace('"price"', '["price"]'), "type must be one of"),
    ],
)
def test_wrong_files(folder, name, text, words):
    """A file that can't be read is refused by its name, with what is wrong."""
    path = folder / "shop" / f"{name}.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(SelectorError, match=words) as caught:
        Registry(folder).get("shop")
    if "set shop" not in words and "extends must name" not in words:
        assert str(path) in str(caught.value)


def test_circles(folder):
    """Sets that extend each other are refused, and the circle is shown."""
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.toml").write_text(
            f'set = "{name}"\nversion = "1"\nhash = "x"\nextends = "{parent}@1"\n'
            '[fields]\nx = ["css:a"]\n'
        )

    with pytest.raises(SelectorError, match="in a circle: a@1 -> b@1 -> c@1 -> a@1"):
        Registry(folder).get("a")


def test_threads_that_ask_at_once(add, folder, monkeypatch):
    """A set is read once, and one that another thread reads is no circle."""
    add()
    read, shared, together, found = files.read_version, Registry(folder), Barrier(8), []

    def slowly(*args):
        Event().wait(0.02)
        return read(*args)

    def ask():
        together.wait(30)
        found.append(shared.get("shop"))

    monkeypatch.setattr(files, "read_version", slowly)
    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len({id(each) for each in found}) == 1


@pytest.mark.parametrize("text", [b"9.9\n", b"../x", b"", b"\n", b"\xff\x00"])
def test_a_wrong_pointer(add, folder, text):
    """A choice of no version that is there is refused, by its file, with the way out."""
    add()
    path = folder / "shop" / "active"
    path.write_bytes(text)

    with pytest.raises(
        SelectorError, match=r"chooses .* but there are 1\.0\.0: remove it"
    ) as got:
        Registry(folder).get("shop")
    assert str(path) in str(got.value)


def test_a_pointer_by_hand(add, folder):
    """A version alone will do."""
    add()
    add(DRAFT.replace("1.0.0", "1.0.1"))
    (folder / "shop" / "active").write_text("1.0.0\n")

    assert Registry(folder).get("shop").version == "1.0.0"


def test_each_flipped_bit_of_a_pointer_is_found(add, folder):
    """It chooses the version that was chosen, or none, also where there is one a bit away."""
    add()
    add(DRAFT.replace("1.0.0", "1.0.1"))
    Registry(folder).get("shop").rollback("1.0.0")
    path = folder / "shop" / "active"
    whole = path.read_bytes()
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert Registry(folder).get("shop").version == "1.0.0"
        except SelectorError as error:
            assert "chooses the version" in str(error)  # noqa: PT017 - one or the other


@pytest.mark.skipif(os.name != "posix", reason="pipes are of POSIX")
def test_a_pointer_that_is_a_pipe(add, folder):
    """It is not waited for."""
    add()
    os.mkfifo(folder / "shop" / "active")

    with pytest.raises(SelectorError, match=r"shop/active can't be read: it is a pipe$"):
        Registry(folder).get("shop")


def test_a_pointer_that_is_a_folder(add, folder):
    """It can't be read nor removed, and both are said as an error of selectors."""
    add()
    selectors = Registry(folder).get("shop")
    (folder / "shop" / "active").mkdir()

    with pytest.raises(SelectorError, match=r"shop/active can't be read: Is a directory$"):
        Registry(folder).get("shop")
    with pytest.raises(SelectorError, match=r"shop/active can't be removed: .*still chooses"):
        selectors.add_version("1.1.0", {"title": "css:h2"}, "")


def test_a_folder_that_cant_be_written(add, folder):
    """It is named, and nothing is left."""
    folder.write_text("a file")

    with pytest.raises(SelectorError, match="can't be written"):
        add()


# --- fixtures ---------------------------------------------------------------------------


def test_a_regression_is_refused(add, folder):
    """A field that came out right and would not any more stops the new version."""
    add()
    fixture(folder, "mug", title="Mug", price="5 €")

    with pytest.raises(SelectorError, match=r"mug: price is '6 €', not '5 €'"):
        add(later("1.1.0", title="css:h1", price="css:.amount"))

    assert list(Registry(folder).get("shop").versions) == ["1.0.0"]
    assert (
        add(later("1.1.0", title="css:h1", price="css:.amount"), force=True).version == "1.1.0"
    )


def test_what_was_wrong_before_is_no_regression(add, folder):
    """A fixture that the active version fails stops nobody."""
    add()
    fixture(folder, "mug", title="Cup", price="5 €")

    assert add(later("1.1.0", title="css:h2", price="css:.price")).version == "1.1.0"
    assert [str(each) for each in Registry(folder).get("shop").test()] == [
        "mug: title is None, not 'Cup'"
    ]


def test_the_first_version_must_fit_its_fixtures(add, folder):
    """A new set is tested as well."""
    fixture(folder, "mug", title="Cup")

    with pytest.raises(SelectorError, match="title is 'Mug', not 'Cup'"):
        add()


def test_a_promotion_is_tested(add, folder):
    """A fallback that gives another value does not become the primary one."""
    add(DRAFT.replace('"css:.price"', '"css:.price", "css:.amount"'))
    fixture(folder, "mug", price="5 €")

    with pytest.raises(SelectorError, match="is worse on 1 field "):
        Registry(folder).get("shop").promote("price", 1, "")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"url": "https://a.test/"}', '{"expected": {}, "url": 5}', "{", "[" * 10**5],
)
def test_broken_fixtures(add, folder, text):
    """A fixture that is not whole is named."""
    add()
    fixture(folder, "mug")
    (folder / "shop" / "fixtures" / "mug.json").write_text(text)

    with pytest.raises(SelectorError, match=r"mug\.json is not a fixture"):
        Registry(folder).get("shop").test()


def test_a_fixture_without_a_page(add, folder):
    """The page that is missing is named."""
    add()
    fixture(folder, "mug")
    (folder / "shop" / "fixtures" / "mug.html").unlink()

    with pytest.raises(SelectorError, match=r"mug\.html can't be read"):
        Registry(folder).get("shop").test()


# --- many at a time ---------------------------------------------------------------------


def test_one_version_is_added_once(add, folder):
    """Of eight that add the same version at the same time one succeeds, and it is whole."""
    add()
    sets = [Registry(folder).get("shop") for _ in range(8)]
    gate, done, refused = Barrier(8), [], []

    def run(number):
        gate.wait()
        try:
            done.append(sets[number].add_version("2", {"title": f"css:h{number + 1}"}, ""))
        except SelectorError as error:
            refused.append(str(error))

    threads = [Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(done), len(refused)) == (1, 7)
    assert all("choose a later one" in text for text in refused)
    assert Registry(folder).get("shop").hash == done[0].hash
    assert not list((folder / "shop").glob(".*"))


def test_a_choice_that_is_made_meanwhile(add, folder, monkeypatch):
    """Who reads a set while another adds a version and chooses it sees it before or after."""
    add()
    version_names = files.version_names

    def names_and_more(place):
        found = version_names(place)
        if place == folder / "shop":
            monkeypatch.undo()
            Registry(folder).get("shop").add_version("2", {"title": "css:h2"}, "")
            Registry(folder).get("shop").rollback("2")
        return found

    reader = Registry(folder)
    monkeypatch.setattr(files, "version_names", names_and_more)

    assert reader.get("shop").version == "1.0.0"
    assert Registry(folder).get("shop").version == "2"


_WRITER = """
import sys
from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import Registry
for number in range(15):
    name, folder = sys.argv[1], sys.argv[2]
    try:
        Registry(folder).get("shop").add_version(f"2.{number}.{name}", {"title": "css:h1"}, "")
    except SelectorError as error:
        assert "choose a later one" in str(error), error
    Registry(folder).get("shop").rollback("1.0.0")
"""


def test_two_processes(add, folder):
    """Two processes that add and roll back at a time leave a set that can be read."""
    add()
    command = [sys.executable, "-c", _WRITER]
    writers = [subprocess.Popen([*command, name, str(folder)]) for name in ("1", "2")]

    assert [each.wait(60) for each in writers] == [0, 0]
    assert Registry(folder).get("shop").version == "1.0.0"
    assert len(Registry(folder).get("shop").versions) >= 15
