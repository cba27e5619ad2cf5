"""The wire: whatever the bytes and however they are cut, one reading or a refusal, and never an exception."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.capture.plain import Names
from tracker.capture.wire import Request, Wire

LIMIT = 200
WANTED = frozenset({"user-agent", "x-a"})

names = st.sampled_from([b"Host", b"host", b"User-Agent", b"X-A", b"x-a", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"Upgrade", b"Cookie", b"Bad Name", b""])
values = st.sampled_from([b"t", b"", b"5", b"0", b"999", b"-1", b"chunked", b"gzip, chunked", b"100-continue", b"close", b"keep-alive", b"h2c", b"a\tb \t", b"\xff", b"a\x00", b"x" * 300]) | st.binary(max_size=6)
lines = st.tuples(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"FOO", b"get", b"CONNECT", b"PRI"]), st.sampled_from([b" ", b"  ", b"\t"]),
    st.sampled_from([b"/", b"/a?b=c", b"/%41%2f?x", b"*", b"http://t/p?q", b"/\xc3\xa9", b"/a#b", b"", b"/a\x00", b"/{x}|\"<>^`"]), st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b" HTTP/0.9", b"", b" HTTP/1.1 "]),
).map(b"".join)  # fmt: skip
bodies = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"1;x=y\r\na\r\n0\r\nX-A: z\r\n\r\n", b"x\r\n"]) | st.binary(max_size=10)
requests = st.builds(
    lambda line, headers, ending, body: line + ending + b"".join(name + b": " + value + ending for name, value in headers) + ending + body,
    lines, st.lists(st.tuples(names, values), max_size=5).map(lambda found: [(b"Host", b"t"), *found]), st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]), bodies,
)  # fmt: skip
streams = st.lists(requests, min_size=1, max_size=4).map(b"".join) | st.binary(max_size=80)


def said(requests: list[Request]) -> list[Any]:
    return [msgspec.to_builtins(each) if each.hit is None else (each.hit.method, each.hit.path, each.hit.query, each.hit.headers, each.hit.body, each.keep, each.old, each.refusal) for each in requests]


def read(pieces: list[bytes], wire: Wire | None = None) -> tuple[list[Any], bool]:
    """What a new wire makes of the pieces; nothing is fed after it has said that the connection closes."""
    wire = wire or Wire("203.0.113.7", Names(WANTED), LIMIT)
    found: list[Any] = []
    for piece in pieces:
        more = wire.feed(piece)
        found += said(wire.requests)
        last = any(not each.keep for each in wire.requests)
        wire.requests = []
        if not more or last:
            return found, False
    return found, True


def until_last(found: list[Any]) -> list[Any]:
    """Up to the first request after which the connection closes: behind it nothing is answered."""
    kept = []
    for each in found:
        kept.append(each)
        if (each.get("keep") if isinstance(each, dict) else each[5]) is False:
            break
    return kept


@given(streams, st.lists(st.integers(1, 40), max_size=8))
@example(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 3, [1, 1, 1])
@example(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /a HTTP/1.1\r\nHost: t\r\n\r\n", [60, 3])
@settings(deadline=None, max_examples=400)
def test_where_the_bytes_are_cut_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    """Whole, cut anywhere, and byte by byte."""
    whole = until_last(read([stream])[0])
    pieces, rest = [], stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert until_last(read([each for each in (*pieces, rest) if each])[0]) == whole
    assert until_last(read([stream[at : at + 1] for at in range(len(stream))])[0]) == whole


@given(st.lists(streams, min_size=2, max_size=5))
@example([b"GET /a?b HTTP/1.1\r\nHost: t\r\nX-A: 1\r\n\r\n", b"GET /c?d%20#e HTTP/1.1\r\nHost: t\r\nX-A: 1\r\n\r\n"])
@example([b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n", b"GET /a\x00 HTTP/1.1\r\nHost: t\r\n\r\n"])
@settings(deadline=None, max_examples=400)
def test_what_a_connection_remembers_changes_nothing(streams: list[bytes]) -> None:
    """A request behind others is read as on a new connection: a block of headers that is known says what it said."""
    wire = Wire("203.0.113.7", Names(WANTED), LIMIT)
    for stream in streams:
        fresh = Wire("203.0.113.7", Names(WANTED), LIMIT)
        alone, open_alone = read([stream], fresh)
        behind, still_open = read([stream], wire)
        assert (behind, still_open) == (alone, open_alone)
        if not still_open or wire.begun:
            return


_TARGETS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=12).map(lambda text: text.encode("latin-1"))


@given(_TARGETS, st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b"  HTTP/1.1", b" HTTP/1.1 ", b""]))
@settings(deadline=None, max_examples=600)
def test_a_known_block_of_headers_takes_no_line_that_a_new_connection_would_refuse(target: bytes, ending: bytes) -> None:
    """The quick look at the first line is no wider than the parser."""
    block = b"\r\nHost: t\r\nX-A: 1\r\n\r\n"
    wire = Wire("203.0.113.7", Names(WANTED), LIMIT)
    assert read([b"GET /first HTTP/1.1" + block], wire)[1]
    line = b"GET /" + target + ending
    assert read([line + block], wire) == read([line + block])


class Careful(Wire):
    """A wire that gives everything to llhttp."""

    def __init__(self, address: str, names: Names, max_body_bytes: int) -> None:
        super().__init__(address, names, max_body_bytes)
        self._plain.read = lambda _: None  # type: ignore[method-assign]


_LINES = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"host", b"X-A", b"x-a", b"Y", b"Content-Length", b"Connection", b"Upgrade", b"Expect", b"Bad Name", b"", b"N\xc3\xa9", b" X", b"X ", b"X:"]),
        st.sampled_from([b": ", b":", b" : ", b" ", b"", b":\t", b":  "]),
        st.sampled_from([b"t", b"", b"close", b"Keep-Alive", b"keep-alive, upgrade", b"0", b"a b", b"a\tb", b"a ", b"\xff", b"\x00", b"a\rb", b"a\nb", b"a\x7f"]) | st.binary(max_size=4),
        st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\n\r\n"]),
    ).map(b"".join),
    max_size=4,
).map(b"".join)  # fmt: skip


@given(_TARGETS, st.sampled_from([b"Host: t\r\n", b"", b"Host: t\r\nHost: u\r\n"]), _LINES, st.sampled_from([b"", b"GET /b HTTP/1.1\r\nHost: t\r\n\r\n"]))
@settings(deadline=None, max_examples=2000)
def test_what_is_plain_is_read_as_llhttp_reads_it(target: bytes, host: bytes, headers: bytes, behind: bytes) -> None:
    """The short way and the parser: the same requests, and the same end."""
    data = b"GET /" + target + b" HTTP/1.1\r\n" + host + headers + b"\r\n" + behind
    short, careful = (kind("203.0.113.7", Names(None), LIMIT) for kind in (Wire, Careful))
    assert read([data], short) == read([data], careful)


def test_the_short_way_is_taken_for_what_browsers_send() -> None:
    """Else the test above would compare llhttp with itself."""
    data = b"GET /imp/c1/cr1.gif?price=2.50&cb=1 HTTP/1.1\r\nHost: t.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\nAccept: image/*,*/*;q=0.8\r\nConnection: keep-alive\r\n\r\n"
    wire = Wire("203.0.113.7", Names(WANTED), LIMIT)
    hit = wire._plain.read(data)
    assert hit is not None
    assert (hit.path, hit.query, hit.headers.get("user-agent")) == ("/imp/c1/cr1.gif", "price=2.50&cb=1", "Mozilla/5.0 (X11; Linux)")
    assert wire._plain.read(data.replace(b"GET", b"HEAD")) is None
    assert Careful("", Names(None), LIMIT)._plain.read(data) is None
