"""The penalty: who is heard less, for how long, and what it remembers."""

from __future__ import annotations

from tracker.capture.penalty import MAX_ADDRESSES, PER_SECOND, Penalty

BURST = 60


def burst() -> int:
    return BURST


def never(_: str) -> bool:
    return False


def test_an_address_is_held_after_its_burst_and_free_again_when_it_was_quiet() -> None:
    """And never for longer than its score is bounded to."""
    penalty = Penalty(burst, never)
    for _ in range(BURST):
        penalty.note("203.0.113.9", 100.0)
    assert not penalty.holds("203.0.113.9", 100.0)
    penalty.note("203.0.113.9", 100.0)
    assert penalty.holds("203.0.113.9", 100.0)
    assert not penalty.holds("203.0.113.8", 100.0)
    for _ in range(10_000):
        penalty.note("203.0.113.9", 100.0)
    free_at = 100.0 + BURST / PER_SECOND
    assert penalty.holds("203.0.113.9", free_at - 0.1)
    assert not penalty.holds("203.0.113.9", free_at + 0.1)


def test_a_few_bad_requests_a_second_are_never_held() -> None:
    """A page with a broken path, for hours."""
    penalty = Penalty(burst, never)
    for second in range(3600):
        for _ in range(int(PER_SECOND)):
            penalty.note("203.0.113.9", float(second))
        assert not penalty.holds("203.0.113.9", float(second))


def test_proxies_and_unix_sockets_are_never_held() -> None:
    """They speak for many."""
    penalty = Penalty(burst, lambda address: address.startswith("10."))
    for _ in range(1000):
        penalty.note("10.0.0.1", 1.0)
        penalty.note("", 1.0)
    assert not penalty.holds("10.0.0.1", 1.0)
    assert not penalty.holds("", 1.0)


def test_a_flood_of_addresses_is_not_remembered_beyond_the_bound_and_frees_nobody() -> None:
    """Who is held stays held; who is quiet is forgotten for others; no address stands in the table."""
    penalty = Penalty(burst, never)
    for _ in range(1000):
        penalty.note("203.0.113.9", 1000.0)
    for n in range(3 * MAX_ADDRESSES):
        penalty.note(f"198.51.{n >> 8}.{n & 255}", 1000.0)
    assert penalty.holds("203.0.113.9", 1000.0)
    assert len(penalty._scores) == MAX_ADDRESSES
    assert all(isinstance(key, int) for key in penalty._scores)
    penalty.note("192.0.2.1", 1010.0)
    assert len(penalty._scores) <= 2


def test_a_burst_of_zero_penalises_nobody() -> None:
    """The operator's choice; also for who was held before a reload."""
    bursts = [1]
    penalty = Penalty(lambda: bursts[0], never)
    for _ in range(10):
        penalty.note("203.0.113.9", 1.0)
    assert penalty.holds("203.0.113.9", 1.0)
    bursts[0] = 0
    assert not penalty.holds("203.0.113.9", 1.0)
    penalty.note("203.0.113.8", 1.0)
    assert not penalty.holds("203.0.113.8", 1.0)
