"""The connection: one client's socket, what has come from it, and what is still to be sent.

Rules
1. Replies leave in the order of their requests; one that waits for a sync (``Parked``) holds back those behind it.
2. Each wait has an absolute deadline, that no dripping byte moves: for a head, for a body, for a client that does not
   read, for the next request.
3. After a refusal the client may still be sending. It is told, its bytes are thrown away for a moment, then it is cut
   off: closed at once, the kernel would reset the connection and the reply might never be read.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from tracker.capture.wire import Wire

HEAD_S: Final = 10.0
"""From the first byte of a request (or the connection's begin) to the end of its head."""
BODY_S: Final = 30.0
"""From there to the end of its body."""
IDLE_S: Final = 15.0
"""From a reply to the next request."""
SEND_S: Final = 30.0
"""For what waits to be read by the client."""
LINGER_S: Final = 2.0
"""For throwing away what a refused client still sends."""
READ_BYTES: Final = 16_384
BODY_READ_BYTES: Final = 262_144
MAX_UNSENT_BYTES: Final = 262_144
"""Beyond it nothing more is read from the client: it pipelines and does not listen."""


class Parked:
    """A reply that may be sent once the ring is durable up to ``position``."""

    __slots__ = ("deadline", "position", "reply")

    def __init__(self, reply: bytes, position: int, deadline: float) -> None:
        self.reply = reply
        self.position = position
        self.deadline = deadline


class Connection:
    """See the rules above. ``events`` is what epoll watches for, as the loop has set it."""

    __slots__ = (
        "_rest", "closing", "deadline", "events", "fd", "lingering", "out", "sock", "unsent", "wire",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, wire: Wire, now: float) -> None:
        """``now`` is monotonic time."""
        self.sock = sock
        self.fd = sock.fileno()
        self.wire = wire
        self.out: deque[bytes | Parked] = deque()
        self.unsent = 0
        """Bytes in ``out`` and behind it."""
        self.closing = False
        """Nothing more is read; closed when all is sent."""
        self.lingering = False
        self.deadline = now + HEAD_S
        self.events = 0
        self._rest = b""

    def receive(self) -> bytes | None:
        """What has come; empty at the end of the stream, None if nothing has. Raises ``OSError``."""
        try:
            return self.sock.recv(BODY_READ_BYTES if self.wire.in_body or self.lingering else READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None

    def push(self, reply: bytes | Parked) -> None:
        """A reply behind those that wait."""
        self.out.append(reply)
        self.unsent += len(reply) if isinstance(reply, bytes) else len(reply.reply)

    def send(self, durable: int) -> bool:
        """Send what can be sent. Whether all of that is gone. Raises ``OSError``."""
        out = self.out
        alone = out[0] if len(out) == 1 and not self._rest else None
        if isinstance(alone, bytes):  # PERF: nearly always one reply, and nothing before it
            out.clear()
            data = alone
        else:
            data = self._ready(durable)
        if not data:
            return True
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self.unsent -= sent
        self._rest = data[sent:] if sent < len(data) else b""
        return not self._rest

    def _ready(self, durable: int) -> bytes:
        """What can be sent, in order."""
        out = self.out
        ready = [self._rest]
        while out:
            first = out[0]
            if isinstance(first, Parked):
                if first.position > durable:
                    break
                first = first.reply
            ready.append(first)
            out.popleft()
        return b"".join(ready)

    @property
    def waits(self) -> bool:
        """Whether something is still to be sent, now or after a sync."""
        return bool(self._rest or self.out)

    def parked_until(self) -> float:
        """Monotonic deadline of the first reply that waits for a sync; infinity if none does."""
        for each in self.out:
            if isinstance(each, Parked):
                return each.deadline
        return float("inf")
