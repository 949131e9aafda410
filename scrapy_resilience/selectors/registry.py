"""The selector sets of this process, by name.

``registry.get("ecommerce_product").extract(response)`` in any callback. Sets come from
:func:`register`, from the folder of ``RESILIENCE_SELECTORS_DIR`` and from this package; new
versions of the last two go to the folder.
"""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from scrapy_resilience.exceptions import SelectorError
from scrapy_resilience.selectors import files
from scrapy_resilience.selectors.folder import follow_folder
from scrapy_resilience.selectors.sets import SelectorSet, check_regressions
from scrapy_resilience.selectors.version import Version, check_name, make_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BUILTIN", "Registry", "get", "match", "names", "register", "use"]

BUILTIN: Final = Path(__file__).parent / "builtin"


class Registry:
    """Sets by name: registered ones, those of *folder*, and the built-in ones.

    A set is read when it is first asked for, and checked against its hashes. With *folder*
    None all new versions stay in memory.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = Path(folder) if folder else None
        self._sets: dict[str, SelectorSet] = {}
        self._registered: set[str] = set()
        self._matched: set[str] | None = None
        self._read: dict[Path, Version] = {}
        self._reading: list[str] = []
        self._lock = RLock()
        """Held while sets are read: callbacks may work in threads."""

    @property
    def folder(self) -> Path | None:
        return self._folder

    def use(self, folder: Path | str | None) -> None:
        """Read sets from another folder; registered ones stay."""
        chosen = Path(folder) if folder else None
        if chosen != self._folder:
            self._folder = chosen
            self._sets = {name: self._sets[name] for name in self._registered}
            self._read.clear()
            self._matched = None

    def names(self) -> list[str]:
        """All sets that :meth:`get` finds."""
        return sorted(self._stored() | self._registered)

    def get(self, name: str) -> SelectorSet:
        """A set with its active version. Raises :exc:`SelectorError`."""
        if name not in self._sets:
            with self._lock:
                if name not in self._sets:
                    self._sets[name] = self._load(check_name(name))
        return self._sets[name]

    def match(self, url: str) -> SelectorSet | None:
        """The first set, by name, whose active version has a pattern for this URL.

        The folders are looked through once, and not for each page.
        """
        if self._matched is None:
            self._matched = self._stored()
        names = sorted(self._matched | self._registered)
        return next((each for each in map(self.get, names) if each.matches(url)), None)

    def register(
        self,
        name: str,
        selectors: Mapping[str, Any],
        *,
        version: str = "1.0.0",
        changelog: str = "",
        urls: Sequence[str] = (),
        extends: str = "",
        fixtures: Path | str | None = None,
    ) -> SelectorSet:
        """Make a set from code; it lives in memory.

        *selectors* as in :func:`~scrapy_resilience.selectors.version.make_version`; *fixtures*
        is a folder with a folder ``fixtures``. The same set may be registered again, and
        another one under a name that is taken is refused.
        """
        parent = self.version(extends) if extends else None
        made = make_version(name, version, selectors, changelog, urls=urls, parent=parent)
        if name in self._registered:
            known = self._sets[name].versions.get(version)
            if known is not None and known.hash == made.hash:
                return self._sets[name]
        if name in self.names():
            raise SelectorError(
                f"there is another set named {name}: choose another name, or add a "
                "version to it"
            )
        folders = [Path(fixtures)] if fixtures else []
        self._registered.add(name)
        self._sets[name] = SelectorSet(name, [made], fixtures=folders, parent=self.version)
        return self._sets[name]

    def add_file(self, path: Path, *, force: bool = False) -> SelectorSet:
        """Add a version that was written by hand, to a set that is there or a new one."""
        made = files.read_draft(path, self.version)
        if made.name in self.names():
            self.get(made.name).add(made, force=force)
        else:
            if self._folder is None:
                raise SelectorError("set RESILIENCE_SELECTORS_DIR: a new version goes there")
            check_regressions(None, made, [self._folder / made.name], force=force)
            files.write_version(self._folder / made.name, made)
            self._matched = None
        return self.get(made.name)

    def version(self, extends: str) -> Version:
        """The version that ``set@version`` names. Raises :exc:`SelectorError`."""
        name, at, version = extends.partition("@")
        if not at:
            raise SelectorError(
                f"extends must name a set and a version, as shop@1.0.0: {extends!r}"
            )
        check_name(name)
        if name in self._registered and version in self._sets[name].versions:
            return self._sets[name].versions[version]
        for folder in reversed(self._folders()):  # the project's own version, as in a set
            if version in files.version_names(folder / name):
                return self._read_version(folder / name, version)
        raise SelectorError(f"there is no set {name} with a version {version!r}")

    def _stored(self) -> set[str]:
        return {name for folder in self._folders() for name in files.set_names(folder)}

    def _folders(self) -> list[Path]:
        return [BUILTIN, *([self._folder] if self._folder else [])]

    def _load(self, name: str) -> SelectorSet:
        folders = [folder / name for folder in self._folders()]
        own = self._folder / name if self._folder else None
        # Read first: what another process chooses later may not be among the versions yet.
        active = files.read_active(own) if own else None
        versions = {
            version: self._read_version(folder, version)
            for folder in folders
            for version in files.version_names(folder)
        }
        if not versions:
            raise SelectorError(
                f"there is no selector set {name!r}, but {', '.join(self.names())}; "
                f"RESILIENCE_SELECTORS_DIR is {str(self._folder or '')!r}"
            )
        if own is not None and active is not None:
            files.check_active(own, active, versions)
        return SelectorSet(
            name,
            list(versions.values()),
            active=active,
            folder=own,
            fixtures=folders,
            parent=self.version,
        )

    def _read_version(self, folder: Path, version: str) -> Version:
        path = folder / f"{version}.toml"
        with self._lock:
            if path not in self._read:
                self._read[path] = self._read_file(path, f"{folder.name}@{version}")
            return self._read[path]

    def _read_file(self, path: Path, ident: str) -> Version:
        if ident in self._reading:
            circle = " -> ".join((*self._reading, ident))
            raise SelectorError(f"selector sets extend each other in a circle: {circle}")
        self._reading.append(ident)
        try:
            return files.read_version(path, self.version)
        finally:
            self._reading.pop()


_default: Final = Registry()
follow_folder(_default.use)

get = _default.get
match = _default.match
names = _default.names
register = _default.register
use = _default.use
