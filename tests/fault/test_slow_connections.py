"""Slow connections of five kinds beside good traffic (FAULTS H2, H3): the fast door serves the good as if they were not there.

``TRACKER_SLOW`` sets how many slow connections (1,000; the long form has 5,000 and needs ``ulimit -n`` of 12,000), and
``TRACKER_SLOW_RATE`` the good requests/s (500; the long form 2,000).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire import FAST, Client, Wire, percentile, resident_bytes, wait_events

from tracker.capture import connection as door

SLOW = int(os.environ.get("TRACKER_SLOW", "1000"))
RATE = int(os.environ.get("TRACKER_SLOW_RATE", "500"))
SECONDS = 12
CALM_S = 3

pytestmark = [
    pytest.mark.skipif(not FAST, reason="the fast door needs Linux (epoll)"),
    pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * SLOW + 1000, reason="raise the limit of open files: ulimit -n 12000"),
]


class Slow:
    """``tests/slow_clients.py`` at work."""

    def __init__(self, address: str, count: int) -> None:
        script = Path(__file__).parents[1] / "slow_clients.py"
        self._process = subprocess.Popen([sys.executable, script, address, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> dict[str, Any]:
        """What became of them."""
        out, _ = self._process.communicate(timeout=30)
        found: dict[str, Any] = json.loads(out)
        return found


def test_good_requests_do_not_notice_slow_connections(serve: Callable[..., Any]) -> None:
    """All good requests are answered, each event is kept, memory stays flat; how late they are is printed beside the calm."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_RING_BYTES_PER_WORKER="16777216")
    (pid,) = tracker.children()["worker"]
    clients = [Client(tracker.address, f"good{at}", rate=RATE / 8, keep=at % 2 == 0) for at in range(8)]
    for client in clients:
        client.start()
    time.sleep(CALM_S)
    calm = [late for client in clients for late in client.late_s]
    before = resident_bytes(pid)
    slow = Slow(tracker.address, SLOW)
    marks = [len(client.late_s) for client in clients]
    time.sleep(SECONDS)
    grown = resident_bytes(pid) - before
    for client in clients:
        client.stop()
    found = slow.stop()
    beside = [late for client, mark in zip(clients, marks, strict=True) for late in client.late_s[mark:]]
    failed = [each for client in clients for each in client.failed]
    print(f"good: {len(beside) / SECONDS:.0f}/s beside {found['most']} slow connections ({found['refused']} refused, ended by the door: {found['ended']}); "
          f"p50 {percentile(beside, 0.5) * 1000:.1f} ms, p99 {percentile(beside, 0.99) * 1000:.1f} ms, worst {max(beside) * 1000:.0f} ms; "
          f"calm p50 {percentile(calm, 0.5) * 1000:.1f} ms, p99 {percentile(calm, 0.99) * 1000:.1f} ms; {grown / 1e6:.1f} MB more")  # fmt: skip
    assert found["most"] >= SLOW * 0.95, "the slow connections were not there"
    assert not failed, failed[:5]
    assert len(beside) > 0.7 * RATE * SECONDS
    assert percentile(beside, 0.99) < 0.5  # the demand is 50 ms, on a machine that does nothing else
    assert grown < 8_000_000 + SLOW * 40_000
    answered = {ident for client in clients for ident in client.answered}
    kept = Counter(event.id for event in wait_events(tracker.data_dir, answered) if event.id.startswith("good"))
    assert set(kept.values()) == {1}
    assert tracker.stop() == 0


def test_those_that_never_say_anything_are_let_go(serve: Callable[..., Any]) -> None:
    """No byte, half a head, half a body: each ends at its own deadline, dripping or not; 408 to those that had begun."""
    tracker = serve(TRACKER_DOOR="fast")
    (pid,) = tracker.children()["worker"]
    open_before = len(os.listdir(f"/proc/{pid}/fd"))
    slow = Slow(tracker.address, 60)
    time.sleep(door.HEAD_S + 3)
    ended = slow.stop()["ended"]
    print(f"after {door.HEAD_S + 3:.0f} s the door had ended {ended}")
    assert ended.get("no byte", 0) >= 12
    assert ended.get("head drips", 0) >= 12
    deadline = time.monotonic() + door.LINGER_S + 5
    while len(os.listdir(f"/proc/{pid}/fd")) > open_before + 2:
        assert time.monotonic() < deadline, "descriptors are not given back"
        time.sleep(0.1)


def test_a_kept_connection_ends_some_time_after_its_last_request(serve: Callable[..., Any]) -> None:
    """Idle ones are closed, without a word, at the time that the door names."""
    idle_s = door.IDLE_S
    tracker = serve(TRACKER_DOOR="fast")
    with Wire(tracker.address, timeout_s=idle_s + 5) as wire:
        assert wire.send(b"GET /go/spring HTTP/1.1\r\nHost: t\r\n\r\n").reply()
        began = time.monotonic()
        assert wire.closed(idle_s + 5)
        assert idle_s - 0.5 < time.monotonic() - began < idle_s + 3
