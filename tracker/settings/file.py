"""One settings file: read once, decoded, and asked where something stands.

Rules
1. Whatever is wrong is kept in ``problems``, with its place; nothing raises.
2. A problem shows the file's line with its secrets masked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from tracker.settings import problems, source, tree
from tracker.settings.decode import decode, decode_at
from tracker.settings.masked import above, masked
from tracker.settings.model import Routes, Tracker
from tracker.settings.overrides import Overrides
from tracker.settings.problems import Enough, Fault, Findings, Problem, Severity, dotted

BUILT_IN = Path(__file__).parents[1] / "config"
"""The files that come with the tracker: ``tracker.yaml``, ``routes.yaml``, ``presets/``."""

T = TypeVar("T", Tracker, Routes)


class Unopened(Exception):
    """A file cannot be read. ``str()`` says why."""


class File:
    """A file's tree and what is wrong with it."""

    def __init__(
        self, path: Path, name: str, raw: bytes, environ: Mapping[str, str], max_values: int = source.MAX_VALUES
    ) -> None:
        """``name``: as the person knows it; ``raw``: its bytes; ``max_values``: how many are left for it."""
        self.path = path
        self.name = name
        self.size = len(raw)
        self.problems: list[Problem] = []
        self.more = False
        """The search was given up: there may be more problems."""
        findings = Findings()
        self._root, self._lines, self.values = source.parse(raw, environ, findings, max_values)
        self._take(findings)

    def settings(self, model: type[T], overrides: Overrides | None) -> T | None:
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
        if overrides is not None:
            overrides.put_into(plain)
        try:
            return msgspec.convert(plain, model)
        except msgspec.ValidationError as error:  # our mistake: the walk took what the model does not. No traceback.
            self.problems.append(Problem(self.name, 0, 0, "", str(error)))
            return None

    def texts(self, name: str) -> list[str]:
        """The list of texts under a key of a routing table's root; empty if it is none (``settings`` says so)."""
        entry = self._root.entries.get(name) if self._root is not None else None
        if entry is None:
            return []
        findings = Findings()
        try:
            found = decode_at(Routes, (name,), entry.node, findings)
        except Enough:
            return []
        return found if isinstance(found, list) and not findings.found else []

    def keys(self, name: str) -> list[str]:
        """The keys of the mapping under a key of the root."""
        entry = self._root.entries.get(name) if self._root is not None else None
        return list(entry.node.entries) if entry is not None and isinstance(entry.node, tree.Dictionary) else []

    def has(self, *path: str) -> bool:
        """Whether something is written at the path."""
        node: tree.Node | None = self._root
        for step in path:
            entry = node.entries.get(step) if isinstance(node, tree.Dictionary) else None
            if entry is None:
                return False
            node = entry.node
        return True

    def mark(self, path: problems.Path) -> problems.Mark:
        """Where the value at ``path`` stands, or its nearest parent."""
        return tree.locate(self._root, path) if self._root is not None else problems.Mark(1, 1)

    def place(self, fault: Fault) -> Problem:
        """A fault of this file with its place."""
        return self._problem(self.mark(fault.path), fault.path, fault.message, fault.hint, fault.severity)

    def add(self, path: problems.Path, message: str, hint: str = "") -> None:
        """A mistake that is seen from outside of the file, such as a name that another file has taken."""
        self.problems.append(self._problem(self.mark(path), path, message, hint))
        self._sort()

    def _take(self, findings: Findings) -> None:
        self.problems += [self._problem(*found) for found in findings.found]
        self._sort()
        self.more = self.more or len(findings.found) >= Findings.LIMIT

    def _sort(self) -> None:
        self.problems.sort(key=lambda each: (each.line, each.column))

    def _problem(
        self, mark: problems.Mark | None, path: problems.Path, message: str, hint: str, severity: Severity = "error"
    ) -> Problem:
        line, column = mark or (0, 0)
        path = above(path)
        excerpt = self._shown[line - 1] if 0 < line <= len(self._lines) else ""
        return Problem(self.name, line, column, dotted(path), message, hint, excerpt, severity)

    @cached_property
    def _shown(self) -> list[str]:
        return masked(self._lines, [field.encode_name for field in msgspec.structs.fields(Tracker)])


def read(path: Path) -> bytes:
    """The file's bytes, one more than is allowed at most. Raises ``Unopened``."""
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
    raise Unopened(message)
