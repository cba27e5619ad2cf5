"""Text: what is cleaned, cut, or counts as absent, and which flag says so."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from falcon.util.uri import parse_query_string
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import text


def settled(value: object, limit: int = 100) -> tuple[str | None, list[str]]:
    flags: list[str] = []
    return text.settle(value, limit, flags), flags


@pytest.mark.parametrize(
    ("value", "kept", "flags"),
    [
        ("spring", "spring", []), ("", None, ["unknown_value"]), (" ", " ", []), ("é ü \u00a0 \u3000", "é ü \u00a0 \u3000", []), ("😀", "😀", []),
        ("a\x00b", "a\ufffdb", ["cleaned"]), ("a\nb\r", "a\ufffdb\ufffd", ["cleaned"]), ("\x1b[31m", "\ufffd[31m", ["cleaned"]),
        ("\x7f\x9b", "\ufffd\ufffd", ["cleaned"]), ("\u2028\u2029", "\ufffd\ufffd", ["cleaned"]), ("\ud800x\udfff", "\ufffdx\ufffd", ["cleaned"]),
        ("bad\ufffdutf8", "bad\ufffdutf8", ["cleaned"]), ("x" * 101, "x" * 100, ["cut"]), ("x" * 100, "x" * 100, []),
        (["first", "second"], "first", ["repeated_parameter"]), (["", "second"], None, ["repeated_parameter", "unknown_value"]),
        (["\x00" * 200, "b"], "\ufffd" * 100, ["repeated_parameter", "cleaned", "cut"]),
    ],
)  # fmt: skip
def test_text_is_kept_cleaned_or_cut(value: object, kept: str | None, flags: list[str]) -> None:
    """Spaces and all scripts stay; what no log can hold becomes U+FFFD."""
    assert settled(value) == (kept, flags)


@pytest.mark.parametrize(
    "macro",
    ["${AUCTION_PRICE}", "${AUCTION_PRICE:B64}", "[CACHEBUSTING]", "%%SITE%%", "%%CLICK_URL_ESC%%", "{random}", "{clickurl_enc}",
     "%24%7BAUCTION_PRICE%7D", "%5BCACHEBUSTING%5D", "%7Brandom%7D", "%25%25SITE%25%25"],
)  # fmt: skip
def test_an_unreplaced_macro_counts_as_absent(macro: str) -> None:
    """As it is written, or percent-encoded once more."""
    assert settled(macro) == (None, ["macro_unreplaced"])


@pytest.mark.parametrize("value", ["[1]", "[a b]", "x[A]", "[A]x", "${}", "{a}{b}", "%%", "%%%%", "%41", "$5", "{", "[", "%", "-1", "-2", '{"a":1}', "%zz"])
def test_what_only_looks_like_a_macro_is_text(value: str) -> None:
    """The whole text must be one macro with a name; VAST's -1 and -2 are left to those who know that they are VAST."""
    assert settled(value) == (value, [])


@pytest.mark.parametrize(
    ("query", "value"),
    [("a=%%CACHEBUSTER%%", "%%CACHEBUSTER%%"), ("a=%%ADID%%&b=1", "%%ADID%%"), ("b=1&a=%%SITE%%", "%%SITE%%"), ("a=x%%CA%%", "x%\ufffd%%")],
)
def test_a_macro_between_percent_signs_survives_percent_decoding(query: str, value: str) -> None:
    """``%%CACHEBUSTER%%`` has ``%CA`` in it, which is no UTF-8."""
    assert parse_query_string(text.shield_macros(query))["a"] == value


@pytest.mark.parametrize(
    ("header", "kept", "flags"),
    [
        ("plain", "plain", []), ("", "", []), ("caf\xc3\xa9", "café", []), ("caf\xe9", "caf\ufffd", ["cleaned"]), ("a\tb", "a\ufffdb", ["cleaned"]),
        ("x" * 11, "x" * 10, ["cut"]), ("${UA}", "${UA}", []), ("no bytes\u0416", "no bytes\u0416", []), ("\ud800", "\ufffd", ["cleaned"]),
    ],
)  # fmt: skip
def test_a_header_is_read_as_the_utf_8_it_was_sent_as(header: str, kept: str, flags: list[str]) -> None:
    """WSGI shows bytes as Latin-1; what is not UTF-8 is replaced."""
    found: list[str] = []
    assert text.header_text(header, 10, found) == kept
    assert found == flags


def test_the_fast_check_lets_nothing_through_that_the_slow_one_would_clean() -> None:
    """Every code point there is: if ``isprintable`` says yes, it is no control, no surrogate and no separator."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        poison = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        assert not (poison and character.isprintable())
        if point < 0x3000 or poison:
            assert (text.clean(character, []) == text.REPLACEMENT) == (poison or character == text.REPLACEMENT)


@given(st.text() | st.lists(st.text(), min_size=2, max_size=3))
def test_whatever_settles_can_be_encoded_and_printed_on_one_line(value: str | list[str]) -> None:
    """Any text, surrogates included."""
    kept, _ = settled(value, 20)
    if kept is not None:
        assert 0 < len(kept) <= 20
        assert kept.encode().decode() == kept
        assert len(kept.splitlines()) == 1
