"""The PixelWorker: the fast door as a gunicorn worker. gunicorn keeps it; the loop does the work.

Rules
1. Once it runs, no failure counts as a failed boot (see ``server``).
2. It beats once a second from the loop itself: a loop that hangs is replaced.
3. A stop ends the loop within the grace: see ``Loop``.
"""

from __future__ import annotations

import select
import sys
from typing import Any

from gunicorn.workers.base import Worker

from tracker.capture.loop import Loop
from tracker.capture.pages_door import Pages

MAX_CONNECTIONS = 8192
"""At most so many at once in each worker, less where the limit of open files is lower."""


def usable() -> bool:
    """Whether this system has what the loop needs: Linux, with epoll that shares a listener."""
    return sys.platform == "linux" and hasattr(select, "EPOLLEXCLUSIVE")


class PixelWorker(Worker):
    """One thread, one loop, one ring."""

    def init_process(self) -> None:
        """Say that the boot succeeded, then boot."""
        self.booted = True
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop."""
        capture: Any = self.app
        listeners: Any = self.sockets  # gunicorn's wrappers
        loop = Loop(
            [each.sock for each in listeners], capture.current, capture.rings, Pages(self.wsgi), self.PIPE[0],
            lambda: self.alive, self.notify, _most_connections(),
        )  # fmt: skip
        loop.run(self.cfg.graceful_timeout, self.max_requests)


def _most_connections() -> int:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MAX_CONNECTIONS, soft - 64))
