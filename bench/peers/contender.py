"""A contender: a server that takes the tracker's hits and writes their events to disk, and one run of it.

Rules
1. A contender names a command and where its events go. It starts nothing itself, and importing it costs nothing.
2. What cannot run here says with which line it could (``missing``); it is listed and left out, never replaced.
3. A run has a folder and a port of its own and is pinned to one core; whatever it started is gone when it ends.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_S = 30.0


@dataclass(frozen=True)
class Contender:
    """One server, as its own community would set it up."""

    name: str
    stack: str
    """What it is made of, for the table."""
    command: Callable[[Path, int], list[str]]
    """The command for a folder and a port of the loopback; it may write files into the folder first."""
    events: Callable[[Path], list[Path]]
    """The files with one event a line, once it has stopped."""
    missing: Callable[[], str]
    """Empty, or what is missing and the line that installs it."""
    version: Callable[[], str]
    leaves_out: str = ""
    """What it does less than the tracker."""
    ready: str = "/healthz"
    """A path that answers 2xx once hits are taken."""
    environ: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[str, ...] = ("impression",)
    """Routes whose events equal the tracker's field by field; none for a server without the logic."""
    stop: signal.Signals = signal.SIGTERM
    """What ends it in order."""


class Run:
    """A contender on one core, from start to stop."""

    def __init__(self, contender: Contender, folder: Path, core: int | None) -> None:
        """Start it in ``folder``, which must be empty, and wait until it takes hits; ``core`` None pins nothing."""
        self.contender = contender
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._output = folder / "output"
        environ = {name: text for name, text in os.environ.items() if not name.startswith("TRACKER_")}
        environ |= contender.environ
        command = contender.command(folder, self.port)
        if core is not None:
            command = ["taskset", "--cpu-list", str(core), *command]
        with self._output.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            self._wait_ready(30)
        except BaseException:
            self.end()
            raise

    def _wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.contender.name} ended with {self._process.returncode}:\n{self.said()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(self.contender.ready, {})[0] // 100 == 2:
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.contender.name} does not answer:\n{self.said()}")
            time.sleep(0.05)

    def get(self, path: str, headers: Mapping[str, str], method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers=dict(headers))
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def said(self) -> str:
        """What it wrote to its standard streams."""
        return self._output.read_text("utf-8", "replace")[-4000:]

    def cpu_seconds(self) -> float:
        """Processor time that it and its children have used, user and system."""
        return sum(_cpu_seconds(pid) for pid in _tree(self._process.pid))

    def end(self) -> int:
        """Ask it to stop; its exit code. Too slow a one is killed and raises."""
        if self._process.poll() is None:
            children = list(_tree(self._process.pid))
            self._process.send_signal(self.contender.stop)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                for pid in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._process.wait()
                raise RuntimeError(f"{self.contender.name} did not stop in {_STOP_S:g} s:\n{self.said()}") from None
        return self._process.returncode

    def count(self) -> int:
        """Events on disk: lines, counted after the end."""
        total = 0
        for path in self.contender.events(self.folder):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total += block.count(b"\n")
        return total


@contextlib.contextmanager
def running(contender: Contender, folder: Path, core: int | None) -> Iterator[Run]:
    """A run in a fresh folder; ended if it still goes, and the folder removed, whatever happens."""
    folder.mkdir(parents=True)
    try:
        run = Run(contender, folder, core)
        try:
            yield run
        finally:
            run.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tree(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def core_seconds(core: int) -> float:
    """Time that a core has spent on any process so far, time taken by other machines included (not interrupts)."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, _irq, _softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + steal) / _TICKS
    raise ValueError(f"there is no core {core}")


def needs(tool: str, install: str) -> str:
    """Empty if the tool is on the PATH, else what to do."""
    return "" if shutil.which(tool) else f"`{tool}` is not on the PATH: {install}"


def first_line(*command: str) -> str:
    """The first line that a command says, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]
