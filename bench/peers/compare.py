"""The tracker beside other stacks, one core each: ``python -m bench.peers``, or ``make bench-peers``.

Caveats, before any number

* One machine's figures; compare ratios only, and only if the control (the tracker against itself) is near 1.
* A closed loop on the loopback: how many hits a core takes, not how late an answer is at a given rate.
* Interrupts of the loopback fall on either core. Events go to the page cache, and from there to whatever disk there is.
* The peers do less where the table says so, never more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers import equality, figures, load, measure
from bench.peers.contender import Contender
from bench.peers.go.contender import GO
from bench.peers.nginx.contender import NGINX_LOG, NGINX_LUA
from bench.peers.ours.contender import DOORS, default_door, ours

RESULTS = Path(__file__).parents[1] / "results"


def lineup() -> list[Contender]:
    """Everybody: the tracker by its default door, twice; with delivery; by its other door; and the peers."""
    others = [ours(door=door) for door in DOORS if door != default_door()]
    return [ours(), GO, NGINX_LUA, ours("serve"), NGINX_LOG, ours(suffix="-again"), *others]


def main() -> int:
    """Run what the command line asks for; 0 if it could be measured or checked, and every run was reconciled."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=_positive, default=5, help="runs of each contender (default 5)")
    parser.add_argument("--seconds", type=_positive, default=5, help="seconds a run, beside its warm-up (default 5)")
    parser.add_argument("--tries", type=_positive, default=3,
                        help="times that a run is made while other work disturbs it (default 3)")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these contenders; repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where peers.json and peers.md go")
    parser.add_argument("--check", action="store_true", help="compare events and replies, field by field; no load")
    parser.add_argument("--list", action="store_true", help="who is here, in which version, and what is missing")
    given = parser.parse_args()
    everybody = lineup()
    names = [contender.name for contender in everybody]
    unknown = sorted(set(given.only) - set(names))
    if unknown:
        parser.error(f"no contender {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = [contender for contender in everybody if not given.only or contender.name in given.only]
    absent = {contender.name: contender.missing() for contender in wanted if contender.missing()}
    present = [contender for contender in wanted if contender.name not in absent]
    for contender in present:
        print(f"{contender.name:<26} {contender.version()} ({contender.stack})")
    for name, why in absent.items():
        print(f"{name:<26} left out: {why}")
    if given.list:
        return 0
    if given.check:
        return check(present)
    if load.missing():
        print(f"nothing can be measured: {load.missing()}", file=sys.stderr)
        return 1
    return compare(present, absent, given.rounds, given.seconds, given.tries, given.out)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def check(present: list[Contender]) -> int:
    """Each peer with the same logic beside the tracker, field by field; 1 if one differs."""
    reference = ours()
    differ = 0
    for peer in present:
        if peer.name.startswith("tracker-") or not peer.routes:
            continue
        found = equality.differences(reference, peer)
        differ += bool(found)
        count = len(equality.requests(peer))
        print(f"{peer.name:<26} " + (f"{len(found)} differences:" if found else f"equal in {count} requests"))
        for line in found:
            print(f"    {line}")
    return 1 if differ else 0


def compare(
    present: list[Contender], absent: dict[str, str], rounds: int, seconds: int, tries: int, out: Path
) -> int:
    """Measure, write ``peers.json`` and ``peers.md``, print the table; 1 if the tracker's own runs were not clean."""
    began, before = time.time(), os.getloadavg()
    print(f"{rounds} rounds of {len(present)} runs, {seconds} s each; load average {before[0]:.1f}", flush=True)
    results = measure.measure(
        present, rounds, seconds, tries, lambda result: print(measure.told(result), flush=True)
    )
    said = summary(present, absent, results)
    said |= {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)), "rounds": rounds, "seconds": seconds,
        "connections": measure.CONNECTIONS, "machine": machine(), "load_average": [before[0], os.getloadavg()[0]],
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    text = markdown(said)
    (out / "peers.md").write_text(text, "utf-8")
    print("\n" + text)
    print(out / "peers.json")
    mine = [result for result in results if result.contender.startswith("tracker-")]
    return 0 if all(result.clean for result in mine) else 1


def summary(present: list[Contender], absent: dict[str, str], results: list[measure.Result]) -> dict[str, Any]:
    """Medians, spreads, ratios and the control, as JSON can hold them."""
    runs_of = {contender.name: measure.of(results, contender.name) for contender in present}
    rates = {name: [run.rate for run in runs] for name, runs in runs_of.items()}
    costs = {name: [run.cpu_us_per_hit for run in runs] for name, runs in runs_of.items()}
    name = ours().name
    again = f"{name}-again"
    control = figures.ratios(rates[name], rates[again]) if name in rates and again in rates else []
    mine = figures.means(rates[name], rates[again]) if control else rates.get(name, [])
    mine_cost = figures.means(costs[name], costs[again]) if control else costs.get(name, [])
    rows = []
    for contender in present:
        runs = runs_of[contender.name]
        row: dict[str, Any] = {
            "name": contender.name, "stack": contender.stack, "version": contender.version(),
            "leaves_out": contender.leaves_out, "same_events": bool(contender.routes),
            "hits_per_second": figures.spread(rates[contender.name])._asdict(),
            "cpu_us_per_hit": figures.spread(costs[contender.name])._asdict(),
            "p50_us": median(run.p50_us for run in runs), "p99_us": median(run.p99_us for run in runs),
            "core_used": median(run.core_used for run in runs), "core_taken": median(run.core_taken for run in runs),
            "load_used": median(run.load_used for run in runs), "load_taken": median(run.load_taken for run in runs),
            "answered": sum(run.answered for run in runs), "events": sum(run.events for run in runs),
            "lost": sum(run.lost for run in runs), "clean": all(run.clean for run in runs),
            "disturbed_runs": sum(run.disturbed for run in runs),
            "runs": [run._asdict() for run in runs],
        }  # fmt: skip
        if mine and contender.name not in (name, again):
            row["ours_to_it"] = figures.spread(figures.ratios(mine, rates[contender.name]))._asdict()
            # Processor time a hit: theirs over ours, so that more is better for us here too.
            row["ours_to_it_by_cpu"] = figures.spread(figures.ratios(costs[contender.name], mine_cost))._asdict()
        rows.append(row)
    said: dict[str, Any] = {"reference": name, "contenders": rows, "left_out": absent}
    if control:
        said["control"] = figures.spread(control)._asdict() | {"noise": figures.noise(control)}
    return said


def markdown(said: dict[str, Any]) -> str:
    """The table of a summary."""
    load_average = " to ".join(f"{value:.1f}" for value in said["load_average"])
    lines = [
        f"{said['at'][:10]}, {said['machine']}; {said['rounds']} rounds of {said['seconds']} s, {said['connections']} "
        f"connections, one core each; load average {load_average}",
        "",
        "| contender | hits/s (median, range) | CPU us/hit | core: it, others | wrk's core: wrk, others | ours / it "
        "| by CPU | lost events |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(said["contenders"], key=lambda row: -row["hits_per_second"]["median"]):
        rate, ratio, by_cpu = row["hits_per_second"], row.get("ours_to_it"), row.get("ours_to_it_by_cpu")
        cpu = f"{by_cpu['median']:.2f}" if by_cpu else ""
        if row["lost"]:
            verdict = f"**{row['lost']:,}**"
        else:
            verdict = "none" if row["clean"] else "none, **but not clean** (see peers.json)"
        lines.append(
            f"| {row['name']}{'' if row['same_events'] else ' (no logic)'} | {rate['median']:,.0f} "
            f"({rate['lowest']:,.0f}-{rate['highest']:,.0f}) | {row['cpu_us_per_hit']['median']:.2f} | "
            f"{row['core_used']:.0%}, {row['core_taken']:.0%} | {row['load_used']:.0%}, {row['load_taken']:.0%} | "
            + (f"{ratio['median']:.2f} ({ratio['lowest']:.2f}-{ratio['highest']:.2f})" if ratio else "")
            + f" | {cpu} | {verdict} |"
        )
    if control := said.get("control"):
        lines += ["", f"Control, the tracker against itself: {control['median']:.3f} ({control['lowest']:.3f}-"
                      f"{control['highest']:.3f}), noise {control['noise']:.1%}."]  # fmt: skip
    disturbed = sum(row["disturbed_runs"] for row in said["contenders"])
    if disturbed:
        total = sum(len(row["runs"]) for row in said["contenders"])
        lines += ["", f"Disturbed by other work: {disturbed} of {total} runs; see the columns of cores."]
    lines += [f"Left out: {name}: {why}" for name, why in said["left_out"].items()]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Processor, cores and kernel, without the machine's name."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}"


if __name__ == "__main__":
    sys.exit(main())
