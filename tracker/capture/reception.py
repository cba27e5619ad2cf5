"""Reception: who comes in, who has to make room, and who is turned away unread.

Rules
1. A worker takes a few at a time; the listener is shared, and the others are woken for the rest.
2. When it has as many connections as it may, one of the oldest that wait for a head goes: whoever sends slowly, or
   nothing, pays for a flood of connections, and not who is served.
3. An address under penalty gets one 429 that was made before.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
from collections.abc import Callable
from typing import Final

from tracker import reasons
from tracker.capture.connection import Connection
from tracker.capture.current import Current
from tracker.capture.penalty import Penalty
from tracker.capture.plain import Names
from tracker.capture.reply import fixed
from tracker.capture.rings import Rings
from tracker.capture.wire import Wire
from tracker.counters import REASON_INDEX, REPLIES_4XX

ACCEPTS_A_TURN: Final = 32
_TOO_MANY = fixed(429, "Too Many Requests", extra=(("Retry-After", "10"), ("Connection", "close"))).head + b"\r\n"


class Reception:
    """See the rules above."""

    def __init__(
        self, connections: dict[int, Connection], epoll: select.epoll, current: Current, rings: Rings,
        penalty: Penalty, max_connections: int, drop: Callable[[Connection], None],
    ) -> None:  # fmt: skip
        """``connections``, by descriptor in the order in which they came, are the loop's, as is ``drop``."""
        self._connections = connections
        self._epoll = epoll
        self._current = current
        self._rings = rings
        self._penalty = penalty
        self._max = max_connections
        self._drop = drop
        self._compiled = current.now
        self._names = Names(current.now.endpoint.headers)

    def accept(self, listener: socket.socket, now: float) -> None:
        """Take some of those who wait. ``now`` is monotonic time."""
        compiled = self._current.now
        if compiled is not self._compiled:  # a reload: other headers may be asked for
            self._compiled = compiled
            self._names = Names(compiled.endpoint.headers)
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = listener.accept()
            except OSError:  # nobody there, or no descriptor left: it is asked again
                return
            sock.setblocking(False)
            address = peer[0] if isinstance(peer, tuple) else ""
            if self._penalty.holds(address, now):
                self._turn_away(sock)
                continue
            if len(self._connections) >= self._max:
                self._make_room()
            if address:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, Wire(address, self._names, compiled.max_body_bytes), now)
            self._connections[connection.fd] = connection
            connection.events = select.EPOLLIN
            self._epoll.register(connection.fd, select.EPOLLIN)

    def _make_room(self) -> None:
        oldest = list(itertools.islice(self._connections.values(), 64))
        waiting = (each for each in oldest if not each.wire.in_body and not each.waits)
        self._drop(next(waiting, oldest[0]))

    def _turn_away(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.send(_TOO_MANY)
        sock.close()
        writer = self._rings.writer()
        if writer is not None:
            writer.counts[REPLIES_4XX] += 1
            writer.counts[REASON_INDEX[reasons.PENALISED]] += 1
