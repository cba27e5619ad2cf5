"""One ratio for CI: the tracker's hits a second on one core over the Go peer's, interleaved, with a control.

    python -m bench.peers.ratio [--least 1.0] [--rounds 5] [--seconds 2] [--door fast]

Each round runs tracker, Go, tracker, or the same from the other end. Only calm rounds speak: other work on the load's
core slows Go more than the tracker (``bench/README.md``), and so would let the gate pass. With fewer calm rounds than
half, or if the tracker differs from itself by more than ``--noise`` (5 %), nobody can tell: it is measured once more,
and then it fails. So does a run that lost an event.
Exit codes: 0 at least the ratio; 1 below it, too much noise, a lost event, or a tool is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.peers import figures, load, measure
from bench.peers.contender import Contender
from bench.peers.go.contender import GO
from bench.peers.ours.contender import DOORS, default_door, ours


class Attempt(NamedTuple):
    """One series of rounds, judged."""

    verdict: figures.Verdict
    ratio: figures.Spread
    """Of the calm rounds; of all where none was."""
    control: figures.Spread
    noise: float
    calm: int
    """Rounds without a disturbed run."""
    unclean: list[str]
    results: list[measure.Result]


def attempt(mine: tuple[Contender, Contender], peer: Contender, rounds: int, seconds: float, tries: int,
            least: float, most_noise: float) -> Attempt:  # fmt: skip
    """Measure once."""
    one, other = mine
    results: list[measure.Result] = []
    with tempfile.TemporaryDirectory(prefix="tracker-ratio-") as scratch:
        for number in range(rounds):
            order = (one, peer, other) if number % 2 == 0 else (other, peer, one)
            for contender in order:
                folder = Path(scratch) / f"{contender.name}-{number}"
                results.append(measure.run_calm(contender, number, seconds, folder, tries))
                print(measure.told(results[-1]), flush=True)
    disturbed = {run.round for run in results if run.disturbed}
    calm = [run for run in results if run.round not in disturbed]
    speak = calm or results
    rates = {name: [run.rate for run in measure.of(speak, name)] for name in (one.name, other.name, peer.name)}
    control = figures.ratios(rates[one.name], rates[other.name])
    found = figures.ratios(figures.means(rates[one.name], rates[other.name]), rates[peer.name])
    unclean = [measure.told(run).strip() for run in results if not run.clean]
    quiet = rounds - len(disturbed)
    return Attempt(
        verdict=figures.judge(found, control, least, most_noise) if 2 * quiet >= rounds else "inconclusive",
        ratio=figures.spread(found),
        control=figures.spread(control),
        noise=figures.noise(control),
        calm=quiet,
        unclean=unclean,
        results=results,
    )


def main() -> int:
    """Measure, perhaps twice, and judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.ratio", description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=float, default=1.0, help="the ratio that must be reached (default 1.0)")
    parser.add_argument("--noise", type=float, default=0.05, help="most noise of the control (default 0.05)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds a run, beside its warm-up (default 2)")
    parser.add_argument("--tries", type=int, default=2, help="times that a disturbed run is made (default 2)")
    parser.add_argument("--door", default=default_door(), choices=DOORS, help="the tracker's door")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    if min(given.rounds, given.seconds, given.tries) < 1:
        parser.error("at least one round, one second, one try")
    mine = (ours(door=given.door), ours(door=given.door, suffix="-again"))
    absent = load.missing() or GO.missing() or mine[0].missing()
    if absent:
        print(f"the ratio cannot be measured: {absent}", file=sys.stderr)
        return 1
    verdict: figures.Verdict = "inconclusive"
    attempts = []
    for number in (1, 2):
        print(f"attempt {number}: {mine[0].name} and {GO.version()}, load average {os.getloadavg()[0]:.1f}", flush=True)
        found = attempt(mine, GO, given.rounds, given.seconds, given.tries, given.least, given.noise)
        attempts.append(found)
        verdict = "failed" if found.unclean else found.verdict
        print(
            f"{verdict}: {found.ratio.median:.2f} times Go ({found.ratio.lowest:.2f}-{found.ratio.highest:.2f}; at "
            f"least {given.least:g}), against itself {found.control.median:.3f} ({found.control.lowest:.3f}-"
            f"{found.control.highest:.3f}), noise {found.noise:.1%} (at most {given.noise:.0%}), "
            f"{found.calm} of {given.rounds} rounds calm"
        )
        for line in found.unclean:
            print(f"not clean: {line}")
        if verdict != "inconclusive":
            break
    if given.json:
        given.json.write_text(json.dumps([
            {"verdict": found.verdict, "ratio": found.ratio._asdict(), "control": found.control._asdict(),
             "noise": found.noise, "calm": found.calm, "unclean": found.unclean,
             "runs": [run._asdict() for run in found.results]}
            for found in attempts
        ], indent=2) + "\n", "utf-8")  # fmt: skip
    if verdict == "inconclusive":
        print("too much noise, twice: run it on a quieter machine")
    return 0 if verdict == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
