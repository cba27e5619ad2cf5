"""A routing table over all its files: ``routes.yaml`` and what it includes, as one.

Rules
1. An included file is a whole table. Its ``defaults`` hold for its own routes; field sets are seen by the routes of all
   files; so no two files may give one name to a route or to a field set.
2. A path is relative to the file it stands in. Where there is no such file, ``presets/NAME.yaml`` is the built-in one.
3. A file counts once, however many others include it; a file that includes itself, by whatever way, is a mistake.
4. At most 64 files, 2 MiB and 200,000 keys and values in all: a table is checked within a second or two.
5. A fault is told where it is written: in the file that has the route, and at ``defaults`` if the route says nothing.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from tracker.settings.file import BUILT_IN, File, Unopened, read
from tracker.settings.filled import SHARED, fill_all
from tracker.settings.model import FieldSet, Route, Routes
from tracker.settings.problems import Fault, Findings, Problem, nearest, quoted
from tracker.settings.source import MAX_VALUES

MAX_FILES = 64
MAX_BYTES = 2 * 1_048_576

_NAMED: Final[tuple[Literal["field_sets", "routes"], ...]] = ("field_sets", "routes")


class Tables:
    """The files of one table, the main one first."""

    def __init__(self, main: File, environ: Mapping[str, str]) -> None:
        self.files = [main]
        self.more = False
        self._environ = environ
        self._bytes = main.size
        self._read: dict[str, File] = {os.path.realpath(main.path): main}
        self._inner_first: list[File] = []
        self._owners: dict[str, dict[str, File]] = {kind: {} for kind in _NAMED}
        self._follow(main, (main,))

    @property
    def problems(self) -> list[Problem]:
        """Everything wrong so far, file by file."""
        return [problem for file in self.files for problem in file.problems]

    def settings(self) -> Routes | None:
        """The table, each route with its own file's defaults filled in, or None; then ``problems`` says why."""
        found: dict[File, Routes] = {}
        for file in self.files:
            if len(self.problems) >= Findings.LIMIT:
                self.more = True
                break
            table = file.settings(Routes, None)
            if table is not None:
                found[file] = fill_all(table)
        self._compare_names()
        self.more = self.more or any(file.more for file in self.files)
        if self.problems or len(found) < len(self.files):
            return None
        field_sets: dict[str, FieldSet] = {}
        routes: dict[str, Route] = {}
        for file in self._inner_first:
            field_sets |= found[file].field_sets
            routes |= found[file].routes
        return msgspec.structs.replace(found[self.files[0]], include=(), field_sets=field_sets, routes=routes)

    def place(self, fault: Fault) -> Problem:
        """A fault of the whole table with its place in one of the files."""
        file, path = self.files[0], fault.path
        if len(path) > 1 and path[0] in _NAMED:
            file = self._owners[path[0]].get(str(path[1]), file)
        if len(path) > 2 and path[0] == "routes" and path[2] in SHARED:
            name, setting = str(path[1]), str(path[2])
            if not file.has("routes", name, setting) and file.has("defaults", setting):
                path = ("defaults", *path[2:])
        return file.place(fault._replace(path=path))

    def _follow(self, file: File, chain: tuple[File, ...]) -> None:
        """Read what ``file`` includes. ``chain``: the files that led here, this one last."""
        listed: set[File] = set()
        for index, text in enumerate(file.texts("include")):
            if len(self.problems) >= Findings.LIMIT:
                self.more = True
                break
            found = self._find(file, index, text)
            if found is None:
                continue
            if found in listed:
                file.add(("include", index), f"{quoted(text)} a second time")
            elif found in chain:
                way = " > ".join(each.name for each in (*chain[chain.index(found) :], found))
                file.add(("include", index), f"includes itself: {way}")
            elif found not in self.files:
                self.files.append(found)
                self._follow(found, (*chain, found))
            listed.add(found)
        self._inner_first.append(file)

    def _find(self, by: File, index: int, text: str) -> File | None:
        """The file that ``text`` names; None if it cannot be had, which has been said then."""
        path = by.path.parent / text
        built_in = BUILT_IN / posixpath.normpath(text)
        if not os.path.lexists(path) and built_in.is_relative_to(BUILT_IN / "presets") and built_in.is_file():
            path = built_in
        real = os.path.realpath(path)
        if real in self._read:
            return self._read[real]
        if len(self._read) >= MAX_FILES:
            by.add(("include", index), f"more than {MAX_FILES} files in one table")
            return None
        try:
            raw = read(path)
        except Unopened as error:
            by.add(("include", index), f"{quoted(text)}: {error}", _hint(text, path))
            return None
        self._bytes += len(raw)
        if self._bytes > MAX_BYTES:
            by.add(("include", index), f"more than {MAX_BYTES} bytes in all files of the table")
            return None
        name = f"built-in {path.relative_to(BUILT_IN)}" if path.is_relative_to(BUILT_IN) else str(path)
        left = MAX_VALUES - sum(each.values for each in self._read.values())
        self._read[real] = File(path, name, raw, self._environ, left)
        return self._read[real]

    def _compare_names(self) -> None:
        for kind in _NAMED:
            owners = self._owners[kind]
            for file in self._inner_first:
                for name in file.keys(kind):
                    if name in owners:
                        first = owners[name]
                        there = f"the first is in {first.name}:{first.mark((kind, name)).line}"
                        file.add((kind, name), f"{quoted(name)} a second time", f"{there}: names must differ")
                    owners.setdefault(name, file)


def _hint(text: str, path: Path) -> str:
    known = sorted(f"presets/{each.name}" for each in (BUILT_IN / "presets").glob("*.yaml"))
    near = nearest(text, known)
    if near and near != text:
        return f"did you mean `{near}`, which is built in?"
    built_in = f"; built in are {', '.join(known)}" if known else ""
    return f"it is looked for as {path}{built_in}"
