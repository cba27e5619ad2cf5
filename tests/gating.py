"""`tracker bench gate` as a process, for the tests of several folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PIXELS = "version: 1\nrequests:\n  pixel: {path: '/imp/c1/cr1.gif?cb={unique}'}\n"
"""A mix of pixels alone."""


def gate(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`tracker bench gate` in a folder of its own; short and slow unless said otherwise."""
    settings = {"TRACKER_WORKERS": "1", "TRACKER_RING_BYTES_PER_WORKER": "4194304", **environ}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    given = ["--generator", "tracker", "--rps", "200", "--duration", "2", "--warm-up", "1", "--mean-ms", "500", *arguments]
    return subprocess.run(
        [sys.executable, "-m", "tracker", "bench", "gate", *given], cwd=folder, env=inherited | settings,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
