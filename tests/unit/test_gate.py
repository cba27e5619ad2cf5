"""The gate's parts: what is sent, when, how it is measured, and how a run is judged."""

from __future__ import annotations

import re
import socket
import threading
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tracker.demo.connection import Target
from tracker.gate import figures as counting
from tracker.gate import generator
from tracker.gate import mix as mixes
from tracker.gate.figures import Figures, Lag, Latency, figures
from tracker.gate.generator import Generator, Unreachable
from tracker.gate.mix import Mix, Pool, Request, Sort, build
from tracker.gate.picture import picture
from tracker.gate.reckoning import Reckoning
from tracker.gate.record import Record
from tracker.gate.summaries import junit, markdown
from tracker.gate.verdict import Judgement, Limits, judge
from tracker.settings.problems import SettingsError
from tracker.terminal import gate_report

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Event-Id: e-%d\r\nX-Tracker-Ack: process\r\n\r\nGIF"
Reply = Callable[[int, bytes], bytes | None]
"""The answer to a request, by its number among all and its head; None: close."""


class Server:
    """A thread that answers one request after the other, on any number of connections, as it is told."""

    def __init__(self, reply: Reply) -> None:
        self.seen: list[bytes] = []
        self.connections = 0
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.where = Target("127.0.0.1", self._listener.getsockname()[1], "127.0.0.1")
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                made, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(made,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, made: socket.socket) -> None:
        with made:
            raw = b""
            while True:
                while b"\r\n\r\n" not in raw:
                    piece = made.recv(65536)
                    if not piece:
                        return
                    raw += piece
                head, _, raw = raw.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                while length and len(raw) < int(length[1]):
                    raw += made.recv(65536)
                raw = raw[int(length[1]) if length else 0 :]
                with self._lock:
                    number = len(self.seen)
                    self.seen.append(head)
                answer = self._reply(number, head)
                if answer is None:
                    return
                made.sendall(answer)
                if b"Connection: close" in answer:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def server() -> Iterator[Callable[[Reply], Server]]:
    made: list[Server] = []

    def start(reply: Reply = lambda number, head: GOOD % number) -> Server:
        made.append(Server(reply))
        return made[-1]

    yield start
    for each in made:
        each.close()


def pool(**sorts: Sort) -> Pool:
    return build(Mix(version=1, requests=sorts or {"pixel": Sort(path="/imp/c1/cr1.gif?cb={unique}")}), "127.0.0.1:8000")


def sent(where: Target, *, rate: float = 200, seconds: float = 0.5, connections: int = 4, of: Pool | None = None) -> Record:
    return Generator(where, of or pool(), rate=rate, seconds=seconds, connections=connections, receipts=True).run()


def latencies_ms(record: Record) -> list[float]:
    return [each * 1000 for each in record.latency_s if each >= 0]


# --- the generator


def test_requests_leave_at_the_rate_and_each_is_answered(server: Callable[..., Server]) -> None:
    """100 requests in half a second, over all connections, with a receipt each."""
    there = server()
    record = sent(there.where)
    assert record.noticed == record.answered == len(there.seen) == 100
    assert record.statuses() == {200: 100}
    assert 0.48 < record.elapsed_s < 2
    assert sorted(record.receipts) == sorted(b"e-%d" % number for number in range(100))
    assert there.connections == 4
    assert record.connects == 0


def test_no_two_requests_bear_the_same_unique_number(server: Callable[..., Server]) -> None:
    """Of one run, and of two runs that follow each other."""
    there = server()
    sent(there.where)
    sent(there.where)
    numbers = [re.search(rb"cb=([0-9a-f]{12}) ", head) for head in there.seen]
    assert len({found[1] for found in numbers if found}) == 200


def test_a_stall_is_charged_for_everyone_who_was_due_meanwhile(server: Callable[..., Server]) -> None:
    """A server that stops once for 300 ms: a closed loop would count one slow answer, the open loop counts dozens."""

    def stall(number: int, head: bytes) -> bytes:
        if number == 20:
            time.sleep(0.3)
        return GOOD % number

    record = sent(server(stall).where, connections=1)
    slow = [each for each in latencies_ms(record) if each > 30]
    assert record.answered == 100
    assert len(slow) > 40
    assert 290 < max(slow) < 2000
    assert record.waited > 40


def test_a_slow_server_is_no_lag_of_the_generator(server: Callable[..., Server]) -> None:
    """Everyone waits for the server; the generator notices each request in time all the same."""

    def slow(number: int, head: bytes) -> bytes:
        time.sleep(0.02)
        return GOOD % number

    record = sent(server(slow).where, rate=100, connections=1)
    assert sum(latencies_ms(record)) / 50 > 100
    assert sum(record.lag_s) / 50 * 1000 < 20


def test_a_generator_that_is_held_up_says_so(server: Callable[..., Server]) -> None:
    """Its own lag is measured where it arises: here, in whoever watches it."""
    held = threading.Event()

    def hold(record: Record) -> None:
        if not held.is_set():
            held.set()
            time.sleep(0.25)

    there = server()
    record = Generator(there.where, pool(), rate=200, seconds=0.5, connections=4, watch=hold).run()
    assert max(record.lag_s) > 0.2
    assert record.answered == 100


def test_a_connection_that_the_server_ends_in_order_is_made_anew(server: Callable[..., Server]) -> None:
    """`Connection: close` costs no request."""
    there = server(lambda number, head: (GOOD % number).replace(b"Content-Length", b"Connection: close\r\nContent-Length", number % 10 == 0))
    record = sent(there.where)
    assert record.answered == 100
    assert record.connects == 10
    assert not record.errors


def test_a_request_without_an_answer_is_an_error_and_is_not_sent_again(server: Callable[..., Server]) -> None:
    """Every tenth connection breaks: so many errors, and no request came twice."""
    there = server(lambda number, head: None if number % 10 == 9 else GOOD % number)
    record = sent(there.where)
    assert record.errors == {"closed without an answer": 10}
    assert record.answered == 90
    assert len(there.seen) == len(set(there.seen)) == 100


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nno end", "an answer without Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "more than one answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP answer"),
    ],
)
def test_an_answer_that_is_none_is_told(server: Callable[..., Server], answer: bytes, why: str) -> None:
    """Nothing is made of what cannot be read."""
    record = sent(server(lambda number, head: answer).where, rate=20)
    assert record.errors == {why: 10}
    assert record.answered == 0


def test_answers_are_read_in_any_pieces(server: Callable[..., Server]) -> None:
    """An interim answer, a body in pieces, none for HEAD and 204; ids of answers that promise nothing are no receipts."""

    def reply(number: int, head: bytes) -> bytes:
        if head.startswith(b"HEAD"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\nx-event-id: h\r\n\r\n"
        if head.startswith(b"POST"):
            return b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 204 No Content\r\nX-Event-Id: p\r\nX-Tracker-Ack: none\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)

    of = pool(one=Sort(path="/a"), two=Sort(path="/b", method="HEAD"), three=Sort(path="/c", method="POST", body="x"))
    record = sent(server(reply).where, of=of)
    assert record.answered == 100
    assert set(record.statuses()) == {200, 204}
    assert set(record.receipts) == {b"h"}


def test_who_cannot_be_reached_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run without connections."""
    monkeypatch.setattr(generator, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match=r"0 of 2 connections: Connection refused"):
        Generator(Target("127.0.0.1", port, "127.0.0.1"), pool(), rate=10, seconds=1, connections=2).run()


# --- the mix


def test_the_built_in_mix_has_every_kind_of_hit_by_its_weight() -> None:
    """Pixels, clicks, conversions, video and JSON."""
    found = build(mixes.load(None), "h")
    counts = [sum(request.sort == sort for request in found.requests) for sort in range(len(found.names))]
    assert found.names == ("pixel", "video", "json", "click", "conversion")
    assert counts == sorted(counts, reverse=True)
    assert 0.65 < counts[0] / len(found.requests) < 0.75
    assert all(request.raw.count(b"{") == request.raw.count(b"}") for request in found.requests)
    assert not any(re.search(rb"\{[a-z]", request.raw) for request in found.requests)


def test_one_file_makes_the_same_requests_again() -> None:
    """A seed is a run."""
    mix = mixes.load(None)
    assert build(mix, "h") == build(mix, "h")


def test_a_body_has_its_length_also_when_the_number_is_filled_in() -> None:
    """``{unique}`` takes the room that it was given."""
    request = pool(one=Sort(path="/a", method="POST", body='{"a":"é{unique}"}')).requests[0]
    filled = request.raw.replace(mixes.UNIQUE, b"%012x" % 1)
    head, _, body = filled.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert request.unique


MISTAKES = {
    "path: /imp/{campain}.gif": "`{campain}` has no `values`",
    "path: /imp/{number}": "write {number:1-100}",
    "path: /imp/{number:9-1}": "write {number:1-100}",
    "path: /imp/{campaign:1-2}": "only `number` has a range",
    "path: imp": "no path that a request can have",
    "path: /a b": "no path that a request can have",
    "path: /a\n    weight: 0": "weight",
    "path: /a\n    headers: {Content-Length: '3'}": "`Content-Length` is written by the generator",
    "path: /a\n    headers: {'A B': x}": "no header",
    "path: /a\n    metod: POST": "unknown field `metod`",
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.items())
def test_a_mistake_in_a_mix_is_told(tmp_path: Path, text: str, said: str) -> None:
    """With the file's line, where the file says it."""
    file = tmp_path / "mix.yaml"
    file.write_text(f"version: 1\nvalues: {{campaign: [c1]}}\nrequests:\n  one:\n    {text}\n")
    with pytest.raises(SettingsError) as error:
        build(mixes.load(file), "h")
    assert said in str(error.value)
    if "no path" not in said:
        assert re.search(r"mix\.yaml:[3-7]:\d+: ", str(error.value))


# --- figures and verdict


def record_of(latencies: list[float], statuses: list[int], lags: list[float]) -> Record:
    record = Record(len(latencies), 100.0)
    record.noticed = len(latencies)
    for number, (latency, status, lag) in enumerate(zip(latencies, statuses, lags, strict=True)):
        record.latency_s[number], record.status[number], record.lag_s[number] = latency, status, lag
        if not status:
            record.errors["closed"] += 1
    record.elapsed_s = len(latencies) / 100
    return record


def test_figures_are_those_of_the_record() -> None:
    """200 requests: 198 of 1 ms, one of 100 ms, one without an answer; the histogram holds the same."""
    one = Pool(("pixel",), (frozenset(),), (Request(0, b"", False, False),))
    found = figures(record_of([0.001] * 198 + [0.1, -1.0], [200] * 198 + [503, 0], [0.0002] * 200), one)
    assert (found.sent, found.answered, found.right) == (200, 199, 198)
    assert found.statuses == {"200": 198, "503": 1}
    assert found.errors == {"closed": 1}
    assert found.latency_ms.mean == pytest.approx((198 + 100) / 199, abs=0.001)
    assert found.latency_ms.p99 == pytest.approx(1, rel=0.01)
    assert found.latency_ms.p999 == pytest.approx(100, rel=0.001)  # three digits
    assert found.latency_ms.max == 100
    assert found.lag_ms == Lag(mean=0.2, p99=0.2, max=0.2)
    assert [(each.second, each.answers) for each in found.by_second] == [(0, 100), (1, 99)]
    from hdrh.histogram import HdrHistogram

    again = HdrHistogram.decode(found.histogram)
    assert again.get_total_count() == 199
    assert again.get_value_at_percentile(99) == pytest.approx(1000, rel=0.01)


def test_without_the_library_the_repair_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pip line."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(counting.importlib, "import_module", missing)
    with pytest.raises(counting.MissingLibrary, match=r"pip install 'tracker\[bench\]'"):
        counting.histogram()


LIMITS = Limits(rps=100, mean_ms=15, p99_ms=40, duration_s=10)


def run_of(mean: float = 2.0, p99: float = 9.0, right: int = 1000, lag: float = 0.1, lag_p99: float = 1.0, seconds: float = 10.0) -> Figures:
    latency = Latency(mean=mean, p50=mean, p90=mean, p99=p99, p999=p99, max=p99)
    statuses = {"200": right} | ({"503": 1000 - right} if right < 1000 else {})
    return Figures(generator="tracker", rate=100, seconds=seconds, sent=1000, answered=1000, right=right, statuses=statuses,
                   errors={}, latency_ms=latency, lag_ms=Lag(mean=lag, p99=lag_p99, max=lag_p99), curve=[(50.0, mean), (99.0, p99), (100.0, p99)],
                   rows=[], by_second=[counting.Second(second=0, answers=1000, p50=mean, p99=p99, max=p99)])


def found_of(**changes: int) -> Reckoning:
    return Reckoning(**{"data_dir": "var", "receipts": 1000, "log_files": ["events.ndjson"], **changes})  # type: ignore[arg-type]


BROKEN = {
    "mean": (run_of(mean=22.5), found_of(), "mean 22.50 ms, limit 15 ms: over by 7.50 ms"),
    "p99": (run_of(p99=41), found_of(), "p99 41.00 ms, limit 40 ms: over by 1.00 ms"),
    "answers": (run_of(right=997), found_of(), "3 were not (200: 997, 503: 3)"),
    "rate": (run_of(seconds=20), found_of(), "50 answers a second of 100: 50 too few"),
    "journal": (run_of(), found_of(journal_lost=2), "in the journal: 2 lost"),
    "log": (run_of(), found_of(log_repeated=1), "in the log collector's output: 1 repeated"),
}


@pytest.mark.parametrize(("name", "case"), BROKEN.items())
def test_each_broken_limit_fails_and_says_by_how_much(name: str, case: tuple[Figures, Reckoning, str]) -> None:
    """And no other limit is said to be broken."""
    verdict = judge("http://t", LIMITS, case[0], case[1])
    assert verdict.outcome == "failed"
    assert [(each.name, case[2] in each.said) for each in verdict.findings if not each.kept] == [(name, True)]


@pytest.mark.parametrize(
    ("reckoning", "said"),
    [(found_of(journal_repeated=1), "1 repeated"), (found_of(receipts_twice=1), "1 promised twice"), (found_of(unknown=3), "1 without a receipt"),
     (found_of(damaged_bytes=9), "9 damaged bytes"), (found_of(receipts=0), "no answer bore the id")],
)  # fmt: skip
def test_each_difference_of_the_journal_fails(reckoning: Reckoning, said: str) -> None:
    """Two events may be there whose answer never came."""
    verdict = judge("http://t", LIMITS, run_of(), reckoning, unasked_for=2)
    assert verdict.outcome == "failed"
    assert any(said in each.said for each in verdict.findings if not each.kept)
    assert judge("http://t", LIMITS, run_of(), found_of(unknown=2), unasked_for=2).outcome == "passed"


def test_a_late_generator_makes_the_run_invalid_and_a_lost_event_fails_it_all_the_same() -> None:
    """75 says: again. A loss says: never."""
    assert judge("http://t", LIMITS, run_of(), found_of()).outcome == "passed"
    assert judge("http://t", LIMITS, run_of(lag=3.1), found_of()).outcome == "invalid"
    assert judge("http://t", LIMITS, run_of(lag_p99=20.1), found_of()).outcome == "invalid"
    assert judge("http://t", LIMITS, run_of(lag=3.1, mean=50), found_of()).outcome == "invalid"
    assert judge("http://t", LIMITS, run_of(lag=3.1), found_of(log_lost=1)).outcome == "failed"


# --- what is written


@pytest.mark.parametrize("judgement", [
    judge("http://t", LIMITS, run_of(mean=22.5, p99=90), found_of(journal_lost=2), began="2026-01-01T00:00:00Z", machine="a | <b>"),
    judge("http://t", LIMITS, run_of(lag=9), None, unchecked="no folder"),
    judge("http://t", LIMITS, run_of(), found_of()),
], ids=["failed", "invalid", "passed"])  # fmt: skip
def test_every_report_tells_the_verdict_and_every_limit(judgement: Judgement) -> None:
    """Text, JUnit, Markdown and the picture, each well-formed."""
    broken = [each for each in judgement.findings if not each.kept]
    suite = xml.fromstring(junit(judgement))[0]
    assert suite.get("tests") == str(len(judgement.findings)) == str(len(suite.findall("testcase")))
    kind = "error" if judgement.outcome == "invalid" else "failure"
    assert [each.get("message") for each in suite.iter(kind)] == [each.said for each in broken]
    assert int(suite.get("failures", "")) + int(suite.get("errors", "")) == len(broken)
    page = markdown(judgement)
    assert page.count("❌") == len(broken)
    assert judgement.outcome in page.lower()
    assert "a \\| &lt;b>" in page or judgement.machine == ""
    svg = xml.fromstring(picture(judgement))
    words = " ".join("".join(each.itertext()) for each in svg.iter("{http://www.w3.org/2000/svg}text"))
    assert f"gate {judgement.outcome}" in words.lower()
    assert "p99 limit 40 ms" in words
    out = Console(width=200)
    with out.capture() as shown:
        out.print(gate_report.report(judgement), soft_wrap=True)
    assert all(each.said in shown.get() for each in judgement.findings)
    assert judgement.outcome in shown.get().lower()


def test_a_picture_of_a_run_without_answers_is_a_picture() -> None:
    """Nothing is divided by nothing."""
    empty = run_of()
    empty.by_second, empty.curve, empty.latency_ms = [], [], Latency()
    assert xml.fromstring(picture(judge("http://t", LIMITS, empty, None))) is not None
