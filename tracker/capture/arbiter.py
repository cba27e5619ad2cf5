"""The arbiter: gunicorn's keeper of workers, made to miss no signal and to be thrown by none.

Rules
1. A worker has its arbiter's handlers until it has its own; a stop sent in between would be swallowed, and the arbiter
   would wait for its whole grace. So stop signals are held back over the fork, and find the worker with the defaults.
2. A storm of SIGHUPs is one: the settings are read after all of them were sent. If they cannot be had, nothing happens.
3. A stop waits for nobody but those who are answering a hit, whatever else is going on.
4. A worker dies with its arbiter (PR_SET_PDEATHSIG), in order; gunicorn's own check once a second stays as the net.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

_STOPS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)


class CaptureArbiter(Arbiter):
    """See the rules above."""

    def __init__(self, app: BaseApplication, renew: Callable[[], bool]) -> None:
        """``renew`` has the application take its new settings; whether they could be had."""
        self._renew = renew
        self._waits_for_old = False
        self._told_to_stop = False
        super().__init__(app)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """As ever, and a stop is noted."""
        self._told_to_stop = self._told_to_stop or sig in _STOPS
        super().signal(sig, frame)

    def reap_workers(self) -> None:
        """As ever, but a stop ends the wait for old workers, which may take the whole grace of a reload."""
        super().reap_workers()
        if self._waits_for_old and self._told_to_stop:
            self._waits_for_old = False
            raise StopIteration  # as gunicorn's own handlers leave its loop

    def init_signals(self) -> None:
        """As ever; then a SIGHUP that the supervisor has sent too early may come."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def wait_for_signals(self, timeout: float | None = 1.0) -> list[int]:
        """As ever, but of several SIGHUPs that wait one counts: the settings are read after all of them were sent."""
        came = super().wait_for_signals(timeout)
        return [number for place, number in enumerate(came) if number != signal.SIGHUP or number not in came[:place]]

    def reload(self) -> None:
        """Replace the workers, if there is anything to replace them by."""
        if not self._renew():
            return
        self._waits_for_old = True
        super().reload()
        self._waits_for_old = False

    def handle_usr2(self) -> None:
        """Nothing: the supervisor holds the listening socket, so a new version of the code takes just a restart."""

    def spawn_worker(self) -> Any:
        """As ever, with the stop signals held back."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def newborn(arbiter: Arbiter, _worker: ThreadWorker) -> None:
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
