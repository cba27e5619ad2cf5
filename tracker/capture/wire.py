"""The wire: one connection's bytes to requests, by llhttp (httptools), with our limits.

Rules
1. A request is read in one way or refused: what llhttp lets pass and two servers could frame differently (two Hosts,
   a transfer coding other than ``chunked``, an unknown version) is refused here.
2. After a refusal nothing more is read from the connection.
3. Nothing here knows a socket or a clock: bytes in, requests out, whatever the pieces they come in.

httptools (0.9): ``on_url`` may come in pieces; names keep their case; nothing limits sizes.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

import httptools
import msgspec

from tracker import reasons
from tracker.capture.hit import Hit
from tracker.capture.plain import FRAMES_A_BODY, ONCE, Names, Plain

MAX_HEAD_BYTES: Final = 32_768
"""Longest request line and headers together, beside what came in one read with the end of the request before."""
MAX_CHUNK_NOISE: Final = 65_536
"""Most bytes of chunk sizes, extensions and trailers in one body, beside six for each of its bytes."""


class Request(msgspec.Struct, gc=False):
    """One request; or, with a ``refusal``, what could be read of it."""

    hit: Hit | None
    """None if not even its head could be read; then ``status`` and ``phrase`` are the reply's."""
    keep: bool
    """Whether the connection may serve another one."""
    old: bool
    """HTTP/1.0."""
    refusal: str = ""
    status: int = 0
    phrase: str = ""


class Refused(Exception):
    """Raised through the parser."""


_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}


class Wire:
    """What of a request has come so far. ``requests`` are complete, in order."""

    def __init__(self, address: str, names: Names, max_body_bytes: int) -> None:
        """``address`` is the connection's; ``names`` are shared by those of a loop."""
        self.requests: list[Request] = []
        self.asks = False
        """Whether the client waits for ``100 Continue``."""
        self.address = address
        self._names = names
        self._limit = max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self._plain = Plain(address, names)
        self._fed = self._noise = self._size = 0
        self._url = b""
        self._pieces: list[bytes] = []
        self._headers: dict[str, str] = {}
        self.begun = False
        """Whether a request has begun that is not complete."""
        self.in_body = False
        """Whether its head is complete."""

    def feed(self, data: bytes) -> bool:
        """Take bytes. False: the connection is to be closed after what ``requests`` says."""
        was = self.begun
        if not was and data[:4] == b"GET " and data[-4:] == b"\r\n\r\n":  # PERF: nearly always
            hit = self._plain.read(data)
            if hit is not None:
                self.requests.append(Request(hit, True, False))
                return True
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            if self.requests:  # answered as HTTP/1.1, then closed: nobody here speaks anything else
                self.requests[-1].keep = False
            return False
        except httptools.HttpParserError as error:
            last = self.requests and not self.requests[-1].keep  # then nothing that stands behind it is a request
            if not last and not isinstance(error.__context__, Refused):
                self._refuse(reasons.MALFORMED_REQUEST, 400, "Bad Request")
            return False
        if not self.begun:
            return True
        if self.in_body:
            self._noise += len(data)
            if self._noise > MAX_CHUNK_NOISE + 6 * self._size:  # `1 CRLF x CRLF`: six bytes for one
                self._refuse(reasons.MALFORMED_REQUEST, 400, "Bad Request")
                return False
        elif was or not self.requests:
            self._fed += len(data)
            if self._fed > MAX_HEAD_BYTES:
                self._refuse(reasons.HEAD_TOO_LARGE, 431, "Request Header Fields Too Large")
                return False
        return True

    def _refuse(self, reason: str, status: int, phrase: str) -> None:
        self.requests.append(Request(None, False, False, reason, status, phrase))

    def _stop(self, reason: str, status: int, phrase: str) -> None:
        self._refuse(reason, status, phrase)
        raise Refused

    def _too_large(self) -> None:
        self._pieces = []
        self.requests.append(Request(self._hit(), False, False, reasons.BODY_TOO_LARGE))
        raise Refused

    # --- called by the parser

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.begun = True

    def on_url(self, url: bytes) -> None:
        """The request target, or a piece of it."""
        self._url += url

    def on_header(self, raw: bytes, value: bytes) -> None:
        """One header."""
        if self.in_body:  # behind a body stand trailers: they add to nothing (RFC 9110, 6.5.1)
            self._noise += len(raw) + len(value) + 4
            if self._noise > MAX_CHUNK_NOISE + 6 * self._size:
                self._stop(reasons.HEAD_TOO_LARGE, 431, "Request Header Fields Too Large")
            return
        name = self._names[raw]
        if name:
            headers = self._headers
            text = value.decode("latin-1")
            if value[-1:] in b"\t ":  # llhttp leaves what stands behind the value (RFC 9110, 5.5)
                text = text.rstrip("\t ")
            if name in headers:
                if name in ONCE:
                    self._stop(reasons.MALFORMED_REQUEST, 400, "Bad Request")
                text = headers[name] + ("; " if name == "cookie" else ",") + text
            headers[name] = text

    def on_headers_complete(self) -> None:
        """The head is there: is it one that everybody would frame alike?"""
        headers = self._headers
        version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            self._stop(reasons.MALFORMED_REQUEST, 505, "HTTP Version Not Supported")
        if "host" not in headers and version == "1.1":
            self._stop(reasons.MALFORMED_REQUEST, 400, "Bad Request")
        self.in_body = True
        if not FRAMES_A_BODY.isdisjoint(headers):
            self._frame(headers, version)

    def _frame(self, headers: dict[str, str], version: str) -> None:
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if version == "1.0":
                self._stop(reasons.MALFORMED_REQUEST, 400, "Bad Request")
            if coding.lower() != "chunked":
                self._stop(reasons.MALFORMED_REQUEST, 501, "Not Implemented")
        length = headers.get("content-length")
        if length is not None and int(length) > self._limit:
            self._too_large()
        expect = headers.get("expect")
        if expect is not None:
            if expect.lower() != "100-continue":
                self._stop(reasons.MALFORMED_REQUEST, 417, "Expectation Failed")
            self.asks = version == "1.1" and (coding is not None or bool(length and length.strip("0")))

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            self._too_large()

    def on_message_complete(self) -> None:
        """The request is complete."""
        parser = self._parser
        old = parser.get_http_version() == "1.0"
        self.requests.append(Request(self._hit(), parser.should_keep_alive(), old))
        self._url = b""
        self._headers = {}
        if self._pieces:
            self._pieces = []
            self._size = 0
        self._fed = self._noise = 0
        self.begun = self.in_body = self.asks = False

    def _hit(self) -> Hit:
        target = self._url
        if target[:1] != b"/":
            target = _origin_form(target)
        path, _, query = target.partition(b"?")
        method = self._parser.get_method()
        return Hit(
            _METHODS.get(method) or method.decode("ascii", "replace"),
            path.decode("ascii") if b"%" not in path and path.isascii() else _decoded(path),
            query.decode("latin-1"), self._headers, b"".join(self._pieces), self.address, 0,
        )  # fmt: skip


def _decoded(path: bytes) -> str:
    return unquote_to_bytes(path).decode("utf-8", "replace")


def _origin_form(target: bytes) -> bytes:
    """``http://host/path?query`` as ``/path?query`` (RFC 9112, 3.2.2); anything else stays: no route has it."""
    scheme, colon, rest = target.partition(b"://")
    if not colon or scheme.lower() not in (b"http", b"https"):
        return target
    for at, byte in enumerate(rest):
        if byte in b"/?":
            return rest[at:] if byte == 47 else b"/" + rest[at:]
    return b"/"
