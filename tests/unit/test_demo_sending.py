"""Sending: hits leave at their times whatever the tracker does, every answer is read to its end, and the ledger says what it meant."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tracker.demo import sender as sending
from tracker.demo.connection import Broken, Target, connect
from tracker.demo.latency import Latencies
from tracker.demo.ledger import Ledger, Reply, Verdict, judge
from tracker.demo.planned import Expected, Planned
from tracker.demo.sender import Sender, daily, even

GOOD = Expected(200, "good", "impression", "impression")
BAD = Expected(200, "bad", "impression", "impression", "invalid_field")
CLICK = Expected(302, "good", "click", "click")
REFUSED = Expected(404, "refused", reason="no_route", ack="none")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def hit(number: int = 1, expected: Expected = GOOD, method: str = "GET", body: bytes = b"", location: str = "") -> Planned:
    return Planned(number, f"demo-r-{number}", method, f"/imp?event_id=demo-r-{number}", (("User-Agent", "x"),), body, expected, location)


def hits() -> Iterator[Planned]:
    return map(hit, itertools.count(1))


def answer(number: int, more: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nX-Event-Id: demo-r-{number}\r\nX-Tracker-Ack: process\r\n{more}Content-Length: 3\r\n\r\nGIF".encode()


async def requests(reader: asyncio.StreamReader) -> Any:
    """Each request's number, until the client has gone."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        yield int(head.split(b"demo-r-")[1].split()[0])


def sent(serve: Serve, *, rate: float, count: int = 10**9, seconds: float = math.inf, stop_after: int = 0) -> tuple[Sender, Ledger, int]:
    """Send to a server of one's own; the sender, its ledger, and how many connections there were."""
    connections = 0
    ledger = Ledger()

    async def main() -> Sender:
        async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(serving, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        def watch(progress: sending.Progress) -> None:
            if stop_after and progress.sent >= stop_after:
                sender.stop()

        sender = Sender(Target("127.0.0.1", port, "localhost"), ledger, watch)
        await sender.run(hits(), even(rate), hits_at_most=count, seconds=seconds)
        server.close()
        return sender

    return asyncio.run(main()), ledger, connections


async def prompt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers at once."""
    async for number in requests(reader):
        writer.write(answer(number))


# --- the schedule ------------------------------------------------------------------------------------------------


def test_an_even_schedule_has_so_many_a_second() -> None:
    """From the start on, without drift."""
    times = list(itertools.islice(even(8), 17))
    assert (times[0], times[8], times[16]) == (0, 1, 2)


def test_a_day_is_busy_at_noon_and_quiet_at_night() -> None:
    """The whole rate in the middle, a fifth of it at both ends; all in order."""
    times = list(itertools.takewhile(lambda at: at < 100, daily(50, 100)))
    assert times == sorted(times)

    def rate(begin: float, end: float) -> float:
        return sum(begin <= at < end for at in times) / (end - begin)

    assert rate(0, 4) < 14
    assert 46 < rate(48, 52) <= 51
    assert rate(96, 100) < 14
    assert abs(len(times) / 100 - 50 * (1 + sending.NIGHT) / 2) < 1


def test_the_rate_is_kept_and_connections_are_used_again() -> None:
    """200 a second for a second: 200 hits, in about a second, over a handful of connections."""
    sender, ledger, connections = sent(prompt, rate=200, seconds=1.0)
    assert sender.progress.sent == sender.progress.answered == sum(ledger.kept) == 200
    assert 0.9 < sender.progress.elapsed_s < 2
    assert connections < 20
    assert not sender.behind
    assert sender.latencies.count == 200


def test_a_slow_answer_delays_no_other_hit() -> None:
    """Every answer takes 300 ms: an open loop has sixty on their way at 200 a second, and is still on time."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for number in requests(reader):
            await asyncio.sleep(0.3)
            writer.write(answer(number))

    sender, _, connections = sent(slow, rate=150, count=150)
    assert sender.progress.answered == 150
    assert sender.progress.latest_s < 0.5
    assert 35 <= connections <= sending.MOST_CONNECTIONS
    assert sender.latencies.percentile_ms(50) > 290


def test_who_cannot_keep_up_says_so_and_counts_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections, 100 ms an answer, 200 a second asked: 20 a second come about, late, with honest latencies."""
    monkeypatch.setattr(sending, "MOST_CONNECTIONS", 2)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for number in requests(reader):
            await asyncio.sleep(0.1)
            writer.write(answer(number))

    sender, ledger, _ = sent(slow, rate=200, seconds=1.6)
    assert sender.behind
    assert 15 < sender.progress.sent < 45
    assert sender.progress.answered == sender.progress.sent == len(ledger)
    assert sender.latencies.longest_ms > 1000  # the answers took 100 ms; the rest is waiting, and is not hidden


def test_stop_sends_no_more_and_waits_for_what_is_on_its_way() -> None:
    """Every hit in the ledger has its answer."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for number in requests(reader):
            await asyncio.sleep(0.05)
            writer.write(answer(number))

    sender, ledger, _ = sent(slow, rate=100, stop_after=20)
    assert 20 <= len(ledger) < 60
    assert sum(ledger.kept) == len(ledger) == sender.progress.answered


def test_stop_is_heard_within_a_long_pause() -> None:
    """One hit in ten minutes: it ends all the same."""
    sender, ledger, _ = sent(prompt, rate=1 / 600, stop_after=1)
    assert (len(ledger), sender.progress.elapsed_s < 3) == (1, True)


def test_a_hit_without_an_answer_is_unknown_and_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed before, within, or never: each is said; the others are answered."""
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    seen: list[int] = []

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for number in requests(reader):
            seen.append(number)
            if number % 4 == 1:
                return
            if number % 4 == 2:
                writer.write(answer(number)[:-2])
                return
            if number % 4 == 3:
                await asyncio.sleep(1)
                return
            writer.write(answer(number))

    sender, ledger, _ = sent(moody, rate=100, count=40)
    assert sorted(seen) == list(range(1, 41))
    assert list(ledger.kept) == [0, 0, 0, 1] * 10
    assert list(ledger.unknown) == [1, 1, 1, 0] * 10
    assert sender.troubles == {"closed without an answer": 10, "closed within an answer": 10, "no answer within 0.3 s": 10}
    assert ledger.statuses == {200: 10, 0: 30}


def test_an_old_connection_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been idle for long may be about to be closed by the other side."""
    monkeypatch.setattr(sending, "IDLE_S", 0.05)
    _, ledger, connections = sent(prompt, rate=8, count=4)
    assert (sum(ledger.kept), connections) == (4, 4)


def test_nobody_there_is_said() -> None:
    """A port that nobody listens on: every hit is unknown, with the system's own words."""
    ledger = Ledger()

    async def main() -> Sender:
        server = await asyncio.start_server(prompt, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        sender = Sender(Target("127.0.0.1", port, "localhost"), ledger)
        await sender.run(hits(), even(100), hits_at_most=3, seconds=math.inf)
        return sender

    sender = asyncio.run(main())
    assert list(ledger.unknown) == [1, 1, 1]
    assert sum(sender.troubles.values()) == 3
    assert "refused" in next(iter(sender.troubles)).lower() or "Connect call failed" in next(iter(sender.troubles))


# --- answers -----------------------------------------------------------------------------------------------------


def exchange(raw: bytes, *asked: Planned) -> list[Reply | str]:
    """What is read of the bytes that a server sends for each request; an error as its text."""

    async def main() -> list[Reply | str]:
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for each in asked:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                assert await reader.readexactly(len(each.body)) == each.body
                for at in range(len(raw)):  # the hard way: byte by byte
                    writer.write(raw[at : at + 1])
                    if at % 16 == 0:
                        await asyncio.sleep(0)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = await connect(Target("127.0.0.1", server.sockets[0].getsockname()[1], "localhost"), 5)
        got: list[Reply | str] = []
        for each in asked:
            try:
                got.append(await connection.ask(each, 5))
            except Broken as error:
                got.append(str(error))
            if not connection.usable:
                break
        connection.close()
        server.close()
        for each, head in zip(asked, heads, strict=False):
            assert head.startswith(f"{each.method} {each.target} HTTP/1.1\r\nHost: localhost:".encode())
            assert (b"\r\nContent-Length: %d\r\n" % len(each.body) in head) is (each.method == "POST")
        return got

    return asyncio.run(main())


@pytest.mark.parametrize(("raw", "method", "status", "body"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nGIF", "GET", 200, b"GIF"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n", "HEAD", 200, b""),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "POST", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n", "GET", 304, b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "POST", 204, b""),
    (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nGIF\r\n2\r\n89\r\n0\r\nTrailer: 1\r\n\r\n", "GET", 200, b"GIF89"),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "GET", 200, b""),
])  # fmt: skip
def test_an_answer_is_read_to_its_end(raw: bytes, method: str, status: int, body: bytes) -> None:
    """So that the second one on the same connection is read right too."""
    got = exchange(raw, hit(1, method=method), hit(2, method=method))
    assert [(each.status, each.body) for each in got if isinstance(each, Reply)] == [(status, body)] * 2


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", b"HTTP/1.1 200 OK\r\n\r\nx", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
])  # fmt: skip
def test_a_connection_that_ends_is_not_used_again(raw: bytes) -> None:
    """Whoever said so, or left the end of the answer to the end of the connection."""
    assert [each.body for each in exchange(raw, hit(1)) if isinstance(each, Reply)] == [b"x"]


@pytest.mark.parametrize(("raw", "said"), [
    (b"", "closed without an answer"), (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nGIF", "closed within an answer"),
    (b"220 smtp ready\r\n\r\n", "invalid literal"), (b"\r\n\r\n", "not enough values"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "99999999 bytes"), (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid literal"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", "never ends"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000, "never end"),
])  # fmt: skip
def test_what_is_no_answer_is_broken(raw: bytes, said: str) -> None:
    """Whatever somebody sends instead of HTTP."""
    (got,) = exchange(raw, hit(1))
    assert isinstance(got, str)
    assert said in got or "never end" in got


def test_percentiles_are_right_to_three_percent() -> None:
    """Over five powers of ten; none of nothing; the longest is exact."""
    latencies = Latencies()
    assert latencies.percentile_ms(99) == 0
    for microseconds in range(1, 100_001):
        latencies.add(microseconds / 1e6)
    for percent in (1, 10, 50, 90, 99):
        assert abs(latencies.percentile_ms(percent) / percent - 1) < 0.03
    assert latencies.percentile_ms(100) == pytest.approx(100, rel=0.03)
    latencies.add(5.0)
    latencies.add(0.0)
    assert latencies.longest_ms == 5000
    latencies.add(1e9)


# --- what an answer means ----------------------------------------------------------------------------------------


def reply(status: int = 200, ack: str = "process", own: str = "demo-r-1", body: bytes = b"", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"x-tracker-ack": ack, **({"x-event-id": own} if own else {}), **named}, body)


@pytest.mark.parametrize(("asked", "got"), [
    (hit(1), reply()),
    (hit(1, BAD), reply(x_tracker_reason="invalid_field")),
    (hit(1, CLICK, location="https://a.example/"), reply(302, location="https://a.example/")),
    (hit(1, Expected(400, "bad", "hit", "hit", "invalid_body")), reply(400, body=b'{"error":"invalid_body"}')),
])  # fmt: skip
def test_an_answer_as_meant_is_a_receipt(asked: Planned, got: Reply) -> None:
    """Status, acknowledgement, id, reason and destination all agree."""
    assert judge(asked, got) == Verdict("kept")


def test_a_refusal_as_meant_is_none() -> None:
    """Not kept, and nothing to say about it."""
    assert judge(hit(1, REFUSED), reply(404, "none", own="", body=b'{"error":"no_route"}')) == Verdict("not_kept")


@pytest.mark.parametrize(("asked", "got", "refused"), [
    (hit(1), reply(503, "none", own="", body=b'{"error":"ring_full"}'), "ring_full"),
    (hit(1), reply(429, "none", own="", body=b'{"error":"shed"}'), "shed"),
    (hit(1), reply(503, "none", own="", body=b"<html>nginx"), "other"),
    (hit(1), reply(503, "none", own="", body=b'{"error":"made_up"}'), "other"),
    (hit(1, CLICK, location="https://a.example/"), reply(302, "none", location="https://a.example/", x_tracker_reason="no_slot"), "no_slot"),
    (hit(1, BAD), reply(200, "none", x_tracker_reason="invalid_field"), "bad_lane_limit"),
])  # fmt: skip
def test_what_the_documents_announce_is_no_surprise(asked: Planned, got: Reply, refused: str) -> None:
    """An overloaded tracker, and the bad lane's limit: not kept, counted by reason."""
    assert judge(asked, got) == Verdict("not_kept", refused)


@pytest.mark.parametrize(("asked", "got", "said"), [
    (hit(1), reply(404, "none", own=""), "answered 404, meant 200"),
    (hit(1), reply(500, "none", own=""), "answered 500, meant 200"),
    (hit(1, REFUSED), reply(200), "answered 200, meant 404"),
    (hit(1), reply(own="demo-r-2"), "another event's id"),
    (hit(1), reply(ack="power"), "acknowledged power, meant process"),
    (hit(1), reply(200, "none"), "acknowledged none, meant process"),
    (hit(1), reply(x_tracker_reason="invalid_field"), "gives the reason invalid_field, meant none"),
    (hit(1, BAD), reply(), "gives the reason none, meant invalid_field"),
    (hit(1, CLICK, location="https://a.example/"), reply(302, location="https://b.example/"), "leads elsewhere"),
    (hit(1, CLICK, location="https://a.example/"), reply(302), "leads elsewhere"),
    (hit(1, REFUSED), reply(404, "none", own="", body=b"[1]"), "gives the reason none, meant no_route"),
])  # fmt: skip
def test_anything_else_is_a_surprise(asked: Planned, got: Reply, said: str) -> None:
    """Each in a sentence that says what was meant."""
    verdict = judge(asked, got)
    assert said in verdict.surprise
    assert verdict.told == ("not_kept" if got.headers["x-tracker-ack"] == "none" else "kept")


def test_the_ledger_counts_replays_as_sends_of_one_event() -> None:
    """Two sends, two receipts, one number; a replay that means something else is a mistake of the demo's own."""
    ledger = Ledger()
    for _ in range(2):
        ledger.open(hit(1))
        ledger.close(hit(1), reply())
    assert (len(ledger), list(ledger.kept)) == (1, [2])
    assert list(ledger.rows()) == [(GOOD, 2, 2, 0, 0)]
    assert ledger.meaning(1) is GOOD
    assert (ledger.meaning(0), ledger.meaning(2), ledger.meaning(-1)) == (None, None, None)
    with pytest.raises(ValueError, match="out of order"):
        ledger.open(hit(1, BAD))
    with pytest.raises(ValueError, match="out of order"):
        ledger.open(hit(3))


def test_a_ledger_takes_a_few_bytes_a_hit() -> None:
    """A hundred thousand hits of a hundred meanings."""
    import tracemalloc

    meanings = [Expected(200, "good", "impression", micros=n) for n in range(100)]
    ledger = Ledger()
    tracemalloc.start()
    for number in range(1, 100_001):
        ledger.open(hit(number, meanings[number % 100]))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 2_500_000
