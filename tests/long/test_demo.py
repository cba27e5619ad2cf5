"""`tracker demo` and `tracker bad` against a real tracker: all there, or the check says what is not."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tracker.demo import run as runs
from tracker.demo import witness as witness_module
from tracker.demo.summary import Summary
from tracker.demo.witness import Witness

Serve = Callable[..., Any]


def command(tracker: Any, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tracker", *arguments, "--data-dir", str(tracker.data_dir)]


def demo(tracker: Any, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary and standard error of a demo."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    done = subprocess.run(command(tracker, "demo", tracker.base, "--json", *arguments), capture_output=True, text=True, timeout=90,
                          check=False, cwd=tracker.folder, env=environ)  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_fifteen_hundred_hits_are_all_found_as_meant(serve: Serve) -> None:
    """Exit 0 without being asked to check; rows, bills and the log files all say the same, and a second run keeps apart."""
    tracker = serve("--workers", "2")
    code, summary, said = demo(tracker, "--count", "1500", "--rate", "400", "--seed", "7", "--run", "first")
    assert code == 0, summary["problems"]
    assert said == ""
    check = summary["check"]
    assert check["counts"] == {}
    assert check["events"] == check["answered"] == summary["receipts"] > 1450
    assert summary["sent"] == summary["answered"] == 1500
    assert not summary["behind"]
    assert {row["reason"] for row in summary["rows"] if row["outcome"] == "bad"} == {
        "invalid_field", "bad_destination", "invalid_body", "invalid_event_name"}  # fmt: skip
    assert {flag for row in summary["rows"] for flag in row["flags"]} >= {"bot", "audit", "unknown_value", "unauthenticated", "gpc", "dnt"}
    for row in summary["rows"]:
        assert row["sent"] == row["kept"] + row["not_kept"]
        assert row["kept"] == row["stored"]
    for bill in summary["bills"]:
        assert bill["cost_nanos"] == bill["stored_cost_nanos"]
    assert sum(bill["cost_nanos"] for bill in summary["bills"]) > 1_000_000_000
    # The collectors say so too: an owner adds up the log.
    bad = sum(row["stored"] for row in summary["rows"] if row["outcome"] == "bad")
    good = tracker.wait_logged(check["events"] - bad)
    assert len(tracker.wait_logged(bad, "bad.ndjson")) == bad
    assert all(event["id"].startswith("demo-first-") for event in good)
    cost: Counter[str] = Counter()
    for event in good:
        cost[event.get("dimensions", {}).get("campaign", "")] += event.get("metrics", {}).get("cost_nanos", 0)
    assert {name: nanos for name, nanos in cost.items() if nanos} == {
        bill["campaign"]: bill["cost_nanos"] for bill in summary["bills"] if bill["cost_nanos"]
    }  # fmt: skip
    code, again, _ = demo(tracker, "--count", "300", "--rate", "300", "--seed", "7")
    assert code == 0, again["problems"]
    assert again["run"] != "first"
    assert again["check"]["events"] == again["receipts"] < 301


def test_a_journal_that_was_tampered_with_fails_the_check(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte on the disk: the events of that block are lost, and nothing else is said about them."""
    monkeypatch.setattr(witness_module, "PATIENCE_S", 1.0)
    tracker = serve()
    where = runs.target(tracker.base)
    witness = Witness(tracker.data_dir)
    summary = Summary(run="t", url=tracker.base, seed=3, campaigns=4, rate=200)
    sent = runs.send(summary, where, count=200, seconds=30)
    tracker.stop()
    segment = next(path for path in tracker.data_dir.glob("journal/streams/*/*.ndjson") if b"demo-t-100" in path.read_bytes())
    content = bytearray(segment.read_bytes())
    content[content.index(b"demo-t-100") + 12] ^= 1
    segment.write_bytes(content)
    runs.conclude(summary, sent, witness)
    assert summary.check is not None
    assert list(summary.check.counts) == ["lost"]
    assert 0 < summary.check.counts["lost"] < 200
    assert summary.check.damaged_bytes > 0
    assert any(each.startswith("lost: ") for each in summary.problems)


def test_a_forged_event_fails_the_check(serve: Serve) -> None:
    """Somebody else sends an id of this run: the event stands there twice, and the totals are not the owner's."""
    tracker = serve()
    witness = Witness(tracker.data_dir)
    summary = Summary(run="f", url=tracker.base, seed=3, campaigns=4, rate=200)
    sent = runs.send(summary, runs.target(tracker.base), count=100, seconds=30)
    assert tracker.get("/imp/x/y.gif?price=5.00&event_id=demo-f-1")[0] == 200
    runs.conclude(summary, sent, witness)
    assert summary.check is not None
    assert summary.check.counts["repeated"] == 1
    assert summary.check.counts["different"] >= 1


def test_ctrl_c_still_sums_up_and_checks(serve: Serve) -> None:
    """130; everything that was sent by then was answered, and is found."""
    tracker = serve()
    process = subprocess.Popen(command(tracker, "demo", tracker.base, "--json", "--for", "60s", "--rate", "200"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    tracker.wait_logged(100, timeout_s=20)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "")
    summary = json.loads(out)
    assert summary["interrupted"] is True
    assert summary["problems"] == []
    assert 100 <= summary["sent"] == summary["answered"] < 10_000
    assert summary["check"]["events"] == summary["receipts"]


def test_a_terminal_gets_a_progress_bar_and_then_the_summary(serve: Serve) -> None:
    """Rate and answers by status while it sends; the verdict at the end."""
    tracker = serve()
    here, there = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140"}
    process = subprocess.Popen(command(tracker, "demo", tracker.base, "--count", "300", "--rate", "150", "--seed", "7"),
                               stdin=subprocess.DEVNULL, stdout=there, stderr=there, env=environ)  # fmt: skip
    os.close(there)
    shown = b""
    while process.poll() is None or select.select([here], [], [], 0)[0]:
        if select.select([here], [], [], 0.1)[0]:
            try:
                shown += os.read(here, 65_536)
            except OSError:  # the other end is closed
                break
    os.close(here)
    assert process.wait(30) == 0
    bar, _, summary = shown.partition(b"Demo ")
    for part in (b"Sending", b"/s", b"  200 ", b"  204 ", b"/300"):
        assert part in bar, part
    assert b"events found" in summary
    assert b"totals equal" in summary


def test_the_bad_lanes_limit_is_told_from_a_loss(serve: Serve) -> None:
    """Two bad events a second are kept, the others counted: the demo expects it, and `tracker bad` says the same number."""
    tracker = serve(TRACKER_LIMITS_MAX_BAD_EVENTS_PER_SECOND="2")
    code, summary, _ = demo(tracker, "--count", "900", "--rate", "450", "--seed", "7", "--check")
    assert code == 0, summary["problems"]
    beyond = summary["refused"]["bad_lane_limit"]
    kept = sum(row["kept"] for row in summary["rows"] if row["outcome"] == "bad")
    assert beyond > 2
    assert 2 <= kept <= 2 * summary["seconds"] + 3  # as many as the seconds allow, and one second's worth in reserve
    deadline = time.monotonic() + 5
    while True:  # counters are published once a second
        done = subprocess.run(command(tracker, "bad", "--json", "-n", "1"), capture_output=True, text=True, timeout=30, check=True)
        found = json.loads(done.stdout)
        if found["not_kept"].get("bad_lane_limit") == beyond or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert found["not_kept"]["bad_lane_limit"] == beyond
    assert found["not_kept"]["no_route"] == next(row["sent"] for row in summary["rows"] if row["reason"] == "no_route")
    assert found["events"] == kept


def test_bad_shows_what_a_broken_tag_brought(serve: Serve) -> None:
    """Reason, route and field with the parameter as it came, and what to do about it; nothing of it is billed."""
    tracker = serve()
    for price in ("x2.50", "cheap"):
        assert tracker.get(f"/imp/c1/cr1.gif?price={price}&site=news.example", Referer="https://news.example/story")[0] == 200
    assert tracker.get("/click/c1/cr1?url=https://evil.example/")[0] == 302
    tracker.wait_logged(3, "bad.ndjson")
    done = subprocess.run(command(tracker, "bad"), capture_output=True, text=True, timeout=30, check=True)
    shown = done.stdout
    assert shown.startswith("3 bad events (")
    for part in ("invalid_field  A field cannot be read", "2  impression", "price  query.price=cheap", "bad_destination",
                 "url  query.url=https://evil.example/", "    query.price     x2.50", "on the page https://news.example/story"):  # fmt: skip
        assert part in shown, shown
    done = subprocess.run(command(tracker, "bad", "--route", "click", "--since", "1h", "--json"), capture_output=True, text=True, timeout=30, check=True)
    found = json.loads(done.stdout)
    assert [(group["reason"], group["events"]) for group in found["groups"]] == [("bad_destination", 1)]
    assert "127.0.0.1" not in done.stdout
