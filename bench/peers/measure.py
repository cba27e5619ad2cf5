"""Interleaved rounds: each contender in turn, alone, on one core, with the load on another; every run reconciled.

Rules
1. A round holds one run of each contender, started anew in an empty folder. Each round begins with another contender,
   so that nobody always follows the same one; a control (the tracker twice) is only one contender more.
2. A run is warmed up for a second before its figures count. Whatever was answered, warm-up included, must be on disk
   when the server has stopped: at least as many lines as answers, and at most those in flight more.
3. A run waits some seconds for both cores to be calm. One during which others took more than ``MOST_TAKEN`` of either
   is made again, at most ``TRIES`` times in all; then the calmest is kept and marked ``disturbed``. Its figures have no
   say in that.
4. Processor time is counted beside hits: on a shared machine it is the figure that others disturb least.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.peers import figures, load
from bench.peers.contender import Contender, Run, core_seconds, running

SERVER_CORE = 0
LOAD_CORE = 1
CONNECTIONS = 32
WARM_UP_S = 1.0
MOST_TAKEN = 0.10
CALM_S = 0.5
LONGEST_WAIT_S = 3.0


class Result(NamedTuple):
    """One run."""

    contender: str
    round: int
    rate: float
    """Answered hits a second."""
    cpu_us_per_hit: float
    """Processor time of the server's processes for each answered hit."""
    core_used: float
    """Share of the core that the server's processes had; near 1 the server was the limit, not the load."""
    core_taken: float
    """Share of the core that other processes, or other machines, had."""
    load_used: float
    """Share of its own core that the load generator had; near 1 it was the limit, and the server could do more."""
    load_taken: float
    """Share of that core that others had: the server waits while they do."""
    p50_us: int
    p99_us: int
    answered: int
    events: int
    lost: int
    surplus: int
    refused: int
    broken: int
    exit_code: int

    @property
    def taken(self) -> float:
        """The greater share that others had of one of the two cores."""
        return max(self.core_taken, self.load_taken)

    @property
    def disturbed(self) -> bool:
        """Whether its figures are those of the machine's other work too."""
        return self.taken > MOST_TAKEN

    @property
    def clean(self) -> bool:
        """Every hit answered, every answer an event, and an orderly end."""
        return not (self.lost or self.surplus or self.refused or self.broken or self.exit_code)


def cores() -> tuple[int | None, int | None]:
    """The server's core and the load's; with fewer than two nothing is pinned."""
    mine = sorted(os.sched_getaffinity(0))
    return (mine[SERVER_CORE], mine[LOAD_CORE]) if len(mine) > 1 else (None, None)


class _Clocks(NamedTuple):
    """Seconds so far."""

    wall: float
    server: float
    server_core: float
    load: float
    load_core: float


def _clocks(run: Run, server_core: int | None, load_core: int | None) -> _Clocks:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # of wrk, which has been waited for; the server has not
    return _Clocks(
        time.monotonic(), run.cpu_seconds(), core_seconds(server_core or 0), children.ru_utime + children.ru_stime,
        core_seconds(load_core or 0),
    )  # fmt: skip


def run_once(contender: Contender, number: int, seconds: float, folder: Path) -> Result:
    """One run in a folder that must not exist yet."""
    server_core, load_core = cores()
    with running(contender, folder, server_core) as run:
        warm = load.press(run.port, WARM_UP_S, connections=CONNECTIONS, core=load_core)
        before = _clocks(run, server_core, load_core)
        hot = load.press(run.port, seconds, connections=CONNECTIONS, core=load_core)
        spent = _Clocks(*(now - then for now, then in zip(_clocks(run, server_core, load_core), before, strict=True)))
        time.sleep(0.3)  # a buffer that is written every 200 ms gets its chance: losing it at a stop is not the subject
        code = run.end()
        answered, events = warm.answered + hot.answered, run.count()
    return Result(
        contender=contender.name,
        round=number,
        rate=hot.rate,
        cpu_us_per_hit=spent.server / max(1, hot.answered) * 1e6,
        core_used=spent.server / spent.wall,
        core_taken=max(0.0, spent.server_core - spent.server) / spent.wall,
        load_used=spent.load / spent.wall,
        load_taken=max(0.0, spent.load_core - spent.load) / spent.wall,
        p50_us=hot.p50_us,
        p99_us=hot.p99_us,
        answered=answered,
        events=events,
        lost=figures.lost(answered, events),
        surplus=figures.surplus(answered, events, 2 * CONNECTIONS),
        refused=warm.refused + hot.refused,
        broken=warm.broken + hot.broken,
        exit_code=code,
    )


def wait_calm(timeout_s: float) -> None:
    """Return when others leave both cores alone, or when the time is up."""
    both = [core or 0 for core in cores()]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        before = [core_seconds(core) for core in both]
        time.sleep(CALM_S)
        if all(core_seconds(core) - then <= MOST_TAKEN * CALM_S for core, then in zip(both, before, strict=True)):
            return


def run_calm(contender: Contender, number: int, seconds: float, folder: Path, tries: int) -> Result:
    """The first run that nobody disturbs, or the calmest of ``tries``. An unclean one counts at once: see rule 2."""
    made: list[Result] = []
    for attempt in range(tries):
        wait_calm(LONGEST_WAIT_S if tries > 1 else 0)
        made.append(run_once(contender, number, seconds, folder / str(attempt)))
        if not made[-1].clean:
            return made[-1]
        if not made[-1].disturbed:
            break
    return min(made, key=lambda result: result.taken)


def measure(
    contenders: Sequence[Contender], rounds: int, seconds: float, tries: int, tell: Callable[[Result], None]
) -> list[Result]:
    """All rounds; ``tell`` hears of each run as it ends. Names must differ."""
    assert len({contender.name for contender in contenders}) == len(contenders)
    results = []
    with tempfile.TemporaryDirectory(prefix="tracker-peers-") as scratch:
        for number in range(rounds):
            first = number % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                folder = Path(scratch) / f"{contender.name}-{number}"
                results.append(run_calm(contender, number, seconds, folder, tries))
                tell(results[-1])
    return results


def of(results: Sequence[Result], name: str) -> list[Result]:
    """A contender's runs, by round."""
    return sorted((result for result in results if result.contender == name), key=lambda result: result.round)


def told(result: Result) -> str:
    """A run as a line."""
    text = (
        f"  round {result.round + 1}  {result.contender:<26} {result.rate:>9,.0f} hits/s  "
        f"{result.cpu_us_per_hit:6.2f} us cpu/hit  core {result.core_used:4.0%}, others {result.core_taken:4.0%}; "
        f"wrk {result.load_used:4.0%}, others {result.load_taken:4.0%}"
    )
    troubles = [f"{name} {count:,}" for name, count in (
        ("lost", result.lost), ("surplus", result.surplus), ("refused", result.refused), ("broken", result.broken),
        ("exit", result.exit_code),
    ) if count]  # fmt: skip
    if result.disturbed:
        text += "  disturbed"
    return text + ("  !! " + ", ".join(troubles) if troubles else "")
