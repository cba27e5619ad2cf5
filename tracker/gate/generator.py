"""The generator: requests leave at a constant rate, whether or not earlier ones have been answered (open loop).

Rules
1. A request's time is set by the schedule alone. It leaves on a connection that is free, or, if there is none, as soon
   as one is; its latency counts from when it was due. So a server that stalls is charged with everyone who waited.
2. One thread, one epoll, requests ready as bytes; of an answer it reads the status, the length, and the event's id.
3. It measures itself (``Record.lag_s``). Who judges a run has to look at that first.
4. A request is sent once. A connection that the server closes, or says that it will, is made anew; a request that was
   on its way then has no answer, and nobody knows what came of it.
5. Connections take turns, so that all of them are used, and with them all of the server's processes.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from tracker.gate.mix import UNIQUE, Pool
from tracker.gate.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracker.demo.connection import Target

TIMEOUT_S: Final = 10.0
"""Longest wait for an answer, and, at the end, for those that are still missing."""
CONNECT_S: Final = 5.0
"""How long all connections may take to be there before the run begins."""
AGAIN_S: Final = 0.1
"""Pause before a connection that could not be made is tried again."""
LOOK_S: Final = 0.25
"""How often time-outs are looked for and the progress is told."""
FIRST: Final = -10
"""The generator's priority (nice) while it runs, if its user may have it."""
MOST_HEAD_BYTES: Final = 65_536
_RECEIVE: Final = 65_536

Watch = Callable[[Record], None]


class Unreachable(Exception):
    """No connection can be made; ``str()`` says why."""


class _Wire:
    """One connection and the request that is on it."""

    __slots__ = ("buffer", "need", "number", "opened", "pushing", "rest", "since", "socket", "spare")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.opened = False
        self.number = -1
        """Of the request that waits for its answer; -1: none."""
        self.since = 0.0
        """When it left, or when connecting began."""
        self.buffer = b""
        self.need = -1
        """How long the whole answer is; -1: not known yet."""
        self.rest = b""
        """What the socket has not taken of the request."""
        self.pushing = False
        """The rest waits for room."""
        self.spare = False
        """The answer said that the connection ends with it."""


class Generator:
    """Sends one run's requests."""

    def __init__(
        self, where: Target, pool: Pool, *, rate: float, seconds: float, connections: int, receipts: bool = False,
        watch: Watch | None = None, salt: int | None = None,
    ) -> None:  # fmt: skip
        """``receipts``: keep the event ids that answers bear. ``watch`` is told the record a few times a second."""
        self.record = Record(max(1, round(rate * seconds)), rate)
        self._where = where
        self._pool = pool.requests
        self._wires = [_Wire() for _ in range(connections)]
        self._keep = receipts
        self._watch = watch
        # Of 48 bits the upper 20 are the run's, so that two runs at one tracker do not send the same numbers.
        self._salt = (int.from_bytes(os.urandom(4), "big") if salt is None else salt) % (1 << 20) << 28
        self._free: deque[_Wire] = deque()
        self._by_fd: dict[int, _Wire] = {}
        self._later: list[tuple[float, _Wire]] = []
        self._epoll = select.epoll()
        self._waiting: deque[int] = deque()
        self._running = False
        self._begin = 0.0
        self._why = ""

    def run(self) -> Record:
        """Send them all; Ctrl-C ends the run, which counts until then. Raises ``Unreachable`` before the first one."""
        record = self.record
        try:
            self._connect_all()
            with _undisturbed():
                try:
                    self._loop()
                except KeyboardInterrupt:
                    record.interrupted = True
            now = time.perf_counter()
            record.elapsed_s = now - self._begin
            for wire in self._wires:
                if wire.number >= 0:
                    self._lost(wire, "no answer before the run ended")
            for number in self._waiting:
                record.errors["never sent: no connection was free"] += 1
                record.status[number] = 0
            if self._watch is not None:
                self._watch(record)
            return record
        finally:
            for wire in self._wires:
                if wire.socket is not None:
                    wire.socket.close()
            self._epoll.close()

    # --- the loop

    def _loop(self) -> None:
        clock = time.perf_counter
        record, waiting, free, epoll = self.record, self._waiting, self._free, self._epoll
        lag, total, period = record.lag_s, record.total, 1 / record.rate
        self._running = True
        begin = self._begin = clock() + 0.02
        look_at = begin
        noticed = newest = 0
        end = 0.0
        while True:
            now = clock()
            while noticed < total:
                late = now - begin - noticed * period
                if late < 0:
                    break
                lag[noticed] = late
                waiting.append(noticed)
                noticed += 1
                record.noticed = noticed
            while waiting and free:
                self._send(free.popleft(), waiting.popleft())
            if waiting and waiting[-1] >= newest:
                record.waited += waiting[-1] - max(newest, waiting[0]) + 1
            newest = noticed
            if noticed == total:
                if not waiting and not any(wire.number >= 0 for wire in self._wires):
                    return
                end = end or now + TIMEOUT_S
                if now > end:
                    return
            if now >= look_at:
                look_at = now + LOOK_S
                self._look(now)
            # epoll itself waits in whole milliseconds, select to the microsecond.
            wait = begin + noticed * period - clock() if noticed < total else 0.05
            select.select((epoll,), (), (), min(wait, 0.05) if wait > 0 else 0)
            for fd, mask in epoll.poll(0):
                wire = self._by_fd.get(fd)
                if wire is not None:
                    self._ready(wire, mask)

    def _look(self, now: float) -> None:
        for wire in self._wires:
            if wire.number >= 0 and now - wire.since > TIMEOUT_S:
                self._lost(wire, f"no answer within {TIMEOUT_S:g} s")
                self._again(wire, now)
            elif wire.socket is not None and not wire.opened and now - wire.since > CONNECT_S:
                self._why = f"no connection within {CONNECT_S:g} s"
                self._again(wire, now + AGAIN_S)
        due = [wire for at, wire in self._later if at <= now]
        if due:
            self._later = [(at, wire) for at, wire in self._later if at > now]
            for wire in due:
                self._connect(wire)
        if self._watch is not None:
            self.record.elapsed_s = now - self._begin
            self._watch(self.record)

    def _ready(self, wire: _Wire, mask: int) -> None:
        if not wire.opened:
            self._opened(wire)
            return
        if wire.rest:
            self._push(wire)
        if mask & ~select.EPOLLOUT:
            self._receive(wire)

    # --- requests and answers

    def _send(self, wire: _Wire, number: int) -> None:
        request = self._pool[number % len(self._pool)]
        raw = request.raw
        if request.unique:
            raw = raw.replace(UNIQUE, b"%012x" % (self._salt | number))
        wire.number = number
        wire.since = time.perf_counter()
        wire.rest = raw
        self._push(wire)

    def _push(self, wire: _Wire) -> None:
        assert wire.socket is not None
        try:
            sent = wire.socket.send(wire.rest)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(wire, _said(error))
            return
        wire.rest = wire.rest[sent:]
        if bool(wire.rest) != wire.pushing:
            wire.pushing = not wire.pushing
            self._epoll.modify(wire.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if wire.pushing else 0))

    def _receive(self, wire: _Wire) -> None:
        if wire.socket is None:  # it broke while it was written to
            return
        try:
            piece = wire.socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(wire, _said(error))
            return
        now = time.perf_counter()
        if not piece:
            self._broken(wire, "closed within an answer" if wire.buffer else "closed without an answer")
            return
        number = wire.number
        if number < 0:
            self._broken(wire, "an answer that nobody asked for")
            return
        raw = wire.buffer + piece if wire.buffer else piece
        while wire.need < 0:
            begin = self._head(wire, raw)
            if begin < 0:
                return
            raw = raw[begin:]
        if len(raw) < wire.need:
            wire.buffer = raw
            return
        if len(raw) > wire.need:
            self._broken(wire, "more than one answer")
            return
        record = self.record
        record.latency_s[number] = now - self._begin - number / record.rate
        record.status[number] = int(raw[9:12])
        wire.number, wire.need, wire.buffer = -1, -1, b""
        if wire.spare:
            self._again(wire, now)
        else:
            self._free.append(wire)

    def _head(self, wire: _Wire, raw: bytes) -> int:
        """Find out how long the answer is, and where it begins: behind an interim one (1xx), then ask again.

        -1: not known yet, or there is no use in it.
        """
        end = raw.find(b"\r\n\r\n")
        if end < 0:
            if len(raw) > MOST_HEAD_BYTES or not raw.startswith(b"HTTP/1."[: len(raw)]):
                self._broken(wire, "no HTTP answer")
            else:
                wire.buffer = raw
            return -1
        head = raw[:end].lower()
        status = head[9:12]
        if not (head.startswith(b"http/1.") and status.isdigit()):
            self._broken(wire, "no HTTP answer")
            return -1
        if status[:1] == b"1":
            wire.buffer = b""
            return end + 4
        at = head.find(b"\r\ncontent-length:")
        length = head[at + 17 :].split(b"\r", 1)[0].strip() if at >= 0 else b""
        if status in (b"204", b"304") or self._pool[wire.number % len(self._pool)].bodiless:
            body = 0
        elif length.isdigit():
            body = int(length)
        else:
            self._broken(wire, "an answer without Content-Length")
            return -1
        at = head.find(b"\r\nconnection:")
        wire.spare = at >= 0 and b"close" in head[at:].split(b"\r\n", 2)[1]
        if self._keep:
            at = head.find(b"\r\nx-event-id:")
            # With `X-Tracker-Ack: none` an id is no promise.
            if at >= 0 and b"\r\nx-tracker-ack: none" not in head:
                self.record.receipts.append(raw[at + 13 : end].split(b"\r", 1)[0].strip())
        wire.need = end + 4 + body
        return 0

    # --- connections

    def _connect_all(self) -> None:
        for wire in self._wires:
            self._connect(wire)
        until = time.perf_counter() + CONNECT_S
        while (now := time.perf_counter()) < until and len(self._free) < len(self._wires):
            self._look(now) if self._later else None
            for fd, mask in self._epoll.poll(0.05):
                self._ready(self._by_fd[fd], mask)
        if len(self._free) < len(self._wires):
            why = self._why or "it takes no connections"
            raise Unreachable(f"{self._where.shown}: {len(self._free)} of {len(self._wires)} connections: {why}")

    def _connect(self, wire: _Wire) -> None:
        family = socket.AF_INET6 if ":" in self._where.address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.socket, wire.opened, wire.since = made, False, time.perf_counter()
        code = made.connect_ex((self._where.address, self._where.port))
        if code not in (0, errno.EINPROGRESS):
            self._why = os.strerror(code)
            self._again(wire, time.perf_counter() + AGAIN_S)
            return
        self._by_fd[made.fileno()] = wire
        self._epoll.register(made.fileno(), select.EPOLLOUT)

    def _opened(self, wire: _Wire) -> None:
        assert wire.socket is not None
        code = wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._why = os.strerror(code)
            self._again(wire, time.perf_counter() + AGAIN_S)
            return
        wire.opened = True
        self._epoll.modify(wire.socket.fileno(), select.EPOLLIN)
        self._free.append(wire)

    def _broken(self, wire: _Wire, why: str) -> None:
        if wire.number >= 0:
            self._lost(wire, why)
        else:
            try:
                self._free.remove(wire)  # the server has closed an idle one
            except ValueError:
                pass
        self._again(wire, time.perf_counter())

    def _lost(self, wire: _Wire, why: str) -> None:
        self.record.errors[why] += 1
        wire.number = -1

    def _again(self, wire: _Wire, at: float) -> None:
        """Let go of the connection and make it anew: at once, or when the time has come."""
        if wire.socket is not None:
            self._by_fd.pop(wire.socket.fileno(), None)
            wire.socket.close()
            wire.socket = None
        wire.opened, wire.spare, wire.number, wire.need, wire.buffer, wire.rest = False, False, -1, -1, b"", b""
        wire.pushing = False
        self.record.connects += self._running
        if at > time.perf_counter():
            self._later.append((at, wire))
        else:
            self._connect(wire)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Garbage is not collected meanwhile (what a run makes is bounded and has no cycles), and, where that is allowed,
    the processor is ours first: beside a server that takes all it can get, a late generator would measure itself."""
    gc.collect()
    gc.freeze()
    gc.disable()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(before, FIRST))
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
        gc.enable()
        gc.unfreeze()


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
