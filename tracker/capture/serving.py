"""Serving: the requests of one turn of the loop, from the endpoint to the bytes of their replies.

Rules
1. All are answered, then all their events are published by one store if they fit, then the replies are made: no reply
   says yes to an event that is not in the ring.
2. A reply that promises ``power`` waits, parked, until the ring is durable up to its event.
3. What is no hit takes the same way, in order: pages of the operators, and requests that could not be read.
"""

from __future__ import annotations

import functools
import time
from email.utils import formatdate

from tracker import reasons
from tracker.capture.answer import Answer
from tracker.capture.connection import Connection, Parked
from tracker.capture.current import Current
from tracker.capture.pages_door import Pages
from tracker.capture.penalty import Penalty
from tracker.capture.reply import Fixed, Reply, fixed
from tracker.capture.rings import Rings
from tracker.capture.wire import Request
from tracker.capture.writer import POWER_S, Writer
from tracker.counters import REASON_INDEX, REPLIES_2XX

_CLOSE = b"Connection: close\r\n"
_KEEP = b"Connection: keep-alive\r\n"
_NONSENSE = frozenset({
    reasons.MALFORMED_REQUEST, reasons.HEAD_TOO_LARGE, reasons.NO_ROUTE, reasons.METHOD_NOT_ALLOWED,
    reasons.PATH_TOO_LONG,
})  # fmt: skip
"""What no tag, browser or server sends: see ``penalty``."""
Asked = list[tuple[Connection, Request]]


class Serving:
    """See the rules above."""

    def __init__(self, current: Current, rings: Rings, pages: Pages, penalty: Penalty) -> None:
        """Claims nothing yet."""
        self._penalty = penalty
        self._current = current
        self._rings = rings
        self._pages = pages
        self._stamped = b""
        self.waiting: set[Connection] = set()
        """Connections with parked replies."""
        self.stopping = False
        """Every reply is the last of its connection."""
        self.stamp()

    def answer(self, asked: Asked, now: float) -> None:
        """Put the reply to each request behind those of its connection. ``now`` is monotonic time."""
        endpoint = self._current.now.endpoint
        now_ms = time.time_ns() // 1_000_000
        answers: list[Answer | None] = []
        for _, request in asked:
            hit = request.hit
            if hit is None or hit.path.startswith("/-/"):
                answers.append(None)
                continue
            hit.received_ms = now_ms
            answers.append(endpoint.refuse_body(hit, request.refusal) if request.refusal else endpoint.answer(hit))
        writer = self._rings.writer()
        refused = _publish(writer, [answer for answer in answers if answer is not None and answer.events])
        counts = writer.counts if writer is not None else None
        for (connection, request), answer in zip(asked, answers, strict=True):
            if answer is None:
                reply, reason = self._no_hit(request)
                position = 0
            else:
                reason = (refused.get(id(answer)) if refused else None) or answer.reason
                reply = endpoint.refuse(answer, reason) if answer.events and reason else answer.reply
                position = writer.head if answer.ack == "power" and not reason and writer is not None else 0
            self._push(connection, request, reply, position, now)
            if counts is not None:
                counts[REPLIES_2XX + reply.fixed.status // 100 - 2] += 1
                if reason:
                    counts[REASON_INDEX[reason]] += 1
            if reason in _NONSENSE:
                self._penalty.note(connection.wire.address, now)
                if self._penalty.holds(connection.wire.address, now):
                    connection.closing = True  # once what it has is sent

    def stamp(self) -> None:
        """Look at the clock for the ``Date`` of the next second's replies (RFC 9110, 6.6.1)."""
        self._stamped = f"Server: tracker\r\nDate: {formatdate(usegmt=True)}\r\n".encode("ascii")

    def _no_hit(self, request: Request) -> tuple[Reply, str]:
        """A page of the operators', or a request that could not be read."""
        if request.hit is not None:
            return self._pages.answer(request.hit), ""
        return Reply(_plain(request.status, request.phrase)), request.refusal

    def _push(self, connection: Connection, request: Request, reply: Reply, position: int, now: float) -> None:
        """``position`` above 0: not before the ring is durable to there."""
        how = b""
        if not request.keep or self.stopping:
            how = _CLOSE
            connection.closing = True
        elif request.old:
            how = _KEEP
        extra = reply.extra
        if len(extra) == 2:  # PERF: nearly always, and three times as fast
            (one, first), (other, second) = extra
            own = f"{one}: {first}\r\n{other}: {second}\r\n\r\n"
        else:
            own = "".join([f"{name}: {value}\r\n" for name, value in extra]) + "\r\n"
        body = b"" if request.hit is not None and request.hit.method == "HEAD" else reply.body
        data = b"".join((reply.fixed.head, self._stamped, how, own.encode("ascii"), body))
        if position:
            connection.push(Parked(data, position, now + POWER_S))
            self.waiting.add(connection)
            self._rings.flusher.wake()
        else:
            connection.push(data)


def _publish(writer: Writer | None, kept: list[Answer]) -> dict[int, str]:
    """Publish the events of the answers; reason by answer for those that were not taken."""
    if not kept:
        return {}
    if writer is None:
        return {id(answer): reasons.NO_SLOT for answer in kept}
    said = writer.append_each([(answer.events, answer.reserve) for answer in kept])
    if said is None:
        return {}
    return {id(answer): reason for answer, reason in zip(kept, said, strict=True) if reason}


@functools.cache
def _plain(status: int, phrase: str) -> Fixed:
    return fixed(status, phrase)
