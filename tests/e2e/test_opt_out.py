"""Opting out and the id cookie, end to end: what is answered, and what is in the event and on the disk."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROUTES = """
version: 1
routes:
  strict:
    path: /strict/{n}
    dimensions: {n: path.n}
    methods: [GET, HEAD, POST]
    reply: pixel
    cookie: {}
  lenient:
    path: /lenient/{n}
    dimensions: {n: path.n}
    reply: pixel
    privacy: {gpc: ignore, dnt: ignore}
    cookie: {name: __Host-dev, into: device_id, same_site: none, max_age_days: 30}
  mixed:
    path: /mixed/{n}
    dimensions: {n: path.n}
    reply: no_content
    access: open
    privacy: {gpc: anonymous, dnt: ignore}
  bare:
    path: /bare/{n}
    dimensions: {n: path.n}
    reply: pixel
  landing:
    path: /landing/{n}
    dimensions: {n: path.n}
    reply: {redirect: {to: "https://shop.example/"}}
    cookie: {}
"""
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
KNOWN = "019ab2c3-4d5e-7f60-8a1b-2c3d4e5f6071"
IDS = ("distinct_id", "anonymous_id", "device_id", "session_id", "profile_id")
NAMED = "&".join(f"{name}=canary-{name}" for name in IDS)


@pytest.fixture
def tracker(serve: Callable[..., Any], tmp_path: Path) -> Any:
    """A tracker with these routes, through the door that reads only the headers that somebody asks for; hits come through a
    trusted proxy, which names the client."""
    config, routes = tmp_path / "tracker.yaml", tmp_path / "routes.yaml"
    config.write_text("version: 1\ndoor: fast\nclients: {trusted_proxies: [127.0.0.1]}\ncollectors: {log: {type: log}}\n")
    routes.write_text(ROUTES)
    return serve("--config", str(config), "--routes", str(routes))


def events_of(tracker: Any, count: int) -> list[dict[str, Any]]:
    """The events in the order of the hits, which is the path's last part: threads have streams of their own."""
    return sorted(tracker.wait_logged(count), key=lambda event: event["dimensions"]["n"])


def hit(tracker: Any, path: str, method: str = "GET", **headers: str) -> Any:
    """The reply's headers."""
    sent = {"X-Forwarded-For": "203.0.113.66", **{name.replace("_", "-"): text for name, text in headers.items()}}
    status, received, _ = tracker.request(method, path, headers=sent)
    assert status in (200, 204, 302)
    return received


@pytest.mark.parametrize("headers", [{"Sec_GPC": "1"}, {"DNT": "1"}, {"Sec_GPC": "1", "DNT": "1"}], ids=["gpc", "dnt", "both"])
def test_who_opted_out_gets_no_cookie_and_leaves_no_id_and_no_address(tracker: Any, headers: dict[str, str]) -> None:
    """Whatever ids the hit brings, in the query or in a cookie: they are nowhere on the disk, nor is any of the address."""
    for number, path in enumerate(("/strict/1", "/landing/2", "/bare/3", "/strict/4")):
        method = "HEAD" if number == 3 else "GET"
        received = hit(tracker, f"{path}?{NAMED}", method, Cookie=f"__Host-tid={KNOWN}; sid=canary-cookie", **headers)
        assert received["Set-Cookie"] is None
    events = events_of(tracker, 4)
    for event in events:
        assert not set(IDS) & set(event)
        assert not event["context"].get("ip")
        assert set(event["flags"]) >= {name for name, sent in (("gpc", "Sec_GPC"), ("dnt", "DNT")) if sent in headers}
    tracker.stop()
    for path in tracker.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for marker in (b"canary-", b"203.0.113", KNOWN.encode()):
                assert marker not in content, path


def test_a_policy_that_ignores_keeps_ids_and_address_but_sets_and_reads_no_cookie(tracker: Any) -> None:
    """The event is only flagged; the cookie belongs to those who did not opt out, whatever the route says."""
    for number, headers in enumerate(({"Sec_GPC": "1"}, {"DNT": "1"})):
        received = hit(tracker, f"/lenient/{number}?distinct_id=me", Cookie=f"__Host-dev={KNOWN}", **headers)
        assert received["Set-Cookie"] is None
    gpc, dnt = events_of(tracker, 2)
    assert (gpc["flags"], dnt["flags"]) == (["gpc"], ["dnt"])
    for event in (gpc, dnt):
        assert event["context"]["ip"] == "203.0.113.0"
        assert event["distinct_id"] == "me"
        assert "device_id" not in event, "the cookie was not read"


def test_each_signal_follows_its_own_policy(tracker: Any) -> None:
    """GPC anonymous and DNT ignored: the one empties the event, the other flags it; both together empty it."""
    for number, headers in enumerate(({"Sec_GPC": "1"}, {"DNT": "1"}, {"DNT": "1", "Sec_GPC": "1"})):
        hit(tracker, f"/mixed/{number}?distinct_id=me", **headers)
    events = events_of(tracker, 3)
    assert [event.get("distinct_id", "") for event in events] == ["", "me", ""]
    assert [event["context"].get("ip", "") for event in events] == ["", "203.0.113.0", ""]
    assert [event["flags"] for event in events] == [["gpc"], ["dnt"], ["gpc", "dnt"]]


@pytest.mark.parametrize("value", ["0", "", "true", "yes", "11", "1,1", "unspecified", "null"])
def test_only_a_1_opts_out(tracker: Any, value: str) -> None:
    """GPC's and DNT's texts define no other; DNT: 0 even means consent."""
    received = hit(tracker, "/strict/1?distinct_id=me", Sec_GPC=value, DNT=value)
    assert received["Set-Cookie"] is not None
    (event,) = events_of(tracker, 1)
    assert event["distinct_id"] == "me"
    assert not {"gpc", "dnt"} & set(event.get("flags", []))


def test_the_first_hit_sets_a_cookie_and_the_next_ones_are_known_by_it(tracker: Any) -> None:
    """One id in both events; the second reply sets nothing, so the age is not renewed; pixels and redirects alike."""
    line = hit(tracker, "/strict/1")["Set-Cookie"]
    found = re.fullmatch(rf"__Host-tid=({UUID}); Path=/; Max-Age=31536000; Secure; HttpOnly; SameSite=Lax", line)
    assert found, line
    assert hit(tracker, "/strict/2", Cookie=f"a=b; __Host-tid={found[1]}")["Set-Cookie"] is None
    assert hit(tracker, "/landing/3", Cookie=f"__Host-tid={found[1]}; a=b")["Set-Cookie"] is None
    assert hit(tracker, "/bare/4", Cookie=f"__Host-tid={found[1]}")["Set-Cookie"] is None
    events = events_of(tracker, 4)
    assert [event.get("anonymous_id", "") for event in events] == [found[1]] * 3 + [""], "a route without `cookie` reads none"
    assert found[1] not in {event["id"] for event in events}, "a person's id is no event's id"
    line = hit(tracker, "/lenient/5")["Set-Cookie"]
    found = re.fullmatch(rf"__Host-dev=({UUID}); Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=None", line)
    assert found and events_of(tracker, 5)[4]["device_id"] == found[1]


def test_an_id_that_the_client_names_goes_before_the_cookies(tracker: Any) -> None:
    """The tag knows the person; the cookie is still there for the hits that name nobody."""
    assert hit(tracker, "/strict/1?anonymous_id=mine", Cookie=f"__Host-tid={KNOWN}")["Set-Cookie"] is None
    assert hit(tracker, "/strict/2", Cookie=f"__Host-tid={KNOWN}")["Set-Cookie"] is None
    assert [event["anonymous_id"] for event in events_of(tracker, 2)] == ["mine", KNOWN]


def test_nobody_can_plant_an_id(tracker: Any) -> None:
    """A cookie with anything but an id of the tracker's form is replaced, and what it held is in no file."""
    for planted in ("canary@example.com", "canary", f"{KNOWN}canary", KNOWN.upper()):
        assert hit(tracker, "/strict/1", Cookie=f"__Host-tid={planted}")["Set-Cookie"]
    ids = {event["anonymous_id"] for event in events_of(tracker, 4)}
    assert len(ids) == 4 and all(re.fullmatch(UUID, ident) for ident in ids)
    time.sleep(0.3)
    tracker.stop()
    assert not [path for path in tracker.folder.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
