"""The portable door: what it takes from a request, and when it says yes."""

from __future__ import annotations

import io
import socketserver
import threading
import urllib.request
import wsgiref.simple_server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from tracker import reasons
from tracker.capture import app, routing
from tracker.capture.rings import Rings
from tracker.counters import REASON_INDEX
from tracker.event import Event, decode_line
from tracker.settings import load
from tracker.settings.model import Settings

NOW_MS = 1_795_210_021_123


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load.load(None, None, {
        "TRACKER_DATA_DIR": str(tmp_path / "var"), "TRACKER_RING_BYTES_PER_WORKER": "1048576", "TRACKER_THREADS": "4",
        "TRACKER_LIMITS_MAX_BODY_BYTES": "1000", "TRACKER_JOURNAL_SYNC_INTERVAL_MS": "20",
    }, {}, [routing.check])


@pytest.fixture
def rings(settings: Settings) -> Iterator[Rings]:
    rings = Rings(settings.tracker)
    yield rings
    rings.stop(5)


@pytest.fixture
def client(settings: Settings, rings: Rings) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(app.build(settings, rings, lambda ms: f"id-{ms}", lambda: NOW_MS))


def events(rings: Rings) -> list[Event]:
    """What the rings got, in order within each."""
    found = []
    for slot in rings.flusher.slots:
        ring = slot.ring
        found += [decode_line(line) for line in ring.copy(0, ring.head).splitlines()]
    return found


def test_a_hit_under_falcons_test_client(client: falcon.testing.TestClient, rings: Rings) -> None:
    """Clock and ids are the test's own; the event is in the ring when the answer is there."""
    reply = client.simulate_get("/imp/c1/cr%C3%A9.gif", query_string="price=1", headers={"User-Agent": "a/1"})
    assert reply.status_code == 200 and reply.headers["X-Event-Id"] == f"id-{NOW_MS}"
    (event,) = events(rings)
    assert (event.id, event.received_at) == (f"id-{NOW_MS}", "2026-11-20T21:27:01.123Z")
    assert event.dimensions["creative"] == "cré"


def test_bytes_in_headers_and_path_are_read_as_utf8(client: falcon.testing.TestClient, rings: Rings) -> None:
    """WSGI brings bytes as Latin-1; broken ones are replaced and the event is flagged."""
    client.simulate_get("/imp/c1/cr1.gif", headers={"User-Agent": "Zoë".encode().decode("latin-1")})
    client.simulate_get("/imp/c1/%ff.gif", headers={"Referer": "http://x.example/\xff"})
    whole, broken = events(rings)
    assert whole.context is not None and whole.context.user_agent == "Zoë"
    assert broken.dimensions["creative"] == "\ufffd" and "cleaned" in broken.flags


@pytest.mark.parametrize(("headers", "body", "status", "reason"), [
    ({"Content-Length": "1001"}, b"x" * 1001, 413, reasons.BODY_TOO_LARGE),
    ({"Content-Length": "99999999999"}, b"", 413, reasons.BODY_TOO_LARGE),
    ({"Content-Length": "50"}, b"{", 408, reasons.BODY_TIMEOUT),
    ({"Transfer-Encoding": "chunked"}, b"x" * 1001, 413, reasons.BODY_TOO_LARGE),
])
def test_a_body_that_is_not_read_is_refused_by_name(
    client: falcon.testing.TestClient, rings: Rings, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    """Too large, too short or not framed: refused, counted, no event, and never read beyond the cap."""

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 < size <= 1001
            part = super().read(min(size, 7))
            Counting.taken += len(part)
            return part

    extras: dict[str, Any] = {"wsgi.input": Counting(body)}
    for name, value in headers.items():
        extras["CONTENT_LENGTH" if name == "Content-Length" else "HTTP_TRANSFER_ENCODING"] = value
    reply = client.simulate_request("POST", "/hit/x", extras=extras)
    assert (reply.status_code, reply.json["error"]) == (status, reason)
    assert Counting.taken <= 1001
    assert not events(rings)
    writer = rings.writer()
    assert writer is not None and writer.counts[REASON_INDEX[reason]] == 1


@pytest.mark.parametrize("length", ["-5", "5x", "0x10", "1_0", "\u0665"])
def test_a_length_that_is_no_number_is_refused(settings: Settings, rings: Rings, length: str) -> None:
    """A server that lets it through meets a 400, not an exception; other digits than 0 to 9 are none."""
    environ = falcon.testing.create_environ("/hit/x", method="POST", body="{}")
    environ["CONTENT_LENGTH"] = length
    started = falcon.testing.StartResponseMock()
    b"".join(app.build(settings, rings)(environ, started))
    assert started.status.startswith("400")
    assert not events(rings)


def test_power_is_answered_when_it_is_durable(client: falcon.testing.TestClient, rings: Rings) -> None:
    """ack: power waits for the sync."""
    reply = client.simulate_get("/conv/c1.gif")
    assert (reply.status_code, reply.headers["X-Tracker-Ack"]) == (200, "power")
    assert all(slot.drained for slot in rings.flusher.slots)


def test_an_unknown_outcome_is_no_answer(
    client: falcon.testing.TestClient, rings: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync fails after the publish: the door breaks the connection, and counts it."""
    client.simulate_get("/imp/c1/cr1.gif")
    monkeypatch.setattr(rings.flusher, "wait_durable", lambda *_: False)
    with pytest.raises(ConnectionResetError):
        client.simulate_get("/conv/c1.gif")
    writer = rings.writer()
    assert writer is not None and writer.counts[REASON_INDEX[reasons.NOT_DURABLE]] == 1


def test_without_a_ring_hits_are_refused_and_people_still_land(settings: Settings, tmp_path: Path) -> None:
    """The data folder cannot be used: 503, a redirect without a record, readiness says why; nothing raises."""
    (tmp_path / "var").write_text("a file where the folder should be")
    rings = Rings(settings.tracker)
    client = falcon.testing.TestClient(app.build(settings, rings))
    reply = client.simulate_get("/imp/c1/cr1.gif")
    assert (reply.status_code, reply.json["error"]) == (503, reasons.NO_SLOT)
    reply = client.simulate_get("/click/c1/cr1", query_string="url=https://example.com/")
    assert (reply.status_code, reply.headers["X-Tracker-Ack"]) == (302, "none")
    ready = client.simulate_get("/-/readyz")
    assert ready.status_code == 503 and "var" in ready.json["checks"]["ring"]
    rings.stop(1)


@pytest.mark.parametrize(("address", "status"), [
    ("127.0.0.1", 200), ("::1", 200), ("", 200), ("10.0.0.1", 404), ("::ffff:10.0.0.1", 404), ("nonsense", 404),
])
def test_metrics_are_for_the_listed(client: falcon.testing.TestClient, address: str, status: int) -> None:
    """Loopback and Unix sockets by default; everybody else is told that there is no such page."""
    assert client.simulate_get("/-/metrics", extras={"REMOTE_ADDR": address}).status_code == status


def test_any_wsgi_server_will_do_with_a_thread_a_request(settings: Settings, rings: Rings) -> None:
    """wsgiref with a new thread for each request: every event once, and no more rings than requests at a time."""

    class Threaded(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
        daemon_threads = True

    class Silent(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app.build(settings, rings), Threaded, Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answered = []
    for _ in range(30):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/imp/c1/cr1.gif", timeout=5) as reply:
            answered.append(reply.headers["X-Event-Id"])
    server.shutdown()
    server.server_close()
    assert sorted(event.id for event in events(rings)) == sorted(answered)
    assert len(rings.flusher.slots) < 10


@pytest.mark.parametrize(
    ("trusted", "headers", "status"),
    [
        ("", {}, 200), ("", {"X-Forwarded-For": "203.0.113.9"}, 404), ("", {"Forwarded": "for=127.0.0.1"}, 404), ("127.0.0.0/8", {}, 200),
        ("127.0.0.0/8", {"X-Forwarded-For": "203.0.113.9"}, 404), ("127.0.0.0/8", {"X-Forwarded-For": "127.0.0.2"}, 200), ("10.0.0.0/8", {"X-Forwarded-For": "127.0.0.1"}, 200),
    ],
)  # fmt: skip
def test_a_proxy_on_the_same_host_opens_the_metrics_to_nobody(
    trusted: str, headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """A loopback address that speaks for somebody else is that somebody; unless it is listed, nobody knows who."""
    environ = {"TRACKER_DATA_DIR": str(tmp_path), "TRACKER_CLIENTS_TRUSTED_PROXIES": trusted} if trusted else {"TRACKER_DATA_DIR": str(tmp_path)}
    settings = load.load(None, None, environ, {}, [routing.check])
    rings = Rings(settings.tracker)
    client = falcon.testing.TestClient(app.build(settings, rings))
    reply = client.simulate_get("/-/metrics", headers=headers, extras={"REMOTE_ADDR": "127.0.0.1"})
    assert reply.status_code == status
    rings.stop(1)
