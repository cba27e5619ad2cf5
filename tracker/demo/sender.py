"""The sender: hits leave at the times of a schedule, whether or not earlier ones have been answered (open loop).

Rules
1. A hit's time is set before anybody knows how fast the tracker is: a slow answer delays no other hit, as long as
   there are connections left. Latency counts from the time at which the hit was *due*, so that waiting is not hidden.
2. Who cannot keep up says so (``Progress.late_s``, ``behind``); hits are late then, never left out in between.
3. Connections are kept alive and used again; one that has been idle for ``IDLE_S`` is replaced, since the other side
   may be about to close it. A hit is sent once, whatever happens.
4. ``stop`` ends the sending at once, and waits for what is on its way.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import msgspec

from tracker.demo.connection import Broken, Connection, Target, connect
from tracker.demo.latency import Latencies
from tracker.demo.ledger import Ledger
from tracker.demo.planned import Planned

MOST_CONNECTIONS: Final = 64
IDLE_S: Final = 4.0
TIMEOUT_S: Final = 15.0
"""Longest wait for an answer: ``ack: power`` may take ten seconds on a bad disk."""
LATE_S: Final = 1.0
"""Who is later than this does not keep up."""
REPORT_S: Final = 0.1
"""Between two words about the progress."""
NIGHT: Final = 0.2
"""What is left of the rate in the dead of a day's night."""


class Progress(msgspec.Struct, kw_only=True):
    """How far the sending is."""

    elapsed_s: float = 0.0
    sent: int = 0
    answered: int = 0
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    """Answers by status; 0: none came."""
    late_s: float = 0.0
    """How late the last hit left."""
    latest_s: float = 0.0
    """The largest of all such."""


Watch = Callable[[Progress], None]


def even(rate: float) -> Iterator[float]:
    """Seconds from the start at which each hit is due: so many a second."""
    return (number / rate for number in count())


def daily(rate: float, seconds: float) -> Iterator[float]:
    """The same with a day's shape, squeezed into ``seconds``: night, noon, night; ``rate`` is noon's."""
    at = 0.0
    while True:
        yield at
        noon = 0.5 - 0.5 * math.cos(2 * math.pi * at / seconds)
        at += 1 / (rate * (NIGHT + (1 - NIGHT) * noon))


class Sender:
    """Sends one run's hits."""

    def __init__(self, target: Target, ledger: Ledger, watch: Watch | None = None) -> None:
        """``watch`` is told the progress a few times a second."""
        self.progress = Progress(statuses=ledger.statuses)
        self.latencies = Latencies()
        self.troubles: dict[str, int] = {}
        """Why answers did not come, and how often."""
        self._target = target
        self._ledger = ledger
        self._watch = watch
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = self._told = 0.0
        self._stopped = asyncio.Event()

    @property
    def behind(self) -> bool:
        """Whether the sending did not keep to its schedule."""
        return self.progress.latest_s > LATE_S

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()

    async def run(
        self, hits: Iterator[Planned], schedule: Iterator[float], *, hits_at_most: int, seconds: float
    ) -> None:
        """Send until there are so many hits or so many seconds have passed, or until ``stop``; then wait for answers.

        ``seconds`` may be infinite. A hit that is due in time and cannot leave in time is not sent.
        """
        now = asyncio.get_running_loop().time
        self._began = self._told = now()
        ticking = asyncio.create_task(self._tell())
        try:
            for due, _ in zip(schedule, range(hits_at_most), strict=False):
                if due >= seconds or self._stopped.is_set() or now() - self._began >= seconds:
                    break
                wait = self._began + due - now()
                if wait > 0:
                    await self._pause(wait)
                    if self._stopped.is_set():
                        break
                await self._free.acquire()
                self._launch(next(hits), self._began + due, now())
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            ticking.cancel()
            for task in self._tasks:
                task.cancel()
            for connection in self._idle:
                connection.close()
            self.progress.elapsed_s = now() - self._began
            if self._watch is not None:
                self._watch(self.progress)

    async def _pause(self, seconds: float) -> None:
        if seconds < 0.5:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass

    def _launch(self, hit: Planned, due: float, now: float) -> None:
        self._ledger.open(hit)
        progress = self.progress
        progress.sent += 1
        progress.late_s = max(0.0, now - due)
        progress.latest_s = max(progress.latest_s, progress.late_s)
        task = asyncio.create_task(self._one(hit, due))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()

    async def _one(self, hit: Planned, due: float) -> None:
        loop = asyncio.get_running_loop()
        reply = None
        try:
            connection = await self._connection(loop.time())
            try:
                reply = await connection.ask(hit, TIMEOUT_S)
            finally:
                if connection.usable and not self._stopped.is_set():
                    connection.idle_since = loop.time()
                    self._idle.append(connection)
                else:
                    connection.close()
        except Broken as error:
            self.troubles[str(error)] = self.troubles.get(str(error), 0) + 1
        if reply is not None:
            self.progress.answered += 1
            self.latencies.add(loop.time() - due)
        self._ledger.close(hit, reply)

    async def _connection(self, now: float) -> Connection:
        while self._idle:
            connection = self._idle.pop()  # the last one used: the others grow old, and are let go of
            if now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        target = self._target
        return await connect(target, TIMEOUT_S)

    async def _tell(self) -> None:
        while self._watch is not None:
            await asyncio.sleep(REPORT_S)
            self.progress.elapsed_s = asyncio.get_running_loop().time() - self._began
            self._watch(self.progress)
