"""All micro benchmarks: ``python -m bench.micro [--fast] [--out FOLDER]``.

Each script of this folder runs under pyperf in processes of its own; its figures go to ``FOLDER/micro-<script>.json``
(default ``bench/results``), and a table of all to standard output. A figure is one machine's; compare ratios only.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import pyperf

HERE = Path(__file__).parent
FULL = "--processes 6 --values 3 --warmups 1"
"""Some minutes in all."""
FAST = "--processes 2 --values 2 --warmups 1"
"""A minute or two, and a wider spread: whether it runs, not how fast."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="fewer processes and values: whether it runs, not how fast")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results", help="where the JSON goes")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    scripts = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("_"))
    rows = []
    for number, script in enumerate(scripts, 1):
        target = given.out / f"micro-{script.stem}.json"
        target.unlink(missing_ok=True)
        print(f"{number} of {len(scripts)}: {script.name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        options = (FAST if given.fast else FULL).split()
        done = subprocess.run([sys.executable, str(script), "--quiet", "-o", str(target), *options],
                              stdout=subprocess.DEVNULL)  # fmt: skip
        if done.returncode:
            print(f"{script.name} failed with {done.returncode}", file=sys.stderr)
            return 1
        print(f"   {time.monotonic() - began:.0f} s", file=sys.stderr)
        rows += [
            (script.stem, bench.get_name(), bench.median() * 1e6, bench.median_abs_dev() * 1e6)
            for bench in pyperf.BenchmarkSuite.load(str(target)).get_benchmarks()
        ]
    print(f"Python {platform.python_version()}, {machine()}\n")
    print("| script | what | median, us | median abs. deviation, us |\n|---|---|---:|---:|")
    for stem, name, median, deviation in rows:
        print(f"| {stem} | {name} | {median:.3f} | {deviation:.3f} |")
    return 0


def machine() -> str:
    """Processor and kernel, without the machine's name."""
    try:
        model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
        return f"{model.partition(':')[2].strip()}, {platform.system()} {platform.release().partition('-')[0]}"
    except (OSError, StopIteration):
        return f"{platform.machine()}, {platform.system()}"


if __name__ == "__main__":
    sys.exit(main())
