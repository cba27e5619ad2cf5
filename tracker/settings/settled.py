"""Settings read again while people may be writing them: never half a file.

Rules
1. Half a file may well be right YAML. So nothing is read that was touched a moment ago, and what was read counts only
   if nothing was touched meanwhile.
2. What a table includes is known only once it has been read. So all YAML files beside the named ones are watched.
3. Files that do not come to rest are refused, like any other mistake.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tracker.settings.model import Settings
from tracker.settings.problems import Problem, SettingsError

REST_S = 0.1
"""A file that nobody has touched for so long is taken as complete."""
PATIENCE_S = 1.5
"""How long files may go on changing before they are refused."""
_WATCHED = 256
"""Most files watched in one folder."""

_Seen = dict[str, tuple[int, int, int]]
"""Inode, size and time of the last write (ns) by path."""


def read(load: Callable[[], Settings], named: Iterable[Path]) -> Settings:
    """What ``load`` returns, read while its files are at rest. ``named`` are the files that the person named.

    Raises what ``load`` raises, and ``SettingsError``.
    """
    folders = {path.parent: None for path in named}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        before = _look(folders)
        fresh = _fresh(before)
        if not fresh:
            refused: SettingsError | None = None
            settings: Settings | None = None
            try:
                settings = load()
            except SettingsError as error:
                refused = error
            after = _look(folders)
            if after == before and settings is not None:
                return settings
            if after == before and refused is not None:
                raise refused
            fresh = next((path for path in {**before, **after} if before.get(path) != after.get(path)), "")
        if time.monotonic() >= deadline:
            hint = "write a new file beside it and rename it, or reload when it is complete"
            raise SettingsError([Problem(fresh, 0, 0, "", "is being changed all the time", hint)])
        time.sleep(0.02)


def _look(folders: Iterable[Path]) -> _Seen:
    seen: _Seen = {}
    for folder in folders:
        names = [each for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml") for each in folder.glob(pattern)]
        for path in sorted(names)[:_WATCHED]:
            try:
                state = os.stat(path)
            except OSError:
                continue
            seen[str(path)] = state.st_ino, state.st_size, state.st_mtime_ns
    return seen


def _fresh(seen: _Seen) -> str:
    """A file that was touched a moment ago; empty if there is none. (A time far in the future is no moment ago.)"""
    now_ns = time.time_ns()
    return next((path for path, (_, _, written_ns) in seen.items() if abs(now_ns - written_ns) < REST_S * 1e9), "")
