"""An event as a line on a terminal: money exact, strangers' text harmless, never wider than the terminal."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tracker.event import Event
from tracker.terminal.event_line import line, unreadable
from tracker.terminal.safe import safe

EVENT = Event(
    id="01939b5e-0000-7000-8000-9f2c11aa03b4", event="impression", received_at="2026-11-20T14:03:07.512Z",
    dimensions={"campaign": "c1", "creative": "cr1", "currency": "EUR"},
    metrics={"price_micros": 2_500_000, "cost_nanos": 2_500_000, "watch_ms": 1500}, flags=["head"],
)


def test_an_event_is_one_line_with_its_money_as_decimals() -> None:
    """Time of day, name, dimensions, sums with their currency once each, plain metrics, flags, the id's end."""
    assert line(EVENT).plain == (
        "14:03:07.512  impression   campaign=c1  creative=cr1  price=2.50 EUR  cost=0.0025 EUR  watch_ms=1500"
        "  [head]  …9f2c11aa03b4"
    )


@pytest.mark.parametrize(("micros", "shown"), [
    (0, "0.00"), (1, "0.000001"), (-2_500_000, "-2.50"), (10_000_000, "10.00"),
    (9_007_199_254_740_993, "9007199254.740993"), (10**17, "100000000000.00"),
])  # fmt: skip
def test_money_is_exact(micros: int, shown: str) -> None:
    """No float on the way, not even past 2**53; no exponent."""
    text = line(Event(id="x", metrics={"value_micros": micros})).plain
    assert f"value={shown}" in text


def test_the_bad_lane_is_red_and_says_why() -> None:
    """Name and reason both."""
    text = line(Event(id="x", event="impression", lane="bad", reason="missing_field"))
    assert "bad: missing_field" in text.plain
    styles = {text.plain[span.start : span.end].strip(): str(span.style) for span in text.spans}
    assert "red" in styles["impression"]
    assert styles["missing_field"] == "red"


def test_a_currency_without_a_sum_is_a_dimension_like_others() -> None:
    """It is folded into money only where there is money."""
    assert "currency=EUR" in line(Event(id="x", dimensions={"currency": "EUR"})).plain


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_line_fits_and_keeps_what_matters(width: int) -> None:
    """What gives way is counted; time, name, flags and id stay."""
    many = Event(
        id=EVENT.id, event="impression", received_at=EVENT.received_at, flags=["head"],
        dimensions={f"d{number}": "漢字" * 5 for number in range(20)},
    )
    text = line(many, width).plain
    assert cell_len(text) <= width
    assert text.startswith("14:03:07.512  impression")
    assert text.endswith("[head]  …9f2c11aa03b4")
    assert f"  +{20 - text.count('=')}  " in text


def test_the_first_dimension_and_the_first_sum_are_the_last_to_give_way() -> None:
    """On 80 columns: the campaign and the price, in their usual order."""
    event = msgspec.structs.replace(EVENT, flags=[])
    assert line(event, 80).plain == "14:03:07.512  impression   campaign=c1  price=2.50 EUR  +3  …9f2c11aa03b4"


def test_an_empty_event_is_a_line_too() -> None:
    """Nothing in it but its id."""
    assert line(Event(id="")).plain.startswith("--:--:--.---  (no name)")


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[31mred", "\\x1b[31mred"),
    ("\x9b31m", "\\x9b31m"),
    ("a\r\nb\tc", "a\\r\\nb\\tc"),
    ("\x00\x07\x08\x7f", "\\x00\\x07\\x08\\x7f"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("a\u2028b\u200bc\ufeff", "a\\u2028b\\u200bc\\ufeff"),
    ("\ud800", "\\ud800"),
    ("\U000e0041", "\\U000e0041"),
    ("a\u00a0b", "a\\xa0b"),
    ("漢字 é €", "漢字 é €"),
])  # fmt: skip
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    """Escape sequences of both widths, line breaks, and the marks that reorder or hide."""
    assert safe(text) == shown


@given(st.text(), st.text(), st.text(), st.text())
def test_no_event_steers_a_terminal(name: str, key: str, value: str, flag: str) -> None:
    """Whatever stands in it, the line has printable characters only, and no second line."""
    event = Event(
        id=value, event=name, reason=value, received_at=value, lane="bad" if flag else "good",
        dimensions={key: value, "currency": value}, metrics={key: 1, key + "_micros": 2}, flags=[flag],
    )
    for width in (0, 80):
        assert line(event, width).plain.isprintable()
    assert unreadable(value.encode("utf-8", "replace") + b"\n").plain.isprintable()
