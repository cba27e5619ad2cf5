"""The figures of a run, made from its record when it is over. ``tracker bench gate --json`` shows them so.

Rules
1. Latencies count from when a request was due. Every answer counts, whatever its status; a request without one is an
   error, and no latency.
2. Percentiles come from an HdrHistogram with three digits; the histogram itself is handed on (V2, base64), so that
   figures of several runs can be added up by anybody's tool.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from tracker.gate.mix import Pool
from tracker.gate.record import Record

LONGEST_US: Final = 3_600_000_000
DIGITS: Final = 3
CURVE: Final = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0)
"""Percentiles of the curve in the picture."""
REPAIR: Final = "pip install 'tracker[bench]'"


class MissingLibrary(Exception):
    """``hdrhistogram`` is not installed; ``str()`` says how to get it."""


class Latency(msgspec.Struct, kw_only=True):
    """Milliseconds."""

    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    """99.9 %."""
    max: float = 0.0


class Lag(msgspec.Struct, kw_only=True):
    """The generator's own lag, milliseconds."""

    mean: float
    p99: float
    max: float


class Second(msgspec.Struct, kw_only=True):
    """Requests that were due in one second of the run; latencies in milliseconds."""

    second: int
    answers: int
    p50: float
    p99: float
    max: float


class Row(msgspec.Struct, kw_only=True):
    """One sort of request."""

    name: str
    sent: int
    right: int
    """Answers with a status that the mix expects."""
    latency_ms: Latency


class Figures(msgspec.Struct, kw_only=True):
    """What a run came to."""

    generator: str
    """``tracker`` or ``wrk2``."""
    rate: float
    """Requests a second, as asked for."""
    seconds: float
    """From the beginning to the last answer."""
    sent: int
    answered: int
    right: int
    """Answers with a status that the mix expects."""
    statuses: dict[str, int]
    errors: dict[str, int]
    """Why requests had no answer."""
    latency_ms: Latency
    lag_ms: Lag | None
    """None: this generator does not measure itself."""
    waited: int = 0
    """Requests that found no connection free."""
    connects: int = 0
    """Connections that were made again."""
    interrupted: bool = False
    rows: list[Row] = []
    by_second: list[Second] = []
    curve: list[tuple[float, float]] = []
    """Percentile and milliseconds."""
    histogram: str = ""
    """HdrHistogram of microseconds, V2, compressed, base64."""


def histogram() -> Any:
    """An empty HdrHistogram of microseconds, up to an hour. Raises ``MissingLibrary``."""
    try:
        library = importlib.import_module("hdrh.histogram")
    except ImportError:
        raise MissingLibrary(f"hdrhistogram is not installed: {REPAIR}") from None
    return library.HdrHistogram(1, LONGEST_US, DIGITS)


def figures(record: Record, pool: Pool) -> Figures:
    """The figures of a run of our own generator. Raises ``MissingLibrary``."""
    count = record.noticed
    requests, names = pool.requests, pool.names
    answers: list[list[float]] = [[] for _ in names]
    sent, right = [0] * len(names), [0] * len(names)
    seconds: dict[int, list[float]] = {}
    for number in range(count):
        sort = requests[number % len(requests)].sort
        sent[sort] += 1
        latency, status = record.latency_s[number], record.status[number]
        if not status:
            continue
        right[sort] += pool.right(sort, status)
        answers[sort].append(latency)
        seconds.setdefault(int(number / record.rate), []).append(latency)
    every = [latency for some in answers for latency in some]
    all_of_them = counted(every)
    lags = sorted(record.lag_s[:count])
    return Figures(
        generator="tracker", rate=record.rate, seconds=round(record.elapsed_s, 3), sent=count, answered=len(every),
        right=sum(right), statuses={str(status): many for status, many in record.statuses().items()},
        errors=dict(sorted(record.errors.items())), latency_ms=latency_of(all_of_them, every),
        lag_ms=Lag(mean=_ms(sum(lags) / max(count, 1)), p99=_ms(at(lags, 99)), max=_ms(at(lags, 100))),
        waited=record.waited, connects=record.connects, interrupted=record.interrupted,
        rows=[
            Row(name=name, sent=sent[sort], right=right[sort],
                latency_ms=latency_of(counted(answers[sort]), answers[sort]))
            for sort, name in enumerate(names) if sent[sort]
        ],
        by_second=[
            Second(second=second, answers=len(some), p50=_ms(at(some, 50)), p99=_ms(at(some, 99)), max=_ms(some[-1]))
            for second, some in sorted((second, sorted(some)) for second, some in seconds.items())
        ],
        curve=[(each, round(all_of_them.get_value_at_percentile(each) / 1000, 3)) for each in CURVE] if every else [],
        histogram=all_of_them.encode().decode("ascii"),
    )  # fmt: skip


def counted(seconds: Iterable[float]) -> Any:
    """An HdrHistogram of them. Raises ``MissingLibrary``."""
    found = histogram()
    for microseconds, count in Counter(max(1, round(each * 1e6)) for each in seconds).items():
        found.record_value(min(microseconds, LONGEST_US), count)
    return found


def latency_of(found: Any, seconds: Sequence[float]) -> Latency:
    """Percentiles from the histogram, the mean and the longest from the values themselves."""
    if not seconds:
        return Latency()
    p50, p90, p99, p999 = (found.get_value_at_percentile(each) / 1000 for each in (50, 90, 99, 99.9))
    mean, longest = sum(seconds) / len(seconds), max(seconds)
    return Latency(mean=_ms(mean), p50=p50, p90=p90, p99=p99, p999=p999, max=_ms(longest))


def at(ascending: Sequence[float], percent: float) -> float:
    """The value within which so many of a hundred are (nearest rank); 0 if there is none."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)] if ascending else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
