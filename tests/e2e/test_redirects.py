"""Clicks over real HTTP: what `tracker sign-url` made is followed, what was altered is not, and a person always lands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SECRET = "a secret of more than sixteen characters"
CONFIG = """
version: 1
signing_keys: {clicks: {"2026a": "${CLICKS_2026A}"}}
collectors:
  log: {type: log}
  bad: {type: log, lanes: [bad], options: {file: bad.ndjson}}
"""
ROUTES = """
version: 1
routes:
  click:
    path: /click/{campaign}/{creative}
    reply: {redirect: {to: query.url, signed_by: clicks, allow: [shop.example], add: {click_id: event.id}, otherwise: "https://shop.example/{campaign}"}}
    dimensions: {campaign: path.campaign, creative: path.creative}
"""
THERE = "https://anywhere.example/{campaign}?x=\u00fc&click={click_id}"

Serve = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Settings and routing table, as variables."""
    (tmp_path / "tracker.yaml").write_text(CONFIG, "utf-8")
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    return {"TRACKER_CONFIG": str(tmp_path / "tracker.yaml"), "TRACKER_ROUTES": str(tmp_path / "routes.yaml"), "CLICKS_2026A": SECRET}


def sign(files: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")} | files
    return subprocess.run([sys.executable, "-m", "tracker", "sign-url", *arguments], env=environ, capture_output=True, text=True, timeout=30)


def test_signed_clicks_over_the_wire(serve: Serve, files: dict[str, str]) -> None:
    """Whatever the path holds that must be encoded, door and signer mean the same; every click is an event; HEAD answers alike."""
    tracker = serve(**files)
    for path, campaign in (
        ("/click/c1/cr1", "c1"), ("/click/spring%20sale/cr1", "spring%20sale"), ("/click/%C3%BC/cr1", "%C3%BC"), ("/click/50%25/cr1", "50%25"), ("/click/a+b/c;d=e", "a%2Bb"),
        ("/click/%F0%9F%99%82/%2B", "%F0%9F%99%82"), ("/click/%61/cr1", "a"), ("/click/a%26b%3D/cr1", "a%26b%3D"),
    ):  # fmt: skip
        made = sign(files, f"{tracker.base}{path}?site=n", THERE)
        assert (made.returncode, made.stderr) == (0, "")
        target = made.stdout.strip().removeprefix(tracker.base)
        for method in ("GET", "HEAD"):
            status, headers, body = tracker.request(method, target)
            assert (status, body) == (302, b"")
            location = headers["Location"]
            assert location == f"https://anywhere.example/{campaign}?x=%C3%BC&click={headers['X-Event-Id']}&click_id={headers['X-Event-Id']}"
            assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
        for altered in (target.replace("anywhere", "evil"), target.replace("/cr1", "/cr2").replace("/c;d=e", "/c").replace("/%2B", "/x"), target[:-1], target + "&sig=x"):
            status, headers, _ = tracker.get(altered)
            assert (status, headers["Location"]) == (302, f"https://shop.example/{campaign}")
            assert headers["X-Tracker-Reason"] == "bad_signature"
        assert sign(files, "--check", tracker.base + target).stdout.startswith("OK: route `click`")
        assert sign(files, "--check", tracker.base + target[:-1]).returncode == 1
    events = tracker.wait_logged(16)
    assert [event.get("lane", "good") for event in events] == ["good"] * 16
    assert [event["dimensions"]["campaign"] for event in events[2:6:2]] == ["spring sale", "\u00fc"]
    assert {event["reason"] for event in tracker.wait_logged(32, "bad.ndjson")} == {"bad_signature"}
    assert SECRET not in (tracker.data_dir / "log" / "bad.ndjson").read_text("utf-8") + tracker.output.read_text("utf-8")


def test_no_destination_writes_a_header_of_its_own(serve: Serve, files: dict[str, str]) -> None:
    """CR and LF, as they are in a URL or encoded once more, add no header, and the person lands."""
    tracker = serve(**files)
    for value in ("https://shop.example/%0d%0aX-Evil:%201", "https://shop.example/%0aX-Evil:%201", "%0d%0aX-Evil:%201", "https://shop.example/%E5%98%8D%E5%98%8AX-Evil:%201", "https://shop.example/%250d%250aX-Evil:%201",
                  "https%253A%252F%252Fshop.example%252F%250d%250aX-Evil:%201"):  # fmt: skip
        status, headers, _ = tracker.get(f"/click/c1/cr1?url={value}")
        assert status == 302
        assert headers["X-Evil"] is None
        assert headers["Location"].startswith("https://shop.example/")
        assert headers["Location"].isascii()
    status, headers, _ = tracker.get("/click/%0d%0aX-Evil:%201/cr1?url=https://evil.example/")
    assert (status, headers["X-Evil"]) == (302, None)
    assert headers["Location"].startswith("https://shop.example/")
