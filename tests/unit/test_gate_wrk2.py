"""wrk2 as the generator: it is recognised, gets our requests, and what it prints is read.

wrk2 itself is in no package registry. Its script runs here in wrk, whose scripting is the same; what wrk2 prints beside is from
its own source (print_hdr_latency, hdr_percentiles_print).
"""

from __future__ import annotations

import http.server
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.demo.connection import Target
from tracker.gate import wrk2
from tracker.gate.mix import Mix, Sort, build

SPECTRUM = """
  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.050     0.000000            1         1.00
       0.357     0.500000          500         2.00
       0.983     0.900000          900        10.00
       2.001     0.990625          991       106.67
       7.500     0.999023          999      1024.00
       9.254     1.000000         1000          inf
#[Mean    =        0.424, StdDeviation   =        0.502]
#[Max     =        9.248, Total count    =         1000]
#[Buckets =           27, SubBuckets     =         2048]
----------------------------------------------------------
"""
FAKE = """#!/bin/sh
[ $# -eq 0 ] && { echo '    -R, --rate        <T>  work rate (throughput)'; exit 1; }
cat <<'END'
%s
END
exec wrk "$1" "$2" "$3" "$4" -d 1s "$9" "${10}" "${11}" "${12}"
"""
POOL = build(
    Mix(version=1, requests={"a": Sort(path="/a?cb={unique}"), "b": Sort(path="/b", method="POST", body="x{unique}y", expect=(204,))}), "h"
)


class Yes(http.server.BaseHTTPRequestHandler):
    """Answers with a receipt, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(200, "process")

    def do_POST(self) -> None:
        self.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(204, "none")

    def _answer(self, status: int, ack: str) -> None:
        self.asked.append(self.path)
        self.send_response(status)
        self.send_header("x-event-id", f"e{len(self.asked)}")
        self.send_header("X-Tracker-Ack", ack)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def yes() -> Iterator[Target]:
    """The address of one."""
    Yes.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Target("127.0.0.1", server.server_port, "127.0.0.1")
    server.shutdown()
    thread.join()
    server.server_close()


def install(folder: Path, text: str) -> None:
    (folder / "wrk2").write_text(text)
    (folder / "wrk2").chmod(0o755)


def test_wrk2_is_known_by_its_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program of that name is none, nor is nothing."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert wrk2.find() is None
    install(tmp_path, "#!/bin/sh\necho 'Usage: wrk <options> <url>'\n")
    assert wrk2.find() is None
    install(tmp_path, FAKE % SPECTRUM)
    assert wrk2.find() == str(tmp_path / "wrk2")


@pytest.mark.skipif(shutil.which("wrk") is None, reason="apt-get install wrk")
def test_it_sends_our_requests_and_hands_back_the_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yes: Target) -> None:
    """In turn, each with a number of its own; a receipt is only what promises."""
    wrk = shutil.which("wrk")
    assert wrk
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(wrk).parent}:/usr/bin:/bin")
    install(tmp_path, FAKE % SPECTRUM)
    loaded = wrk2.run(str(tmp_path / "wrk2"), yes, POOL, rate=100, seconds=1, connections=1, salt=5)
    found = loaded.figures
    assert found.answered == found.right == sum(found.statuses.values()) > 20
    assert set(found.statuses) == {"200", "204"}
    assert len(loaded.receipts) == len(set(loaded.receipts)) == found.statuses["200"]
    numbers = Counter(number for text in Yes.asked for number in re.findall(r"[0-9a-f]{12}", text))
    assert set(numbers.values()) == {1}
    assert all(number.startswith("00005") for number in numbers)
    kinds = {re.sub(r"[0-9a-f]{12}", "#", text) for text in Yes.asked}
    assert kinds == {"/a?cb=#", "/b", "x#y"}


def test_what_it_prints_is_read() -> None:
    """The latencies by its schedule, the answers by status, and what broke."""
    said = SPECTRUM + (
        "  1463 requests in 30.01s, 505.35KB read\n  Socket errors: connect 0, read 2, write 0, timeout 1\n"
        "Requests/sec: 48.75\nStatuses: 200 1000 503 9 204 454 \n"
    )
    found = wrk2.read(said, POOL, 50)
    assert (found.answered, found.sent, found.right) == (1463, 1466, 1454)
    assert found.errors == {"reading": 2, "time-out": 1}
    assert found.seconds == 30.01
    latency = found.latency_ms
    assert (latency.mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max) == (0.424, 0.357, 0.983, 2.001, 7.5, 9.248)
    assert found.curve[-1] == (100.0, 9.254)


def test_a_run_that_was_too_short_is_no_run() -> None:
    """Without latencies nothing is judged."""
    said = "#[Mean    =         -nan, StdDeviation   =         -nan]\n#[Max     =        0.000, Total count    =            0]\n"
    with pytest.raises(wrk2.Failed, match="printed no latencies"):
        wrk2.read(said + "  10 requests in 2.00s, 1KB read\n", POOL, 50)
