"""A flood of nonsense beside good hits (FAULTS H8): refused cheaply, nearly nothing logged, memory flat, the good served."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from wire import FAST, Client, Wire, percentile, resident_bytes, wait_events

pytestmark = pytest.mark.skipif(not FAST, reason="the fast door needs Linux (epoll)")

GOOD = b"GET /imp/c1/cr1.gif?event_id=%s HTTP/1.1\r\nHost: t\r\n\r\n"
BAD = (
    b"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x00\xc8\x01", b"POST /imp/c1/cr1.gif HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
    b"GET /wp-login.php HTTP/1.1\r\nHost: t\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n", b"POST /hit/x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
)  # fmt: skip
SECONDS = 6
FLOOD_LOG_BYTES = 10


class Flood(threading.Thread):
    """Nonsense on new connections, as fast as one thread can, from its own addresses."""

    def __init__(self, address: str, number: int, addresses: int) -> None:
        super().__init__(daemon=True)
        self.statuses: Counter[int] = Counter()
        self._address, self._number, self._addresses = address, number, addresses
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)
        assert not self.is_alive()

    def run(self) -> None:
        dice = random.Random(self._number)
        while not self._stopping.is_set():
            which = dice.randrange(self._addresses)
            with Wire(self._address, timeout_s=5, source=f"127.{10 + self._number}.{which // 250 % 250}.{which % 250 + 1}") as wire:
                reply = wire.send(dice.choice(BAD)).end().reply()
                self.statuses[reply.status if reply else 0] += 1


@pytest.mark.parametrize("addresses", [3, 20_000], ids=["few addresses", "many addresses"])
def test_nonsense_costs_the_good_nothing_but_time(serve: Callable[..., Any], addresses: int) -> None:
    """More bad than good: every good hit is answered and kept; under ten log bytes each, no 5xx but 501 and 505, memory flat."""
    tracker = serve(TRACKER_DOOR="fast")
    (pid,) = tracker.children()["worker"]
    clients = [Client(tracker.address, f"g{at}", rate=25, keep=at % 2 == 0) for at in range(4)]
    for client in clients:
        client.start()
    time.sleep(1.5)
    calm = [late for client in clients for late in client.late_s]
    floods = [Flood(tracker.address, at, addresses) for at in range(3)]
    logged, grown_from = tracker.output.stat().st_size, 0
    for flood in floods:
        flood.start()
    time.sleep(SECONDS / 3)
    grown_from = resident_bytes(pid)
    time.sleep(SECONDS * 2 / 3)
    grown = resident_bytes(pid) - grown_from
    for flood in floods:
        flood.stop()
    for client in clients:
        client.stop()
    statuses = sum((flood.statuses for flood in floods), Counter())
    bad = statuses.total()
    answered = {ident for client in clients for ident in client.answered}
    late = [each for client in clients for each in client.late_s]
    log_bytes = tracker.output.stat().st_size - logged
    print(f"{bad} bad ({dict(statuses)}) beside {len(answered)} good; p99 {percentile(late, 0.99) * 1000:.1f} ms (calm {percentile(calm, 0.99) * 1000:.1f}); "
          f"{log_bytes} log bytes; {grown} bytes of memory in the last two thirds")  # fmt: skip
    assert not [each for client in clients for each in client.failed]
    assert bad > 3 * len(answered)
    assert not [status for status in statuses if status >= 500 and status not in (501, 505)]
    assert log_bytes < FLOOD_LOG_BYTES * bad
    assert grown < 3_000_000
    if addresses == 3:
        assert statuses[429] > bad / 2, "few addresses send nonsense all the time: they are to be turned away"
    kept = Counter(event.id for event in wait_events(tracker.data_dir, answered))
    assert set(kept) == answered
    assert tracker.children()["worker"] == [pid]


def test_an_address_that_has_been_quiet_is_heard_again(serve: Callable[..., Any]) -> None:
    """Turned away with 429 and ``Retry-After``; others are not; after a pause it is served; a proxy that is trusted never is turned away."""
    tracker = serve(TRACKER_DOOR="fast", TRACKER_LIMITS_MAX_BAD_REQUESTS="10", TRACKER_CLIENTS_TRUSTED_PROXIES="127.7.7.0/24")
    for source in ("127.8.8.8", "127.7.7.7"):
        for at in range(15):
            with Wire(tracker.address, source=source) as wire:
                wire.send(BAD[at % 2]).reply()

    def status(source: str) -> tuple[int, str]:
        with Wire(tracker.address, source=source) as wire:
            reply = wire.send(GOOD % b"x").reply()
            return (reply.status, reply.header("retry-after") or "") if reply else (0, "")

    refused = status("127.8.8.8")
    assert refused[0] in (429, 0)  # 0: a reset has overtaken it
    assert refused[0] == 0 or refused[1].isdecimal()
    assert status("127.8.8.9") == (200, "")
    assert status("127.7.7.7") == (200, "")
    deadline = time.monotonic() + 10
    while status("127.8.8.8")[0] != 200:
        assert time.monotonic() < deadline, "it is never forgiven"
        time.sleep(0.2)
