"""Loading: the built-in files or the named ones, then the environment, then flags; later wins.

Rules
1. Everything wrong is found before anything is told, and nothing is used unless all of it is right.
2. Each file is read once, whole: what was checked is what is used, and child processes get it by ``dump``.
3. ``load`` raises ``SettingsError`` for whatever people wrote, and nothing else.
4. What is doubtful refuses nothing: it is told in ``Settings.warnings``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tracker.settings import checks as own
from tracker.settings import doubts
from tracker.settings.file import BUILT_IN, File, Unopened, read
from tracker.settings.included import Tables
from tracker.settings.model import Routes, Settings, Tracker
from tracker.settings.overrides import Overrides
from tracker.settings.problems import Fault, Findings, Problem, SettingsError
from tracker.settings.problems import File as Which
from tracker.settings.variables import CONFIG, ROUTES, variables

__all__ = ["Check", "Examined", "dump", "examine", "load", "restore", "variables"]

Check = Callable[[Tracker, Routes], Iterable[Fault]]
"""A semantic check: sees settings whose structure is right, and yields a ``Fault`` for each thing without sense."""


class Examined(NamedTuple):
    """What there is to say about settings."""

    settings: Settings | None
    """None if there is an error among the problems."""
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of the files."""
    more: bool = False
    """The search was given up: there may be more problems."""

    def or_refused(self) -> Settings:
        """The settings. Raises ``SettingsError`` with the errors."""
        if self.settings is None:
            raise SettingsError([each for each in self.problems if each.severity == "error"], more=self.more)
        return self.settings


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
    return examine(config, routes, environ, flags, checks).or_refused()


def examine(
    config: Path | None,
    routes: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    checks: Sequence[Check],
) -> Examined:
    """The same, for who wants warnings and errors as they are."""
    overrides = Overrides(environ, flags)
    found: list[Problem] = []
    file = _open("tracker", config, environ, CONFIG, found)
    tracker = None
    if file is not None:
        tracker = file.settings(Tracker, overrides)
        found += file.problems
    main = _open("routes", routes, environ, ROUTES, found)
    tables = Tables(main, environ) if main is not None else None
    table = None
    if tables is not None:
        table = tables.settings()
        found += tables.problems
    found += overrides.problems
    more = (file is not None and file.more) or (tables is not None and tables.more)
    if found or file is None or tables is None or tracker is None or table is None:
        return Examined(None, tuple(found), more)

    def placed(check: Check) -> Iterable[Problem]:
        for fault in check(tracker, table):
            yield tables.place(fault) if fault.file == "routes" else overrides.place(fault) or file.place(fault)

    found = [problem for check in (own.check, *checks) for problem in placed(check)]
    right = all(each.severity == "warning" for each in found)
    if right:
        found += placed(doubts.check)
    names = [file.name, *(each.name for each in tables.files), "environment", "flag"]
    rank = {name: place for place, name in reversed(list(enumerate(names)))}
    found = sorted(dict.fromkeys(found), key=lambda each: (rank[each.file], each.line, each.column))
    if not right:
        return Examined(None, tuple(found))
    found = found[: Findings.LIMIT]
    version, warnings = _version(tracker, table), tuple(map(str, found))
    return Examined(Settings(tracker=tracker, routes=table, version=version, warnings=warnings), tuple(found))


def dump(settings: Settings) -> bytes:
    """The settings as JSON, for a process that is started with what was checked. It holds the secrets."""
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


def _open(
    which: Which, path: Path | None, environ: Mapping[str, str], variable: str, found: list[Problem]
) -> File | None:
    """One of the two files, or None; then the problem has been added to ``found``."""
    named_by = ""
    if path is None and environ.get(variable):
        path, named_by = Path(environ[variable]), f"named by {variable}"
    name = str(path) if path is not None else f"built-in {which}.yaml"
    path = path or BUILT_IN / f"{which}.yaml"
    try:
        return File(path, name, read(path), environ)
    except Unopened as error:
        found.append(Problem(name, 0, 0, "", str(error), named_by))
        return None
