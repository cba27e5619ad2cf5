"""Ids and times: ordered, unpredictable, and the client's only where they are sane."""

from __future__ import annotations

import itertools
import threading
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture.identity import FreshIds, Stamps, client_ms, take_client_words, valid_id
from tracker.event import Context, Event

NOW = 1_763_675_618_123


def test_a_fresh_id_is_a_uuid_of_version_7_with_the_hits_time() -> None:
    """RFC 9562, 5.7: version, variant and 48 bits of milliseconds, in lower case."""
    fresh = FreshIds()
    for ms in (0, 1, 4095, 4096, NOW, NOW + 1, NOW + 4096, NOW + 70_000, 2**48 - 1):
        text = fresh(ms)
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert parsed.int >> 80 == ms
        assert valid_id(text)


@given(st.lists(st.integers(-3, 2), max_size=30), st.integers(1, 700))
def test_ids_sort_as_they_were_made_even_if_the_clock_steps_back(steps: list[int], many: int) -> None:
    """Across pages of the pool, full counters and steps in both directions."""
    fresh = FreshIds()
    ms, ids = NOW, []
    for step in [0, *steps]:
        ms += step
        ids += [fresh(ms) for _ in range(many)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_full_millisecond_goes_on_in_the_next() -> None:
    """10,000 ids at one instant: all different, in order, at most three milliseconds ahead."""
    fresh = FreshIds()
    ids = [fresh(NOW) for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(text).int >> 80 for text in ids} <= {NOW, NOW + 1, NOW + 2}


def test_the_random_bits_are_all_random() -> None:
    """Each of the 62 random bits is set in about half of 4,096 ids, and neighbours share no more than chance has it."""
    fresh = FreshIds()
    tails = [uuid.UUID(fresh(NOW)).int & (1 << 62) - 1 for _ in range(4096)]
    for bit in range(62):
        share = sum(tail >> bit & 1 for tail in tails) / len(tails)
        assert 0.4 < share < 0.6, bit  # 12 standard deviations
    changed = [(a ^ b).bit_count() for a, b in itertools.pairwise(tails)]
    assert 30 < sum(changed) / len(changed) < 32
    assert len(set(tails)) == len(tails)


def test_two_sources_never_make_the_same_id() -> None:
    """Two threads, two processes: each has random bits of its own."""
    one, other = FreshIds(), FreshIds()
    assert not {one(NOW) for _ in range(2000)} & {other(NOW) for _ in range(2000)}


def test_threads_that_share_a_source_still_get_different_ids() -> None:
    """The order between threads is loose; the ids are not."""
    fresh, made = FreshIds(), [[""]] * 4

    def make(place: int) -> None:
        made[place] = [fresh(NOW + n // 100) for n in range(20_000)]

    threads = [threading.Thread(target=make, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text for ids in made for text in ids}) == 80_000


@given(st.lists(st.integers(0, 253_402_300_799_999), min_size=1, max_size=20))
def test_a_stamp_is_what_the_standard_library_writes(times: list[int]) -> None:
    """Any time that RFC 3339 can write, in any order."""
    stamp = Stamps()
    for ms in times:
        expected = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        year, _, rest = expected.partition("-")
        assert stamp(ms) == f"{int(year):04}-{rest}.{ms % 1000:03}Z"


def test_a_stamp_stays_within_what_can_be_written() -> None:
    """A clock out of its mind does not raise."""
    assert Stamps()(-5).startswith("1970-01-01T00:00:00.")
    assert Stamps()(10**18).startswith("9999-12-31T23:59:59.")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1763675618123", NOW), ("1763675618", NOW - 123), ("1763675618.123", NOW), ("1763675618.1239", NOW), ("1763675618.1", NOW - 23),
        ("2025-11-20T21:53:38.123Z", NOW), ("2025-11-20t21:53:38z", NOW - 123), ("2025-11-20 21:53:38.123456789Z", NOW),
        ("2025-11-20T22:53:38.123+01:00", NOW), ("2025-11-20T22:53:38.123 01:00", NOW), ("2025-11-20T20:53:38.123-01:00", NOW),
        ("2025-11-20T21:53:38.123", None), ("2025-11-20", None), ("20251120T215338Z", None), ("2025-W47-4T21:53:38Z", None),
        ("2025-11-20T21:53Z", None), ("2025-13-20T21:53:38Z", None), ("2025-11-31T21:53:38Z", None), ("2025-11-20T24:00:00Z", None),
        ("2025-11-20T21:53:60Z", None), ("2025-11-20T21:53:38+24:00", None), ("0001-01-01T00:00:00+23:59", None), ("9999-12-31T23:59:59-23:59", None),
        ("-1763675618", None), ("1e9", None), ("", None), ("now", None), ("NaN", None), ("٢٠٢٥", None), ("9" * 17, None), ("0", None), ("99999999999", None),
    ],
)  # fmt: skip
def test_a_clients_time_is_read_in_three_ways(text: str, ms: int | None) -> None:
    """RFC 3339 with its zone, seconds, or milliseconds from 10^11 on; a plus that became a space is a plus."""
    assert client_ms(text, NOW) == ms


@pytest.mark.parametrize(
    ("offset_ms", "sane"),
    [(-30 * 86_400_000, True), (-30 * 86_400_000 - 1, False), (600_000, True), (600_001, False), (-30 * 365 * 86_400_000, False), (0, True)],
)
def test_a_clients_time_is_taken_between_30_days_ago_and_10_minutes_ahead(offset_ms: int, sane: bool) -> None:
    """The window, to the millisecond."""
    ms = NOW + offset_ms
    assert client_ms(str(ms), NOW) == (ms if sane else None)
    assert client_ms(Stamps()(ms), NOW) == (ms if sane else None)


@given(st.text())
def test_no_text_makes_a_time_raise(text: str) -> None:
    """Any text at all."""
    found = client_ms(text, NOW)
    assert found is None or abs(found - NOW) <= 30 * 86_400_000


@pytest.mark.parametrize(("text", "valid"), [
    ("a", True), ("A-z_0.9:", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("a b", False), ("a\n", False), ("é", False), ("a/b", False),
    ("a\r\nSet-Cookie: x", False), ('"', False),
])  # fmt: skip
def test_a_clients_id_is_safe_in_any_header(text: str, valid: bool) -> None:
    """Letters, digits, dot, underscore, colon, dash; at most 64."""
    assert bool(valid_id(text)) == valid


def words(query: dict[str, object], body: dict[str, object], *, anonymous: bool = False) -> Event:
    event = Event(id="fresh", timestamp="ours", context=Context(), flags=[])
    take_client_words(event, query, body, 20, Stamps(), NOW, anonymous)
    return event


def test_the_clients_words_go_where_they_belong_and_the_querys_go_first() -> None:
    """Id, time, page and identities; a JSON number is as good as text."""
    event = words(
        {"event_id": "q1", "distinct_id": "", "page": "https://a.example/"},
        {"event_id": "b1", "timestamp": NOW - 123, "distinct_id": 7, "session_id": "s", "device_id": ["x"], "profile_id": None},
    )
    assert (event.id, event.distinct_id, event.session_id, event.device_id, event.profile_id) == ("q1", "7", "s", "", "")
    assert event.timestamp == "2025-11-20T21:53:38.000Z"
    assert event.context is not None
    assert event.context.page == "https://a.example/"
    assert event.flags == []


def test_what_is_wrong_with_the_clients_words_is_flagged_and_replaced() -> None:
    """Our own id and time stand in; long text is cut, a repeated one counted once, a macro is nothing."""
    event = words(
        {"event_id": "two words", "timestamp": "tomorrow", "distinct_id": ["first", "second"], "session_id": "x" * 21, "device_id": "${DEVICE}"},
        {},
    )
    assert (event.id, event.timestamp) == ("fresh", "ours")
    assert (event.distinct_id, event.session_id, event.device_id) == ("first", "x" * 20, "")
    assert sorted(event.flags) == ["client_time_rejected", "cut", "invalid_client_id", "macro_unreplaced", "repeated_parameter"]


def test_an_anonymous_hit_keeps_its_id_and_time_but_nobodys_identity() -> None:
    """The event's id names no person."""
    event = words({"event_id": "e1", "distinct_id": "d", "session_id": "s"}, {"profile_id": "p"}, anonymous=True)
    assert event.id == "e1"
    assert (event.distinct_id, event.session_id, event.profile_id) == ("", "", "")
