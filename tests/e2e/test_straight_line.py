"""From the socket to the log file, through real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.journal.reader import JournalReader


def test_a_pixel_is_answered_and_its_event_stands_in_the_log(serve: Callable[..., Any]) -> None:
    """The README's curl line: 200, a GIF of 43 bytes, an id; within two seconds the event is on the disk."""
    tracker = serve()
    status, headers, body = tracker.get("/imp/c1/cr1.gif?price=2.50", User_Agent="test/1", Referer="https://site.example/p")
    assert (status, headers["Content-Type"], len(body), body[:6]) == (200, "image/gif", 43, b"GIF89a")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert headers["X-Tracker-Ack"] == "process"
    (event,) = tracker.wait_logged(1, timeout_s=2)
    assert event["id"] == headers["X-Event-Id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event["id"])
    assert event["event"] == "impression" and event["seq"] == 1
    assert event["dimensions"] == {"campaign": "c1", "creative": "cr1", "currency": "USD", "site": "site.example"}
    assert event["metrics"] == {"price_micros": 2_500_000, "cost_nanos": 2_500_000}
    assert event["context"] == {"ip": "127.0.0.0", "user_agent": "test/1", "referer": "https://site.example/p"}
    assert tracker.stop() == 0
    for path in tracker.data_dir.rglob("*"):
        assert not path.is_file() or b"127.0.0.1\"" not in path.read_bytes(), f"a full address in {path.name}"


def test_each_default_route_answers_in_its_way(serve: Callable[..., Any]) -> None:
    """Pixel, 302 with the click's id, stored destination, 204, refusals; bad hits stand in their own file."""
    tracker = serve()
    status, headers, _ = tracker.get("/click/c1/cr1?url=https%3A%2F%2Fa.shop.example%2Fx%3Fq%3D1")
    assert status == 302
    assert headers["Location"] == f"https://a.shop.example/x?q=1&click_id={headers['X-Event-Id']}"
    status, headers, _ = tracker.get("/click/c1/cr1?url=https://evil.example/")
    assert (status, headers["Location"], headers["X-Tracker-Reason"]) == (302, "https://example.com/", "bad_destination")
    assert tracker.get("/go/spring")[1]["Location"] == "https://shop.example/spring"
    status, headers, body = tracker.request(
        "POST", "/hit/signup", b'{"plan":"pro","seats":3}', {"Content-Type": "application/json"}
    )
    assert (status, body) == (204, b"") and headers["X-Event-Id"]
    status, headers, _ = tracker.request("POST", "/conv/c1.gif", b"value=9.99&order=o1", {
        "Content-Type": "application/x-www-form-urlencoded"})
    assert (status, headers["X-Tracker-Ack"]) == (200, "power")
    assert tracker.get("/video/c1/cr1/midPoint.gif?watch_ms=1500")[0] == 200
    status, headers, body = tracker.get("/imp/c1/cr1.gif?price=abc")
    assert (status, headers["X-Tracker-Reason"], body[:3]) == (200, "invalid_field", b"GIF")
    status, headers, body = tracker.request("HEAD", "/imp/c1/cr1.gif?price=1")
    assert (status, body, headers["Content-Length"]) == (200, b"", "43")
    assert tracker.get("/nowhere")[0] == 404
    assert tracker.request("POST", "/imp/c1/cr1.gif")[0] == 405
    assert tracker.request("POST", "/hit/x", b"x" * 1_100_000)[0] == 413

    events = tracker.wait_logged(6)
    assert sorted(event["event"] for event in events) == [
        "click", "click", "conversion", "impression", "signup", "video"
    ]
    by_name = {event["event"]: event for event in events}
    assert by_name["signup"]["properties"] == {"plan": "pro", "seats": 3}
    assert by_name["video"]["dimensions"]["action"] == "midpoint"
    assert by_name["impression"]["flags"] == ["head"] and "cost_nanos" not in by_name["impression"]["metrics"]
    bad = tracker.wait_logged(2, "bad.ndjson")
    assert sorted(event["reason"] for event in bad) == ["bad_destination", "invalid_field"]


def test_a_chunked_body_is_read_and_capped(serve: Callable[..., Any]) -> None:
    """Transfer-Encoding: chunked works like Content-Length, with the same cap."""
    tracker = serve()

    def post(chunks: list[bytes]) -> bytes:
        with socket.create_connection(tracker.address.split(":"), timeout=10) as connection:
            connection.sendall(b"POST /hit/x HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                               b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            try:
                for chunk in chunks:
                    connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                connection.sendall(b"0\r\n\r\n")
            except OSError:
                pass  # it has its answer and has closed
            return connection.recv(12)

    assert post([b'{"a":', b"1}"]).startswith(b"HTTP/1.1 204")
    assert tracker.wait_logged(1)[0]["properties"] == {"a": 1}
    assert post([b"x" * 300_000] * 4).startswith(b"HTTP/1.1 413")


def test_operators_pages(serve: Callable[..., Any]) -> None:
    """Health, readiness with its checks, and metrics that add up over all workers within two seconds."""
    tracker = serve(TRACKER_WORKERS="2")
    assert json.loads(tracker.get("/-/healthz")[2]) == {"status": "ok"}
    ready = json.loads(tracker.get("/-/readyz")[2])
    assert ready["ready"] and ready["checks"] == {"ring": "ok", "journal": "ok", "flusher": "ok"}
    assert re.fullmatch(r"[0-9a-f]{12}", ready["settings_version"])
    for _ in range(30):
        tracker.get("/imp/c1/cr1.gif")
    tracker.get("/imp/c1/cr1.gif?price=abc")
    deadline = time.monotonic() + 4
    wanted = ('tracker_events_accepted_total{lane="good"} 30.0', 'tracker_hits_bad_total{reason="invalid_field"} 1.0',
              'tracker_delivery_events{collector="log"} 30.0')
    while not all(line in (page := tracker.get("/-/metrics")[2].decode()) for line in wanted):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)


def test_metrics_are_for_listed_networks_only(serve: Callable[..., Any]) -> None:
    """With loopback taken off the list the page is not there; health still is."""
    tracker = serve(TRACKER_STATUS_NETWORKS="10.0.0.0/8")
    assert tracker.get("/-/metrics")[0] == 404
    assert tracker.get("/-/healthz")[0] == 200


def test_a_stop_under_load_loses_nothing_and_the_next_start_goes_on(serve: Callable[..., Any]) -> None:
    """SIGTERM while hits arrive: every answered one is in the journal; after a start seq goes on in the same streams."""
    tracker = serve()
    answered = [tracker.get("/imp/c1/cr1.gif")[1]["X-Event-Id"] for _ in range(200)]
    assert tracker.stop() == 0
    tracker.start()
    answered += [tracker.get("/imp/c1/cr1.gif")[1]["X-Event-Id"] for _ in range(50)]
    assert tracker.stop() == 0
    events = tracker.logged()
    assert sorted(event["id"] for event in events) == sorted(answered)
    for stream in {event["stream"] for event in events}:
        seqs = [event["seq"] for event in events if event["stream"] == stream]
        assert seqs == list(range(1, len(seqs) + 1))


def test_a_busy_port_is_said_with_the_way_out(serve: Callable[..., Any], tmp_path: Path) -> None:
    """The second tracker on the same port ends with 75 and names the flag."""
    tracker = serve()
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "serve", "--bind", tracker.address, "--data-dir", str(tmp_path / "other")],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20,
    )
    assert done.returncode == 75, done.stderr
    assert tracker.address in done.stderr and "--bind" in done.stderr
    assert "Traceback" not in done.stderr


def test_live_events_appear_below_the_banner(tmp_path: Path) -> None:
    """``tracker serve --tail``: the curl line, then each event as it arrives."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "serve", "--tail", "--bind", address], cwd=tmp_path,
            env=os.environ | {"TRACKER_WORKERS": "1", "TRACKER_RING_BYTES_PER_WORKER": "4194304"},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 20
        while "seen" not in (text := (tmp_path / "out").read_text()):
            assert time.monotonic() < deadline, text
            curl = re.search(r"curl -i '(http://[^']+)'", text)
            if curl:
                subprocess.run([sys.executable, "-c",
                                f"import urllib.request as u; u.urlopen('{curl[1]}&site=seen', timeout=2)"],
                               capture_output=True)
            time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


def test_a_broken_settings_file_changes_nothing_at_sighup(serve: Callable[..., Any], tmp_path: Path) -> None:
    """A good change is taken over by SIGHUP, a broken one is said and the last good settings go on serving."""
    settings = tmp_path / "tracker.yaml"
    settings.write_text("version: 1\nenvironment: first\ncollectors: {log: {type: log}}\n")
    tracker = serve("--config", str(settings))
    tracker.get("/imp/c1/cr1.gif")
    version = json.loads(tracker.get("/-/readyz")[2])["settings_version"]

    settings.write_text("version: 1\nenvirnment: broken\n")
    tracker.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while "did you mean `environment`" not in tracker.output.read_text():
        assert time.monotonic() < deadline, tracker.output.read_text()
        time.sleep(0.05)
    assert tracker.get("/imp/c1/cr1.gif")[0] == 200
    assert json.loads(tracker.get("/-/readyz")[2])["settings_version"] == version

    settings.write_text("version: 1\nenvironment: second\ncollectors: {log: {type: log}}\n")
    tracker.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while json.loads(tracker.get("/-/readyz")[2])["settings_version"] == version:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    tracker.get("/imp/c1/cr1.gif")
    environments = {event["environment"] for event in tracker.wait_logged(3, timeout_s=10)}
    assert environments == {"first", "second"}


def test_two_trackers_on_one_folder_share_it_without_harm(serve: Callable[..., Any]) -> None:
    """Each takes its own slots; one delivers; every event is logged once."""
    first = serve()
    second = serve("--data-dir", str(first.data_dir))
    ids = []
    for _ in range(20):
        for tracker in (first, second):
            ids.append(tracker.get("/imp/c1/cr1.gif")[1]["X-Event-Id"])
    assert sorted(event["id"] for event in first.wait_logged(40)) == sorted(ids)
    reader = JournalReader(first.data_dir)
    assert len(reader.streams()) >= 2
    reader.close()


def test_a_tail_whose_reader_has_gone_stays_away(tmp_path: Path) -> None:
    """``tracker serve --tail | head -1``: hits go on being taken, and nothing is restarted over and over."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", "serve", "--tail", "--bind", address], cwd=tmp_path,
        env=os.environ | {"TRACKER_WORKERS": "1", "TRACKER_RING_BYTES_PER_WORKER": "4194304"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    pixel = f"import urllib.request as u; print(u.urlopen('http://{address}/imp/c1/cr1.gif', timeout=2).status)"
    try:
        deadline = time.monotonic() + 20
        while subprocess.run([sys.executable, "-c", pixel], capture_output=True).stdout != b"200\n":
            assert time.monotonic() < deadline
        assert process.stdout.readline().startswith(b'{"id":')
        process.stdout.close()
        time.sleep(2)
        assert subprocess.run([sys.executable, "-c", pixel], capture_output=True).stdout == b"200\n"
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(15) == 0
    assert "tail has died" not in said
