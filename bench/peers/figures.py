"""The statistics of a comparison: pure functions of rounds.

Rules
1. A ratio is taken within a round, never across rounds: what slows a whole machine slows both sides of it.
2. The median of the rounds speaks; the spread (lowest and highest) is always told beside it.
3. The control is the tracker against itself, interleaved like everything else. Its noise is the median distance of its
   ratios from 1: a ratio that differs from 1 by less means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

Verdict = Literal["passed", "failed", "inconclusive"]


class Spread(NamedTuple):
    """A median and what it lies between."""

    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round; both have as many, and none is zero."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def noise(control: Sequence[float]) -> float:
    """How far the tracker against itself is from 1, as a fraction: 0.03 is 3 %."""
    return median(abs(ratio - 1) for ratio in control)


def means(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The tracker's two runs of each round as one."""
    return [(one + other) / 2 for one, other in zip(first, second, strict=True)]


def judge(found: Sequence[float], control: Sequence[float], least: float, most_noise: float) -> Verdict:
    """Whether the median ratio is at least ``least``; with too much noise nobody can tell."""
    if noise(control) > most_noise:
        return "inconclusive"
    return "passed" if median(found) >= least else "failed"


def lost(answered: int, events: int) -> int:
    """Answered hits without an event."""
    return max(0, answered - events)


def surplus(answered: int, events: int, in_flight: int) -> int:
    """Events beyond the answers: more than what was being answered when the load stopped."""
    return max(0, events - answered - in_flight)
