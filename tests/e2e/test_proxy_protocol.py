"""Who the client is, end to end: PROXY headers, forwarding headers and look-alikes over real sockets, to the event on disk."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LISTED, UNLISTED = "127.0.0.1", "127.0.0.2"
FAKE = "198.18.7.1"
REAL, KEPT = "203.0.113.66", "203.0.113.0"
PROXY_KEPT = "127.0.0.0"


def v2(source: bytes, destination: bytes, *, family: int, command: int = 1, more: bytes = b"") -> bytes:
    """A header of version 2; ports 40000 and 80."""
    body = source + destination + struct.pack(">HH", 40000, 80) + more
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


V1 = f"PROXY TCP4 {REAL} 192.0.2.1 40000 80\r\n".encode()
V1_IPV6 = b"PROXY TCP6 2001:db8:1:2::66 2001:db8::1 40000 80\r\n"
V2 = v2(packed(REAL), packed("192.0.2.1"), family=0x11)
V2_IPV6 = v2(packed("2001:db8:1:2::66"), packed("2001:db8::1"), family=0x21)
V2_WITH_MORE = v2(packed(REAL), packed("192.0.2.1"), family=0x11, more=b"\x03\x00\x04abcd\xea\x00\x02hi")  # CRC-32C, AWS's VPC id
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
LOCAL_WITH_ADDRESSES = v2(packed(FAKE), packed("192.0.2.1"), family=0x11, command=0)
UNSPECIFIED = SIGNATURE + b"\x21\x00\x00\x00"
UNSPECIFIED_OVER_TCP = SIGNATURE + b"\x21\x01\x00\x03\x04\x00\x00"
UNKNOWN = b"PROXY UNKNOWN\r\n"
UNKNOWN_WITH_ADDRESSES = f"PROXY UNKNOWN {FAKE} 192.0.2.1 40000 80\r\n".encode()


class Door:
    """One tracker, and raw connections to it."""

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker
        host, _, port = tracker.address.partition(":")
        self._address = (host, int(port))
        self._hits = 0

    def connect(self, source: str = LISTED) -> socket.socket:
        return socket.create_connection(self._address, timeout=10, source_address=(source, 0))

    def request(self, **headers: str) -> bytes:
        """A GET of an impression, with a number of its own as the campaign."""
        self._hits += 1
        lines = [f"{name.replace('__', '-')}: {text}" for name, text in headers.items()]
        return "\r\n".join([f"GET /imp/c{self._hits}/x.gif HTTP/1.1", "Host: t", *lines, "", ""]).encode("latin-1")

    def exchange(self, connection: socket.socket, sent: bytes, slowly: bool = False) -> int:
        """The status of the next answer; 0 if the connection was closed without one."""
        try:
            for part in [sent[at : at + 1] for at in range(len(sent))] if slowly else [sent]:
                connection.sendall(part)
            answer = b""
            while b"\r\n\r\n" not in answer:
                part = connection.recv(65536)
                if not part:
                    return int(answer.split()[1]) if answer else 0
                answer += part
        except ConnectionError:
            return 0
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
        while len(body) < length:
            body += connection.recv(65536)
        return int(head.split()[1])

    def once(self, header: bytes, source: str = LISTED, slowly: bool = False, **headers: str) -> int:
        """One hit on a connection of its own; its status."""
        with self.connect(source) as connection:
            return self.exchange(connection, header + self.request(**headers), slowly)

    def ips(self, count: int) -> list[str]:
        """``context.ip`` of the events, in the order of the hits; and no event more."""
        self.tracker.wait_logged(count)
        time.sleep(0.3)  # whatever should not be there would be here by now
        events = self.tracker.logged()
        assert len(events) == count
        events.sort(key=lambda event: int(event["dimensions"]["campaign"][1:]))
        return [event["context"].get("ip", "") for event in events]


@pytest.fixture
def door(serve: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Starts a tracker with these ``clients``; PROXY headers are read by the portable door."""
    trackers: list[Any] = []

    def start(clients: str, kind: str = "fast") -> Door:
        config = tmp_path / "tracker.yaml"
        config.write_text(f"version: 1\ndoor: {kind}\nclients: {clients}\ncollectors: {{log: {{type: log}}}}\n")
        trackers.append(serve("--config", str(config)))
        return Door(trackers[-1])

    yield start
    for tracker in trackers:
        tracker.stop()
        said = tracker.output.read_text()
        assert "Traceback" not in said
        for address in (REAL, FAKE, "2001:db8:1:2::66", UNLISTED):
            assert address not in said, "no log line holds an address"


LISTENING = "{proxy_protocol: true, trusted_proxies: [127.0.0.1, 10.0.0.0/8]}"


def test_each_hit_of_a_connection_has_the_address_that_its_proxy_header_named(door: Callable[..., Door]) -> None:
    """Versions 1 and 2, IPv4 and IPv6, with TLVs, in one piece and byte by byte; three hits a connection, whatever the client's
    own headers say (gunicorn's threaded worker forgets the header after the first, and would then believe them)."""
    at = door(LISTENING)
    expected = []
    for header, kept in ((V1, KEPT), (V1_IPV6, "2001:db8:1::"), (V2, KEPT), (V2_IPV6, "2001:db8:1::"), (V2_WITH_MORE, KEPT)):
        for slowly in (False, True):
            with at.connect() as connection:
                for number in range(3):
                    sent = at.request(X__Forwarded__For=FAKE, Forwarded=f"for={FAKE}", X__Device__IP=FAKE)
                    assert at.exchange(connection, header + sent if number == 0 else sent, slowly and number == 0) == 200
                    expected.append(kept)
    assert at.ips(30) == expected


def test_pipelined_hits_behind_one_header_all_have_its_address(door: Callable[..., Door]) -> None:
    """Three requests in one packet with the header."""
    at = door(LISTENING)
    with at.connect() as connection:
        connection.sendall(V2 + at.request() + at.request() + at.request())
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 3:
            part = connection.recv(65536)
            assert part, answers
            answers += part
    assert at.ips(3) == [KEPT] * 3


def test_a_connection_of_the_balancers_own_is_its_own_and_one_of_nobody_is_nobodys(door: Callable[..., Door]) -> None:
    """LOCAL is the balancer; UNKNOWN and an unspecified family name nobody, and then no header about addresses is believed."""
    at = door(LISTENING)
    for header in (LOCAL, LOCAL_WITH_ADDRESSES):
        assert at.once(header) == 200
    for header in (UNSPECIFIED, UNSPECIFIED_OVER_TCP, UNKNOWN, UNKNOWN_WITH_ADDRESSES):
        with at.connect() as connection:
            assert at.exchange(connection, header + at.request(X__Forwarded__For=FAKE)) == 200
            assert at.exchange(connection, at.request(X__Forwarded__For=FAKE)) == 200
    assert at.ips(10) == [PROXY_KEPT] * 2 + [""] * 8


def test_who_is_not_listed_can_send_no_proxy_header(door: Callable[..., Door]) -> None:
    """403 and no event for each form of the header; without one it is served under its own address."""
    at = door(LISTENING)
    for header in (V1, V1_IPV6, V2, V2_IPV6, LOCAL, UNKNOWN, UNSPECIFIED):
        assert at.once(header, UNLISTED) == 403
    assert at.once(b"", UNLISTED, X__Forwarded__For=FAKE) == 200
    with at.connect(UNLISTED) as connection:
        assert at.exchange(connection, at.request()) == 200
        assert at.exchange(connection, V1 + at.request()) == 400, "in the middle of a connection it is no header for anybody"
    assert at.ips(2) == [PROXY_KEPT] * 2


def test_behind_a_listed_balancer_a_listed_proxy_may_name_the_client(door: Callable[..., Door]) -> None:
    """The balancer's header names 10.1.2.3, which is a proxy too: what that wrote on the right is the client. A health check
    without a header is served."""
    at = door(LISTENING)
    chained = b"PROXY TCP4 10.1.2.3 192.0.2.1 40000 80\r\n"
    assert at.once(chained, X__Forwarded__For=f"{FAKE}, {REAL}") == 200
    assert at.once(b"", X__Forwarded__For=f"{FAKE}, {REAL}") == 200
    assert at.once(b"") == 200
    assert at.ips(3) == [KEPT, KEPT, PROXY_KEPT]


GARBAGE = {
    "v1 without addresses": b"PROXY TCP4\r\n",
    "v1 of another family": b"PROXY UDP4 203.0.113.66 192.0.2.1 40000 80\r\n",
    "v1 in lower case": b"PROXY tcp4 203.0.113.66 192.0.2.1 40000 80\r\n",
    "v1 with a port too large": b"PROXY TCP4 203.0.113.66 192.0.2.1 65536 80\r\n",
    "v1 with a port that is no number": b"PROXY TCP4 203.0.113.66 192.0.2.1 x 80\r\n",
    "v1 with an address that is none": b"PROXY TCP4 203.0.113.666 192.0.2.1 40000 80\r\n",
    "v1 with IPv6 called IPv4": b"PROXY TCP4 2001:db8::1 192.0.2.1 40000 80\r\n",
    "v1 with NUL": b"PROXY TCP4 203.0.113.66\x00 192.0.2.1 40000 80\r\n",
    "v1 with bytes beyond ASCII": b"PROXY TCP4 203.0.113.\xff\xfe 192.0.2.1 40000 80\r\n",
    "v1 with two spaces": b"PROXY TCP4  203.0.113.66 192.0.2.1 40000 80\r\n",
    "v1 twice": V1 + V1,
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "v1 that never ends": b"PROXY TCP4 " + b"x" * 9000,
    "v2 of version 3": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "v2 with an unknown command": SIGNATURE + b"\x2f\x11\x00\x0c" + bytes(12),
    "v2 with too little for IPv4": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "v2 with too little for IPv6": SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
    "v2 of UDP": v2(packed(REAL), packed("192.0.2.1"), family=0x12),
    "v2 of a Unix socket": SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
    "v2 twice": V2 + V2,
    "v2's signature and then a request": SIGNATURE,
}


def test_a_malformed_header_is_a_400_and_no_event(door: Callable[..., Door]) -> None:
    """From a listed balancer; never a 5xx, no traceback in the log, and the next connection is served."""
    at = door(LISTENING)
    answers = {}
    for name, header in GARBAGE.items():
        with at.connect() as connection:
            connection.settimeout(10)
            answers[name] = at.exchange(connection, header + at.request())
    assert set(answers) == {name for name, status in answers.items() if status == 400}, answers
    assert at.once(V1) == 200
    assert at.ips(1) == [KEPT]


def test_half_a_header_is_no_event(door: Callable[..., Door]) -> None:
    """The balancer closes in the middle: nothing happens."""
    at = door(LISTENING)
    for header in (V1, V2, V2_IPV6):
        for end in (1, 5, 11, 13, len(header) - 1):
            with at.connect() as connection:
                connection.sendall(header[:end])
    assert at.once(V2) == 200
    assert at.ips(1) == [KEPT]


@pytest.mark.parametrize("kind", ["fast", "portable"])
def test_without_the_setting_a_proxy_header_is_no_request(door: Callable[..., Door], kind: str) -> None:
    """400 from everybody, listed or not."""
    at = door("{trusted_proxies: [127.0.0.1]}", kind)
    for header in (V1, V2, UNKNOWN):
        for source in (LISTED, UNLISTED):
            assert at.once(header, source) in (400, 0)
    assert at.ips(0) == []


@pytest.mark.parametrize("kind", ["fast", "portable"])
def test_underscores_and_gunicorns_own_trust_in_loopback_change_nothing(door: Callable[..., Door], kind: str) -> None:
    """In WSGI ``X_Forwarded_For`` would pass for ``X-Forwarded-For``; ``SCRIPT_NAME`` would move the path; contradicting schemes
    would be a 400. From the proxy's address, where a client's own headers arrive."""
    at = door("{trusted_proxies: [127.0.0.1]}", kind)
    assert at.once(b"", X__Forwarded__For=REAL) == 200
    assert at.once(b"", X__Forwarded__For=REAL, X_Forwarded_For=FAKE) == 200
    assert at.once(b"", X_Forwarded_For=FAKE, X__Forwarded__For=REAL) == 200
    assert at.once(b"", X_Forwarded__For=FAKE, X__Forwarded_For=FAKE) == 200
    assert at.once(b"", SCRIPT_NAME="/imp", PATH_INFO="/x", REMOTE_ADDR=FAKE, HTTP_X_FORWARDED_FOR=FAKE) == 200
    assert at.once(b"", X__Forwarded__Proto="https", X__Forwarded__Ssl="off", X__Forwarded__For=REAL) == 200
    assert at.once(b"", **{"X__Forwarded__For": FAKE, "x-forwarded-for": REAL}) == 200, "two headers are one list, in their order"
    assert at.once(b"", UNLISTED, X__Forwarded__For=FAKE, X_Forwarded_For=FAKE) == 200
    assert at.ips(8) == [KEPT, KEPT, KEPT, PROXY_KEPT, PROXY_KEPT, KEPT, KEPT, PROXY_KEPT]


@pytest.mark.parametrize("kind", ["fast", "portable"])
def test_a_server_that_inserts_ads_is_believed_about_the_device_and_nobody_else_is(door: Callable[..., Door], kind: str) -> None:
    """The listed server's events are flagged; the same headers from elsewhere change nothing and flag nothing."""
    at = door("{ssai_networks: [127.0.0.1]}", kind)
    device = {"X__Device__IP": REAL, "X__Device__User__Agent": "AppleTV11,1/11.1", "User__Agent": "SSAI/1.0"}
    assert at.once(b"", **device) == 200
    assert at.once(b"", UNLISTED, **device) == 200
    assert at.ips(2) == [KEPT, PROXY_KEPT]
    first, second = sorted(at.tracker.logged(), key=lambda event: event["dimensions"]["campaign"])
    assert (first["context"]["user_agent"], first["flags"]) == ("AppleTV11,1/11.1", ["server_side"])
    assert (second["context"]["user_agent"], second.get("flags", [])) == ("SSAI/1.0", [])
