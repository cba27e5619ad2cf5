"""The gate as CI runs it: it passes a tracker that is well, and fails one that is slow, loses events, or lies."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import uuid
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hdrh", reason="pip install 'tracker[bench]'")

PIXELS = "version: 1\nrequests:\n  pixel: {path: '/imp/c1/cr1.gif?cb={unique}'}\n"
SLOW = """
import time
def slow(incoming):
    time.sleep(0.02)
"""
SLOW_ROUTES = "version: 1\nroutes:\n  impression: {path: /imp/c1/cr1.gif, reply: pixel, preprocess: [slow]}\n"


def gate(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`tracker bench gate` in a folder of its own; short and slow unless said otherwise."""
    settings = {"TRACKER_WORKERS": "1", "TRACKER_RING_BYTES_PER_WORKER": "4194304", **environ}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    given = ["--generator", "tracker", "--rps", "200", "--duration", "2", "--warm-up", "1", "--mean-ms", "500", *arguments]
    return subprocess.run(
        [sys.executable, "-m", "tracker", "bench", "gate", *given], cwd=folder, env=inherited | settings,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


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


class Liar(http.server.BaseHTTPRequestHandler):
    """Says that it is a tracker, and yes to everything, and keeps nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = b'{"ready":true,"settings_version":"0"}' if self.path == "/-/readyz" else b"GIF"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Event-Id", str(uuid.uuid4()))
        self.send_header("X-Tracker-Ack", "process")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def liar() -> Iterator[str]:
    """The address of one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_without_events_fail(tmp_path: Path, mix: str, liar: str, serve: Callable[..., Any]) -> None:
    """Fast, and every answer as expected: but the folder that should have the events has none of them."""
    tracker = serve()
    arguments = ("--rps", "50", "--warm-up", "0", "--mix", mix, "--data-dir", str(tracker.data_dir))
    run = gate(tmp_path, liar, *arguments)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "100 of 100 requests were answered as expected" in run.stdout
    assert "in the journal: 100 lost" in run.stdout
    assert "in the log collector's output: 100 lost" in run.stdout


def test_one_lost_event_fails(tmp_path: Path, mix: str, serve: Callable[..., Any]) -> None:
    """At a tracker that runs: a line that somebody takes out of the log's file is found, and named."""
    tracker = serve()
    file = tracker.data_dir / "log" / "events.ndjson"
    taken: list[bytes] = []
    done = threading.Event()

    def take_one() -> None:
        """Overwrites the id of one event, as it stands in the file."""
        while not done.wait(0.02):
            lines = file.read_bytes().split(b"\n") if file.exists() else []
            if len(lines) > 20:
                at = sum(len(line) + 1 for line in lines[:10])
                with file.open("r+b") as content:
                    content.seek(at + len(b'{"id":"'))
                    taken.append(lines[10][7:43])
                    content.write(b"x" * 36)
                return

    thief = threading.Thread(target=take_one)
    thief.start()
    run = gate(tmp_path, tracker.base, "--mix", mix, "--data-dir", str(tracker.data_dir))
    done.set()
    thief.join()
    assert len(taken) == 1
    assert run.returncode == 1, run.stdout + run.stderr
    assert "has its event in the journal, once" in run.stdout
    assert "in the log collector's output: 1 lost" in run.stdout
    assert f"{taken[0].decode()} is not in the log" in run.stdout


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
