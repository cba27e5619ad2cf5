"""What the environment and the flags say: values by path, and who said so; they win over ``tracker.yaml``.

Rules
1. A value is read as whatever its setting is, and checked like one in the file.
2. A fault of a value that was set here is told here: ``environment: TRACKER_BIND``, ``flag: --bind``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.settings import problems, tree
from tracker.settings.decode import decode_at
from tracker.settings.model import Tracker
from tracker.settings.problems import Enough, Fault, Findings, Problem, dotted, nearest, suggestion
from tracker.settings.variables import PREFIX, flag, given, variables


class Overrides:
    """The values of one environment and one command line."""

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

    def put_into(self, plain: dict[str, Any]) -> None:
        """Overwrite what the file says."""
        for path, value in self.values.items():
            inner = plain
            for step in path[:-1]:
                inner = inner.setdefault(str(step), {})
            inner[str(path[-1])] = value

    def place(self, fault: Fault) -> Problem | None:
        """A fault of a value that was set here; None if it was not."""
        for length in range(len(fault.path), 0, -1):
            if fault.file == "tracker" and fault.path[:length] in self._origins:
                kind, name = self._origins[fault.path[:length]]
                return Problem(kind, 0, 0, name, fault.message, fault.hint, severity=fault.severity)
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
