"""The tracker in Go: net/http, encoding/json, a buffered file. Built by the Go that is on the PATH."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

from bench.peers.contender import Contender, first_line, needs

SOURCES = Path(__file__).parent
INSTALL = "install Go 1.24 or later (https://go.dev/dl/)"


def missing() -> str:
    """Empty, or what to install."""
    absent = needs("go", INSTALL)
    if absent:
        return absent
    found = re.search(r"go(\d+)\.(\d+)", first_line("go", "version"))
    if found is None or (int(found[1]), int(found[2])) < (1, 24):
        return f"{first_line('go', 'version')} is too old: {INSTALL}"
    return ""


@functools.cache
def _built() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """The program, built once a process (from Go's build cache mostly); it goes when the process does."""
    folder = tempfile.TemporaryDirectory(prefix="tracker-peer-go-")
    program = Path(folder.name) / "trackerpeer"
    done = subprocess.run(["go", "build", "-trimpath", "-o", str(program), "."], cwd=SOURCES, capture_output=True,
                          text=True, check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the Go peer does not build:\n{done.stderr}")
    return program, folder


def _command(folder: Path, port: int) -> list[str]:
    return [str(_built()[0]), "-listen", f"127.0.0.1:{port}", "-events", str(folder / "events.ndjson")]


GO = Contender(
    name="go",
    stack="Go net/http, encoding/json, bufio",
    command=_command,
    events=lambda folder: [folder / "events.ndjson"],
    missing=missing,
    version=lambda: first_line("go", "version").removeprefix("go version ").partition(" ")[0],
    leaves_out="up to 200 ms of answered hits are in the process only (kill -9 loses them); no robots by user agent, "
    "no client ids or times, no cap on bad events",
    environ={"GOMAXPROCS": "1"},
    routes=("impression", "click"),
)
