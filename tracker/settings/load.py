"""Loading: the built-in files or the named ones, then the environment, then flags; later wins.

Rules
1. Everything wrong is found before anything is told, and nothing is used unless all of it is right.
2. Each file is read once, whole: what was checked is what is used, and child processes get it by ``dump``.
3. ``load`` raises ``SettingsError`` for whatever people wrote, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tracker.settings import checks as own
from tracker.settings import problems, source, tree
from tracker.settings.decode import decode, decode_at
from tracker.settings.model import Routes, Settings, Tracker
from tracker.settings.problems import Enough, Fault, File, Findings, Problem, SettingsError, dotted, nearest, suggestion
from tracker.settings.variables import CONFIG, PREFIX, ROUTES, flag, given, variables

__all__ = ["Check", "dump", "load", "restore", "variables"]

Check = Callable[[Tracker, Routes], Iterable[Fault]]
"""A semantic check: sees settings whose structure is right, and yields a ``Fault`` for each thing without sense."""

T = TypeVar("T", Tracker, Routes)


def load(
    config: Path | None,
    routes: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    checks: Sequence[Check],
) -> Settings:
    """The settings, checked.

    ``config`` and ``routes`` name the files; without them ``TRACKER_CONFIG`` and ``TRACKER_ROUTES`` do; without those
    the built-in files are taken. ``flags`` maps a setting's dotted name to its value; None stands for not given.

    Raises ``SettingsError`` with all problems, in the order of the files.
    """
    files = (_File("tracker", config, environ, CONFIG), _File("routes", routes, environ, ROUTES))
    overrides = _Overrides(environ, flags)
    tracker = files[0].settings(Tracker, overrides)
    table = files[1].settings(Routes, None)
    more = any(file.more for file in files)
    found = [*files[0].problems, *files[1].problems, *overrides.problems]
    if found or tracker is None or table is None:
        raise SettingsError(found, more=more)
    for check in (own.check, *checks):
        for fault in check(tracker, table):
            file = files[1] if fault.file == "routes" else files[0]
            found += [overrides.place(fault) or file.place(fault)]
    if found:
        order = {name: rank for rank, name in enumerate((files[0].name, files[1].name, "environment", "flag"))}
        raise SettingsError(sorted(found, key=lambda each: (order[each.file], each.line, each.column)))
    return Settings(tracker=tracker, routes=table, version=_version(tracker, table))


def dump(settings: Settings) -> bytes:
    """The settings as JSON, for a process that is started with what was checked."""
    return msgspec.json.encode(settings)


def restore(raw: bytes) -> Settings:
    """What ``dump`` was given. Raises ``ValueError`` for anything that is not a dump."""
    try:
        return msgspec.json.decode(raw, type=Settings)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not a dump of settings: {error}") from error


def _version(tracker: Tracker, routes: Routes) -> str:
    canonical = msgspec.json.encode([tracker, routes], order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:12]


class _File:
    """One of the two files: read, decoded, and asked for places."""

    def __init__(self, which: File, path: Path | None, environ: Mapping[str, str], variable: str) -> None:
        self.which = which
        self.problems: list[Problem] = []
        self.more = False
        self._root: tree.Dictionary | None = None
        self._lines: list[str] = []
        named_by = ""
        if path is None and environ.get(variable):
            path, named_by = Path(environ[variable]), f"named by {variable}"
        self.name = str(path) if path is not None else f"built-in {which}.yaml"
        raw = self._read(path, named_by)
        if raw is not None:
            findings = Findings()
            self._root, self._lines = source.parse(raw, environ, findings)
            self._take(findings)

    def settings(self, model: type[T], overrides: _Overrides | None) -> T | None:
        """The file with its overrides as the model has it, or None; then ``problems`` says why."""
        if self._root is None:
            return None
        findings = Findings()
        try:
            plain = decode(model, self._root, findings)
        except Enough:
            plain = None
        self._take(findings)
        if self.problems or (overrides is not None and overrides.problems):
            return None
        for path, value in overrides.values.items() if overrides is not None else ():
            _put(plain, path, value)
        try:
            return msgspec.convert(plain, model)
        except msgspec.ValidationError as error:  # our mistake: the walk took what the model does not. No traceback.
            self.problems.append(Problem(self.name, 0, 0, "", str(error)))
            return None

    def place(self, fault: Fault) -> Problem:
        """A fault of this file with its place."""
        assert self._root is not None
        return self._problem(tree.locate(self._root, fault.path), fault.path, fault.message, fault.hint)

    def _take(self, findings: Findings) -> None:
        self.problems += [self._problem(*found) for found in findings.found]
        self.problems.sort(key=lambda each: (each.line, each.column))
        self.more = self.more or len(findings.found) >= Findings.LIMIT

    def _problem(self, mark: problems.Mark | None, path: problems.Path, message: str, hint: str) -> Problem:
        line, column = mark or (0, 0)
        excerpt = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return Problem(self.name, line, column, dotted(path), message, hint, excerpt)

    def _read(self, path: Path | None, named_by: str) -> bytes | None:
        if path is None:
            return (resources.files("tracker") / "config" / f"{self.which}.yaml").read_bytes()
        try:
            with path.open("rb") as file:
                return file.read(source.MAX_BYTES + 1)
        except FileNotFoundError:
            message = "no such file"
        except IsADirectoryError:
            message = "a folder, not a file"
        except OSError as error:
            message = f"cannot be read: {os.strerror(error.errno) if error.errno else error}"
        except ValueError:  # a NUL in the path
            message = "not a path"
        self.problems.append(Problem(self.name, 0, 0, "", message, named_by))
        return None


class _Overrides:
    """What the environment and the flags say: values by path, and who said so."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, object]) -> None:
        self.values: dict[problems.Path, Any] = {}
        self.problems: list[Problem] = []
        self._origins: dict[problems.Path, tuple[str, str]] = {}
        known = variables()
        for name, text in given(environ):
            if name in known:
                self._set(known[name], _written(text), "environment", name)
            else:
                # Without the prefix, which would make any two of them look alike.
                near = nearest(name.removeprefix(PREFIX), (each.removeprefix(PREFIX) for each in known))
                hint = f"a variable is {PREFIX} and a setting's path: {PREFIX}JOURNAL_MAX_BYTES"
                if near:
                    hint = f"did you mean `{PREFIX}{near}`?"
                self.problems.append(Problem("environment", 0, 0, dotted((name,)), "unknown variable", hint))
        paths = dict.fromkeys(known.values())
        for name, value in flags.items():
            path = tuple(name.split("."))
            if value is None:
                continue
            if path in paths:
                node = _written(value) if isinstance(value, str) else tree.node_of(value)
                self._set(path, node, "flag", flag(path))
            else:
                hint = suggestion(flag(path), map(flag, paths))
                self.problems.append(Problem("flag", 0, 0, flag(path), "unknown setting", hint))

    def place(self, fault: Fault) -> Problem | None:
        """A fault of a value that was set here; None if it was not."""
        for length in range(len(fault.path), 0, -1):
            if fault.file == "tracker" and fault.path[:length] in self._origins:
                kind, name = self._origins[fault.path[:length]]
                return Problem(kind, 0, 0, name, fault.message, fault.hint)
        return None

    def _set(self, path: problems.Path, node: tree.Node, kind: str, name: str) -> None:
        findings = Findings()
        try:
            self.values[path] = decode_at(Tracker, path, node, findings)
        except Enough:
            pass
        self._origins[path] = (kind, name)
        self.problems += [Problem(kind, 0, 0, name, found.message, found.hint) for found in findings.found]


def _written(text: str) -> tree.Scalar:
    """Text that is to be read as whatever its setting is."""
    return tree.Scalar(None, text, "str", text, typed=False)


def _put(plain: dict[str, Any], path: problems.Path, value: Any) -> None:
    for step in path[:-1]:
        plain = plain.setdefault(str(step), {})
    plain[str(path[-1])] = value
