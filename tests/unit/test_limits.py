"""Limits: sizes to the byte, and the bad lane's bucket by the hits' own clock."""

from __future__ import annotations

import pytest

from tracker.capture.hit import Hit
from tracker.capture.limits import Bucket, excess
from tracker.settings.model import Limits

LIMITS = Limits(max_path_bytes=10, max_query_bytes=20, max_query_parameters=3, max_body_bytes=5)


@pytest.mark.parametrize(
    ("path", "query", "body", "reason"),
    [
        ("/" + "x" * 9, "", b"", ""), ("/" + "x" * 10, "", b"", "path_too_long"), ("/éééé", "", b"", ""), ("/ééééé", "", b"", "path_too_long"),
        ("/", "q" * 20, b"", ""), ("/", "q" * 21, b"", "query_too_long"), ("/", "é" * 11, b"", "query_too_long"), ("/", "\ud800" * 7, b"", "query_too_long"),
        ("/", "a&b&c", b"", ""), ("/", "a&b&c&d", b"", "too_many_parameters"), ("/", "&&&", b"", "too_many_parameters"),
        ("/", "", b"12345", ""), ("/", "", b"123456", "body_too_large"),
    ],
)  # fmt: skip
def test_each_size_has_its_reason(path: str, query: str, body: bytes, reason: str) -> None:
    """At the limit is within it."""
    assert excess(Hit("POST", path, query, {}, body, "", 0), LIMITS) == reason


def test_the_bad_lane_takes_a_seconds_worth_at_once_and_then_its_rate() -> None:
    """Ten a second: ten at once, then one every 100 ms."""
    lane = Bucket(10, 10**9)
    assert [lane.takes(1000, 1) for _ in range(11)] == [True] * 10 + [False]
    assert [lane.takes(1000 + ms, 1) for ms in (50, 100, 150, 200, 250)] == [False, True, False, True, False]
    assert sum(lane.takes(1300 + ms, 1) for ms in range(10_000)) in (100, 101)


def test_a_clock_that_steps_back_stands_still() -> None:
    """No tokens for time that was had before."""
    lane = Bucket(2, 10**9)
    assert [lane.takes(ms, 1) for ms in (5000, 5000, 4000, 3000, 5000)] == [True, True, False, False, False]
    assert lane.takes(5500, 1)


def test_a_rate_of_zero_keeps_none() -> None:
    """However long one waits."""
    lane = Bucket(0, 10**9)
    assert not any(lane.takes(ms, 1) for ms in (0, 10**6, 10**12))


def test_bytes_are_capped_apart_from_events() -> None:
    """A thousand bytes a second: one large event, or many small ones; a byte too many is not taken."""
    lane = Bucket(10**6, 1000)
    assert not lane.takes(1000, 1001)
    assert lane.takes(1000, 600)
    assert not lane.takes(1000, 401)
    assert lane.takes(1000, 400)
    assert not lane.takes(1099, 100)
    assert lane.takes(1100, 100)
