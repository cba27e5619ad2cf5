"""Latencies, counted in classes: bounded memory, and percentiles that are right to 3 %.

A class spans a sixteenth of a power of two: its middle is at most 2.2 % away from anything in it.
"""

from __future__ import annotations

from math import log2
from typing import Final

_STEPS: Final = 16
_CLASSES: Final = 32 * _STEPS
"""Up to 2^32 microseconds: more than an hour."""


class Latencies:
    """How long answers took."""

    def __init__(self) -> None:
        self._counts = [0] * _CLASSES
        self.count = 0
        self.longest_ms = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        microseconds = max(seconds * 1e6, 1.0)
        self._counts[min(int(log2(microseconds) * _STEPS), _CLASSES - 1)] += 1
        self.count += 1
        self.longest_ms = max(self.longest_ms, seconds * 1000)

    def percentile_ms(self, percent: float) -> float:
        """Milliseconds within which so many of a hundred answers came; 0 if there is none."""
        wanted = self.count * percent / 100
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return float(min(2 ** ((number + 0.5) / _STEPS) / 1000, self.longest_ms))
        return self.longest_ms
