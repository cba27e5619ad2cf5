"""A disk that is full under a running tracker: no false yes, no dead worker, and yes again when there is space."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker.journal import verify


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """48 MiB of tmpfs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here: run as root, outside of unprivileged containers")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65_536)) == 65_536:
                pass
        except OSError:
            pass
    return path


def test_a_full_disk_is_refused_and_forgotten(serve: Callable[..., Any], small_disk: Path) -> None:
    """503 with Retry-After while it lasts, clicks still land, yes within 2 s of the space's return, nothing answered is lost."""
    tracker = serve("--data-dir", str(small_disk / "var"), TRACKER_THREADS="2")
    tracker.data_dir = small_disk / "var"
    workers = tracker.children()["worker"]
    answered = [tracker.get("/imp/c1/cr1.gif?price=1")[1]["X-Event-Id"] for _ in range(20)]
    time.sleep(0.5)
    filler = fill(small_disk)

    deadline = time.monotonic() + 5
    refused = False
    while not refused:
        assert time.monotonic() < deadline, "the full disk was not noticed"
        status, headers, _ = tracker.get("/imp/c1/cr1.gif?price=1&page=" + "x" * 1000)
        if status == 200:
            answered.append(headers["X-Event-Id"])  # still in the ring's promise
        refused = status == 503
        time.sleep(0.02)
    assert headers["X-Tracker-Reason"] == "journal_unwritable"
    assert 1 <= int(headers["Retry-After"]) <= 10 and headers["X-Tracker-Ack"] == "none"
    for _ in range(20):
        status, headers, _ = tracker.get("/click/c1/cr1?url=https://example.com/shop")
        if status == 302 and headers["X-Tracker-Ack"] == "none":
            assert headers["Location"].startswith("https://example.com/shop")
            break
    else:
        raise AssertionError("a click was not sent on its way unrecorded")
    assert tracker.get("/-/readyz")[0] == 503 and tracker.get("/-/healthz")[0] == 200

    os.unlink(filler)
    freed = time.monotonic()
    good = 0
    while good < 20:  # in a row: every thread's ring has recovered
        status, headers, _ = tracker.get("/imp/c1/cr1.gif?price=1")
        good = good + 1 if status == 200 else 0
        if status == 200:
            answered.append(headers["X-Event-Id"])
        assert time.monotonic() < freed + 2, "not back to yes within 2 s"
    assert tracker.children()["worker"] == workers, "a worker died"

    tracker.wait_logged(len(answered))
    assert tracker.stop() == 0
    logged = [event["id"] for event in tracker.logged()]
    assert set(answered) <= set(logged) and len(logged) == len(set(logged))
    report = verify.audit(tracker.data_dir)
    assert not report.findings, report.findings
