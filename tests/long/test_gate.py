"""The gate as CI runs it: it passes a tracker that is well, and fails one that is slow.

That it fails one that loses events or lies: tests/fault/test_gate_losses.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gating import PIXELS, gate

pytest.importorskip("hdrh", reason="pip install 'tracker[bench]'")

SLOW = """
import time
def slow(incoming):
    time.sleep(0.02)
"""
SLOW_ROUTES = "version: 1\nroutes:\n  impression: {path: /imp/c1/cr1.gif, reply: pixel, preprocess: [slow]}\n"


@pytest.fixture
def mix(tmp_path: Path) -> str:
    """A mix of pixels alone."""
    (tmp_path / "mix.yaml").write_text(PIXELS)
    return "mix.yaml"


@pytest.mark.parametrize("door", ["fast", "portable"])
def test_a_tracker_that_is_well_passes(tmp_path: Path, door: str) -> None:
    """It is started, loaded with the built-in mix and stopped; every receipt has its event, and every report is written."""
    files = ("--json", "g.json", "--junit", "g.xml", "--markdown", "g.md", "--picture", "g.svg")
    run = gate(tmp_path, "--data-dir", "var", *files, TRACKER_DOOR=door)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Passed." in run.stdout
    found: dict[str, Any] = json.loads((tmp_path / "g.json").read_text())
    assert found["outcome"] == "passed"
    assert found["figures"]["sent"] == found["figures"]["right"] == 400
    assert {row["name"] for row in found["figures"]["rows"]} >= {"pixel", "click", "video", "json"}
    logged = (tmp_path / "var" / "log" / "events.ndjson").read_bytes().count(b"\n")
    assert found["reckoning"]["receipts"] == found["reckoning"]["journal_events"] == logged == 550
    assert xml.parse(tmp_path / "g.xml").getroot()[0].get("failures") == "0"
    assert "Gate passed" in (tmp_path / "g.md").read_text()
    assert xml.parse(tmp_path / "g.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("door", ["fast", "portable"])
def test_a_sleep_of_20_ms_in_every_hit_fails(tmp_path: Path, mix: str, door: str) -> None:
    """A transform that somebody installed sleeps: the mean is over 15 ms, and the gate says by how much."""
    (tmp_path / "sleepy.py").write_text(SLOW)
    info = tmp_path / "sleepy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleepy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tracker.preprocess]\nslow = sleepy:slow\n")
    (tmp_path / "routes.yaml").write_text(SLOW_ROUTES)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    limits = ("--rps", "20", "--mean-ms", "15", "--routes", "routes.yaml", "--mix", mix)
    run = gate(tmp_path, *limits, PYTHONPATH=path, TRACKER_DOOR=door)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "limit 15 ms: over by" in run.stdout
    assert "has its event in the journal, once" in run.stdout
    assert "Failed." in run.stdout


def test_a_tracker_that_runs_is_left_running(tmp_path: Path, serve: Callable[..., Any]) -> None:
    """With other people's events in its journal; without its folder nothing is reconciled, and that is said."""
    tracker = serve()
    assert tracker.get("/imp/c9/cr9.gif")[0] == 200
    tracker.wait_logged(1)
    run = gate(tmp_path, tracker.base, "--data-dir", str(tracker.data_dir), "--warm-up", "0")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "each of 400 receipts has its event in the log collector's output, once" in run.stdout
    run = gate(tmp_path, tracker.base, "--warm-up", "0", "--duration", "1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "events were not reconciled" in run.stdout
    assert tracker.process.poll() is None


def test_a_refused_request_fails(tmp_path: Path) -> None:
    """Fast, but not what the mix expects: a path that nobody tracks."""
    (tmp_path / "mix.yaml").write_text("version: 1\nrequests: {one: {path: /nobody}, two: {path: /imp/a/b.gif}}\n")
    run = gate(tmp_path, "--mix", "mix.yaml", "--warm-up", "0", "--duration", "1")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "404: " in run.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["http://127.0.0.1:1"], 1, "Connection refused"),
        (["http://192.0.2.1"], 2, "--i-own-it"),
        (["http://127.0.0.1:1", "--config", "x.yaml"], 2, "for a tracker that is started"),
        (["--rps", "0"], 2, "--rps"),
        (["--mix", "missing.yaml"], 78, "missing.yaml: no such file"),
        (["--config", "missing.yaml"], 1, "`tracker serve` has ended with 78"),
        (["--generator", "wrk2"], 2, "no wrk2 on the PATH"),
        (["--data-dir", "."], 2, "must be empty"),
    ],
    ids=["nobody", "stranger", "both", "rate", "mix", "settings", "generator", "folder"],
)
def test_what_cannot_be_run_is_told_by_code_and_sentence(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """Before anything is sent."""
    (tmp_path / "here").touch()
    run = gate(tmp_path, *arguments, PATH=str(tmp_path))
    assert run.returncode == code, run.stdout + run.stderr
    assert said in run.stderr
    assert not run.stdout


def test_who_ends_the_gate_ends_its_tracker(tmp_path: Path) -> None:
    """A pipeline that is cancelled leaves no process behind: not even after SIGKILL."""
    run = subprocess.Popen([sys.executable, "-m", "tracker", "bench", "gate", "--data-dir", "var", "--rps", "50"], cwd=tmp_path)
    seat = tmp_path / "var" / "run" / "supervisor.json"
    until = time.monotonic() + 20
    while not seat.exists() or not seat.read_bytes().endswith(b"\n"):
        assert time.monotonic() < until
        time.sleep(0.05)
    pid = json.loads(seat.read_bytes())["pid"]
    os.kill(pid, 0)
    run.send_signal(signal.SIGKILL)
    run.wait(5)
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
