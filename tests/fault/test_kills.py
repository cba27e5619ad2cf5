"""kill -9 of everything, under load: what was answered is in the journal once and in the log once.

``TRACKER_KILLS`` sets how many (200: a few minutes). Needs Linux. The kills in the flusher's own system calls need
strace; without it they are done at random instants, and the test says so by skipping.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.event import decode_line
from tracker.journal import verify
from tracker.journal.reader import JournalReader

KILLS = int(os.environ.get("TRACKER_KILLS", "200"))
PAUSE_S = 0.002
"""Between two hits of a producer: as many as a log file holds before it is rotated are enough to lose one of."""


class Producer(threading.Thread):
    """Sends hits with ids of its own over a kept connection, and writes down what was answered."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(daemon=True)
        self.address, self.name = address, name
        self.sent = 0
        self.answered: list[str] = []
        self.unknown: list[str] = []
        self.refused = 0
        self.stopping = False

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.stopping:
            self.sent += 1
            ident = f"{self.name}-{self.sent}"
            power = self.sent % 50 == 0
            path = f"/conv/c1.gif?event_id={ident}" if power else f"/imp/c1/cr1.gif?price=2.5&event_id={ident}"
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.address, timeout=10)
                connection.request("GET", path)
                reply = connection.getresponse()
                reply.read()
                time.sleep(PAUSE_S)
                if reply.status == 200:
                    assert reply.headers["X-Event-Id"] == ident
                    assert reply.headers["X-Tracker-Ack"] == ("power" if power else "process")
                    self.answered.append(ident)
                else:
                    self.refused += 1
            except (OSError, http.client.HTTPException):
                self.unknown.append(ident)
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)
        if connection is not None:
            connection.close()


def kill_in_flusher(pid: int, call: str, when: int, dice: random.Random) -> bool:
    """Have the kernel kill the process at its ``when``-th next system call of that name. Whether that happened."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
         f"inject={call}:signal=SIGKILL:when={when}", "-p", str(pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        tracer.wait(timeout=5)
    except subprocess.TimeoutExpired:
        tracer.terminate()
        tracer.wait()
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("seed", [20261120])
def test_every_answered_hit_is_in_the_journal_once_and_in_the_log_once(serve: Callable[..., Any], seed: int) -> None:
    """Worker, flusher mid-write, arbiter, delivery and supervisor, killed in a seeded order while hits arrive."""
    if not shutil.which("strace"):
        assert not os.environ.get("CI"), "CI installs strace: see ci/services"
        pytest.skip("strace is missing: apt-get install strace")
    dice = random.Random(seed)
    tracker = serve(TRACKER_WORKERS="2", TRACKER_THREADS="2")
    producers = [Producer(tracker.address, f"p{i}") for i in range(4)]
    for producer in producers:
        producer.start()
    bitten: Counter[str] = Counter()
    back_s: list[float] = []
    until = time.monotonic() + 60 + KILLS * 2
    while sum(bitten.values()) < KILLS:
        assert time.monotonic() < until, f"too few kills bit: {bitten}"
        time.sleep(dice.uniform(0.05, 0.3))
        what = dice.choices(["worker", "flusher", "delivery", "arbiter", "supervisor"], [45, 20, 20, 8, 7])[0]
        pids = tracker.children()["worker" if what == "flusher" else what]
        if not pids:
            continue  # it is being restarted
        pid = dice.choice(pids)
        if what == "flusher":
            call = dice.choice(["pwrite64", "fdatasync"])
            bitten[f"flusher in {call}"] += kill_in_flusher(pid, call, dice.randint(1, 4), dice)
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            bitten[what] += 1
        if what == "supervisor":
            tracker.process.wait()
            back_s.append(tracker.restart())
    time.sleep(0.5)
    tracker.wait_ready()
    for producer in producers:
        producer.stopping = True
    for producer in producers:
        producer.join(15)
    answered = {ident for producer in producers for ident in producer.answered}
    unknown = {ident for producer in producers for ident in producer.unknown}
    print(f"kills {dict(bitten)}; answered {len(answered)}, unknown {len(unknown)}, "
          f"refused {sum(producer.refused for producer in producers)}; back after a supervisor's death within "
          f"{max(back_s, default=0):.1f} s")
    assert max(back_s, default=0) < 5, f"a supervisor's death cost {max(back_s):.1f} s"
    assert all(bitten[what] for what in ("worker", "delivery", "flusher in pwrite64")), bitten

    deadline = time.monotonic() + 10  # what dead workers left is adopted within 5 s
    while missing := answered - logged_ids(tracker).keys():
        assert time.monotonic() < deadline, f"{len(missing)} answered hits are not in the log: {sorted(missing)[:5]}"
        time.sleep(0.2)
    assert tracker.stop() == 0

    journal = journal_ids(tracker)
    log = logged_ids(tracker)
    assert answered <= journal.keys()
    assert journal.keys() <= answered | unknown, "an event that nobody sent"
    assert set(journal.values()) == {1}, "twice in the journal"
    assert log == journal, "the log is not the journal"
    report = verify.audit(tracker.data_dir)
    assert not report.findings, report.findings


def logged_ids(tracker: Any) -> Counter[str]:
    """How often each id stands in the log's files."""
    return Counter(event["id"] for event in tracker.logged())


def journal_ids(tracker: Any) -> Counter[str]:
    """How often each id stands in the journal, bad lane and all."""
    found: Counter[str] = Counter()
    with contextlib.closing(JournalReader(tracker.data_dir)) as reader:
        for stream in reader.streams():
            at = 0
            while (chunk := reader.read(stream, at)).end > at:
                assert not chunk.damaged_bytes and not chunk.expired_bytes
                for line in chunk.lines:
                    event = decode_line(line)
                    assert event.stream == stream
                    found[event.id] += 1
                at = chunk.end
    return found
