"""Any hit at all: an answer, never an exception; and events that survive their own line."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker import reasons
from tracker.capture import routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.capture.values import MAX_INTEGER, MIN_INTEGER
from tracker.event import Event, decode_line, encode_line
from tracker.settings.load import load
from tracker.settings.model import Clients, Limits, Routes, Settings, Tracker

GREEDY = """
field_sets:
  all:
    dimensions:
      a: {from: [path.x, query.a, header.x-a, body.a], lower: true, max_length: 5}
      host: {from: [query.h, header.referer, body.h], as: host}
      act: {from: [query.act, body.act], as: vast_event, default: start}
      word: {from: [query.w, cookie.c, body/q/0, body/x/a], pattern: "[a-z0-9]+", unknown: [na, "0"]}
      macro: {from: [query.a, body.a], as: macro}
      yes1: {from: [query.n, body.n], as: boolean}
      at: {from: [query.timestamp, body.i, header.x-a], as: time}
      url: {from: [query.u, body.u, header.referer], as: url}
      tongue: {from: [header.accept-language, query.h], as: language, lower: true}
      list: {from: [query.q, body.q, body.l], as: list, max_length: 9}
    metrics:
      money: {from: [query.m, body.m, header.x-m], as: money, cost: true}
      int: {from: [query.i, body.i, path.x], as: integer}
      num: {from: [query.n, body.n], as: number}
      ok: {from: [query.i, body.i], as: boolean}
      when: {from: [query.n, body.timestamp], as: time}
defaults: {methods: [GET, HEAD, POST], properties: all}
routes:
  pixel: {path: "/p/{x}", use: [all], reply: pixel}
  plain: {path: "/n/{x}.j", use: [all], reply: no_content, event: path.x, properties: [q2, m2]}
  jump: {path: "/r/{x}", use: [all], cookie: {}, reply: {redirect: {to: query.u, allow: [example.com, "*.shop.example"], add: {e: event.id, w: dimensions.word}}}}
  typed: {path: "/t/{x:hex}", use: [all], reply: json, flags: [test], priority: low, preprocess: [lower_names, trim, base64_json], cookie: {into: device_id, same_site: none}}
  fixed: {path: "/f/{x:word}", use: [all], reply: {fixed: {status: 202, body: ok, headers: {X-Own: own}}}, privacy: {ip: drop, gpc: ignore, dnt: ignore}}
  stored: {path: "/s/{x}", use: [all], reply: {redirect: {to: "https://example.com/{a}?h={host}&id={click_id}#{list}"}}}
  signed: {path: "/g/{x}", use: [all], reply: {redirect: {to: query.u, signed_by: ring, otherwise: "https://example.com/{word}"}}}
  bodyjump: {path: "/b/{x}", use: [all], reply: {redirect: {to: body.u, allow: [example.com], otherwise: "https://example.com/"}}}
"""


def _greedy() -> Settings:
    table = msgspec.convert(yaml.safe_load(GREEDY), Routes)
    tracker = Tracker(
        limits=Limits(max_text_chars=40, max_json_depth=6, max_json_values=30, max_bad_events_per_second=1_000_000, max_bad_bytes_per_second=10**12),
        signing_keys={"ring": {"a": "a secret of more than sixteen characters"}},
        clients=Clients(trusted_proxies=("203.0.113.0/24",), ssai_networks=("2001:db8::/32",)),
    )
    assert list(routing.check(tracker, table)) == []
    return Settings(tracker=tracker, routes=table, version="0" * 12)


DOORS = [Endpoint(load(None, None, {}, {}, (routing.check,)), FreshIds()), Endpoint(_greedy(), FreshIds())]
POISON = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
NASTY = [
    "", "\x00", "\x1b[31m", "\r\nX: y", "\u2028", "\ud800", "\udfff\ud800", "\ufffd", "\x85", "${AUCTION_PRICE}", "%%CACHEBUSTER%%", "[X]", "{x}", "2.50", "-1", "1e400",
    "NaN", "9" * 400, "9223372036854775807", "9223372036854775808", "1e-05", "https://example.com/x", "https%3A%2F%2Fexample.com", "//evil", "a" * 300, "\u00fc", "\U0001f600",
    "AUDIT", "-2", "na", "yes", "de-CH", "a,b%2Cc", "{click_id}", "https://example.com/{a}/{click_id}", "eyJhIjoiYiJ9", "midPoint", "2025-11-20T21:53:38Z", "1763675618", "%", "%ff", "&", "=", ";", "+", "id-1", ".", "..", "-", "\u0660",
]  # fmt: skip
words = st.sampled_from(NASTY) | st.text(st.characters(), max_size=12) | st.binary(max_size=8).map(lambda b: b.decode("latin-1"))
names = st.sampled_from(
    ["a", "h", "act", "w", "u", "data", "kid", "sig", "exp", "m", "i", "n", "x", "u", "url", "q", "q2", "m2", "price", "site", "order", "value", "watch_ms", "click_id", "event_id", "timestamp", "page", "distinct_id", "anonymous_id", "device_id", "session_id", "profile_id"]
) | words
paths = (
    st.tuples(st.sampled_from(["/p/", "/n/", "/r/", "/b/", "/t/", "/t/a", "/f/", "/f/a", "/s/", "/g/", "/imp/c/", "/click/c/", "/conv/", "/video/c/x/", "/hit/", "/go/spring", "/-/", "/", ""]), words, st.sampled_from(["", ".gif", ".j", "/"]))
    .map("".join)
)
queries = st.lists(st.tuples(names, words), max_size=8).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)) | words
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)
bodies = (
    st.binary(max_size=60)
    | st.dictionaries(names, json_values, max_size=8).map(lambda value: json.dumps(value).encode())
    | st.dictionaries(names, json_values, max_size=8).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | queries.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.lists(st.tuples(names, words), max_size=4).map(
        lambda pairs: "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in [*pairs, ("end", "")]).encode("utf-8", "surrogatepass")
        + b"--b--\r\n"
    )
)
headers = st.dictionaries(
    st.sampled_from(["user-agent", "referer", "accept-language", "sec-gpc", "purpose", "sec-purpose", "x-moz", "x-a", "x-m", "content-type", "dnt", "cookie", "x-forwarded-for", "x-device-ip", "x-device-user-agent", "x-device-referer"]),
    words | st.sampled_from(["1", "prefetch", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "https://a.example/x", "en-US,en;q=0.9", "c=abc; __Host-tid=0198f3c2-9b1e-7000-8000-000000000001", "203.0.113.77, 198.51.100.200", "Googlebot/2.1"]),
)
addresses = st.sampled_from(["203.0.113.77", "2001:db8:1:2:3:4:5:6", "::ffff:203.0.113.77", "fe80::1%eth0", ""]) | words
hits = st.builds(
    Hit, st.sampled_from(["GET", "HEAD", "POST", "PUT", ""]), paths, queries, headers, bodies, addresses, st.integers(1_763_675_618_000, 1_763_675_628_000)
)


def texts(value: Any) -> list[str]:
    """Every text inside, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list) else []


def check_event(event: Event, hit: Hit) -> None:
    line = encode_line(event)
    assert decode_line(line) == event
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert not POISON.search(line[:-1].decode())
    assert json.loads(line, parse_constant=pytest.fail)["id"] == event.id
    built = msgspec.to_builtins(event)
    for part in ("id", "event", "lane", "reason", "timestamp", "received_at", "environment", "source", "distinct_id", "dimensions", "context", "flags"):
        for text in texts(built.get(part)):
            assert not POISON.search(text), (part, text)
    for value in event.metrics.values():
        assert MIN_INTEGER <= value <= MAX_INTEGER or isinstance(value, float)
    assert set(event.flags) <= {reason.name for reason in reasons.REASONS if reason.kind == "flag"}
    assert len(set(event.flags)) == len(event.flags)
    if event.lane == "bad":
        assert reasons.BY_NAME[event.reason].kind == "bad"
        assert "cost_nanos" not in event.metrics
    else:
        assert (event.lane, event.reason) == ("good", "")
    if hit.address in ("203.0.113.77", "2001:db8:1:2:3:4:5:6"):
        assert hit.address not in line.decode()


@given(hits)
@example(Hit("POST", "/hit/x", "", {"content-type": "application/json"}, b'{"a":' * 5000, "", 1_763_675_618_000))
@example(Hit("GET", "/imp/\ud800/x.gif", "\ud800=\udfff", {"user-agent": "\ud800"}, b"", "\ud800", 1_763_675_618_000))
@settings(deadline=None, max_examples=400)
def test_any_hit_gets_an_answer_and_its_event_survives_its_line(hit: Hit) -> None:
    """Default routes and routes that read everything from everywhere; twice, since the second time memos answer."""
    for door in DOORS:
        for _ in range(2):
            answer = door.answer(hit)
            fixed = answer.reply.fixed
            assert 200 <= fixed.status < 500
            assert answer.ack in ("process", "power", "none")
            assert len(answer.events) <= 1
            assert bool(answer.reason) == (not answer.events)
            assert answer.reason == "" or answer.reason in reasons.BY_NAME
            replies = [answer.reply, *(door.refuse(answer, reason) for reason in ("ring_full", "event_too_large") if answer.events)]
            for name, value in [pair for reply in replies for pair in (*reply.fixed.headers, *reply.extra)]:
                assert name.isascii()
                assert value.isascii()
                assert value.isprintable(), (name, value)
            if fixed.status == 302:
                (location,) = [value for name, value in answer.reply.extra if name == "Location"]
                host = location.split("/")[2]
                assert host in ("example.com", "shop.example") or host.endswith(".shop.example")
            for event in answer.events:
                check_event(event, hit)


@given(st.lists(st.tuples(names, words), max_size=5), headers)
@settings(deadline=None)
def test_two_doors_that_have_and_have_not_seen_others_agree(pairs: list[tuple[str, str]], sent: dict[str, str]) -> None:
    """A memo never changes an answer: a door full of other hits says the same as a new one."""
    query = "&".join(f"{name}={value}" for name, value in pairs)
    same: list[tuple[int, tuple[Event, ...]]] = []
    for door in (Endpoint(_SETTINGS, lambda _: "id"), _SEASONED):
        found = door.answer(Hit("GET", "/p/\x1bx", query, sent, b"", "203.0.113.77", 1_763_675_618_000))
        same.append((found.reply.fixed.status, found.events))
    assert same[0] == same[1]


_SETTINGS = _greedy()
_SEASONED = Endpoint(_SETTINGS, lambda _: "id")
