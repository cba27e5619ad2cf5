"""The supervisor of ``tracker serve``: starts capture, delivery and tail, restarts what dies, and ends in its grace.

Rules
1. It does nothing else: no hit, no event, no file but those of ``tracker.running``. Its children start from its dump of
   the last good settings. So a settings file that breaks later cannot keep a child from coming back.
2. It holds the listening socket: while capture is being restarted, connections wait instead of being refused.
3. A child that dies comes back after 0.1 s, then twice that, up to 5 s; ten good seconds forgive. A tail whose reader
   has gone stays away.
4. SIGTERM or SIGINT: capture first, delivery after it (so that the last events go out), then what is left is killed.
5. SIGHUP, or an ask (``tracker reload``): the files are read and checked. Bad ones are said and change nothing. Good
   ones go into the dump, which running capture workers follow by themselves (``capture.watch``); only what has other
   settings than it can change while running starts anew. What was asked while a reload ran is one reload more.
6. Children die with it (PR_SET_PDEATHSIG).
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
from typing import Any

import msgspec

from tracker import disk, running
from tracker.capture import watch
from tracker.capture.arbiter import die_with_parent
from tracker.settings import load
from tracker.settings.model import Settings, Tracker
from tracker.settings.problems import SettingsError

log = logging.getLogger("tracker.supervisor")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
GOOD_AFTER_S = 10.0
EX_TEMPFAIL = 75
"""What a child exits with when it has to wait for somebody else."""
BIND_PATIENCE_S = 2.5
"""How long a busy port is waited for: a predecessor that was killed needs a moment to let go."""

CAPTURES_OWN = frozenset({
    "clients", "door", "environment", "limits", "public_without_keys", "ring", "signing_keys", "status_networks",
    "threads", "workers",
})  # fmt: skip
"""Settings that delivery does not read."""


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
        self, name: str, arguments: list[str], stop_signal: int, *, inherit: tuple[int, ...] = (),
        hold: tuple[int, ...] = (), may_end: bool = False,
    ) -> None:  # fmt: skip
        """``arguments`` follow ``python -m tracker``; ``inherit`` are descriptors that the child keeps.

        ``hold``: signals that wait until the child is ready for them and unblocks them; else they would end it.
        ``may_end``: an exit with 0 is its own wish and is respected.
        """
        self.name = name
        self._arguments = [sys.executable, "-m", "tracker", *arguments]
        self._stop_signal = stop_signal
        self._inherit = inherit
        self._hold = hold
        self._may_end = may_end
        self._ends_for_us = False
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
            if self._ends_for_us:
                self._ends_for_us = False
                self._start_at = now
            else:
                self._note_death(code)
        if now >= self._start_at:
            supervisor = os.getpid()
            # Own process group: Ctrl-C reaches the supervisor alone, which stops the children in order.
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, pass_fds=self._inherit, process_group=0,
                preexec_fn=lambda: self._begin(supervisor),
            )
            self._started_at = now

    def _begin(self, supervisor: int) -> None:
        """In the child, before it is the new program. What is blocked here stays blocked there."""
        die_with_parent(self._stop_signal, supervisor)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._hold)

    def _note_death(self, code: int) -> None:
        if code == 0 and self._may_end:
            self._start_at = math.inf
        elif code != self._last_code or code != EX_TEMPFAIL:  # "somebody else delivers" is said once
            what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log.warning("%s has died (%s); it comes back in %.1f s", self.name, what, self._pause)
        self._last_code = code
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)

    def signal(self, number: int) -> None:
        """Send a signal, if it is there."""
        if self._process is not None:
            self._process.send_signal(number)

    def restart(self) -> None:
        """Ask it to stop; it comes back at once. If it is not there, it is about to come back anyway."""
        if self._process is not None:
            self._ends_for_us = True
            self._process.terminate()

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
        self, settings: Settings, listener: socket.socket, seat: running.Seat, *, tail: bool,
        reread: Callable[[], Settings],
    ) -> None:  # fmt: skip
        """``reread`` loads and checks the settings anew; it raises ``SettingsError``."""
        self._settings = settings
        self._listener = listener
        self._seat = seat
        self._reread = reread
        dump = ["--settings", str(seat.dump)]
        fd = listener.fileno()
        # SIGQUIT: without a supervisor capture must leave at once, so that the next one finds the port free.
        self._capture = Child(
            "capture", ["capture", *dump, "--fd", str(fd)], signal.SIGQUIT, inherit=(fd,), hold=(signal.SIGHUP,)
        )
        self._deliver = Child("delivery", ["deliver", *dump], signal.SIGTERM)
        self._children = [self._capture, self._deliver]
        if tail:
            arguments = ["tail", "--follow", "-n", "0", "--data-dir", settings.tracker.data_dir]
            self._children.append(Child("tail", arguments, signal.SIGTERM, may_end=True))
        # SimpleQueue, for its put may be called from a signal handler; an Event's set could deadlock with its wait.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self) -> int:
        """Serve until told to stop. Returns 0, or 1 if a child had to be killed. Raises ``OSError`` at the start."""
        disk.replace(self._seat.dump, load.dump(self._settings), disk.PRIVATE)
        self._tell("started", warnings=self._settings.warnings)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)  # they would end or stop it; other servers reopen logs at them
        while True:
            self._keep_dump()
            for child in self._children:
                child.look()
            came = self._wait()
            if came & {signal.SIGTERM, signal.SIGINT}:
                return self._stop()
            if self._seat.asked() or signal.SIGHUP in came:
                self._reload()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.put(number)

    def _wait(self) -> set[int]:
        """All signals that have come, each once: a storm of them is one. Empty after a tenth of a second."""
        came: set[int] = set()
        try:
            came.add(self._signals.get(timeout=0.1))
            while True:
                came.add(self._signals.get_nowait())
        except queue.Empty:
            return came

    def _keep_dump(self) -> None:
        """Whoever removed it from under us (a clean-up of the data folder) must not keep a child from coming back."""
        if not self._seat.dump.exists():
            try:
                self._seat.dump.parent.mkdir(parents=True, exist_ok=True)
                disk.replace(self._seat.dump, load.dump(self._settings), disk.PRIVATE)
            except OSError as error:
                log.debug("the settings for the children cannot be written: %s", error)

    def _reload(self) -> None:
        was = self._settings
        try:
            new = self._reread()
            new, pinned = _pinned(was.tracker, new)
            if (new.version, new.tracker, new.routes) == (was.version, was.tracker, was.routes):
                self._tell("unchanged", warnings=(*pinned, *new.warnings))
                return
            disk.replace(self._seat.dump, load.dump(new), disk.PRIVATE)
        except SettingsError as error:
            problems = tuple(map(str, error.problems))
            log.error("the new settings are refused, the last good ones (version %s) stay\n%s", was.version,
                      "\n".join(problems))  # fmt: skip
            self._tell("refused", problems=problems, more=error.more)
            return
        except Exception as error:  # whatever it is, what runs goes on
            log.error("the new settings cannot be taken, the last good ones (version %s) stay: %s", was.version, error,
                      exc_info=not isinstance(error, OSError))  # fmt: skip
            self._tell("refused", problems=(f"{type(error).__name__}: {error}",))
            return
        self._settings = new
        restarts = []
        if not watch.in_place(was.tracker, new.tracker):
            restarts.append(self._capture.name)
            self._capture.signal(signal.SIGHUP)
        if not delivers_alike(was.tracker, new.tracker):
            restarts.append(self._deliver.name)
            self._deliver.restart()
        log.warning("new settings: version %s; starting anew for it: %s", new.version, ", ".join(restarts) or "nothing")
        for each in pinned:
            log.warning("%s", each)
        self._tell("taken", restarts=tuple(restarts), warnings=(*pinned, *new.warnings))

    def _tell(self, outcome: running.Outcome, **more: Any) -> None:
        settings = self._settings
        verdict = running.Verdict(
            outcome=outcome, version=settings.version, routes=len(settings.routes.routes),
            workers=settings.tracker.workers or os.cpu_count() or 1, **more,
        )  # fmt: skip
        try:
            self._seat.tell(verdict)
        except OSError as error:
            log.error("what came of the reload cannot be written: %s", error)

    def _stop(self) -> int:
        self._listener.close()
        deadline = time.monotonic() + self._settings.tracker.graceful_timeout_s + 1
        good = True
        for child in self._children:  # capture, then delivery, then tail
            good &= child.end(deadline - time.monotonic())
        return 0 if good else 1


def _pinned(was: Tracker, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings with what a running tracker cannot change as it was, and a sentence for each such thing."""
    kept = {
        name: (getattr(was, name), getattr(new.tracker, name))
        for name in ("bind", "data_dir") if getattr(was, name) != getattr(new.tracker, name)
    }  # fmt: skip
    tracker = msgspec.structs.replace(new.tracker, **{name: old for name, (old, _) in kept.items()})
    said = (f"`{name}: {wanted}` takes a restart; until then it is {old}" for name, (old, wanted) in kept.items())
    return msgspec.structs.replace(new, tracker=tracker), tuple(said)


def delivers_alike(was: Tracker, new: Tracker) -> bool:
    """Whether delivery can go on as it is. A setting that is not known to be capture's own starts it anew: safe."""
    return all(getattr(was, name) == getattr(new, name) for name in new.__struct_fields__ if name not in CAPTURES_OWN)


def serve(settings: Settings, listener: socket.socket, *, tail: bool, reread: Callable[[], Settings]) -> int:
    """Run the supervisor; returns the exit code. Raises ``OSError`` if the data folder does not let it start."""
    seat = running.take_seat(Path(settings.tracker.data_dir), settings.tracker.bind)
    try:
        return Supervisor(settings, listener, seat, tail=tail, reread=reread).run()
    finally:
        seat.leave()
