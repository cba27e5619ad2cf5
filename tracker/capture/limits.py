"""How much one hit may bring, and how many bad hits are kept.

Rules
1. A hit that is too large in any part is refused with that part's reason before anything is parsed.
2. The bad lane takes so many events and so many bytes a second, with one second's worth of each in reserve. The clock
   is the hits' own: time passes when a hit says so, and a step back is no time.
3. Beyond that a bad hit is answered all the same, and counted.
"""

from __future__ import annotations

from tracker import reasons
from tracker.capture.hit import Hit
from tracker.settings.model import Limits


def excess(hit: Hit, limits: Limits) -> str:
    """The reason why a hit is too large; empty if it is not."""
    if _utf8_length(hit.path) > limits.max_path_bytes:
        return reasons.PATH_TOO_LONG
    if _utf8_length(hit.query) > limits.max_query_bytes:
        return reasons.QUERY_TOO_LONG
    if hit.query.count("&") >= limits.max_query_parameters:
        return reasons.TOO_MANY_PARAMETERS
    if len(hit.body) > limits.max_body_bytes:
        return reasons.BODY_TOO_LARGE
    return ""


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Bucket:
    """A bucket of events and one of bytes. Threads may share it: a race lets a few more through, never fewer."""

    __slots__ = ("_bytes", "_bytes_per_second", "_events", "_events_per_second", "_last_ms")

    def __init__(self, events_per_second: int, bytes_per_second: int) -> None:
        """0 of either keeps none."""
        self._events_per_second = events_per_second
        self._bytes_per_second = bytes_per_second
        self._events = float(events_per_second)
        self._bytes = float(bytes_per_second)
        self._last_ms = 0

    def has_room(self, now_ms: int) -> bool:
        """Whether one more event may be kept at this time, if it is small enough."""
        self._pass(now_ms)
        return self._events >= 1 and self._bytes >= 1

    def takes(self, now_ms: int, size: int) -> bool:
        """Whether one more bad event of ``size`` bytes is kept at this time."""
        self._pass(now_ms)
        if self._events < 1 or self._bytes < size:
            return False
        self._events -= 1
        self._bytes -= size
        return True

    def _pass(self, now_ms: int) -> None:
        passed = now_ms - self._last_ms
        if passed > 0:
            self._last_ms = now_ms
            self._events = min(self._events + passed * self._events_per_second / 1000, self._events_per_second)
            self._bytes = min(self._bytes + passed * self._bytes_per_second / 1000, self._bytes_per_second)
