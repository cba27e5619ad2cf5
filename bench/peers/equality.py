"""Do the peers do the same? Some requests to each, and their events and replies beside the tracker's, field by field.

    python -m bench.peers --check

Left out of the comparison: ids, positions and times, which are each server's own (they are checked by themselves: the
id is a UUIDv7 and stands in ``X-Event-Id``, numbers have no gap, times are now), and of a bad event what the hit had
said (``properties.fields``), which only the tracker keeps.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers.contender import Contender, running

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PAGE = "https://News.Example.org:8443/2026/story.html?a=1&b=<2>"
BROWSER = {
    "User-Agent": AGENT, "Accept": "image/avif,*/*;q=0.8", "Accept-Language": "de-CH,de;q=0.9,en;q=0.8",
    "Accept-Encoding": "gzip, deflate, br", "Referer": PAGE, "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "cross-site", "Connection": "keep-alive",
}  # fmt: skip


class Request(NamedTuple):
    """One request of the comparison."""

    what: str
    path: str
    headers: Mapping[str, str] = BROWSER
    method: str = "GET"


IMPRESSIONS = (
    Request("a browser's pixel", "/imp/c1/cr1.gif?price=2.50&cb=123"),
    Request("no price, no headers", "/imp/c1/cr1.gif", {}),
    Request("a site of its own", "/imp/c1/cr1.gif?price=0.000001&site=https://Shop.Example/x"),
    Request("a bare site with a port", "/imp/c1/cr1.gif?price=12&site=shop.example:8080"),
    Request("percent-encoded text", "/imp/spring%20sale/%C3%A9t%C3%A9.gif?price=1.5&site=a.example"),
    Request("a price of six decimals", "/imp/c1/cr1.gif?price=1234567.891234"),
    Request("zeros behind the sixth decimal", "/imp/c1/cr1.gif?price=0.2500000000"),
    Request("a price as JavaScript writes small ones", "/imp/c1/cr1.gif?price=1e-05"),
    Request("a price of nothing", "/imp/c1/cr1.gif?price=0"),
    Request("a price without a whole part", "/imp/c1/cr1.gif?price=.25"),
    Request("a price twice", "/imp/c1/cr1.gif?price=1&price=2"),
    Request("an empty price", "/imp/c1/cr1.gif?price="),
    Request("a price that nobody knows", "/imp/c1/cr1.gif?price=-1"),
    Request("a macro that nobody replaced", "/imp/c1/cr1.gif?price=$%7BAUCTION_PRICE%7D"),
    Request("a test render", "/imp/c1/cr1.gif?price=AUDIT"),
    Request("a price that is no number", "/imp/c1/cr1.gif?price=2,50"),
    Request("a price with too many decimals", "/imp/c1/cr1.gif?price=0.1234567"),
    Request("a negative price", "/imp/c1/cr1.gif?price=-2.50"),
    Request("a look without loading", "/imp/c1/cr1.gif?price=1", BROWSER, "HEAD"),
    Request("a prefetch", "/imp/c1/cr1.gif?price=1", BROWSER | {"Sec-Purpose": "prefetch;prerender"}),
    Request("a person who opted out", "/imp/c1/cr1.gif?price=1", BROWSER | {"Sec-GPC": "1", "DNT": "1"}),
    Request("a quote and a backslash", "/imp/c1/cr1.gif?price=1", BROWSER | {"User-Agent": 'a "b" \\ <c> & d'}),
    Request("a long user agent", "/imp/c1/cr1.gif?price=1", BROWSER | {"User-Agent": "x" * 1500}),
)
CLICKS = (
    Request("a click", "/click/c1/cr1?url=https%3A%2F%2Fexample.com%2Fa%3Fb%3D1"),
    Request("a click to a host below", "/click/c1/cr1?url=https%3A%2F%2Fwww.shop.example"),
    Request("a click to a stranger", "/click/c1/cr1?url=https%3A%2F%2Fevil.example%2F"),
    Request("a click to a user name", "/click/c1/cr1?url=https%3A%2F%2Fexample.com%40evil.example%2F"),
    Request("a click to nowhere", "/click/c1/cr1"),
)
# What a reply promises. The rest (Server, Date, X-Tracker-Ack) is each server's own.
HEADERS = ("content-type", "content-length", "cache-control", "cross-origin-resource-policy", "x-tracker-reason",
           "location", "referrer-policy")  # fmt: skip
OWN = ("id", "stream", "seq", "timestamp", "received_at")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Outcome(NamedTuple):
    """What came of one request."""

    status: int
    headers: dict[str, str]
    body: bytes
    event: dict[str, Any]


def requests(contender: Contender) -> list[Request]:
    """Those for the routes that it has."""
    return [*IMPRESSIONS, *(CLICKS if "click" in contender.routes else ())]


def outcomes(contender: Contender, folder: Path) -> list[Outcome]:
    """What comes of the requests at a contender. Raises ``AssertionError`` if its own word does not hold."""
    began = time.time()
    with running(contender, folder, None) as run:
        replies = [run.get(request.path, request.headers, request.method) for request in requests(contender)]
        time.sleep(0.3)
        run.end()
        lines = [line for path in contender.events(folder) for line in path.read_bytes().splitlines()]
    events = {event["id"]: event for event in map(json.loads, lines)}
    found = []
    for request, (status, headers, body) in zip(requests(contender), replies, strict=True):
        ident = headers.get("x-event-id", "")
        if ident not in events:
            raise AssertionError(f"{contender.name}: {request.what}: no event with the id `{ident}` of its reply")
        event = events[ident]
        _check_own(contender.name, request.what, event, began)
        kept = {name: headers[name].replace(ident, "ID") for name in HEADERS if name in headers}
        if status == 302:
            kept.pop("content-type", None)  # of nothing: WSGI wants one all the same
        found.append(Outcome(status, kept, body, event))
    for stream in {event["stream"] for event in events.values()}:
        numbers = sorted(event["seq"] for event in events.values() if event["stream"] == stream)
        if numbers != list(range(1, len(numbers) + 1)):
            raise AssertionError(f"{contender.name}: the numbers of a stream are {numbers}")
    return found


def _check_own(name: str, what: str, event: dict[str, Any], began: float) -> None:
    if not _UUID7.fullmatch(event["id"]):
        raise AssertionError(f"{name}: {what}: the id `{event['id']}` is no UUIDv7")
    for key in ("timestamp", "received_at"):
        at = datetime.fromisoformat(event[key]).timestamp()
        if not (began - 1 <= at <= time.time() + 1 and re.search(r"\.\d{3}Z$", event[key])):
            raise AssertionError(f"{name}: {what}: {key} is {event[key]}")


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """The event without what is each server's own."""
    kept = {name: value for name, value in event.items() if name not in OWN}
    if event.get("lane") == "bad":
        kept["properties"] = {"field": event["properties"]["field"]}
    return kept


def differences(ours: Contender, peer: Contender) -> list[str]:
    """Where a peer's events or replies are not the tracker's; empty if they are equal."""
    with tempfile.TemporaryDirectory(prefix="tracker-peers-") as scratch:
        wanted = outcomes(ours, Path(scratch) / "ours")
        given = outcomes(peer, Path(scratch) / "peer")
    found = []
    for request, one, other in zip(requests(peer), wanted, given, strict=False):
        pairs: dict[str, tuple[Any, Any]] = {"status": (one.status, other.status), "body": (one.body, other.body)}
        pairs |= {f"header {name}": (one.headers.get(name), other.headers.get(name)) for name in HEADERS}
        mine, theirs = comparable(one.event), comparable(other.event)
        pairs |= {f"event.{name}": (mine.get(name), theirs.get(name)) for name in sorted({*mine, *theirs})}
        for name, (left, right) in pairs.items():
            if left != right:
                found.append(f"{request.what}: {name}: the tracker {left!r}, {peer.name} {right!r}")
    return found
