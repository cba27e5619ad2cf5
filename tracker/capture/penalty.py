"""The penalty: addresses that send nonsense are heard less, so that nonsense costs the others little.

Rules
1. What counts is what no tag, browser or server sends: bytes that are no HTTP, paths and methods that no route has. The
   bad lane does not count: a wrong tag is not its readers' fault.
2. An address may send so many at once (``limits.max_bad_requests``) and so many a second. Beyond it, its connections
   are closed after the reply, and new ones are answered with one 429 that was made before, until it has been quiet for
   a while: at most as long as it takes to forgive the same number once more.
3. Memory is bounded, and holds no address: hashes with a key of this process. When the table is full, who is quiet is
   forgotten; if nobody is, nobody new is penalised.
4. Proxies of ``clients.trusted_proxies`` are never penalised: they speak for many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PER_SECOND: Final = 5.0
"""Bad requests that are forgiven each second."""
MAX_ADDRESSES: Final = 8192


class Penalty:
    """Scores by address. It belongs to one thread."""

    def __init__(self, burst: Callable[[], int], exempt: Callable[[str], bool]) -> None:
        """``burst``: how many an address may send at once, 0 for no penalty; ``exempt``: who is a proxy of ours."""
        self._burst = burst
        self._exempt = exempt
        self._scores: dict[int, tuple[float, float]] = {}
        """Score and its monotonic time, by hash."""
        self._forget_at = 0.0

    def note(self, address: str, now: float) -> None:
        """A bad request from this address."""
        burst = self._burst()
        if not address or not burst:
            return
        key = hash(address)
        known = self._scores.get(key)
        if known is None:
            if self._exempt(address) or (len(self._scores) >= MAX_ADDRESSES and not self._forget(now)):
                return
            self._scores[key] = (1.0, now)
        else:
            self._scores[key] = (min(_left(known, now) + 1.0, 2.0 * burst), now)

    def holds(self, address: str, now: float) -> bool:
        """Whether an address is not heard at present."""
        if not self._scores:  # PERF: nearly always
            return False
        known = self._scores.get(hash(address))
        return known is not None and _left(known, now) > (self._burst() or float("inf"))

    def _forget(self, now: float) -> bool:
        """Forget who is quiet, at most once a second; whether there is room now."""
        if now < self._forget_at:
            return False
        self._forget_at = now + 1.0
        self._scores = {key: known for key, known in self._scores.items() if _left(known, now) > 0.0}
        return len(self._scores) < MAX_ADDRESSES


def _left(known: tuple[float, float], now: float) -> float:
    score, at = known
    return max(0.0, score - (now - at) * PER_SECOND)
