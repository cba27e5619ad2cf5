"""The fast door as an HTTP server: long connections, large bodies, slow readers, parked replies, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire import FAST, Client, Reply, Wire, events, resident_bytes, wait_events

pytestmark = pytest.mark.skipif(not FAST, reason="the fast door needs Linux (epoll)")

Serve = Callable[..., Any]
PIXEL = b"GET /imp/c1/cr1.gif?event_id=%s HTTP/1.1\r\nHost: t\r\n\r\n"
POWER = b"GET /conv/c1.gif?event_id=%s HTTP/1.1\r\nHost: t\r\n\r\n"
JSON = b"POST /hit/x HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
LIMIT = 1_048_576
"""``limits.max_body_bytes``."""


def fast(serve: Serve, **environ: str) -> Any:
    """A tracker with the fast door."""
    return serve(**{"TRACKER_DOOR": "fast", "TRACKER_RING_BYTES_PER_WORKER": "16777216"} | environ)


@pytest.fixture(scope="module")
def tracker(serve_all: Serve) -> Any:
    """One for all the tests that leave it as it was."""
    return fast(serve_all)


def worker(tracker: Any) -> int:
    """The process id of its only worker."""
    (pid,) = tracker.children()["worker"]
    return int(pid)


def told(reply: Reply | None) -> Reply:
    """The reply; a connection that ended instead fails the test."""
    assert reply is not None, "closed without an answer"
    return reply


def ask(tracker: Any, raw: bytes) -> Reply:
    """The reply to a request on a connection of its own."""
    with Wire(tracker.address) as wire:
        return told(wire.send(raw).reply())


def test_it_is_the_fast_door_that_answers(tracker: Any, serve: Serve) -> None:
    """Else all the rest here would say nothing: one thread for requests, and no gunicorn in ``Server``."""
    with Wire(tracker.address) as wire:
        reply = told(wire.send(PIXEL % b"one").reply())
    assert reply.header("server") != "gunicorn"
    with Wire(serve(TRACKER_DOOR="portable").address) as wire:
        assert told(wire.send(PIXEL % b"one").reply()).header("server") == "gunicorn"


def test_a_thousand_requests_on_one_connection(tracker: Any) -> None:
    """Each is answered with its own id; each event is there once, in order, in one stream; the date goes with the clock."""
    idents = [f"k-{at}" for at in range(1000)]
    dates = set()
    with Wire(tracker.address) as wire:
        for ident in idents:
            reply = told(wire.send(PIXEL % ident.encode()).reply())
            assert (reply.status, reply.ident, reply.closes) == (200, ident, False)
            dates.add(reply.header("date"))
        time.sleep(2.1)
        dates.add(told(wire.send(PIXEL % b"later").reply()).header("date"))
    assert len(dates) >= 2
    kept = [event for event in wait_events(tracker.data_dir, {*idents, "later"}) if event.id.startswith("k-") or event.id == "later"]
    assert [event.id for event in kept] == [*idents, "later"]
    assert [event.seq for event in kept] == list(range(kept[0].seq, kept[0].seq + 1001))
    assert len({event.stream for event in kept}) == 1


def test_a_client_that_reads_slowly_gets_every_byte_and_costs_no_memory(tracker: Any) -> None:
    """20,000 pipelined requests, a tiny receive buffer, pauses: all replies, in order; the worker does not hoard them."""
    pid = worker(tracker)
    count = 20_000
    with Wire(tracker.address, receive_buffer=2048, timeout_s=30) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        before = resident_bytes(pid)
        sender = threading.Thread(target=wire.send, args=(b"".join(PIXEL % b"s-%d" % at for at in range(count)),), daemon=True)
        sender.start()
        time.sleep(1)  # nobody reads: the door must stop reading, too
        assert sender.is_alive(), "the door took 1 MB of requests whose replies nobody reads"
        hoarded = resident_bytes(pid) - before
        with Wire(tracker.address) as other:  # and nobody else waits
            began = time.monotonic()
            assert told(other.send(PIXEL % b"other").reply()).status == 200
            assert time.monotonic() - began < 0.5
        for at in range(count):
            if at < 2000 and at % 100 == 0:
                time.sleep(0.01)
            assert told(wire.reply()).ident == f"s-{at}"
        sender.join(10)
        assert not sender.is_alive()
        assert not wire.buffer
    print(f"hoarded {hoarded} bytes")
    assert hoarded < 4_000_000
    kept = [event.id for event in wait_events(tracker.data_dir, {f"s-{count - 1}"}) if event.id.startswith("s-")]
    assert kept == [f"s-{at}" for at in range(count)]


@pytest.mark.parametrize("how", ["sized", "in large chunks", "in chunks of a byte"])
def test_a_body_of_a_megabyte(tracker: Any, how: str) -> None:
    """At the limit it is kept whole, whatever its chunks; no other client waits for it."""
    ident = "big-" + how.replace(" ", "-")
    start = b'{"event_id":"%s","text":"' % ident.encode()
    body = start + b"x" * (LIMIT - len(start) - 2) + b'"}'
    assert len(body) == LIMIT
    if how == "sized":
        raw = JSON + b"Content-Length: %d\r\n\r\n" % LIMIT + body
    else:
        size = 65_536 if how == "in large chunks" else 1
        parts = [body[at : at + size] for at in range(0, LIMIT, size)]
        raw = JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    client = Client(tracker.address, f"beside-{ident}", rate=100)
    client.start()
    time.sleep(0.2)
    before = cpu_s(worker(tracker))
    with Wire(tracker.address, timeout_s=30) as wire:
        reply = told(wire.send(raw).reply("POST"))
        spent = cpu_s(worker(tracker)) - before
        assert (reply.status, reply.ident) == (204, ident)
        assert told(wire.send(PIXEL % b"behind-%s" % ident.encode()).reply()).ident == f"behind-{ident}"
    client.stop()
    print(f"{how}: {spent:.2f} s of CPU, others waited at most {max(client.late_s):.3f} s")
    assert spent < 3
    assert not client.failed
    (event,) = [event for event in wait_events(tracker.data_dir, {ident, f"behind-{ident}"}) if event.id == ident]
    assert event.properties == {"text": "x" * (LIMIT - len(start) - 2)}


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("how", ["a length", "a length, and the client waits to be asked", "one huge chunk", "many chunks"])
def test_a_body_beyond_the_limit_is_refused_and_not_hoarded(tracker: Any, how: str) -> None:
    """413 and the end of the connection: from the length before a byte of it, of chunks at the limit. 100 MB cost nothing."""
    pid = worker(tracker)
    ask(tracker, PIXEL % b"warm")
    before = resident_bytes(pid)
    block = b"x" * 1_000_000
    if how.startswith("a length"):
        head, piece = JSON + b"Content-Length: 100000000\r\n\r\n", block
        if how != "a length":
            head = JSON + b"Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n"
    elif how == "one huge chunk":
        head, piece = JSON + b"Transfer-Encoding: chunked\r\n\r\n5f5e100\r\n", block
    else:
        head, piece = JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"f4240\r\n" + block + b"\r\n"
    sender = None
    with Wire(tracker.address) as wire:
        wire.send(head)
        if how == "a length, and the client waits to be asked":
            reply = told(wire.reply("POST", final=False))
        else:

            def flood() -> None:
                for _ in range(100):
                    wire.send(piece)

            sender = threading.Thread(target=flood, daemon=True)
            sender.start()
            reply = told(wire.reply("POST"))
        assert (reply.status, reply.closes) == (413, True)
        assert wire.closed(6)
        if sender is not None:
            sender.join(5)
            assert not sender.is_alive()
    grown = resident_bytes(pid) - before
    print(f"{how}: {grown} bytes more")
    assert grown < 8_000_000
    assert ask(tracker, PIXEL % b"after").status == 200


def test_who_waits_to_be_asked_is_asked(tracker: Any) -> None:
    """``Expect: 100-continue``: the interim reply comes before the body is sent, and once."""
    with Wire(tracker.address) as wire:
        wire.send(JSON + b"Expect: 100-continue\r\nContent-Length: 7\r\n\r\n")
        assert told(wire.reply("POST", final=False)).status == 100
        assert told(wire.send(b'{"a":1}').reply("POST", final=False)).status == 204
        wire.send(JSON + b"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert told(wire.reply("POST", final=False)).status == 100
        assert told(wire.send(b'7\r\n{"a":1}\r\n0\r\n\r\n').reply("POST", final=False)).status == 204
        assert told(wire.send(PIXEL % b"behind").reply(final=False)).status == 200


def test_power_replies_keep_their_place_and_hold_up_nobody_else(tracker: Any) -> None:
    """Parked among pipelined ones, fifty times over; another connection is served meanwhile."""
    others = Client(tracker.address, "other", rate=200)
    others.start()
    time.sleep(0.2)
    with Wire(tracker.address) as wire:
        for turn in range(50):
            order = [b"%d-p0" % turn, b"%d-w1" % turn, b"%d-p2" % turn, b"%d-w3" % turn, b"%d-w4" % turn, b"%d-p5" % turn]
            wire.send(b"".join((PIXEL if b"p" in each else POWER) % each for each in order))
            got = [told(wire.reply()) for _ in order]
            assert [reply.ident for reply in got] == [each.decode() for each in order]
            assert [reply.header("x-tracker-ack") for reply in got] == ["process", "power", "process", "power", "power", "process"]
            durable = {reply.ident for reply in got if reply.header("x-tracker-ack") == "power"}
            assert durable <= {event.id for event in events(tracker.data_dir)}, "power was answered before it was durable"
    others.stop()
    assert not others.failed
    assert len(others.answered) > 50
    print(f"others waited at most {max(others.late_s):.3f} s")


def test_an_answered_power_hit_is_in_the_journal_at_once(tracker: Any) -> None:
    """When the reply is there, the event can be read from the segment file: no waiting."""
    with Wire(tracker.address) as wire:
        for at in range(20):
            assert told(wire.send(POWER % b"now-%d" % at).reply()).status == 200
            assert f"now-{at}" in {event.id for event in events(tracker.data_dir)}


def test_a_stop_answers_what_is_in_flight_and_says_close(serve: Serve) -> None:
    """SIGTERM with replies parked, a head and a body half sent: all are answered with ``Connection: close``; exit 0."""
    tracker = fast(serve, TRACKER_JOURNAL_SYNC_INTERVAL_MS="1000")
    parked, head, body, idle = (Wire(tracker.address) for _ in range(4))
    for wire in (parked, head, body, idle):
        told(wire.send(PIXEL % b"first").reply())
    parked.send(POWER % b"parked")
    whole = PIXEL % b"head"
    head.send(whole[:20])
    body.send(JSON + b'Content-Length: 19\r\n\r\n{"event_')
    time.sleep(0.05)
    for pid in tracker.children()["arbiter"]:
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
    head.send(whole[20:])
    body.send(b'id":"body"}')
    idle.send(PIXEL % b"idle")
    for wire, ident in ((parked, "parked"), (head, "head"), (body, "body"), (idle, "idle")):
        reply = told(wire.reply())
        assert (reply.ident, reply.closes) == (ident, True if ident != "parked" else reply.closes), ident
        assert wire.closed(5), ident  # the parked one was promised before the signal: it may be kept for a last request
        wire.close()
    assert tracker.stop() == 0
    kept = {event.id for event in events(tracker.data_dir)}
    assert kept >= {"parked", "head", "body", "idle"}


def test_a_stop_does_not_wait_for_idle_or_dripping_clients(serve: Serve) -> None:
    """Ten kept connections and ten half requests: the tracker is gone within its grace, with 0."""
    tracker = fast(serve, TRACKER_GRACEFUL_TIMEOUT_S="4")
    wires = [Wire(tracker.address) for _ in range(20)]
    for at, wire in enumerate(wires):
        if at % 2:
            told(wire.send(PIXEL % b"x").reply())
        else:
            wire.send(b"GET /imp")
    began = time.monotonic()
    assert tracker.stop() == 0
    took = time.monotonic() - began
    print(f"stopped in {took:.1f} s")
    assert took < 8
    for wire in wires:
        wire.close()


def test_replies_to_a_client_that_has_gone_hurt_nobody(tracker: Any) -> None:
    """500 clients send a hit, some a half one, and vanish at once, some with a reset: all whole ones are kept, the door lives."""
    pid = worker(tracker)
    for at in range(500):
        with Wire(tracker.address) as wire:
            raw = PIXEL % b"gone-%d" % at
            wire.send(raw if at % 5 else raw[:-3])
            if at % 2:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with Wire(tracker.address) as wire:
        assert told(wire.send(PIXEL % b"last").reply()).status == 200
    assert worker(tracker) == pid
    kept = [event.id for event in wait_events(tracker.data_dir, {"last"}) if event.id.startswith("gone-")]
    assert len(kept) == len(set(kept))
    assert not {f"gone-{at}" for at in range(0, 500, 5)} & set(kept)
    assert {f"gone-{at}" for at in range(500) if at % 5 and not at % 2} <= set(kept)  # closed in order: their bytes arrive
    assert descriptors(pid) < 60


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_many_connections_are_kept_and_given_back(tracker: Any) -> None:
    """1,500 at once, each answered; closed, they leave no descriptor behind."""
    pid = worker(tracker)
    before = descriptors(pid)
    wires = [Wire(tracker.address, source=f"127.0.{at % 40 + 1}.9") for at in range(1500)]
    for at, wire in enumerate(wires):
        wire.send(PIXEL % b"m-%d" % at)
    assert [told(wire.reply()).ident for wire in wires] == [f"m-{at}" for at in range(1500)]
    assert descriptors(pid) >= before + 1500
    for wire in wires:
        wire.close()
    deadline = time.monotonic() + 5
    while descriptors(pid) > before + 5:
        assert time.monotonic() < deadline, f"{descriptors(pid)} descriptors, {before} before"
        time.sleep(0.05)
