"""The tracker itself: `tracker capture` and `tracker serve` with one worker, by each door; default settings else."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path

import tracker
from bench.peers.contender import Contender

DOORS = ("fast", "portable")


def default_door() -> str:
    """``TRACKER_DOOR``, or the default of the settings."""
    from tracker.settings.model import Tracker

    return os.environ.get("TRACKER_DOOR") or Tracker().door


def _command(verb: str, folder: Path, port: int) -> list[str]:
    quiet = ["--no-tail"] if verb == "serve" else []
    given = ["--bind", f"127.0.0.1:{port}", "--data-dir", str(folder / "var")]
    return [sys.executable, "-m", "tracker", verb, *given, *quiet]


def interpreter() -> str:
    """Which Python, and whether it was configured to be optimised, which is worth a tenth or more.

    (Not all optimised ones say so: Debian's does not.)
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimised = " --enable-optimizations" if "--enable-optimizations" in arguments else ""
    return f"{platform.python_implementation()} {platform.python_version()}{optimised}"


def _missing(door: str) -> str:
    if door not in DOORS:
        return f"there is no door `{door}`: TRACKER_DOOR is one of {', '.join(DOORS)}"
    if door == "fast" and importlib.util.find_spec("tracker.capture.worker") is None:
        return "this checkout has no fast door (tracker/capture/worker.py)"
    return ""


def ours(verb: str = "capture", door: str = "", suffix: str = "") -> Contender:
    """The tracker by one of its commands and doors; ``suffix`` tells two of the same apart."""
    door = door or default_door()
    delivery = ", delivery on the same core" if verb == "serve" else ""
    return Contender(
        name=f"tracker-{door}" + ("-serve" if verb == "serve" else "") + suffix,
        stack=f"{interpreter()}, {door} door{delivery}",
        command=lambda folder, port: _command(verb, folder, port),
        events=lambda folder: sorted((folder / "var" / "journal" / "streams").glob("*/*.ndjson")),
        missing=lambda: _missing(door),
        version=lambda: f"tracker {tracker.__version__}",
        ready="/-/readyz",
        environ={"TRACKER_WORKERS": "1", "TRACKER_DOOR": door},
        routes=("impression", "click"),
    )
