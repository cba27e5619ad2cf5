"""The loop: one thread, one epoll, every connection of a worker; hits go straight to the endpoint.

Rules
1. A turn reads what has come, answers it all, publishes all its events by one store, and only then sends the replies.
2. ``ack: power`` replies are parked until the ring is durable; the flusher wakes the loop.
3. A stop takes no new connections, answers what comes on those it has with ``Connection: close``, and lets them go.
4. No line is logged for a request, however wrong it is; it is counted by its reason.
5. It knows no server: sockets, clock and the way to say that it lives are given.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from tracker import reasons
from tracker.capture.connection import BODY_S, HEAD_S, IDLE_S, LINGER_S, MAX_UNSENT_BYTES, SEND_S, Connection
from tracker.capture.current import Current
from tracker.capture.pages_door import Pages
from tracker.capture.penalty import Penalty
from tracker.capture.reception import Reception
from tracker.capture.rings import Rings
from tracker.capture.serving import Serving
from tracker.capture.wire import Request
from tracker.counters import REASON_INDEX

READY_A_TURN = 256
LAST_REQUEST_S = 3.0
"""At a stop: how long an idle connection may still bring a request, to be told that it is the last."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """See the rules above."""

    def __init__(
        self, listeners: Sequence[socket.socket], current: Current, rings: Rings, pages: Pages, wake_fd: int,
        alive: Callable[[], bool], beat: Callable[[], None], max_connections: int,
    ) -> None:  # fmt: skip
        """``wake_fd`` becomes readable at signals; ``beat`` is called about once a second."""
        self._listeners = {sock.fileno(): sock for sock in listeners}
        self._rings = rings
        self._alive = alive
        self._beat = beat
        self._wake_fd = wake_fd
        self._synced_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        penalty = Penalty(lambda: current.now.max_bad_requests, lambda address: current.now.is_proxy(address))
        self._reception = Reception(
            self._connections, self._epoll, current, rings, penalty, max_connections, self._drop
        )
        self._serving = Serving(current, rings, pages, penalty)
        self._waiting = self._serving.waiting
        self._now = time.monotonic()
        self._stopping = False
        self.taken = 0
        """Requests so far."""

    def run(self, grace_s: float, max_requests: int) -> None:
        """Serve until ``alive`` says no or so many requests were taken, then end within the grace."""
        for fd, sock in self._listeners.items():
            sock.setblocking(False)
            self._epoll.register(fd, _IN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self._wake_fd, _IN)
        self._epoll.register(self._synced_fd, _IN)
        self._rings.flusher.on_synced = self._on_synced
        look_at, end_at = 0.0, float("inf")
        while True:
            ready = self._epoll.poll(0.1 if self._stopping else 1.0, READY_A_TURN)
            self._now = now = time.monotonic()
            self._turn(ready)
            if now >= look_at:
                look_at = now + (0.1 if self._stopping else 1.0)
                self._look()
            if not self._stopping and (not self._alive() or self.taken >= max_requests):
                end_at = now + grace_s
                self._stop()
            if self._stopping and (not self._connections or now >= end_at):
                break
        for connection in list(self._connections.values()):
            self._drop(connection)

    # --- a turn

    def _turn(self, ready: Sequence[tuple[int, int]]) -> None:
        asked: list[tuple[Connection, Request]] = []
        touched: list[Connection] = []
        for fd, what in ready:
            connection = self._connections.get(fd)
            if connection is None:
                self._other(fd)
                continue
            touched.append(connection)
            if what & ~_OUT:
                self._read(connection, asked)
        if asked:
            self.taken += len(asked)
            self._serving.answer(asked, self._now)
        if self._waiting:
            touched += self._waiting - set(touched)
        for connection in touched:
            if self._connections.get(connection.fd) is connection:  # not gone, its descriptor another's
                self._send(connection)

    def _other(self, fd: int) -> None:
        if fd in self._listeners:
            self._reception.accept(self._listeners[fd], self._now)
        elif fd == self._synced_fd:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)
        elif fd == self._wake_fd:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 4096)

    def _read(self, connection: Connection, asked: list[tuple[Connection, Request]]) -> None:
        try:
            data = connection.receive()
        except OSError:
            return self._drop(connection)
        if data is None or (connection.lingering and data):
            return None
        wire = connection.wire
        if not data or connection.closing:
            if connection.waits and not connection.lingering:  # it has said all, and may still listen
                connection.closing = True
                return None
            return self._drop(connection)
        began, in_body = wire.begun, wire.in_body
        more = wire.feed(data)
        if wire.requests:
            asked += [(connection, request) for request in wire.requests]
            wire.requests = []
        if not more:
            connection.closing = True
        elif wire.asks:
            wire.asks = False
            connection.push(CONTINUE)
        if wire.in_body and not in_body:
            connection.deadline = self._now + BODY_S
        elif wire.begun and not began:
            connection.deadline = self._now + HEAD_S
        return None

    def _send(self, connection: Connection) -> None:
        if connection.lingering:
            return None
        writer = self._rings.writer()
        try:
            done = connection.send(writer.durable if writer is not None else 0)
        except (OSError, ValueError):
            return self._drop(connection)
        if not connection.out:
            self._waiting.discard(connection)
        wire = connection.wire
        if connection.closing and not connection.waits:
            return self._part(connection)
        events = 0 if connection.unsent > MAX_UNSENT_BYTES or connection.closing else _IN
        if not done:
            events |= _OUT
            if not connection.events & _OUT:
                connection.deadline = self._now + SEND_S
        elif connection.out:  # parked: that has a deadline of its own (see `_look`), which this one must not forestall
            connection.deadline = max(connection.deadline, connection.parked_until() + 1.0)
        elif not wire.begun:
            connection.deadline = self._now + IDLE_S
        if events != connection.events:
            connection.events = events
            self._epoll.modify(connection.fd, events)
        return None

    # --- ends

    def _part(self, connection: Connection) -> None:
        """All is said. If the client may still be sending, wait for its end a moment."""
        if not connection.wire.begun:
            return self._drop(connection)
        connection.lingering = True
        connection.deadline = self._now + LINGER_S
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            connection.events = _IN
            self._epoll.modify(connection.fd, _IN)
        except OSError:
            self._drop(connection)
        return None

    def _drop(self, connection: Connection) -> None:
        self._waiting.discard(connection)
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]
            connection.sock.close()  # epoll forgets it

    def _look(self) -> None:
        """Once a second: the beat, the date, and who is late."""
        self._beat()
        self._serving.stamp()
        now = self._now
        for connection in [each for each in self._connections.values() if each.deadline <= now]:
            self._late(connection)
        writer = self._rings.writer()
        refusing = writer is None or bool(writer.slot.refusing)
        for connection in [each for each in self._waiting if refusing or each.parked_until() <= now]:
            if writer is not None:
                writer.counts[REASON_INDEX[reasons.NOT_DURABLE]] += 1
            self._drop(connection)  # without a reply: nobody knows whether the event is kept

    def _late(self, connection: Connection) -> None:
        wire = connection.wire
        if connection.closing or connection.waits or not wire.begun:
            return self._drop(connection)
        refusal = reasons.BODY_TIMEOUT if wire.in_body else reasons.MALFORMED_REQUEST
        connection.closing = True
        self._serving.answer([(connection, Request(None, False, False, refusal, 408, "Request Timeout"))], self._now)
        return self._send(connection)

    def _stop(self) -> None:
        self._stopping = self._serving.stopping = True
        for fd, listener in self._listeners.items():
            self._reception.accept(listener, self._now)  # the kernel has said yes to them already
            self._epoll.unregister(fd)
        self._listeners = {}
        for connection in self._connections.values():
            if not connection.wire.begun and not connection.waits:
                connection.deadline = min(connection.deadline, self._now + LAST_REQUEST_S)

    def _on_synced(self) -> None:
        if self._waiting:
            os.eventfd_write(self._synced_fd, 1)
