"""Nothing starts at import: no thread, no process, no open file or socket, no signal handler, no log handler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Runs in a process of its own, in an empty folder, and reports what each module left behind.
WATCH = """
import importlib, json, logging, os, signal, sys, threading

def state():
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(filter(None, map(target, os.listdir("/proc/self/fd")))),
        "children": children(),
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "log handlers": [str(handler) for handler in logging.getLogger().handlers + logging.getLogger("tracker").handlers],
        "folder": sorted(os.listdir(".")),
    }

def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as listing:
        return listing.read().split()

def target(fd):
    try:
        return fd + " -> " + os.readlink("/proc/self/fd/" + fd)
    except FileNotFoundError:
        return None  # the listing's own descriptor

left = {}
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
    after = state()
    changed = {what: after[what] for what in after if after[what] != before[what]}
    if changed:
        left[name] = changed
    before = after
print(json.dumps(left))
"""


def modules() -> list[str]:
    """Every module but the one that runs the commands when it is run."""
    found = []
    for path in sorted((ROOT / "tracker").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "config" in parts or parts[-1] == "__main__":
            continue
        found.append(".".join(part for part in parts if part != "__init__"))
    return found


def test_nothing_starts_at_import(tmp_path: Path) -> None:
    """Each module, imported in a fresh interpreter, leaves everything as it was."""
    names = modules()
    assert "tracker.event" in names
    run = subprocess.run(
        [sys.executable, "-c", WATCH, *names], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {}


def test_the_watch_sees_what_a_module_starts(tmp_path: Path) -> None:
    """The test above is not blind: a module with a thread, a socket and a handler is caught with all three."""
    (tmp_path / "busy.py").write_text(
        "import signal, socket, threading\n"
        "listener = socket.socket()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True, name='idle').start()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", WATCH, "busy"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert {"threads", "files", "signals"} <= set(json.loads(run.stdout)["busy"])
