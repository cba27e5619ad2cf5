"""A whole tracker as its users run it: real processes on a free port of the loopback, ended with the test."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DOOR = os.environ.get("TESTS_DOOR", "")
"""The door that all trackers of a test run have, unless a test says otherwise; empty: the tracker's own choice."""


class Served:
    """``tracker serve`` in a folder of its own."""

    def __init__(self, folder: Path, arguments: list[str], environ: dict[str, str]) -> None:
        self.folder = folder
        self.data_dir = folder / "var"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.base = f"http://{self.address}"
        self._arguments = [sys.executable, "-m", "tracker", "serve", "--bind", self.address, "--no-tail", *arguments]
        if DOOR:
            environ = {"TRACKER_DOOR": DOOR} | environ
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")} | environ
        self.output = folder / "output"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again) and wait until hits are taken."""
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                self._arguments, cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.wait_ready()
        return self.process

    def restart(self, timeout_s: float = 15) -> float:
        """Start it again and again until hits are taken, as systemd would; seconds that it took."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError):  # else a worker of the old one could answer for the new one
                while time.monotonic() < began + timeout_s:
                    socket.create_connection(self.address.split(":"), timeout=1).close()
                    time.sleep(0.01)
            try:
                self.start()
                return time.monotonic() - began
            except AssertionError:
                if self.process.poll() != 75 or time.monotonic() > began + timeout_s:  # 75: the port is still held
                    raise

    def wait_ready(self, timeout_s: float = 20) -> None:
        """Wait until hits are taken."""
        deadline = time.monotonic() + timeout_s
        while True:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output.read_text()}"
            with contextlib.suppress(urllib.error.URLError, OSError, http.client.HTTPException):
                if self.get("/-/readyz")[0] == 200:
                    return
            assert time.monotonic() < deadline, f"not ready:\n{self.output.read_text()}"
            time.sleep(0.05)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request on a connection of its own; redirects are not followed."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """GET; ``User_Agent="x"`` becomes ``User-Agent: x``."""
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def logged(self, name: str = "events.ndjson") -> list[dict[str, Any]]:
        """The events in the log collector's live file."""
        try:
            lines = (self.data_dir / "log" / name).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def wait_logged(self, count: int, name: str = "events.ndjson", timeout_s: float = 5) -> list[dict[str, Any]]:
        """The logged events, once there are that many."""
        deadline = time.monotonic() + timeout_s
        while len(events := self.logged(name)) < count:
            assert time.monotonic() < deadline, f"{len(events)} of {count} events:\n{self.output.read_text()}"
            time.sleep(0.02)
        return events

    def children(self) -> dict[str, list[int]]:
        """Process ids: ``supervisor``, ``arbiter``, ``worker`` and ``delivery``."""
        found: dict[str, list[int]] = {"supervisor": [self.process.pid], "arbiter": [], "worker": [], "delivery": []}
        parents: dict[int, int] = {}
        commands: dict[int, bytes] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    commands[int(entry.name)] = (entry / "cmdline").read_bytes()
        for pid, parent in parents.items():
            if parent == self.process.pid:
                found["delivery" if b"\0deliver\0" in commands[pid] else "arbiter"].append(pid)
        found["worker"] = [pid for pid, parent in parents.items() if parent in found["arbiter"]]
        return found

    def stop(self, timeout_s: float = 15) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not stop in {timeout_s} s:\n{self.output.read_text()}") from None
        return self.process.returncode


@contextlib.contextmanager
def _serving(parent: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*arguments: str, **environ: str) -> Served:
        folder = parent / f"tracker{len(started)}"
        folder.mkdir()
        environ = {"TRACKER_WORKERS": "1", "TRACKER_RING_BYTES_PER_WORKER": "4194304"} | environ
        started.append(Served(folder, list(arguments), environ))
        return started[-1]

    yield start
    for tracker in started:
        tracker.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts trackers: ``serve("--workers", "1", TRACKER_DOOR="fast")``. All are stopped when the test ends."""
    with _serving(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """The same for trackers that all tests of a file share."""
    with _serving(tmp_path_factory.mktemp("serve_all")) as start:
        yield start
