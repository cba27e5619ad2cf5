"""The record of a run: for each request when it was due, when the generator got round to it, and what came of it.

Rules
1. Plain numbers in arrays, written while the run lasts; everything that is computed is computed afterwards
   (``figures``), so that measuring does not slow what is measured.
2. Request ``n`` was due ``n / rate`` seconds after the beginning, whatever happened before it.
3. ``lag`` is the generator's own: from when a request was due to when the generator noticed. That a connection was free
   then is not part of it; so a slow server cannot cause it, and a generator that gets no processor cannot hide it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any


class Record:
    """One run, written by the generator."""

    def __init__(self, total: int, rate: float) -> None:
        """Room for ``total`` requests, ``rate`` a second."""
        self.rate = rate
        self.noticed = 0
        """Requests that have become due. Of the arrays below so many values count."""
        self.lag_s = array("d", bytes(8 * total))
        self.latency_s = array("d", [-1.0]) * total
        """From when it was due until its answer was there; negative: no answer."""
        self.status = array("H", bytes(2 * total))
        """0: no answer."""
        self.errors: Counter[str] = Counter()
        """Why requests had no answer."""
        self.receipts: list[bytes] = []
        """Event ids that answers bore, in the order of the answers, if they were asked for."""
        self.waited = 0
        """Requests that found no connection free."""
        self.connects = 0
        """Connections that were made again in the course of the run."""
        self.elapsed_s = 0.0
        """From the beginning to the last answer."""
        self.interrupted = False

    @property
    def total(self) -> int:
        """Requests that the schedule has."""
        return len(self.status)

    @property
    def answered(self) -> int:
        """Requests with an answer."""
        return self.noticed - sum(self.errors.values())

    def statuses(self) -> dict[int, int]:
        """Answers by status."""
        counts: Any = Counter(self.status[: self.noticed])
        return {status: counts[status] for status in sorted(counts) if status}
