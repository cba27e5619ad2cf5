"""The gate finds what is lost: a server that says yes and keeps nothing, and one event that is gone from a file."""

from __future__ import annotations

import http.server
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gating import PIXELS, gate

pytest.importorskip("hdrh", reason="pip install 'tracker[bench]'")


@pytest.fixture
def mix(tmp_path: Path) -> str:
    """A mix of pixels alone."""
    (tmp_path / "mix.yaml").write_text(PIXELS)
    return "mix.yaml"


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
