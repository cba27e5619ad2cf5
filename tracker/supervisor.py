"""The supervisor of ``tracker serve``: starts capture, delivery and tail, restarts what dies, and ends in its grace.

Rules
1. It does nothing else: no hit, no event, no file but ``DATA/run/settings.json``, which its children start from. So a
   settings file that breaks later cannot keep a child from coming back.
2. It holds the listening socket: while capture is being restarted, connections wait instead of being refused.
3. A child that dies comes back after 0.1 s, then twice that, up to 5 s; ten good seconds forgive. A tail whose reader
   has gone stays away.
4. SIGTERM or SIGINT: capture first, delivery after it (so that the last events go out), then what is left is killed.
   SIGHUP: settings are checked; good ones are taken over, bad ones are said and change nothing.
5. Children die with it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import logging
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from tracker import disk
from tracker.capture.server import die_with_parent
from tracker.settings import load
from tracker.settings.model import Settings
from tracker.settings.problems import SettingsError

log = logging.getLogger("tracker.supervisor")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
GOOD_AFTER_S = 10.0
EX_TEMPFAIL = 75
"""What a child exits with when it has to wait for somebody else."""
BIND_PATIENCE_S = 2.5
"""How long a busy port is waited for: a predecessor that was killed needs a moment to let go."""


def listen(bind: str) -> socket.socket:
    """A listening socket for ``host:port``. Raises ``OSError`` if it cannot be had."""
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    deadline = time.monotonic() + BIND_PATIENCE_S
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
            listener.listen(2048)
            return listener
        except OSError:
            listener.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


class Child:
    """One process that has to be there."""

    def __init__(
        self, name: str, arguments: list[str], stop_signal: int, inherit: tuple[int, ...] = (), *, may_end: bool = False
    ) -> None:
        """``arguments`` follow ``python -m tracker``; ``inherit`` are descriptors that the child keeps.

        ``may_end``: an exit with 0 is its own wish and is respected.
        """
        self.name = name
        self._arguments = [sys.executable, "-m", "tracker", *arguments]
        self._stop_signal = stop_signal
        self._inherit = inherit
        self._may_end = may_end
        self._last_code = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = FIRST_PAUSE_S
        self._started_at = 0.0
        self._start_at = 0.0

    def look(self) -> None:
        """Start it if it is not there and its pause is over."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if now - self._started_at >= GOOD_AFTER_S:
                self._pause = FIRST_PAUSE_S
            self._start_at = now + self._pause
            if code == 0 and self._may_end:
                self._start_at = math.inf
            elif code != self._last_code or code != EX_TEMPFAIL:  # "somebody else delivers" is said once
                what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                log.warning("%s has died (%s); it comes back in %.1f s", self.name, what, self._pause)
            self._last_code = code
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        if now >= self._start_at:
            supervisor = os.getpid()
            # Own process group: Ctrl-C reaches the supervisor alone, which stops the children in order.
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, pass_fds=self._inherit, process_group=0,
                preexec_fn=lambda: die_with_parent(self._stop_signal, supervisor),
            )
            self._started_at = now

    def signal(self, number: int) -> None:
        """Send a signal, if it is there."""
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, timeout_s: float) -> bool:
        """Ask it to stop and wait; kill it if it does not. Whether it went by itself."""
        if self._process is None:
            return True
        self._process.terminate()
        try:
            self._process.wait(max(0.0, timeout_s))
            return True
        except subprocess.TimeoutExpired:
            log.error("%s did not stop within %.1f s and is killed; the rings and the journal keep its events",
                      self.name, timeout_s)
            self._process.kill()
            self._process.wait()
            return False


class Supervisor:
    """The children and the signals."""

    def __init__(
        self, settings: Settings, listener: socket.socket, *, tail: bool, reread: Callable[[], Settings] | None = None
    ) -> None:
        """``reread`` loads and checks the settings anew; it raises ``SettingsError``."""
        self._settings = settings
        self._listener = listener
        self._reread = reread
        self._data_dir = Path(settings.tracker.data_dir)
        self._dump = self._data_dir / "run" / "settings.json"
        dump = ["--settings", str(self._dump)]
        fd = listener.fileno()
        # SIGQUIT: without a supervisor capture must leave at once, so that the next one finds the port free.
        self._capture = Child("capture", ["capture", *dump, "--fd", str(fd)], signal.SIGQUIT, (fd,))
        self._deliver = Child("delivery", ["deliver", *dump], signal.SIGTERM)
        self._children = [self._capture, self._deliver]
        if tail:
            arguments = ["tail", "--follow", "-n", "0", "--data-dir", str(self._data_dir)]
            self._children.append(Child("tail", arguments, signal.SIGTERM, may_end=True))
        # SimpleQueue, for its put may be called from a signal handler; an Event's set could deadlock with its wait.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self) -> int:
        """Serve until told to stop. Returns 0, or 1 if a child had to be killed. Raises ``OSError`` at the start."""
        self._write_dump()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        while True:
            for child in self._children:
                child.look()
            try:
                came = self._signals.get(timeout=0.1)
            except queue.Empty:
                continue
            if came == signal.SIGHUP:
                self._reload()
            elif came != signal.SIGCHLD:
                return self._stop()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.put(number)

    def _write_dump(self) -> None:
        self._dump.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(self._dump, load.dump(self._settings))

    def _reload(self) -> None:
        if self._reread is None:
            return
        was = self._settings.tracker
        try:
            new = self._reread()
            if (new.tracker.bind, new.tracker.data_dir) != (was.bind, was.data_dir):
                log.warning("a new bind or data_dir takes a restart; until then the old ones stay")
                same = {"bind": was.bind, "data_dir": was.data_dir}
                new = msgspec.structs.replace(new, tracker=msgspec.structs.replace(new.tracker, **same))
            self._settings = new
            self._write_dump()
        except SettingsError as error:
            log.error("the new settings are refused, the last good ones stay\n%s", error)
            return
        except OSError as error:
            log.error("the new settings cannot be written, the last good ones stay: %s", error)
            return
        log.warning("new settings: version %s", self._settings.version)
        self._capture.signal(signal.SIGHUP)
        self._deliver.signal(signal.SIGTERM)  # it comes back with the new ones

    def _stop(self) -> int:
        self._listener.close()
        deadline = time.monotonic() + self._settings.tracker.graceful_timeout_s + 1
        good = True
        for child in self._children:  # capture, then delivery, then tail
            good &= child.end(deadline - time.monotonic())
        return 0 if good else 1


def serve(
    settings: Settings, listener: socket.socket, *, tail: bool, reread: Callable[[], Settings] | None = None
) -> int:
    """Run the supervisor; returns the exit code."""
    return Supervisor(settings, listener, tail=tail, reread=reread).run()
