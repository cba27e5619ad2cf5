"""HTTP byte by byte: what the tests of the doors send and how they read what comes back.

Rules
1. Nothing is forgiven: a reply that is no exact HTTP/1.1, or a byte too many, is a ``WrongReply``.
2. A connection that ends without a reply is ``None``; one that ends within a reply is a ``WrongReply``.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tracker.event import Event, decode_line
from tracker.journal.reader import JournalReader

FAST = hasattr(select, "epoll") and find_spec("tracker.capture.worker") is not None
DOORS = ["portable", "fast"] if FAST else ["portable"]

_STATUS = re.compile(rb"HTTP/1\.[012] ([1-5][0-9][0-9]) ([\t -~]*)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")


class WrongReply(Exception):
    """What came is not one reply after the other."""


class Reply(NamedTuple):
    """One reply."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order of arrival."""
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's only value, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name}: {values}"
        return values[0] if values else None

    @property
    def ident(self) -> str:
        """The event's id; empty if the reply names none."""
        return self.header("x-event-id") or ""

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends with it."""
        return (self.header("connection") or "").lower() == "close"


class Wire:
    """A connection."""

    def __init__(self, address: str, timeout_s: float = 10, source: str = "", receive_buffer: int = 0) -> None:
        """``address``: host:port, or the path of a Unix socket."""
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:  # before the connection is made: the window follows from it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        if source:
            self.socket.bind((source, 0))
        try:
            host, _, port = address.rpartition(":")
            self.socket.connect(address if address.startswith("/") else (host, int(port)))
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it up."""
        self.socket.close()

    def send(self, raw: bytes) -> Wire:
        """Send all of it; a peer that has gone is found out by reading."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(raw)
        return self

    def end(self) -> Wire:
        """No more is sent."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def more(self) -> bool:
        """Read some; False at the end of the stream, or if it was reset."""
        try:
            part = self.socket.recv(262_144)
        except ConnectionError:
            part = b""
        self.buffer += part
        return part != b""

    def reply(self, method: str = "GET", final: bool = True) -> Reply | None:
        """The next reply (``final``: interim ones are skipped). Raises ``TimeoutError``."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                if self.buffer:
                    raise WrongReply(f"ended within a head: {self.buffer[:200]!r}")
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        found = _STATUS.fullmatch(line)
        if not found:
            raise WrongReply(f"no status line: {line[:200]!r}")
        status = int(found[1])
        headers = []
        for each in lines:
            header = _HEADER.fullmatch(each)
            if not header:
                raise WrongReply(f"no header: {each[:200]!r}")
            headers.append((header[1].decode().lower(), header[2].decode("latin-1")))
        if status < 200:
            if headers and status == 100:
                raise WrongReply(f"100 with {headers}")
            return self.reply(method) if final else Reply(status, tuple(headers), b"")
        return Reply(status, tuple(headers), self._body(method, status, headers))

    def _body(self, method: str, status: int, headers: list[tuple[str, str]]) -> bytes:
        lengths = [value for name, value in headers if name == "content-length"]
        if any(name == "transfer-encoding" for name, _ in headers):
            raise WrongReply("the tracker knows the length of all it sends")
        if status in (204, 304):
            if lengths:
                raise WrongReply("RFC 9110 8.6: no Content-Length in a 204")
            return b""
        if len(lengths) > 1 or any(not value.isdecimal() for value in lengths):
            raise WrongReply(f"Content-Length {lengths}")
        if method == "HEAD":
            return b""
        if not lengths:
            while self.more():
                pass
            body, self.buffer = self.buffer, b""
            return body
        length = int(lengths[0])
        while len(self.buffer) < length:
            if not self.more():
                raise WrongReply(f"{len(self.buffer)} bytes of {length}")
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def closed(self, within_s: float = 2) -> bool:
        """Whether the other side ends the connection within that time. Raises ``WrongReply`` if it says any more."""
        was = self.socket.gettimeout()
        self.socket.settimeout(within_s)
        try:
            while not self.buffer and self.more():
                pass
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(was)
        if self.buffer:
            raise WrongReply(f"a byte too many: {self.buffer[:200]!r}")
        return True


def events(data_dir: Path) -> list[Event]:
    """All events of the journal, bad lane and all, in the order of their streams."""
    found = []
    with contextlib.closing(JournalReader(data_dir)) as reader:
        for stream in reader.streams():
            at = 0
            while (chunk := reader.read(stream, at)).end > at:
                assert not chunk.damaged_bytes and not chunk.expired_bytes
                found += [decode_line(line) for line in chunk.lines]
                at = chunk.end
    return found


def wait_events(data_dir: Path, idents: set[str], timeout_s: float = 10) -> list[Event]:
    """All events of the journal, once these are among them."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = events(data_dir)
        missing = idents - {event.id for event in found}
        if not missing:
            return found
        assert time.monotonic() < deadline, f"{len(missing)} answered hits are not in the journal: {sorted(missing)[:5]}"
        time.sleep(0.1)


def resident_bytes(pid: int) -> int:
    """Memory of a process that no file backs: the ring's pages do not count."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon: a kernel before 4.5")


class Client(threading.Thread):
    """Hits at a steady rate over a kept connection, as a well-behaved client: after ``Connection: close`` it opens a new
    one; it tries nothing again. Every hit has an id of its own; what became of each is written down.
    """

    def __init__(self, address: str, name: str, rate: float, keep: bool = True, power_every: int = 0) -> None:
        """``rate``: hits/s. ``keep`` False: a connection for each hit. ``power_every``: one hit in so many asks for ``power``."""
        super().__init__(daemon=True)
        self.answered: list[str] = []
        self.failed: list[str] = []
        """What went wrong, with the time since the start (s)."""
        self.unknown: list[str] = []
        """Ids of the hits that failed after something was sent."""
        self.late_s: list[float] = []
        """From when each answered hit was due to its answer: waiting behind a slow one counts."""
        self.told_to_close = 0
        self._address, self._name, self._rate, self._keep, self._power_every = address, name, rate, keep, power_every
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the hit in hand."""
        self._stopping.set()
        self.join(20)
        assert not self.is_alive()

    def run(self) -> None:
        """Hit until stopped."""
        wire: Wire | None = None
        began = time.monotonic()
        sent = 0
        while not self._stopping.is_set():
            due = began + sent / self._rate
            pause = due - time.monotonic()
            if pause > 0:
                self._stopping.wait(pause)
                if self._stopping.is_set():
                    break
            sent += 1
            ident = f"{self._name}-{sent}"
            power = self._power_every and sent % self._power_every == 0
            path = "/conv/c1.gif" if power else "/imp/c1/cr1.gif"
            step = "connect"
            try:
                if wire is None:
                    wire = Wire(self._address)
                    fresh = "a new connection"
                else:
                    fresh = "a kept connection"
                step = f"hit on {fresh}"
                wire.socket.sendall(
                    b"GET %s?event_id=%s HTTP/1.1\r\nHost: t\r\nUser-Agent: test/1\r\n%s\r\n"
                    % (path.encode(), ident.encode(), b"" if self._keep else b"Connection: close\r\n")
                )
                reply = wire.reply()
                if reply is None:
                    raise ConnectionError("closed without an answer")
                if reply.status != 200 or reply.ident != ident:
                    raise WrongReply(f"{reply.status}, id {reply.ident!r} for {ident!r}")
                self.answered.append(ident)
                self.late_s.append(time.monotonic() - due)
                if reply.closes:
                    self.told_to_close += self._keep
                    wire.close()
                    wire = None
            except (OSError, WrongReply) as error:
                self.failed.append(f"{time.monotonic() - began:.2f} s, {step}: {type(error).__name__}: {error}")
                if step != "connect":
                    self.unknown.append(ident)
                if wire is not None:
                    wire.close()
                wire = None
                self._stopping.wait(0.01)
        if wire is not None:
            wire.close()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    assert values
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, int(len(ranked) * share + 0.999999) - 1))]
