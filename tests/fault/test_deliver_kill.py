"""Real processes: a writer that feeds, a deliverer that is killed hard again and again. The log has each event once."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.journal.reader import JournalReader

KILLS = int(os.environ.get("TRACKER_TEST_KILLS", "20"))

# Feeds about 4,000 events a second through a ring and its flusher until told to stop.
WRITER = """
import signal, sys, time
from pathlib import Path
from tracker.capture.writer import Writer
from tracker.event import Event
from tracker.journal import slot
from tracker.journal.flusher import Flusher
from tracker.settings.model import Journal, Tracker

data = Path(sys.argv[1])
going = [True]
signal.signal(signal.SIGTERM, lambda *_: going.clear())
flusher = Flusher(data, 20)
settings = Tracker(data_dir=str(data), journal=Journal(segment_bytes=1 << 20))
writers = []
for _ in range(2):
    held = slot.claim(data, settings, 1 << 22)
    flusher.add(held)
    writers.append(Writer(held, flusher))
flusher.start()
print("ready", flush=True)
number = 0
while going:
    for writer in writers:
        for _ in range(20):
            number += 1
            event = Event(id=f"{sys.argv[2]}-{number}", event="impression", dimensions={"n": "x" * (number % 200)})
            while writer.append([event]):
                time.sleep(0.01)
    time.sleep(0.01)
flusher.stop(10)
"""

DELIVERER = """
import logging, sys
from tracker.delivery import loop, runner
from tracker.settings.model import Collector, Journal, Routes, Settings, Tracker
logging.basicConfig(level=logging.WARNING)
loop.COMMIT_EVERY_S = float(sys.argv[2])
options = {"rotate_bytes": 300_000, "compress": "gzip"}
tracker = Tracker(data_dir=sys.argv[1], collectors={
    "log": Collector(type="log", options=options),
    "plain": Collector(type="log", options={"file": "plain.ndjson", "fsync": "commit"}),
})
sys.exit(runner.run_process(Settings(tracker=tracker, routes=Routes(), version="x")))
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Started processes; none is left behind."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def start(processes: list[subprocess.Popen[str]], script: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    processes.append(process)
    return process


def start_writer(processes: list[subprocess.Popen[str]], data_dir: Path, name: str) -> subprocess.Popen[str]:
    writer = start(processes, WRITER, str(data_dir), name)
    assert writer.stdout
    assert writer.stdout.readline() == "ready\n"
    return writer


def logged(folder: Path, stem: str) -> dict[str, list[int]]:
    """Seqs by stream, over rotated files in the order of rotation and the live one; whole lines only."""

    def rotation(path: Path) -> tuple[str, int]:
        _, when, number = path.name.split(".")[0].rsplit("-", 2)
        return when, int(number)

    found: dict[str, list[int]] = {}
    rotated = sorted(folder.glob(f"{stem}-*"), key=rotation)
    for path in [*rotated, folder / f"{stem}.ndjson"]:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in content.splitlines(keepends=True):
            assert line.endswith(b"\n")
            event = json.loads(line)
            found.setdefault(event["stream"], []).append(event["seq"])
    return found


def test_killed_again_and_again_delivery_logs_each_event_once(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Writers are killed too, every fifth time: their rings are adopted. In the end log and journal are equal."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    writer = start_writer(processes, tmp_path, "w0")
    for kill in range(KILLS):
        deliverer = start(processes, DELIVERER, str(tmp_path), str(dice.choice([0.0, 0.1, 1.0])))
        began = time.monotonic()
        status = tmp_path / "delivery/log.json"
        status.unlink(missing_ok=True)
        while not status.exists() and time.monotonic() - began < 10:  # so that a slow machine kills no imports only
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.4))
        assert deliverer.poll() is None, f"seed {seed}, kill {kill}"
        deliverer.kill()
        deliverer.wait()
        if kill % 5 == 4:
            writer.kill()
            writer.wait()
            writer = start_writer(processes, tmp_path, f"w{kill}")
    deliverer = start(processes, DELIVERER, str(tmp_path), "1.0")
    writer.send_signal(signal.SIGTERM)
    assert writer.wait(30) == 0
    reader = JournalReader(tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ends = {stream: reader.end(stream) for stream in reader.streams()}
        time.sleep(1.2)
        lag = json.loads((tmp_path / "delivery/log.json").read_bytes())["lag_bytes"]
        if not lag and ends == {stream: reader.end(stream) for stream in reader.streams()}:
            break
    deliverer.send_signal(signal.SIGTERM)
    assert deliverer.wait(30) == 0
    want: dict[str, list[int]] = {}
    for stream in reader.streams():
        at = 0
        while (chunk := reader.read(stream, at)).end > at:
            assert (chunk.damaged_bytes, chunk.expired_bytes) == (0, 0)
            want.setdefault(stream, []).extend(json.loads(line)["seq"] for line in chunk.lines)
            at = chunk.end
    reader.close()
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in want.values())
    assert sum(map(len, want.values())) > 50 * KILLS
    for stem in ("events", "plain"):
        assert logged(tmp_path / "log", stem) == want, f"seed {seed}"
    assert not list((tmp_path / "delivery").glob("*.dead*"))
    assert not list((tmp_path / "delivery").glob("*.gaps*"))
