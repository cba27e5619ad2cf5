"""Signals under load at the fast door (FAULTS F7, F9, F10, F11): reloads fail nobody, stops lose nothing, a stall is replaced.

``TRACKER_HUPS`` sets how many SIGHUPs (10; the long form 20), ``TRACKER_TERMS`` how many SIGTERMs (4; the long form 20),
``TRACKER_SIGNAL_RATE`` the hits/s (400; the long form 2,000).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wire import FAST, Client, wait_events

HUPS = int(os.environ.get("TRACKER_HUPS", "10"))
TERMS = int(os.environ.get("TRACKER_TERMS", "4"))
RATE = int(os.environ.get("TRACKER_SIGNAL_RATE", "400"))
STALL_S = 45
"""gunicorn replaces a worker that has not shown life for 30 s."""

pytestmark = pytest.mark.skipif(not FAST, reason="the fast door needs Linux (epoll)")


@contextlib.contextmanager
def load(tracker: Any, name: str, kept: bool = True) -> Iterator[list[Client]]:
    """Eight clients, kept connections and new ones; they end with the block."""
    clients = [Client(tracker.address, f"{name}{at}", rate=RATE / 8, keep=kept and at % 4 != 3, power_every=50) for at in range(8)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stop()


def settle(tracker: Any, clients: list[Client]) -> None:
    """What was answered is in the journal, once; nothing is there that nobody sent."""
    answered = {ident for client in clients for ident in client.answered}
    unknown = {ident for client in clients for ident in client.unknown}
    kept = Counter(event.id for event in wait_events(tracker.data_dir, answered, timeout_s=15))
    assert set(kept.values()) == {1}, "twice"
    assert kept.keys() <= answered | unknown, "an event that nobody sent"


def failures(clients: list[Client]) -> list[str]:
    """What went wrong with all of them."""
    return [each for client in clients for each in client.failed]


def wait_workers(tracker: Any, wanted: Callable[[list[int]], bool], timeout_s: float = 15) -> list[int]:
    """The workers' process ids, once they are as wanted."""
    deadline = time.monotonic() + timeout_s
    while not wanted(pids := tracker.children()["worker"]):
        assert time.monotonic() < deadline, f"workers {pids}:\n{tracker.output.read_text()}"
        time.sleep(0.05)
    return list(pids)


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_reloads_under_load_fail_nobody_who_honours_close(serve: Callable[..., Any]) -> None:
    """SIGHUPs to the arbiter: workers are replaced each time; 0 failed requests on kept and on new connections; nothing leaks."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    (arbiter,) = tracker.children()["arbiter"]
    before = wait_workers(tracker, lambda pids: len(pids) == 2)
    with load(tracker, "h") as clients:
        time.sleep(0.5)
        opened = descriptors(arbiter)
        for _ in range(HUPS):
            was = set(tracker.children()["worker"])
            os.kill(arbiter, signal.SIGHUP)
            wait_workers(tracker, lambda pids, was=was: len(pids) == 2 and not was & set(pids))  # type: ignore[misc]
            time.sleep(0.3)
        time.sleep(0.5)
        grown = descriptors(arbiter) - opened
    failed = failures(clients)
    told = sum(client.told_to_close for client in clients)
    print(f"{HUPS} reloads, {sum(len(client.answered) for client in clients)} answered, {len(failed)} failed, {told} told to close")
    assert not failed, failed[:10]
    assert told >= HUPS, "no connection was told to close: were there any kept ones?"
    assert not set(before) & set(tracker.children()["worker"])
    assert abs(grown) <= 4
    settle(tracker, clients)
    assert "Traceback" not in tracker.output.read_text()


def test_a_storm_of_reloads_ends_with_the_workers_that_were_asked_for(serve: Callable[..., Any]) -> None:
    """30 SIGHUPs in 3 s: it serves all the while, and ends with two new workers; no answered hit is missing."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    (arbiter,) = tracker.children()["arbiter"]
    with load(tracker, "storm") as clients:
        for _ in range(30):
            os.kill(arbiter, signal.SIGHUP)
            time.sleep(0.1)
        time.sleep(3)
        wait_workers(tracker, lambda pids: len(pids) == 2, 20)
    failed = failures(clients)
    print(f"{sum(len(client.answered) for client in clients)} answered, {len(failed)} failed")
    assert not failed, failed[:10]
    settle(tracker, clients)


def test_stops_under_load_lose_no_answered_hit(serve: Callable[..., Any]) -> None:
    """SIGTERM in the midst: exit 0 within the grace, every answered hit is in the journal, also those of its last moment."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    everybody: list[Client] = []
    slowest = 0.0
    for turn in range(TERMS):
        if turn:
            tracker.start()
        with load(tracker, f"t{turn}-") as clients:
            time.sleep(1)
            began = time.monotonic()
            assert tracker.stop() == 0
            slowest = max(slowest, time.monotonic() - began)
        everybody += clients
        answered = {ident for client in clients for ident in client.answered}
        assert len(answered) > RATE / 4
        settle(tracker, everybody)  # the tracker does not run: nothing can come late
        reset = [each for each in failures(clients) if "Reset" in each or "closed without" in each]
        print(f"turn {turn}: {len(answered)} answered, {len(reset)} requests were cut: {reset[:3]}")
    print(f"the slowest stop took {slowest:.1f} s")
    assert slowest < 12


def test_workers_come_and_go_on_demand(serve: Callable[..., Any]) -> None:
    """TTIN adds one, TTOU takes one away, under load: 0 failed requests, and no answered hit is missing."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="1")
    (arbiter,) = tracker.children()["arbiter"]
    with load(tracker, "w") as clients:
        for _ in range(3):
            os.kill(arbiter, signal.SIGTTIN)
            wait_workers(tracker, lambda pids: len(pids) == 2)
            time.sleep(0.5)
            os.kill(arbiter, signal.SIGTTOU)
            wait_workers(tracker, lambda pids: len(pids) == 1)
            time.sleep(0.3)
    failed = failures(clients)
    print(f"{sum(len(client.answered) for client in clients)} answered, {len(failed)} failed")
    assert not failed, failed[:10]
    settle(tracker, clients)


def test_quick_deaths_of_a_worker_lose_no_answered_hit(serve: Callable[..., Any]) -> None:
    """SIGQUIT, SIGINT and SIGABRT to a worker under load, five times each: replaced, nothing answered is missing, exit codes stop nobody."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    with load(tracker, "q") as clients:
        for number in (signal.SIGQUIT, signal.SIGINT, signal.SIGABRT) * 5:
            pids = wait_workers(tracker, lambda pids: len(pids) == 2)
            time.sleep(0.15)
            os.kill(pids[0], number)
            wait_workers(tracker, lambda left, gone=pids[0]: gone not in left)  # type: ignore[misc]
        wait_workers(tracker, lambda pids: len(pids) == 2)
    print(f"{sum(len(client.answered) for client in clients)} answered, {len(failures(clients))} failed")
    assert tracker.process.poll() is None
    assert not [each for each in failures(clients) if "connect:" in each]
    settle(tracker, clients)


def test_a_worker_that_stands_still_is_replaced(serve: Callable[..., Any]) -> None:
    """SIGSTOP to one of two: the other one serves, the arbiter replaces it after its time-out, no answered hit is missing."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    (arbiter,) = tracker.children()["arbiter"]
    before = wait_workers(tracker, lambda pids: len(pids) == 2)
    with load(tracker, "s", kept=False) as clients:
        time.sleep(0.5)
        os.kill(before[0], signal.SIGSTOP)
        began = time.monotonic()
        try:
            wait_workers(tracker, lambda pids: before[0] not in pids and len(pids) == 2, STALL_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(before[0], signal.SIGCONT)
        took = time.monotonic() - began
        time.sleep(1)
    failed = failures(clients)
    print(f"replaced after {took:.1f} s; {sum(len(client.answered) for client in clients)} answered, {len(failed)} failed: {failed[:3]}")
    assert tracker.children()["arbiter"] == [arbiter]
    assert len(failed) <= 2 * len(clients)  # what it had accepted when it stopped
    settle(tracker, clients)


def test_a_worker_killed_under_load_loses_no_answered_hit(serve: Callable[..., Any]) -> None:
    """kill -9, ten times, of one of two: what was answered is kept once; the rest of the clients notice nothing."""
    dice = random.Random(20261121)
    tracker = serve(TRACKER_DOOR="fast", TRACKER_WORKERS="2")
    clients = [Client(tracker.address, f"c{at}", rate=150, keep=at % 2 == 0, power_every=40) for at in range(4)]
    for client in clients:
        client.start()
    killed = 0
    while killed < 10:
        time.sleep(dice.uniform(0.1, 0.4))
        pids = tracker.children()["worker"]
        if len(pids) == 2:
            os.kill(dice.choice(pids), signal.SIGKILL)
            killed += 1
    time.sleep(0.5)
    for client in clients:
        client.stop()
    answered = [ident for client in clients for ident in client.answered]
    unknown = {ident for client in clients for ident in client.unknown}
    failed = [each for client in clients for each in client.failed]
    print(f"{killed} kills, {len(answered)} answered, {len(failed)} failed")
    kept = [event.id for event in wait_events(tracker.data_dir, set(answered), timeout_s=15)]
    assert len(kept) == len(set(kept)), "twice"
    assert set(kept) <= set(answered) | unknown, "an event that nobody sent"
    assert len(failed) <= killed * len(clients)
    assert not [each for each in failed if "connect:" in each], failed
    assert len(answered) > 600
