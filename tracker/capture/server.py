"""gunicorn, embedded: the arbiter and its workers, started so that loading cannot fail.

Rules
1. Settings come checked. Nothing that happens while a worker starts may make it exit with 3 or 4: gunicorn would stop
   the whole service. A worker that gets no ring serves in refusing state and tries again.
2. The listening socket comes from outside: whoever holds it open loses no connection while the arbiter is away.
3. A worker dies with its arbiter (PR_SET_PDEATHSIG), in order; gunicorn's own check once a second stays as the net.
4. No log line holds a client's address or query string.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from tracker.capture import app
from tracker.capture.rings import Rings
from tracker.settings.model import Settings

log = logging.getLogger("tracker.capture")

KEEPALIVE_S = 15
"""How long an idle connection is kept: longer than the pauses between one page's hits."""


class Log(Logger):
    """gunicorn's log without what is not ours to write down."""

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """As ever, but "Invalid request from ip=..." loses the address and becomes a debug line."""
        if isinstance(msg, str) and msg.startswith("Invalid request from ip="):
            self.debug("invalid request")
            return
        super().warning(msg, *args, **kwargs)


class PortableWorker(ThreadWorker):
    """gunicorn's gthread worker. Once it runs, no failure counts as a failed boot."""

    def init_process(self) -> None:
        """Say that the boot succeeded, then boot."""
        self.booted = True
        super().init_process()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Leave at once. gthread's own handler first takes the lock of its thread pool, which the code that the signal
        interrupted may be holding: it would wait for itself for ever (seen with gunicorn 27.0.1)."""
        Worker.handle_quit(self, sig, frame)


class Capture(BaseApplication):
    """The application as gunicorn sees it."""

    def __init__(self, settings: Settings, listener: socket.socket, reread: Callable[[], Settings] | None) -> None:
        """``reread`` gives the settings after a SIGHUP; if it fails, the last good ones stay."""
        self._settings = settings
        self._listener = listener
        self._reread = reread
        self._rings: Rings | None = None
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings from ours."""
        tracker = self._settings.tracker
        for name, value in {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": tracker.workers or os.cpu_count() or 1,
            "worker_class": PortableWorker,
            "threads": tracker.threads,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": tracker.graceful_timeout_s,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # a slow disk must not stop the beat
            "control_socket_disable": True,  # else a socket file appears in the working folder
            "logger_class": Log,
            "accesslog": None,
            "loglevel": "warning",
            "limit_request_line": min(8190, tracker.limits.max_path_bytes + tracker.limits.max_query_bytes + 32),
            "proc_name": "tracker-capture",
            "post_fork": _newborn,
            "post_worker_init": self._ready,
            "worker_exit": self._leave,
        }.items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        """SIGHUP: take the new settings if they can be had."""
        if self._reread is not None:
            try:
                self._settings = self._reread()
            except (Exception, SystemExit) as error:
                log.error("the new settings are refused, the last good ones stay\n%s", error)
        super().reload()

    def load(self) -> Any:
        """The WSGI app; called in the worker."""
        self._rings = Rings(self._settings.tracker)
        return app.build(self._settings, self._rings)

    def _ready(self, _worker: ThreadWorker) -> None:
        if self._rings is not None:
            self._rings.prepare(self._settings.tracker.threads)

    def _leave(self, _arbiter: Arbiter, _worker: ThreadWorker) -> None:
        if self._rings is not None:
            self._rings.stop(self._settings.tracker.graceful_timeout_s)
            logging.shutdown()
            # Else the interpreter would wait for request threads, and those for clients that send nothing more.
            os._exit(0)


_STOPS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)


class CaptureArbiter(Arbiter):
    """gunicorn's arbiter, whose stop signals no newborn worker misses.

    A worker has its arbiter's handlers until it has its own; a stop sent in between would be swallowed, and the arbiter
    would wait for its whole grace. So the signals are held back over the fork, and find the worker with the defaults.
    """

    def spawn_worker(self) -> Any:
        """As ever, with the stop signals held back."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _newborn(arbiter: Arbiter, _worker: ThreadWorker) -> None:
    """In the worker, first thing after the fork."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    die_with_parent(signal.SIGTERM, arbiter.pid)


def die_with_parent(sig: int, parent: int) -> None:
    """Have the kernel send ``sig`` to this process when its parent dies (Linux; elsewhere nothing happens)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, sig, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), sig)


def run(settings: Settings, listener: socket.socket, reread: Callable[[], Settings] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    try:
        CaptureArbiter(Capture(settings, listener, reread)).run()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0
