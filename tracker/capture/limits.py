"""How much one hit may bring, and how many bad hits are kept.

Rules
1. A hit that is too large in any part is refused with that part's reason before anything is parsed.
2. The bad lane takes so many events a second, with one second's worth in reserve. The clock is the hits' own: time
   passes when a hit says so, and a step back is no time.
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


class BadLane:
    """A token bucket. Threads may share it: a race lets a few more through, never fewer."""

    __slots__ = ("_last_ms", "_per_second", "_tokens")

    def __init__(self, per_second: int) -> None:
        """``per_second`` 0 keeps none."""
        self._per_second = per_second
        self._tokens = float(per_second)
        self._last_ms = 0

    def takes(self, now_ms: int) -> bool:
        """Whether one more bad event is kept at this time."""
        passed = now_ms - self._last_ms
        if passed > 0:
            self._last_ms = now_ms
            self._tokens = min(self._tokens + passed * self._per_second / 1000, self._per_second)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
