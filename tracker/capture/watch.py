"""The watch: a running worker follows the dump of the last good settings, without a restart.

Rules
1. Twice a second a thread of its own asks for the file's state, which costs two microseconds. Only a file that has been
   replaced is read; it is compiled in that thread, never in a request, and taken over by one assignment.
2. Whatever is wrong (no file, no dump, routes that do not compile) is said once, and the last good settings stay.
3. Settings that a process has from its start on (its threads, its ring, ...) are not its own to change: then the
   supervisor replaces the worker, and until that happens it serves what it has.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from tracker.settings import load
from tracker.settings.model import Settings, Tracker

log = logging.getLogger("tracker.capture")

LOOK_EVERY_S = 0.5


def in_place(was: Tracker, new: Tracker) -> bool:
    """Whether a running worker can go from the one to the other: all that it has from its start on is the same.

    Only what is named here changes in place; whatever settings there will be, they start workers anew until they are
    named here, which is safe.
    """
    return _from_the_start(was) == _from_the_start(new)


def _from_the_start(tracker: Tracker) -> Tracker:
    """The settings without those that are read anew with each table."""
    clients = tracker.clients
    if not clients.proxy_protocol:  # with it, the server itself asks for the proxies' addresses
        clients = msgspec.structs.replace(clients, trusted_proxies=())
    blank = Tracker()
    return msgspec.structs.replace(
        tracker,
        clients=msgspec.structs.replace(clients, proxy_header="x-forwarded-for", ssai_networks=()),
        collectors=blank.collectors,  # delivery's own
        environment=blank.environment,
        limits=blank.limits,
        public_without_keys=blank.public_without_keys,
        signing_keys=blank.signing_keys,
        status_networks=blank.status_networks,
    )


def restore(raw: bytes, current: Settings) -> Settings:
    """The dump's settings if a process with the current ones can take them over, else the current ones.

    Raises ``ValueError`` if it is no dump.
    """
    settings = load.restore(raw)
    return settings if in_place(current.tracker, settings.tracker) else current


class Watch:
    """Follows one dump."""

    def __init__(self, path: Path, current: Settings, take: Callable[[Settings], None]) -> None:
        """``take`` compiles settings and serves them from then on; if it raises, it has changed nothing."""
        self._path = path
        self._current = current
        self._take = take
        self._seen: tuple[int, int, int] | None = None
        self._missing = False
        self._stop = threading.Event()  # never set in a signal handler: see Supervisor

    def look(self) -> bool:
        """Take over what the file holds, if it is new. Whether that was done. Raises nothing."""
        try:
            state = os.stat(self._path)
            seen = state.st_ino, state.st_mtime_ns, state.st_size
            if seen == self._seen:
                return False
            raw = self._path.read_bytes()
            self._missing = False
        except OSError as error:  # tried again: it may pass
            if not self._missing:
                log.error("the settings cannot be read, the last good ones stay: %s", error)
            self._missing = True
            return False
        self._seen = seen
        try:
            settings = restore(raw, self._current)
        except ValueError as error:
            log.error("the settings cannot be read, the last good ones stay: %s: %s", self._path, error)
            return False
        if settings.version == self._current.version:
            return False
        try:
            self._take(settings)
        except Exception as error:  # a plugin's transform may raise anything
            log.error("version %s of the settings does not compile here, version %s stays: %s", settings.version,
                      self._current.version, error, exc_info=True)  # fmt: skip
            return False
        self._current = settings
        return True

    def start(self) -> None:
        """Look again and again, in a thread of its own. Not before a fork."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()
