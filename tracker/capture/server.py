"""gunicorn, embedded: the arbiter and its workers, started so that loading cannot fail.

Rules
1. Settings come checked. Nothing that happens while a worker starts may make it exit with 3 or 4: gunicorn would stop
   the whole service. A worker that gets no ring serves in refusing state and tries again.
2. The listening socket comes from outside: whoever holds it open loses no connection while the arbiter is away.
3. No log line holds a client's address or query string.
4. Workers follow the dump of the last good settings by themselves (``watch``), and a new worker begins with it. SIGHUP
   replaces the workers; if the settings cannot be had then, nothing happens at all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from tracker import running
from tracker.capture import app, watch
from tracker.capture.arbiter import CaptureArbiter, newborn
from tracker.capture.current import Current
from tracker.capture.identity import FreshIds
from tracker.capture.proxy_protocol import ProxiedWorker, gunicorn_settings
from tracker.capture.rings import Rings
from tracker.capture.worker import PixelWorker, usable
from tracker.settings.model import Limits, Settings, Tracker
from tracker.settings.problems import SettingsError

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


class PortableWorker(ProxiedWorker):
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

    def __init__(
        self, settings: Settings, listener: socket.socket, reread: Callable[[], Settings], dump: Path | None
    ) -> None:
        """``reread`` gives the settings after a SIGHUP. Workers follow ``dump``, if there is one."""
        self._settings = settings
        self._listener = listener
        self._reread = reread
        self._dump = dump
        self.rings: Rings | None = None
        """In a worker: its rings."""
        self.current: Current | None = None
        """In a worker: what it serves."""
        self._presence: running.Presence | None = None
        if settings.tracker.door == "fast" and not fast(settings.tracker):
            why = "with `clients.proxy_protocol`" if usable() else "on this system, which has no shared epoll"
            log.warning("the portable door serves %s, not the fast one", why)
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings from ours."""
        tracker = self._settings.tracker
        for name, value in {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": tracker.workers or os.cpu_count() or 1,
            "worker_class": PixelWorker if fast(tracker) else PortableWorker,
            "threads": 1 if fast(tracker) else tracker.threads,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": tracker.graceful_timeout_s,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # a slow disk must not stop the beat
            "control_socket_disable": True,  # else a socket file appears in the working folder
            "logger_class": Log,
            "accesslog": None,
            "loglevel": "warning",
            "limit_request_line": _longest_request_line(tracker.limits),
            "proc_name": "tracker-capture",
            "post_fork": newborn,
            "post_worker_init": self._ready,
            "worker_exit": self._leave,
            **gunicorn_settings(tracker.clients),
        }.items():
            self.cfg.set(name, value)

    def renew(self) -> bool:
        """Take the new settings. Whether they could be had; if not, everything stays."""
        try:
            new = self._reread()
        except SettingsError as error:
            log.error("the new settings are refused, the last good ones (version %s) stay\n%s", self._settings.version,
                      "\n".join(map(str, error.problems)))  # fmt: skip
            return False
        except (Exception, SystemExit) as error:
            log.error("the new settings cannot be had, the last good ones stay: %s", error)
            return False
        was = self._settings.tracker
        if (new.tracker.bind, new.tracker.data_dir) != (was.bind, was.data_dir):
            log.warning("a new bind or data_dir takes a restart; until then the old ones stay")
            tracker = msgspec.structs.replace(new.tracker, bind=was.bind, data_dir=was.data_dir)
            new = msgspec.structs.replace(new, tracker=tracker)
        self._settings = new
        return True

    # --- in the worker

    def load(self) -> Any:
        """The WSGI app."""
        tracker = self._settings.tracker
        # The fast door has one thread: all of the worker's ring space is its own.
        self.rings = Rings(msgspec.structs.replace(tracker, threads=1) if fast(tracker) else tracker)
        self.current = self._begin()
        return app.assemble(self.current, self.rings)

    def _begin(self) -> Current:
        """The newest settings there are: the arbiter's own are as old as the last SIGHUP."""
        if self._dump is not None:
            try:
                newest = watch.restore(self._dump.read_bytes(), self._settings)
                current = Current(newest, self._ids())
                self._take_limits(newest.tracker.limits)
                self._settings = newest
                return current
            except Exception as error:  # a file that is damaged, a plugin that is: serve what worked before
                log.error("the newest settings cannot be served, older ones are: %s: %s", type(error).__name__, error)
        return Current(self._settings, self._ids())

    def _ids(self) -> Callable[[int], str]:
        """The id source: one thread needs no look at which thread it is."""
        return FreshIds() if self.cfg.threads == 1 else app.ThreadIds()

    def _ready(self, _worker: ThreadWorker) -> None:
        if self.rings is None or self.current is None:
            return
        self.rings.prepare(self.cfg.threads)
        try:
            name = self._dump.name if self._dump is not None else ""
            self._presence = running.Presence(self.rings.data_dir, name, self._settings.version)
        except OSError as error:
            log.warning("nobody can see which version of the settings worker %d serves: %s", os.getpid(), error)
        if self._dump is not None:
            watch.Watch(self._dump, self._settings, self._take).start()

    def _take(self, settings: Settings) -> None:
        """Serve these from now on. Raises, and changes nothing, if they do not compile."""
        assert self.current is not None
        self.current.take(settings)
        self._take_limits(settings.tracker.limits)
        if self._presence is not None:
            with contextlib.suppress(OSError):
                self._presence.tell(settings.version)

    def _take_limits(self, limits: Limits) -> None:
        """Each connection's parser asks for it anew."""
        self.cfg.set("limit_request_line", _longest_request_line(limits))

    def _leave(self, _arbiter: Arbiter, _worker: ThreadWorker) -> None:
        if self._presence is not None:
            self._presence.leave()
        if self.rings is not None:
            self.rings.stop(self._settings.tracker.graceful_timeout_s)
            logging.shutdown()
            # Else the interpreter would wait for request threads, and those for clients that send nothing more.
            os._exit(0)


def fast(tracker: Tracker) -> bool:
    """Whether the fast door serves; where it cannot, the portable one does."""
    return tracker.door == "fast" and usable() and not tracker.clients.proxy_protocol


def _longest_request_line(limits: Limits) -> int:
    """Longer ones are refused by the server itself; it allows no more than 8190 bytes."""
    return min(8190, limits.max_path_bytes + limits.max_query_bytes + 32)


def run(
    settings: Settings, listener: socket.socket, reread: Callable[[], Settings], dump: Path | None = None
) -> int:
    """Serve until told to stop; returns the exit code. Workers follow ``dump``, the supervisor's, if there is one."""
    try:
        capture = Capture(settings, listener, reread, dump)
        CaptureArbiter(capture, capture.renew).run()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0
