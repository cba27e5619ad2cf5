"""What `tracker explain` says of a curl command is what a served tracker does when curl runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Served = Any  # the fixture's class

COMMANDS = [
    "curl -A Browser/1 'BASE/imp/c1/cr1.gif?price=2.50&site=https://News.example/x'",
    "curl -A Browser/1 -e https://news.example/a?b 'BASE/imp/caf%C3%A9/a%20b.gif?price=%24%7BAUCTION_PRICE%7D&site='",
    "curl -A Browser/1 -I 'BASE/imp/c1/cr1.gif?price=2.50'",
    "curl -A Browser/1 'BASE/imp/c1/cr1.gif?price=2,50&price=3'",
    "curl -A Browser/1 'BASE/click/c1/cr1?url=https%3A%2F%2Fshop.shop.example%2Fa%3Fb%3Dc'",
    "curl -A Browser/1 -H 'Sec-GPC: 1' 'BASE/click/c1/cr1?url=https://evil.example/&distinct_id=ann'",
    "curl -A Browser/1 BASE/go/spring -H 'Accept-Language: de-CH,de;q=0.9' -H 'Purpose: prefetch'",
    "curl -A Browser/1 BASE/hit/signup --json '{\"plan\": \"pro\", \"seats\": 3, \"tags\": [\"a\", null], \"page\": \"/x\", \"event_id\": \"e 1\"}'",
    "curl -A Browser/1 BASE/hit/sign%20up -d plan=pro -d 'note=a b&x'",
    "curl -A Browser/1 BASE/hit/signup -H 'Content-Type: application/json' --data-raw '{\"broken\": '",
    "curl -A Googlebot/2.1 BASE/video/c1/cr1/midPoint.gif?watch_ms=1200",
    "curl -A Browser/1 'BASE/conv/c1.gif' -d value=12.5 -d 'order=o-1' -d timestamp=yesterday",
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="apt-get install curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="apt-get install bash")
def test_what_explain_says_is_what_is_stored_and_sent(serve: Callable[..., Served]) -> None:
    """Same event but for id and time, same status, same headers, for a dozen commands that curl really runs."""
    tracker = serve()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    commands = [command.replace("BASE", tracker.base) for command in COMMANDS]
    lines = "\n".join(commands)
    told = subprocess.run(
        [sys.executable, "-m", "tracker", "explain", "--json", "--from", "127.0.0.1", "-"], input=lines, capture_output=True, text=True, timeout=60, check=False, env=clean
    )
    assert told.returncode == 1, told.stderr  # some of them are bad
    explained = json.loads(told.stdout)["explanations"]
    replies = []
    for command in commands:
        real = command.replace("curl ", "curl -q -sS -i --noproxy '*' ", 1)
        replies.append(subprocess.run(["bash", "-c", real], capture_output=True, timeout=30, check=True).stdout)
    lanes = [each["outcome"] for each in explained]
    assert (lanes.count("good"), lanes.count("bad")) == (8, 4)
    stored = {event["id"]: event for event in [*tracker.wait_logged(8), *tracker.wait_logged(4, "bad.ndjson")]}
    for command, each, reply in zip(commands, explained, replies, strict=True):
        head, _, body = reply.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        sent = {(name.lower(), value) for name, value in (header.split(": ", 1) for header in headers)}
        (event,) = [stored[value] for name, value in sent if name == "x-event-id"]
        assert _alike(event) == _alike(each["event"]), command
        assert int(status.split()[1]) == each["reply"]["status"], command
        said = {(name.lower(), value.replace(each["event"]["id"], event["id"])) for name, value in each["reply"]["headers"]}
        assert said <= sent, command
        assert len(body) == each["reply"]["body_bytes"], command


def _alike(event: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from hit to hit."""
    assert event["timestamp"] == event["received_at"]
    return {name: value for name, value in event.items() if name not in ("id", "stream", "seq", "timestamp", "received_at")}
