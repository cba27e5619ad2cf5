"""A run of the gate: a tracker that is there or is started, warmed up, loaded, reckoned with, and judged.

Rules
1. A tracker that was started here is ended before the reckoning: what its delivery had not written then is missing.
2. Receipts of the warm-up count, too; its latencies do not.
3. Nobody is sent a request who is not a tracker, and nobody on another machine unless its owner says so.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tracker.demo import run as asking
from tracker.demo.connection import Target
from tracker.gate import generator, reckoning, wrk2
from tracker.gate.figures import figures, histogram
from tracker.gate.mix import Mix, Pool, build
from tracker.gate.record import Record
from tracker.gate.started import Started
from tracker.gate.verdict import Judgement, Limits, judge

CONNECTIONS: Final = 64
WARM_UP_S: Final = 3.0
SOFT_START: Final = 0.5
"""Part of the rate at which the first half of the warm-up is sent: a cold tracker compiles, and maps its files."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a run."""

    limits: Limits
    mix: Mix
    wrk2: str | None = None
    """Its path, if it shall be the generator; the warm-up is our own one's all the same."""
    connections: int = CONNECTIONS
    warm_up_s: float = WARM_UP_S
    data_dir: Path | None = None
    """Of the tracker at the URL, if its events shall be reconciled."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a run tells how it gets on."""

    stage: Callable[[str], None]
    """What begins now, as a sentence."""
    watch: Callable[[Record], None] | None = None
    reckon: reckoning.Progress | None = None


def gate(order: Order, where: Target, url: str, told: Told, started: Started | None) -> Judgement:
    """Load the tracker at ``where``, and judge. ``started``: it is ours, and is ended here.

    Raises ``generator.Unreachable``, ``wrk2.Failed``, ``figures.MissingLibrary``, ``asking.BadTarget``,
    ``started.NotServing`` and ``OSError`` (the data folder cannot be read).
    """
    histogram()  # what is missing is missed now, not after the run
    version = str(asking.ask(where).get("settings_version", ""))
    pool = build(order.mix, where.shown)
    folder = started.data_dir if started is not None else order.data_dir
    books = reckoning.Bookkeeper(folder) if folder is not None else None
    began = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    receipts: list[bytes] = []
    lost = 0  # requests of which nobody knows what came
    limits = order.limits
    if order.warm_up_s:
        told.stage(f"Warming up for {order.warm_up_s:g} s")
    for rate in (limits.rps * SOFT_START, limits.rps) if order.warm_up_s else ():
        warm = _send(order, where, pool, rate, order.warm_up_s / 2, books is not None, None)
        receipts += warm.receipts
        lost += sum(warm.errors.values())
        if warm.interrupted:
            raise KeyboardInterrupt
    by = " by wrk2, which calibrates itself for another 10 s" if order.wrk2 is not None else ""
    told.stage(f"{limits.rps:,.0f} requests/s for {limits.duration_s:g} s{by}")
    if order.wrk2 is not None:
        loaded = wrk2.run(order.wrk2, where, pool, rate=limits.rps, seconds=limits.duration_s,
                          connections=order.connections, salt=int.from_bytes(os.urandom(3), "big"))  # fmt: skip
        found = loaded.figures
        receipts += loaded.receipts
        lost += order.connections  # what is under way when it leaves
    else:
        record = _send(order, where, pool, limits.rps, limits.duration_s, books is not None, told.watch)
        found = figures(record, pool)
        receipts += record.receipts
    lost += sum(found.errors.values())
    reckoned = None
    if books is not None:
        told.stage(f"Looking for {len(receipts):,} events in {folder}")
        if started is not None:
            started.look()
        books.wait(receipts, told.reckon)
        if started is not None:
            started.stop()
        reckoned = books.reckon(receipts)
    unchecked = "" if books is not None else "name the tracker's folder with --data-dir"
    return judge(url, limits, found, reckoned, unchecked=unchecked, unasked_for=lost if started is not None else None,
                 settings_version=version, began=began, machine=machine())  # fmt: skip


def _send(
    order: Order, where: Target, pool: Pool, rate: float, seconds: float, receipts: bool,
    watch: Callable[[Record], None] | None,
) -> Record:  # fmt: skip
    sender = generator.Generator(where, pool, rate=rate, seconds=seconds, connections=order.connections,
                                 receipts=receipts, watch=watch)  # fmt: skip
    return sender.run()


def machine() -> str:
    """Processor, how many of them, kernel, Python; without the machine's name."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{os.cpu_count() or 1} x {model}, {kernel}, Python {platform.python_version()}"
