"""Values: exact money, bounded numbers, times, hosts, URLs, languages, lists, VAST's names; ``INVALID`` for all the rest."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import instant, redirect, values, vast
from tracker.capture.text import clean, is_macro
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
        ("https%3A%2F%2FNews.Example%2Fstory", "news.example"), ("https%253A%252F%252Fnews.example%252F", INVALID),
        ("https://a.example?b", "a.example"), ("https://a.example#b", "a.example"), ("https://a@b@c.example/", INVALID),
        ("about:blank", INVALID), ("", INVALID), ("/path", INVALID), ("https://", INVALID), ("https:///x", INVALID), ("not a host", INVALID),
        ("a.example:port", INVALID), ("[SITE]", INVALID), ("{site}", INVALID), ("data:text/html,x", INVALID), ("<script>", INVALID),
        ("a" * 254, INVALID), ("a.example\n", INVALID), ("https://a.example:80:80/", INVALID),
    ],
)  # fmt: skip
def test_a_host_is_lower_case_without_port_and_user(text: str, host: object) -> None:
    """Of a URL, of ``host:port``, or bare."""
    assert values.host(text) == host


REVIVE = ["start", "midpoint", "firstQuartile", "thirdQuartile", "complete", "mute", "replay", "fullscreen", "stop", "unmute", "resume", "pause"]
VPAID = {
    "AdStarted": "creativeView", "AdVideoStart": "start", "AdVideoFirstQuartile": "firstQuartile", "AdVideoMidpoint": "midpoint",
    "AdVideoThirdQuartile": "thirdQuartile", "AdVideoComplete": "complete", "AdSkipped": "skip", "AdPaused": "pause", "AdPlaying": "resume",
    "AdUserAcceptInvitation": "acceptInvitation", "AdUserMinimize": "collapse", "AdUserClose": "close",
}  # fmt: skip
IMA = {
    "STARTED": "start", "FIRST_QUARTILE": "firstQuartile", "MIDPOINT": "midpoint", "THIRD_QUARTILE": "thirdQuartile", "COMPLETE": "complete",
    "COMPLETED": "complete", "PAUSED": "pause", "RESUMED": "resume", "SKIPPED": "skip", "LOADED": "loaded", "userClose": "close", "VOLUME_MUTED": "mute",
}  # fmt: skip
NO_TRACKING_EVENTS = [
    "impression", "Impression", "error", "ClickTracking", "viewable", "AdImpression", "AdClickThru", "AdStopped", "AdLoaded", "AdVolumeChange", "ALL_ADS_COMPLETED",
    "ſtart", "s\u212aip", "st\u00e4rt", "", " ", "-", "midway", "start;", "start\n", "0", "13", "-1", "-2", "1_0", " 1", "1 ", "2 5", "01", "26", "q5", "٢", "x" * 65_536,
]  # fmt: skip


def test_a_vast_event_has_vasts_spelling() -> None:
    """All names of VAST 1 to 4.3, in any case, with any of the usual characters between their words."""
    assert len(vast.EVENTS) == len(set(vast.EVENTS)) == 35
    for name in vast.EVENTS:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        for text in (name, name.lower(), name.upper(), snake, snake.upper(), snake.replace("_", "-"), snake.replace("_", " ")):
            assert values.vast_event(text) == name
    assert values.vast_event("midPoint") == "midpoint"  # Prebid Server, endpoints/events/event.go


@pytest.mark.parametrize(("text", "name"), [*VPAID.items(), *IMA.items()])
def test_players_names_of_events_are_known(text: str, name: str) -> None:
    """VPAID 2.0, table 2.5.3 (which VAST event each of its events triggers), and Google's IMA SDK (AdEvent.Type)."""
    assert values.vast_event(text) == name


def test_revives_numbers_and_per_cents_are_known() -> None:
    """Revive's plugins_repo/openXVideoAds/plugins/videoAds/vastEvent.delivery.php: midpoint is 2, before firstQuartile."""
    assert [values.vast_event(str(number)) for number in range(1, 13)] == REVIVE
    quartiles = ["firstQuartile", "midpoint", "thirdQuartile", "complete"]
    assert [values.vast_event(text) for text in ("25", "50", "75", "100")] == quartiles
    assert [values.vast_event(text) for text in ("25%", "50%", "75%", "100%")] == quartiles
    assert [values.vast_event(text) for text in ("q1", "Q2", "q3", "Q4")] == quartiles


@pytest.mark.parametrize("text", NO_TRACKING_EVENTS, ids=lambda text: ascii(text[:20]))
def test_what_is_no_tracking_event_is_invalid(text: str) -> None:
    """VAST's own elements, events that trigger none, other scripts; above all -1 (unknown) is not Revive's 1."""
    assert values.vast_event(text) is INVALID


@pytest.mark.parametrize(
    ("text", "known"),
    [
        *[(text, 1) for text in ("true", "True", "TRUE", "1", "yes", "YES", "on", "t", "T", "y", "Y")],
        *[(text, 0) for text in ("false", "False", "FALSE", "0", "no", "NO", "off", "Off", "f", "N")],
        *[(text, None) for text in ("", "2", "-1", "01", "1.0", "truee", "true ", " true", "ja", "null", "yess", "\u0130", "٠", "1" * 65_536)],
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_boolean_is_what_people_and_programs_write(text: str, known: int | None) -> None:
    """true/false, 1/0, yes/no, on/off, t/f, y/n in any case; nothing else."""
    assert values.boolean_number(text) is (INVALID if known is None else known)
    assert values.boolean_text(text) == (INVALID if known is None else "true" if known else "false")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1763675618123", "2025-11-20T21:53:38.123Z"), ("1763675618", "2025-11-20T21:53:38.000Z"), ("1763675618.5", "2025-11-20T21:53:38.500Z"),
        ("1763675618.1239999", "2025-11-20T21:53:38.123Z"), ("1763675618123.9", "2025-11-20T21:53:38.123Z"), ("0", "1970-01-01T00:00:00.000Z"),
        ("99999999999", "5138-11-16T09:46:39.000Z"), ("100000000000", "1973-03-03T09:46:40.000Z"), ("253402300799999", "9999-12-31T23:59:59.999Z"),
        ("2025-11-20T21:53:38.123Z", "2025-11-20T21:53:38.123Z"), ("2025-11-20T22:53:38+01:00", "2025-11-20T21:53:38.000Z"),
        ("2025-11-20t21:53:38z", "2025-11-20T21:53:38.000Z"), ("2025-11-20 21:53:38Z", "2025-11-20T21:53:38.000Z"),
        ("2025-11-20T22:53:38 01:00", "2025-11-20T21:53:38.000Z"), ("2025-11-20T21:53:38.123456789Z", "2025-11-20T21:53:38.123Z"),
        ("2016-01-17T8:15:07.127-05", "2016-01-17T13:15:07.127Z"), ("2016-01-17T08:15:07.127-0530", "2016-01-17T13:45:07.127Z"),
        ("2016-01-17T8:15:07.127 05", "2016-01-17T03:15:07.127Z"), ("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"),
        ("1950-05-05T00:00:00Z", "1950-05-05T00:00:00.000Z"), ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
    ],
)  # fmt: skip
def test_a_time_is_written_in_utc_with_milliseconds(text: str, written: str) -> None:
    """Unix seconds and milliseconds, RFC 3339, and VAST's [TIMESTAMP] with its own example (VAST 4.3, 6.2)."""
    assert values.time_text(text) == written
    ms = round((datetime.fromisoformat(written) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    assert values.time_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "-1", "+1763675618", "1e9", "1763675618,5", "٣", "²", "1763675618 ", "12345678901234567", "253402300800000", "1" * 65_536,
        "2025-11-20", "2025-11-20T21:53:38", "2025-11-20T21:53Z", "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-02-30T00:00:00.000Z",
        "2025-11-20T24:00:00Z", "2025-11-20T21:60:00Z", "2025-11-20T21:53:38+24:00", "2025-11-20T21:53:38+1:00", "2025-W01-1T21:53:38.123Z",
        "20251120T215338Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2025-11-20T21:53:38.123Z\n", "10000-01-01T00:00:00Z",
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_what_is_no_instant_is_invalid(text: str) -> None:
    """No offset, no such day, microseconds, a year beyond 1 to 9999, other forms of ISO 8601."""
    assert values.time_text(text) is INVALID
    assert values.time_ms(text) is INVALID


@given(st.integers(instant.FIRST_MS, instant.LAST_MS), st.integers(-23 * 60, 23 * 60))
def test_a_time_survives_being_written_and_read(ms: int, offset: int) -> None:
    """To the millisecond, from any zone, in all years that RFC 3339 can write."""
    text = instant.rfc3339(ms)
    assert len(text) == 24
    assert values.time_ms(text) == ms
    assert values.time_text(text) == text
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    elsewhere = ms + offset * 60_000
    if instant.FIRST_MS <= elsewhere <= instant.LAST_MS:
        assert values.time_ms(instant.rfc3339(elsewhere)[:-1] + zone) == ms
    if ms >= 100_000_000_000:
        assert values.time_text(str(ms)) == text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://www.shop.example/a/b?c=d&e=%20#f", "https://www.shop.example/a/b?c=d&e=%20#f"), ("HTTPS://Shop.Example", "https://shop.example/"),
        ("http://shop.example:80/x", "http://shop.example/x"), ("http://shop.example:8080/x", "http://shop.example:8080/x"), ("http://localhost/", "http://localhost/"),
        ("https://shop.example/ü", "https://shop.example/%C3%BC"), ("https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc", "https://shop.example/a?b=c"),
        ("https%3a//shop.example/", "https://shop.example/"), ("https://127.0.0.1/", "https://127.0.0.1/"),
        *[(text, INVALID) for text in (
            "", "/path", "//shop.example/", "shop.example", "javascript:alert(1)", "data:text/html,x", "ftp://shop.example/", "https://user@shop.example/", "https://shop.example\\@evil.example/",
            "https://shop.example:0/", "https://1.2.3/", "https://0x7f.1/", "https://a..b/", "https://-a.example/", "https://shop.example/\n", "https://shop.example/ ", "https%253A%252F%252Fshop.example%252F",
            "https://shop.example/" + "x" * 2048, "https://" + "a" * 64 + ".example/", "https://" + "a." * 127 + "example/", "about:blank", "https://shop.example./", "https://[::1]/",
        )],
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_a_url_is_written_anew(text: str, url: object) -> None:
    """Absolute, http or https, the plain grammar of redirects; encoded once too often, it is decoded once."""
    assert values.url(text) == url


LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?|0x[0-9a-f]{0,3}|[0-9]{1,4}", fullmatch=True)
TAIL = st.text(st.sampled_from("abzAZ09/?#&=%._~-!$'()*+,;:@[]ü \\^`{|}<>\"\n"), max_size=30)
URLS = st.builds("{}://{}{}{}".format, st.sampled_from(["http", "https"]), st.lists(LABEL, min_size=1, max_size=4).map(".".join), st.sampled_from(["", "/"]), TAIL)


@given(URLS | st.text())
def test_the_fast_way_of_a_url_is_the_slow_one(text: str) -> None:
    """What the short check lets pass as it is, the redirect's grammar would write just so."""
    found = redirect.parse(text)
    if not text.lower().startswith(("http%3a", "https%3a")):
        assert values.url(text) == (found.location() if found is not None else INVALID)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("de", "de"), ("DE", "de"), ("de-ch;q=0.9", "de-CH"), ("de-CH, de;q=0.9, en;q=0.8", "de-CH"), (" fr , en", "fr"), ("en_GB", "en-GB"), ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"), ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"), ("de-1abc", "de-1abc"), ("zh-cmn-HANS-cn", "zh-cmn-Hans-CN"), ("haw-us", "haw-US"),
        ("de-DE-u-co-phonebk", "de-DE-u-co-phonebk"), ("EN-a-BBB-X-A-cC", "en-a-bbb-x-a-cc"), ("az-arab-x-AZE-derbend", "az-Arab-x-aze-derbend"),
        *[(text, INVALID) for text in (
            "", "*", "*;q=0.5", "*, de", "null", "english", "d", "de-", "-de", "de--CH", "x-private", "de-x", "de-a", "12", "d3", "dé", "ꞵde", "\u212aa", "[LANG]", "de/CH", "de\n-CH",
            "de-" + "a1234567-" * 8 + "a1234567", "de" * 40_000, "a-" * 40_000, ",de",
        )],
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_a_language_is_a_bcp_47_tag_in_its_own_case(text: str, tag: object) -> None:
    """RFC 5646, 2.1 (grammar, with its appendix A's examples) and 2.1.1 (case); the first of an Accept-Language list."""
    assert values.language(text) == tag


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("IAB1-1,IAB2,IAB3-4", "IAB1-1,IAB2,IAB3-4"), (" a , b ", "a,b"), ("a%2Cb,c", "a%2Cb,c"), ("a%20b,%20c", "a b,c"), ("a%252Fb", "a%2Fb"), ("a,,b,", "a,b"), ("-1,a,-2", "a"), ("%2D1,a", "a"),
        ("", ""), (",", ""), ("-1", ""), ("-2", ""), (" , -1 ", ""), ("[BLOCKEDADCATEGORIES]", ""), ("IAB1,[X],${Y}", "IAB1"), ("a%0Ab", "a\ufffdb"), ("%C3%BC,%FF", "ü,\ufffd"), ("100%", "100%"),
        ("a%E2%80%A8b", "a\ufffdb"), ("%00", "\ufffd"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_list_keeps_the_items_that_say_something(text: str, joined: str) -> None:
    """VAST 4.3, 6: commas between items, each percent-encoded by itself; -1 is unknown, -2 withheld."""
    assert values.items(text) == joined


def test_a_list_has_at_most_100_items() -> None:
    """The others are dropped, however many there are."""
    numbers = [f"n{n}" for n in range(60_000)]
    assert values.items(",".join(numbers)) == ",".join(numbers[:100])
    assert values.items(",".join(numbers[:100])) == ",".join(numbers[:100])


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("spring", "spring"), ("a%20b", "a b"), ("a%252Fb", "a/b"), ("%2525", "%"), ("a%25252Fb", "a%2Fb"), ("100%", "100%"), ("50%off", "50%off"), ("a+b%2Bc", "a+b+c"), ("%C3%BC", "ü"),
        ("%0A", "\ufffd"), ("%250A", "\ufffd"), ("a%1B%5B31m", "a\ufffd[31m"), ("%25E2%2580%25A8", "\ufffd"), ("%ED%A0%80", "\ufffd\ufffd\ufffd"), ("%FF", "\ufffd"), ("%", "%"), ("%zz", "%zz"),
        ("%24%7BAUCTION_ID%7D", ""), ("%2524%257BAUCTION_ID%257D", ""), ("%5BDOMAIN%5D", ""), ("%25255BDOMAIN%25255D", ""), ("x%5BDOMAIN%5D", "x[DOMAIN]"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_macros_value_is_decoded_as_often_as_it_was_handed_on(text: str, decoded: str) -> None:
    """At most twice; what no log can hold becomes U+FFFD, and a macro below the encoding counts as unknown."""
    assert values.macro(text) == decoded


@pytest.mark.parametrize(("text", "yes"), [("AUDIT", True), ("audit", True), ("Audit", True), ("AUDITS", False), ("", False), ("0", False), (" AUDIT", False), ("AUDI\u0442", False), ("AUD\u0131T", False)])
def test_a_test_render_has_a_price_of_audit(text: str, yes: bool) -> None:
    """OpenRTB 2.6, 4.4: what stands for a value in a test or ad quality run. It is no money."""
    assert values.is_audit(text) is yes
    if yes:
        assert values.money(text) is INVALID


NASTY = st.text() | st.text(st.sampled_from("%0123456789abcdefABCDEF,-_. :;/TZ+[]{}$"), max_size=40) | st.sampled_from(["%", "%2", "%25" * 30, "-", ",", "%2c%2C"])


@given(NASTY)
def test_no_text_makes_a_value_raise(text: str) -> None:
    """Any text at all: a value of the right type in its range, or ``INVALID``."""
    for name, read in values.METRIC.items():
        number = read(text)
        assert number is INVALID or (isinstance(number, (int, float)) and not isinstance(number, bool))
        assert number is INVALID or name == "number" or MIN_INTEGER <= number <= MAX_INTEGER  # type: ignore[operator]
    for name, convert in values.DIMENSION.items():
        for raw in (text, clean(text, [])):
            found = convert(raw)
            assert found is INVALID or isinstance(found, str)
            if isinstance(found, str) and (name not in ("macro", "list") or clean(raw, []) == raw):  # those two get clean text
                assert clean(found, []) == found
                assert found.encode().decode() == found
                assert len(found.splitlines()) <= 1


@given(st.lists(st.text(min_size=1, max_size=8).map(lambda text: clean(text, []).strip()), max_size=20))
def test_a_list_written_as_vast_says_is_read_back(texts: list[str]) -> None:
    """Each item percent-encoded, commas between: the same items come out, a comma within one as ``%2C``."""
    kept = [text for text in texts if text not in ("", "-1", "-2") and not is_macro(text)]
    assert values.items(",".join(quote(text, safe="") for text in texts)) == ",".join(text.replace(",", "%2C") for text in kept)


@pytest.mark.parametrize("name", [*values.DIMENSION, *values.METRIC])
def test_the_longest_text_takes_no_longer_than_it_is(name: str) -> None:
    """64 KiB of what each type would have to look at: below 50 ms, where 1 us a character is 65."""
    for text in ("%" * 65_536, "%25" * 21_845, "a," * 32_768, "1" * 65_536, "https://" + "a." * 32_760, "a-" * 32_768, " " * 65_536, "http%3A" + "%2F" * 21_000, "-" * 65_536):
        began = time.perf_counter()
        (values.DIMENSION.get(name) or values.METRIC[name])(text)
        assert time.perf_counter() - began < 0.05, text[:8]


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (-3, "-3"), (2.5, "2.5"), ([1], INVALID), ({}, INVALID)])
def test_json_values_are_written_as_people_write_them(value: object, text: object) -> None:
    """What a field reads from a JSON body; objects and arrays are no text."""
    assert values.written(value, exact=False) == text
