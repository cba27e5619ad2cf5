"""locust's mixed traffic, headless, against a tracker of its own: ``python bench/load/mixed.py [--seconds 10]``.

It starts ``tracker serve`` with a temporary data folder, lets the visitors of ``locustfile.py`` come, stops both, and
counts: every request that locust saw answered as meant has its event in the log collector's file. Exit code: 0 if so, 1
if an answer was wrong or the counts differ.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tracker.gate.started import NotServing, Started

HERE = Path(__file__).parent
REPAIR = "pip install 'tracker[load]'"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="how long visitors come")
    parser.add_argument("--visitors", type=int, default=40, help="how many at a time")
    given = parser.parse_args()
    if importlib.util.find_spec("locust") is None:
        print(f"locust is not installed, nothing was run: {REPAIR}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tracker-locust-") as folder:
        try:
            started = Started((), Path(folder) / "var", Path(folder) / "said")
        except NotServing as error:
            print(error, file=sys.stderr)
            return 1
        try:
            said = subprocess.run(
                [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless", "--host", started.url,
                 "--users", str(given.visitors), "--spawn-rate", str(given.visitors), "--run-time", f"{given.seconds}s",
                 "--stop-timeout", "5", "--json", "--only-summary", "--exit-code-on-error", "1", "--loglevel", "ERROR"],
                capture_output=True, timeout=given.seconds + 60, check=False, text=True, cwd=folder,
            )  # fmt: skip
        finally:
            started.stop()
        log = Path(folder) / "var" / "log" / "events.ndjson"
        events = log.read_bytes().count(b"\n") if log.exists() else 0
    try:
        rows = json.loads(said.stdout[said.stdout.index("[") :])
    except ValueError:
        print(f"locust has ended with {said.returncode}:\n{said.stderr[-4000:]}", file=sys.stderr)
        return 1
    answered = failed = 0
    print(f"{'':<12}{'requests':>10}{'failed':>8}{'mean ms':>10}{'p99 ms':>8}")
    for row in sorted(rows, key=lambda each: -each["num_requests"]):
        answered += row["num_requests"] - row["num_failures"]
        failed += row["num_failures"]
        count = row["num_requests"] or 1
        print(f"{row['name']:<12}{row['num_requests']:>10,}{row['num_failures']:>8,}"
              f"{row['total_response_time'] / count:>10.2f}{percentile(row['response_times'], 99):>8,.0f}")  # fmt: skip
    if failed or said.returncode:
        print(said.stderr[-4000:], file=sys.stderr)
    print(f"{answered:,} answers as meant, {events:,} events in the log collector's file")
    return int(said.returncode != 0 or failed > 0 or not answered or events != answered)


def percentile(counts: dict[str, int], percent: float) -> float:
    """Of response times and how many answers took each."""
    left = sum(counts.values()) * percent / 100
    for time_ms, count in sorted((float(each), many) for each, many in counts.items()):
        left -= count
        if left <= 0:
            return time_ms
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
