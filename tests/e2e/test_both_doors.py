"""Both doors say the same: the same bytes over a real socket give the same status, body, application headers and event.

Left out of the comparison are only headers of the server itself (``SERVER_HEADERS``), and what differs from hit to hit:
ids that the tracker makes, times of arrival, stream and seq. What differs beyond that stands in ``ONLY_STATUS`` or
``DIFFERENT``, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from wire import DOORS, Reply, Wire, WrongReply, events, wait_events

CONFIG = Path(__file__).parents[2] / "config"
SERVER_HEADERS = {"date", "server", "connection", "keep-alive"}
NO_TYPE = ("content-type", "text/plain; charset=utf-8")
"""Falcon gives it to an empty redirect, since WSGI wants a type of every body (PEP 3333's validator); it says nothing."""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

TRACKER = """\
version: 1
limits: {max_bad_events_per_second: 10000, max_bad_bytes_per_second: 10000000}
signing_keys: {clicks: {a: 7f3be0c2d91a4468b5e6f01c9a3d7724}}
clients: {trusted_proxies: [127.0.0.1]}
collectors: {log: {type: log}}
"""
ROUTES = """\
version: 1
include: [default.yaml]
routes:
  own_gif:
    path: /own/{n}
    dimensions: {n: path.n, q: query.q, agent: header.x-agent, host: header.host}
    properties: all
    reply: pixel
    cookie: {}
  own_text:
    path: /text
    methods: [GET, HEAD, POST]
    reply: {fixed: {status: 203, content_type: text/plain, body: "grüß dich", headers: {X-Own: "yes"}}}
  own_json:
    path: /json/{n}
    methods: [POST]
    properties: all
    access: open
    dimensions: {n: body.n}
    metrics: {price: {from: body.price, as: money, unit: each, currency: EUR}}
    reply: json
  signed:
    path: /out/{n}
    dimensions: {n: path.n}
    reply: {redirect: {to: query.url, signed_by: clicks, add: {click_id: event.id}}}
  strict:
    path: /strict
    access: open
    reply: no_content
    dimensions: {must: {from: query.must, required: true}}
"""

JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
PIXEL = "/imp/c1/cr1.gif"


class Case(NamedTuple):
    """A request, or several on one connection."""

    name: str
    sent: tuple[bytes, ...]
    """Sent one after the other, each when all the replies to those before are there."""
    methods: tuple[str, ...]
    """Of the requests: one reply is awaited for each."""


def request(method: str, target: str, *headers: str | bytes, body: bytes = b"", version: str = "1.1", host: str = "t") -> bytes:
    """A request; a body brings its ``Content-Length`` unless a header frames it."""
    lines = [header if isinstance(header, bytes) else header.encode("latin-1") for header in headers]
    if host:
        lines.insert(0, b"Host: " + host.encode())
    if body and not any(re.match(rb"(?i)content-length|transfer-encoding", line) for line in lines):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([f"{method} {target} HTTP/{version}".encode(), *lines, b"", body])


def chunked(*parts: bytes) -> bytes:
    """A body in these chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def one(name: str, method: str, target: str, *headers: str | bytes, **options: Any) -> Case:
    """A case of one request."""
    return Case(name, (request(method, target, *headers, **options),), (method,))


MULTIPART = (
    b"--b0\r\nContent-Disposition: form-data; name=\"plan\"\r\n\r\npro\r\n"
    b"--b0\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b0--\r\n"
)
BIG_QUERY = "&".join(f"p{i}={'v' * 50}" for i in range(100))

CASES = [
    # --- pixels
    one("pixel", "GET", PIXEL),
    one("pixel with a price", "GET", f"{PIXEL}?price=2.50&site=https://News.example/x"),
    one("pixel, all headers", "GET", PIXEL, "User-Agent: Browser/1", "Referer: https://a.example/p?q", "Accept-Language: de-CH,de;q=0.9", "Accept: image/*", "DNT: 1"),
    one("pixel, client's id", "GET", f"{PIXEL}?event_id=mine-1"),
    one("pixel, client's id twice", "GET", f"{PIXEL}?event_id=mine-2&event_id=mine-3"),
    one("pixel, client's id is no id", "GET", f"{PIXEL}?event_id=%20%00"),
    one("pixel, client's time", "GET", f"{PIXEL}?timestamp=yesterday"),
    one("pixel, bad price", "GET", f"{PIXEL}?price=2,50"),
    one("pixel, no number at all", "GET", f"{PIXEL}?price=cheap"),
    one("pixel, macro", "GET", f"{PIXEL}?price=%24%7BAUCTION_PRICE%7D&site=%%SITE%%"),
    one("pixel, empty price", "GET", f"{PIXEL}?price="),
    one("pixel, empty query", "GET", f"{PIXEL}?"),
    one("pixel, two question marks", "GET", f"{PIXEL}??price=1"),
    one("pixel, repeated price", "GET", f"{PIXEL}?price=1&price=2"),
    one("pixel, plus and percent in the query", "GET", "/own/1?q=a+b%2Bc%20d%zz%"),
    one("pixel, semicolons", "GET", "/own/1?q=a;q=b"),
    one("pixel, HEAD", "HEAD", f"{PIXEL}?price=1"),
    one("pixel, POST is not for it", "POST", PIXEL, FORM, body=b"price=1"),
    one("pixel, PUT", "PUT", PIXEL),
    one("pixel, DELETE", "DELETE", PIXEL),
    one("pixel, OPTIONS", "OPTIONS", PIXEL, "Origin: https://a.example", "Access-Control-Request-Method: GET"),
    one("pixel, PATCH", "PATCH", PIXEL),
    one("a body beyond the limit", "POST", "/hit/x", JSON, body=b"x" * 1_048_577),
    one("a body at the limit", "POST", "/hit/x", JSON, body=b'{"a":"' + b"x" * 1_048_568 + b'"}'),
    one("pixel, a GET with a body", "GET", PIXEL, FORM, body=b"price=1"),
    one("pixel, a GET with a body for a route of its own", "GET", "/own/1", JSON, body=b'{"a":1}'),
    one("pixel, prefetch", "GET", f"{PIXEL}?price=1", "Sec-Purpose: prefetch;prerender"),
    one("pixel, X-Moz", "GET", f"{PIXEL}?price=1", "X-Moz: prefetch"),
    one("pixel, GPC", "GET", f"{PIXEL}?price=1&distinct_id=ann", "Sec-GPC: 1"),
    one("pixel, robot", "GET", f"{PIXEL}?price=1", "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1)"),
    one("video", "GET", "/video/c1/cr1/midPoint.gif?watch_ms=1200"),
    one("video, unknown action", "GET", "/video/c1/cr1/explode.gif"),
    # --- paths
    one("path in UTF-8, encoded", "GET", "/imp/caf%C3%A9/%E2%82%AC.gif"),
    one("path in UTF-8, raw", "GET", "/imp/café/€.gif"),
    one("path with a broken sequence", "GET", "/imp/%ff%fe/x.gif"),
    one("path with a space", "GET", "/imp/a%20b/c%2Bd+e.gif"),
    one("path with an encoded slash", "GET", "/imp/a%2Fb/x.gif"),
    one("path with an encoded slash that makes the route", "GET", "/imp%2Fa/b.gif"),
    one("path with an encoded NUL", "GET", "/imp/a%00b/x.gif"),
    one("path with encoded CR LF", "GET", "/imp/a%0d%0aX-Evil:%201/x.gif"),
    one("path with a cut escape", "GET", "/imp/a%4/x%.gif"),
    one("path with an encoded question mark", "GET", "/imp/a%3Fprice=1/x.gif"),
    one("path, encoded twice", "GET", "/imp/a%252Fb/x.gif"),
    one("path with a trailing slash", "GET", f"{PIXEL}/"),
    one("path with two slashes", "GET", "//imp/c1/cr1.gif"),
    one("path with two slashes within", "GET", "/imp//cr1.gif"),
    one("path with dots", "GET", "/x/../imp/c1/cr1.gif"),
    one("path with encoded dots", "GET", "/%2e%2e/imp/c1/cr1.gif"),
    one("path with a colon", "GET", "/own/a:b"),
    one("path with brackets and a pipe", "GET", "/own/[a]|{b}^`\"<>\\"),
    one("path with a semicolon", "GET", "/own/a;v=1"),
    one("path in another case", "GET", "/IMP/c1/cr1.gif"),
    one("the root", "GET", "/"),
    one("nowhere", "GET", "/nowhere?x=1"),
    one("nowhere, POST", "POST", "/nowhere", JSON, body=b"{}"),
    one("a path that is too long", "GET", "/imp/" + "a" * 2100 + "/x.gif"),
    one("a path at the limit", "GET", "/own/" + "a" * 2043),
    one("absolute target", "GET", f"http://t{PIXEL}?price=1"),
    one("absolute target, https, port and another host", "GET", f"https://other.example:8443{PIXEL}?price=1&site=%41"),
    one("absolute target without a path", "GET", "http://t"),
    one("absolute target with a query and no path", "GET", "http://t?price=1"),
    one("absolute target, upper case", "GET", f"HTTP://T{PIXEL}"),
    # --- queries
    one("a big query", "GET", f"/own/1?{BIG_QUERY}"),
    one("a query that is too long", "GET", f"/imp/c1/cr1.gif?{'a' * 6000}=" + "b" * 2100),
    one("too many parameters", "GET", "/own/1?" + "&".join(f"p{i}=1" for i in range(129))),
    one("a query in UTF-8, raw", "GET", "/own/1?q=Zoë&site=é"),
    one("a query in UTF-8, encoded", "GET", "/own/1?q=Zo%C3%AB%20%F0%9F%8D%AA"),
    one("a query with a broken sequence", "GET", "/own/1?q=%ff%c3"),
    one("a query with NUL and an escape", "GET", "/own/1?q=%00%1b[31m"),
    one("names without a value", "GET", "/own/1?q&r&=&=x&&"),
    one("a query with a number sign encoded", "GET", "/own/1?q=%23a#b".replace("#b", "")),
    # --- headers
    one("a header in UTF-8", "GET", PIXEL, "User-Agent: Zoë".encode()),
    one("a header in Latin-1", "GET", PIXEL, b"Referer: http://x.example/\xff"),
    one("a header for a field", "GET", "/own/1", "X-Agent: field"),
    one("a header in strange case", "GET", "/own/1", "x-AGENT: field", "uSER-aGENT: a"),
    one("a header with space around", "GET", "/own/1", "X-Agent: \t field \t "),
    one("an empty header", "GET", "/own/1", "X-Agent:", "User-Agent:"),
    one("a repeated header", "GET", "/own/1", "X-Agent: one", "X-Agent: two", "User-Agent: a", "User-Agent: b"),
    one("a header with an underscore is none", "GET", "/own/1", "X_Agent: evil"),
    one("both spellings", "GET", "/own/1", "X_Agent: evil", "X-Agent: good", "X-Forwarded_For: 9.9.9.9"),
    one("a forwarded address", "GET", PIXEL, "X-Forwarded-For: 203.0.113.9, 198.51.100.7"),
    one("two forwarding headers", "GET", PIXEL, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 198.51.100.7"),
    one("the other forwarding headers mean nothing", "GET", PIXEL, "Forwarded: for=203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Real-IP: 9.9.9.9"),
    one("many headers", "GET", PIXEL, *(f"X-H{i}: {i}" for i in range(80))),
    one("a long header", "GET", PIXEL, "Referer: https://a.example/" + "r" * 3000),
    one("no cookie yet", "GET", "/own/1"),
    one("a cookie", "GET", "/own/1", "Cookie: a=b; tracker_id=019ab2c3-4d5e-7f60-8a1b-2c3d4e5f6071; c=d"),
    one("two cookie headers", "GET", "/own/1", "Cookie: a=b", "Cookie: tracker_id=019ab2c3-4d5e-7f60-8a1b-2c3d4e5f6071"),
    one("a broken cookie", "GET", "/own/1", b"Cookie: tracker_id=\xff\x22;;=; a"),
    one("a cookie with GPC", "GET", "/own/1", "Sec-GPC: 1"),
    # --- redirects
    one("click", "GET", "/click/c1/cr1?url=https%3A%2F%2Fa.shop.example%2Fx%3Fq%3D1"),
    one("click, its id in the destination", "GET", "/click/c1/cr1?url=https://example.com/%23top&event_id=click-1"),
    one("click, bad destination", "GET", "/click/c1/cr1?url=https://evil.example/"),
    one("click, no destination", "GET", "/click/c1/cr1"),
    one("click, HEAD", "HEAD", "/click/c1/cr1?url=https://example.com/"),
    one("click, two destinations", "GET", "/click/c1/cr1?url=https://example.com/&url=https://evil.example/"),
    one("click, destination in UTF-8", "GET", "/click/c1/cr1?url=https://example.com/%C3%A9%20x"),
    one("click, too many parameters still lands", "GET", "/click/c1/cr1?url=https://example.com/&" + "&".join(f"p{i}=1" for i in range(140))),
    one("stored destination", "GET", "/go/spring"),
    one("signed, without a signature", "GET", "/out/1?url=https://anywhere.example/"),
    one("signed, a wrong one", "GET", "/out/1?url=https://anywhere.example/&sig=v1.a.AAAA"),
    # --- bodies
    one("JSON", "POST", "/hit/signup", JSON, body=b'{"plan":"pro","seats":3,"tags":["a",null],"page":"/x","event_id":"e 1"}'),
    one("JSON, with a charset", "POST", "/hit/signup", "Content-Type: application/json; charset=utf-8", body='{"n":"é"}'.encode()),
    one("JSON in an unknown type", "POST", "/hit/signup", "Content-Type: text/plain;charset=UTF-8", body=b'{"n":1}'),
    one("JSON without a type", "POST", "/hit/signup", body=b'{"n":1}'),
    one("JSON, broken", "POST", "/hit/signup", JSON, body=b'{"broken": '),
    one("JSON, not UTF-8", "POST", "/hit/signup", JSON, body=b'{"a":"\xff"}'),
    one("JSON, deep", "POST", "/hit/signup", JSON, body=b'{"a":' * 40 + b"1" + b"}" * 40),
    one("JSON, a list", "POST", "/hit/signup", JSON, body=b"[1]"),
    one("JSON, a verdict", "POST", "/json/1", JSON, body=b'{"n":"one","price":"1.50","event_id":"j-1"}'),
    one("JSON, a verdict that is no", "POST", "/json/1", JSON, body=b'{"n":"one","price":"dear"}'),
    one("form", "POST", "/conv/c1.gif", FORM, body=b"value=9.99&order=o1"),
    one("form, in UTF-8", "POST", "/hit/sign%20up", FORM, body="plan=pro&note=Zoë+a%26b&x".encode()),
    one("form, too many parameters", "POST", "/hit/x", FORM, body="&".join(f"p{i}=1" for i in range(200)).encode()),
    one("multipart", "POST", "/hit/x", "Content-Type: multipart/form-data; boundary=b0", body=MULTIPART),
    one("no body at all", "POST", "/hit/x"),
    one("an empty body", "POST", "/hit/x", JSON, "Content-Length: 0"),
    one("an empty chunked body", "POST", "/hit/x", JSON, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    one("chunked", "POST", "/hit/x", JSON, "Transfer-Encoding: chunked", body=chunked(b'{"a":', b"1", b"}")),
    one("a trailer is no header", "POST", "/json/7", JSON, "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nUser-Agent: evil\r\nX-Forwarded-For: 9.9.9.9\r\nReferer: https://evil.example/\r\nSec-GPC: 1\r\n\r\n"),
    one("a trailer adds to no header", "POST", "/json/7", JSON, "User-Agent: good", "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nUser-Agent: evil\r\n\r\n"),
    one("chunked, in strange case", "POST", "/hit/x", JSON, "transfer-encoding: Chunked", body=b"00A\r\n" + b'{"abc": 1}' + b"\r\n000\r\n\r\n"),
    one("chunked, bytes one by one", "POST", "/hit/x", JSON, "Transfer-Encoding: chunked", body=chunked(*(bytes([each]) for each in b'{"abc": "defg"}'))),
    one("chunked, form for a conversion", "POST", "/conv/c1.gif", FORM, "Transfer-Encoding: chunked", body=chunked(b"value=1", b".5&order=o2")),
    one("a name of bad form", "POST", "/hit/%3Cscript%3E", JSON, body=b"{}"),
    one("GET where only POST is", "GET", "/hit/x"),
    one("HEAD where only POST is", "HEAD", "/hit/x"),
    Case("expect, with the body behind it", (request("POST", "/hit/x", JSON, "Expect: 100-continue", body=b'{"a":1}'),), ("POST",)),
    one("a type with parameters and odd case", "POST", "/hit/x", 'content-type: APPLICATION/JSON ; charset="UTF-8"', body=b'{"a":1}'),
    # --- own replies
    one("own text", "GET", "/text"),
    one("own text, HEAD", "HEAD", "/text"),
    one("own text, POST", "POST", "/text", JSON, body=b"{}"),
    one("required and missing", "GET", "/strict"),
    one("required and there", "GET", "/strict?must=yes"),
    # --- connections and versions
    one("HTTP/1.0", "GET", PIXEL, version="1.0"),
    one("HTTP/1.0 without a host", "GET", PIXEL, version="1.0", host=""),
    one("HTTP/1.0, a body", "POST", "/hit/x", JSON, version="1.0", body=b'{"a":1}'),
    one("HTTP/1.0, kept", "GET", PIXEL, "Connection: keep-alive", version="1.0"),
    one("close", "GET", PIXEL, "Connection: close"),
    one("close, in strange case, among others", "GET", PIXEL, "Connection: Keep-Alive-Not, Close"),
    one("host with a port", "GET", "/own/1", host="t.example:8000"),
    one("host is an IPv6 address", "GET", "/own/1", host="[::1]:8000"),
    one("te and trailers asked for", "GET", PIXEL, "TE: trailers", "Connection: TE"),
    one("a range", "GET", PIXEL, "Range: bytes=0-3", "If-None-Match: *", "If-Modified-Since: Sat, 21 Nov 2026 00:00:00 GMT"),
    one("gzip is accepted, not sent", "GET", PIXEL, "Accept-Encoding: gzip, br"),
    # --- pages
    one("health", "GET", "/-/healthz"),
    one("health, HEAD", "HEAD", "/-/healthz"),
    one("health, POST", "POST", "/-/healthz", JSON, body=b"{}"),
    one("health, trailing slash", "GET", "/-/healthz/"),
    one("health, absolute target", "GET", "http://t/-/healthz?x"),
    one("readiness", "GET", "/-/readyz"),
    one("metrics", "GET", "/-/metrics"),
    one("metrics, for a trusted proxy's client", "GET", "/-/metrics", "X-Forwarded-For: 203.0.113.9"),
    one("no such page", "GET", "/-/nothing"),
    one("the folder of the pages", "GET", "/-/"),
    one("the folder of the pages, encoded", "GET", "/%2D/healthz"),
    # --- several on one connection
    Case("kept for a second one", (request("GET", f"{PIXEL}?event_id=k-1"), request("GET", f"{PIXEL}?event_id=k-2")), ("GET", "GET")),
    Case("kept after a body", (request("POST", "/hit/x", JSON, body=b'{"a":1}'), request("GET", f"{PIXEL}?event_id=k-3")), ("POST", "GET")),
    Case("kept after a chunked body", (request("POST", "/hit/x", JSON, "Transfer-Encoding: chunked", body=chunked(b'{"a":1}')), request("GET", f"{PIXEL}?event_id=k-4")), ("POST", "GET")),
    Case("kept after a 404, a 405, a 302 and a HEAD", (
        request("GET", "/nowhere"), request("POST", PIXEL), request("GET", "/go/spring"), request("HEAD", PIXEL), request("GET", "/-/healthz"), request("GET", PIXEL)),
        ("GET", "POST", "GET", "HEAD", "GET", "GET")),
    Case("kept for HTTP/1.0", (request("GET", PIXEL, "Connection: keep-alive", version="1.0"), request("GET", PIXEL, version="1.0")), ("GET", "GET")),
    Case("power, then another", (request("GET", "/conv/c1.gif?value=1"), request("GET", PIXEL)), ("GET", "GET")),
]  # fmt: skip

GUNICORN_WRITES = "the server's own refusal, before any route is asked: gunicorn has a page of its own for it"
ONLY_STATUS: dict[str, str] = {
    "path in UTF-8, raw": GUNICORN_WRITES,
    "a query in UTF-8, raw": GUNICORN_WRITES,
}
"""Cases whose status alone is equal, with the reason."""
DIFFERENT: dict[str, str] = {}
"""Cases that must differ, with the reason."""


class Outcome(NamedTuple):
    """What one door makes of a case."""

    replies: tuple[Any, ...]
    events: tuple[dict[str, Any], ...]
    """Of each reply that names an event: that event."""


def play(address: str, case: Case) -> list[Reply | str]:
    """The replies, in order; a word in the place of one that did not come."""
    replies: list[Reply | str] = []
    with Wire(address, timeout_s=5) as wire:
        methods = iter(case.methods)
        for sent in case.sent:
            wire.send(sent)
            try:
                replies.append(wire.reply(next(methods)) or "closed")
            except (TimeoutError, WrongReply) as error:
                replies.append(f"{type(error).__name__}: {error}")
    return replies


def alike(reply: Reply | str, page: bool) -> Any:
    """A reply without what differs from hit to hit."""
    if isinstance(reply, str):
        return reply
    body = reply.body
    headers = sorted((name, UUID.sub("UUID", value)) for name, value in reply.headers if name not in SERVER_HEADERS)
    if reply.status == 302 and not body and NO_TYPE in headers:
        headers.remove(NO_TYPE)
    if page:  # process ids, versions and figures
        body = re.sub(rb'"[0-9a-f]{12}"|(?<![A-Za-z_])[0-9][0-9.e+]*', b"#", body)
        headers = [(name, "#" if name == "content-length" else value) for name, value in headers]
    return reply.status, headers, UUID.sub("UUID", body.decode("latin-1"))


def stored(event: Any) -> dict[str, Any]:
    """An event without what differs from hit to hit."""
    found: dict[str, Any] = msgspec.to_builtins(event)
    if found["timestamp"] == found["received_at"]:
        del found["timestamp"]
    for name in ("stream", "seq", "received_at"):
        del found[name]
    return {name: UUID.sub("UUID", value) if isinstance(value, str) else value for name, value in found.items()}


@pytest.fixture(scope="module")
def outcomes(serve_all: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Outcome]]:
    """What each door makes of each case, by door and name."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "tracker.yaml").write_text(TRACKER)
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "default.yaml").write_text((CONFIG / "routes.yaml").read_text())
    found: dict[str, dict[str, Outcome]] = {}
    for door, which in (("portable", "portable"), ("fast", DOORS[-1])):
        tracker = serve_all(
            "--config", str(folder / "tracker.yaml"), "--routes", str(folder / "routes.yaml"), TRACKER_DOOR=which,
            TRACKER_RING_BYTES_PER_WORKER="16777216",  # the portable door divides it among its threads
        )  # fmt: skip
        played = [play(tracker.address, case) for case in CASES]
        idents = {reply.ident for replies in played for reply in replies if isinstance(reply, Reply) and reply.ident}
        kept = {event.id: event for event in wait_events(tracker.data_dir, idents)}
        found[door] = {
            case.name: Outcome(
                tuple(alike(reply, "/-/" in case.sent[0].decode("latin-1")) for reply in replies),
                tuple(stored(kept.pop(reply.ident)) for reply in replies if isinstance(reply, Reply) and reply.ident),
            )
            for case, replies in zip(CASES, played, strict=True)
        }
        assert not kept, f"{door}: events that no reply names: {kept}"
        assert len(events(tracker.data_dir)) == len(idents)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_doors_say_and_keep_the_same(outcomes: dict[str, dict[str, Outcome]], case: Case) -> None:
    """Status, body, application headers and events."""
    portable, fast = outcomes["portable"][case.name], outcomes["fast"][case.name]
    if case.name in ONLY_STATUS:
        assert [reply[0] for reply in fast.replies] == [reply[0] for reply in portable.replies]
        assert fast.events == portable.events == ()
    elif case.name in DIFFERENT:
        assert fast != portable, f"no longer different: {DIFFERENT[case.name]}"
    else:
        for sort, ours, theirs in zip(Outcome._fields, fast, portable, strict=True):
            assert ours == theirs, f"{sort}\nfast:     {ours}\nportable: {theirs}\nof {case.sent}"


def test_the_cases_are_what_they_say(outcomes: dict[str, dict[str, Outcome]]) -> None:
    """Enough of them, no name twice; every kind of reply is among them, and no door failed at any."""
    assert len(CASES) > 80
    assert len({case.name for case in CASES}) == len(CASES)
    for door, each in outcomes.items():
        statuses = {reply[0] for outcome in each.values() for reply in outcome.replies if not isinstance(reply, str)}
        assert statuses >= {200, 203, 204, 302, 400, 404, 405, 413, 414}, (door, statuses)
        assert max(statuses) < 500
        assert sum(len(outcome.events) for outcome in each.values()) > 80
        lanes = {event.get("lane") for outcome in each.values() for event in outcome.events}
        assert "bad" in lanes
    assert DIFFERENT.keys() | ONLY_STATUS.keys() <= {case.name for case in CASES}
