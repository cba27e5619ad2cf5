"""Captures: what `tracker explain` and `tracker routes` show on a terminal, as it stands in the documents.

``python docs/captures.py`` writes the captures anew; tests/docs is red while one of them is not what the command shows.

Rules
1. A capture is a ``text`` block that begins with ``$ tracker``: that line is the command, the rest its output.
2. The command runs whole, on a terminal of ``WIDTH`` columns without colours, with the built-in settings. Only the
   clock and the ids stand still, or no two captures would be alike.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path
from unittest import mock

from click.testing import CliRunner
from rich.console import Console

from tracker import cli, cli_explain
from tracker.capture import identity

PAGES = (Path(__file__).parent / "howto" / "explain.md",)
WIDTH = 100
NOW_MS = 1_795_212_425_000
ID = "01a1fb11-f386-7000-ab68-c36f9719a68a"
_CAPTURE = re.compile(r"^```text\n\$ (tracker (?:explain|routes)\b.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)


def captures(page: str) -> list[tuple[str, str]]:
    """Command and output of each capture in a page."""
    return [(found[1], found[2]) for found in _CAPTURE.finditer(page)]


def capture(command: str) -> str:
    """What the command shows."""
    fixed = mock.patch.object(identity, "FreshIds", _StillIds)
    clock = mock.patch.object(time, "time_ns", lambda: NOW_MS * 1_000_000)
    screen = mock.patch.object(cli_explain, "console", _screen)
    others = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    with fixed, clock, screen, mock.patch.dict(os.environ, others, clear=True):
        arguments = shlex.split(command)[1:]
        result = CliRunner().invoke(cli.main, arguments, prog_name="tracker", catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def renewed(page: str) -> str:
    """The page with each capture as the command shows it now."""
    return _CAPTURE.sub(lambda found: f"```text\n$ {found[1]}\n{capture(found[1])}```", page)


class _StillIds(identity.FreshIds):
    def __call__(self, received_ms: int) -> str:
        return ID if received_ms else ""


def _screen(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, width=WIDTH, force_terminal=True, color_system=None, markup=False, highlight=False)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")
