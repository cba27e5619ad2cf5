"""The demo while workers die: hits without an answer are said, and every receipt is in the journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def test_killed_workers_lose_no_receipt(serve: Callable[..., Any]) -> None:
    """kill -9, three times within the run: 1 if a hit had no answer, and the check finds everything that had one."""
    tracker = serve("--workers", "2")
    command = [sys.executable, "-m", "tracker", "demo", tracker.base, "--json", "--for", "6s", "--rate", "200", "--seed", "5"]
    process = subprocess.Popen([*command, "--data-dir", str(tracker.data_dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for _ in range(3):
        time.sleep(1.5)
        os.kill(tracker.children()["worker"][0], signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    summary = json.loads(out)
    assert summary["check"]["counts"] == {}, summary["check"]["differences"]
    assert summary["check"]["events"] >= summary["receipts"] > 600
    assert process.returncode == (1 if summary["no_answer"] else 0), summary["problems"]
