"""Values: exact money, bounded numbers, hosts and VAST's names; ``INVALID`` for all the rest."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import values
from tracker.capture.values import INVALID, MAX_INTEGER, MIN_INTEGER


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2.50", 2_500_000), ("2", 2_000_000), ("2.", 2_000_000), (".5", 500_000), ("0", 0), ("0.000001", 1),
        ("1.234567", 1_234_567), ("1.2345670000", 1_234_567), ("007", 7_000_000), ("2.5e0", 2_500_000),
        ("1e-05", 10), ("1E3", 1_000_000_000), ("25e-1", 2_500_000), ("999.999", 999_999_000), ("1000", 1_000_000_000),
        ("9223372036854.775807", MAX_INTEGER), ("123456789012", 123_456_789_012_000_000), ("0e99", 0),
    ],
)  # fmt: skip
def test_money_is_exact_micros(text: str, micros: int) -> None:
    """Decimal text, with as many zeros as one likes."""
    assert values.money(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "-1", "-0", "+1", " 1", "1 ", "1,5", "1'000", "1_000", "0x10", "NaN", "nan", "inf", "Infinity", "1e", "e5", ".e5",
        "1.0000001", "1e-7", "9223372036854.775808", "1e400", "1e99", "9" * 41, "1" + "0" * 400, "1.2.3", "٣", "1.٣", "²", "2.5\n",
        "$2", "2 USD", "1e+-5", "--1", "1e５",
    ],
)  # fmt: skip
def test_what_is_no_plain_amount_is_invalid(text: str) -> None:
    """Signs, separators, spaces, other scripts, a seventh decimal, more than 64 bits."""
    assert values.money(text) is INVALID


@given(st.decimals(0, 10**14, allow_nan=False, places=6))
def test_money_agrees_with_decimal_arithmetic(amount: Decimal) -> None:
    """Any amount with six decimals, in plain and in scientific notation."""
    micros = int(amount * 1_000_000)
    expected = micros if micros <= MAX_INTEGER else INVALID
    assert values.money(f"{amount:f}") == expected
    assert values.money(str(amount)) == expected


@given(st.decimals(0, 10**8, places=6))
def test_a_json_number_is_the_amount_that_was_written(amount: Decimal) -> None:
    """Up to 15 digits survive the decoder's double, so the money is what the sender wrote."""
    text = values.written(float(f"{amount:f}"), exact=True)
    assert isinstance(text, str)
    assert values.money(text) == int(amount * 1_000_000)


def test_a_json_number_that_may_have_been_rounded_is_no_money() -> None:
    """Sixteen digits: what the sender wrote cannot be known."""
    assert values.written(12345678901.234567, exact=True) is INVALID
    assert values.written(12345678901.234567, exact=False) == "12345678901.234568"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("-7", -7), ("007", 7), ("5.0", 5), ("9223372036854775807", MAX_INTEGER), ("-9223372036854775808", MIN_INTEGER),
        ("9223372036854775808", INVALID), ("-9223372036854775809", INVALID), ("9" * 20, INVALID), ("9" * 5000, INVALID),
        ("5.5", INVALID), ("+5", INVALID), (" 5", INVALID), ("1_0", INVALID), ("1e3", INVALID), ("", INVALID), ("٣", INVALID), ("5\n", INVALID),
    ],
)  # fmt: skip
def test_an_integer_has_64_bits_with_sign(text: str, number: object) -> None:
    """And nothing but digits and a minus."""
    assert values.integer(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5), ("5.0", 5.0), ("-1.5", -1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("9223372036854775808", 9223372036854775808.0),
        ("1e308", 1e308), ("1e309", INVALID), ("-1e999", INVALID), ("nan", INVALID), ("inf", INVALID), ("-inf", INVALID), ("0x1p3", INVALID),
        ("1_0", INVALID), (" 1", INVALID), ("", INVALID), (".", INVALID), ("-", INVALID), ("1e", INVALID), ("9" * 400, INVALID), ("٣", INVALID),
    ],
)  # fmt: skip
def test_a_number_is_finite(text: str, number: object) -> None:
    """An integer stays one; NaN, infinities and Python's own notations are nothing."""
    found = values.number(text)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://News.Example/story?x=1#y", "news.example"), ("https://news.example", "news.example"), ("news.example", "news.example"),
        ("news.example:8080", "news.example"), ("news.example/path", "news.example"), ("//news.example/x", "news.example"),
        ("http://u:p@news.example:80/", "news.example"), ("u@news.example", "news.example"), ("android-app://com.example.app/", "com.example.app"),
        ("http://[2001:DB8::1]:80/", "[2001:db8::1]"), ("BÜCHER.example", "bücher.example"), ("localhost", "localhost"),
        ("https://a.example?b", "a.example"), ("https://a.example#b", "a.example"), ("https://a@b@c.example/", INVALID),
        ("about:blank", INVALID), ("", INVALID), ("/path", INVALID), ("https://", INVALID), ("https:///x", INVALID), ("not a host", INVALID),
        ("a.example:port", INVALID), ("[SITE]", INVALID), ("{site}", INVALID), ("data:text/html,x", INVALID), ("<script>", INVALID),
        ("a" * 254, INVALID), ("a.example\n", INVALID), ("https://a.example:80:80/", INVALID),
    ],
)  # fmt: skip
def test_a_host_is_lower_case_without_port_and_user(text: str, host: object) -> None:
    """Of a URL, of ``host:port``, or bare."""
    assert values.host(text) == host


@pytest.mark.parametrize(
    ("text", "name"),
    [("midPoint", "midpoint"), ("FIRSTQUARTILE", "firstQuartile"), ("complete", "complete"), ("creativeview", "creativeView"),
     ("exitfullscreen", "exitFullscreen"), ("acceptInvitationLinear", "acceptInvitationLinear"), ("notUsed", "notUsed"),
     ("impression", INVALID), ("ſtart", INVALID), ("start ", INVALID), ("", INVALID), ("7", INVALID)],
)  # fmt: skip
def test_a_vast_event_has_vasts_spelling(text: str, name: object) -> None:
    """From any case; what VAST does not name is invalid."""
    assert values.vast_event(text) == name


@given(st.text())
def test_no_text_makes_a_value_raise(text: str) -> None:
    """Any text at all: a value of the right type, or ``INVALID``."""
    for name, convert in values.CONVERT.items():
        found = convert(text)
        if found is INVALID:
            continue
        if name in ("host", "vast_event"):
            assert isinstance(found, str)
            assert found.isprintable()
        else:
            assert isinstance(found, (int, float))
            assert MIN_INTEGER <= found <= MAX_INTEGER or name == "number"


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (-3, "-3"), (2.5, "2.5"), ([1], INVALID), ({}, INVALID)])
def test_json_values_are_written_as_people_write_them(value: object, text: object) -> None:
    """What a field reads from a JSON body; objects and arrays are no text."""
    assert values.written(value, exact=False) == text
