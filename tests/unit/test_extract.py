"""Fields: where they are read from, which source wins, and what they become."""

from __future__ import annotations

from typing import Any

import pytest

from tracker.capture.extract import WITHHELD, Parts, Read
from tracker.capture.extract import compile_field as compile_any
from tracker.capture.memo import MAX_CHARS, MAX_TEXTS, Memo
from tracker.capture.properties import properties_of
from tracker.capture.values import DIMENSION, INVALID, METRIC, MISSING
from tracker.settings.model import Field


def parts(path: list[str] | None = None, query: dict[str, Any] | None = None, header: dict[str, str] | None = None, body: dict[str, Any] | None = None) -> Parts:
    return path or [], query or {}, (header or {}).get, body or {}, []


def field(**options: Any) -> Field:
    return Field(**{{"of": "from_", "kind": "as_"}.get(name, name): value for name, value in options.items()})


def compile_field(compiled: Field, names: list[str], limit: int) -> Read:
    """As a dimension, or as a metric where only metrics have the type."""
    return compile_any(compiled, names, limit, METRIC if compiled.as_ in ("integer", "number", "money") else DIMENSION)


def test_the_first_present_source_wins() -> None:
    """An empty text and an unreplaced macro are absent and flagged, and the next source is asked."""
    read = compile_field(field(of=("query.a", "query.b", "body.c", "header.d", "path.e"), default="none"), ["e"], 100)
    hit = parts(["p"], {"a": "", "b": "{b}"}, {"d": "h"}, {"c": None})
    assert read(hit) == "h"
    assert hit[4] == ["unknown_value", "macro_unreplaced"]
    assert read(parts(["p"], {"a": "q", "b": "x"}, {"d": "h"})) == "q"
    assert read(parts(["p"], {"b": "q"})) == "q"
    assert read(parts(["p"])) == "p"
    assert read(parts([""])) == "none"


@pytest.mark.parametrize(
    ("options", "value", "found"),
    [
        ({}, "x", "x"), ({}, None, None), ({}, "", None), ({"required": True}, None, MISSING), ({"required": True}, "[X]", MISSING),
        ({"required": True, "default": "d"}, None, "d"), ({"default": "d"}, "x", "x"), ({"lower": True}, "XÉ", "xé"), ({"max_length": 3}, "abcdef", "abc"),
        ({"max_length": 2, "lower": True}, "ABC", "ab"), ({"max_length": 2, "default": "xyz"}, None, "xy"),
        ({"kind": "integer"}, "7", 7), ({"kind": "integer"}, "x", INVALID), ({"kind": "integer", "default": "5"}, None, 5),
        ({"kind": "integer", "default": "5"}, "x", INVALID), ({"kind": "integer", "max_length": 1}, "77", 77),
        ({"kind": "money"}, "2.50", 2_500_000), ({"kind": "money"}, "-1", None), ({"kind": "money"}, "-3", INVALID), ({"kind": "money"}, "AUDIT", WITHHELD), ({"kind": "money", "default": "1"}, "audit", WITHHELD), ({"kind": "money", "required": True}, "Audit", WITHHELD),
        ({}, "-2", None), ({"unknown": ()}, "-2", "-2"), ({"unknown": ("n/a",)}, "n/a", None), ({"kind": "integer"}, "-1", None), ({"kind": "integer", "unknown": ()}, "-1", -1),
        ({"kind": "host", "unknown": ("none",)}, "none", None), ({"kind": "host"}, "none", "none"), ({"required": True}, "-1", MISSING),
        ({"pattern": "[a-z]+"}, "abc", "abc"), ({"pattern": "[a-z]+"}, "abc1", INVALID), ({"pattern": "[a-z]+", "lower": True}, "ABC", "abc"), ({"pattern": "a|b"}, "ab", INVALID),
        ({"kind": "boolean"}, "YES", "true"), ({"kind": "boolean"}, "maybe", INVALID), ({"kind": "time"}, "2026-11-20T10:00:00+01:00", "2026-11-20T09:00:00.000Z"),
        ({"kind": "url"}, "HTTPS://Shop.example", "https://shop.example/"), ({"kind": "url", "max_length": 10}, "https://shop.example/x", "https://sh"), ({"kind": "url"}, "javascript:x", INVALID),
        ({"kind": "language"}, "de-ch;q=0.8, en", "de-CH"), ({"kind": "macro"}, "a%2520b", "a b"), ({"kind": "macro"}, "a%250Ab", "a\ufffdb"), ({}, "{{ad.id}}", None), ({}, "__CAMPAIGN_ID__", None), ({}, "__init__", "__init__"), ({"kind": "list"}, "a, b%2Cc,,-1", "a,b%2Cc"), ({"kind": "list"}, "-1", None),
        ({"kind": "list"}, ",-2,", None), ({"kind": "money"}, "${AUCTION_PRICE}", None),
        ({"kind": "money", "required": True}, "${AUCTION_PRICE}", MISSING), ({"kind": "number"}, "1e3", 1000.0),
        ({"kind": "host"}, "https://A.example/x", "a.example"), ({"kind": "host", "max_length": 3}, "https://A.example/x", "a.e"), ({"kind": "host"}, "!", INVALID),
        ({"kind": "vast_event"}, "midPoint", "midpoint"), ({"kind": "vast_event"}, "midway", INVALID),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["query", "body", "path"])
def test_a_field_is_read_alike_from_path_query_and_body(options: dict[str, Any], value: str | None, found: object, place: str) -> None:
    """Present, absent, defaulted, required, cut, lower-cased, converted."""
    read = compile_field(field(of=f"{place}.f", **options), ["f"], 100)
    hit = parts([value or ""], {"f": value} if value is not None else {}, {}, {"f": value})
    assert read(hit) == found


def test_a_json_number_is_what_it_says_although_its_text_would_mean_unknown() -> None:
    """-1 is an ad server's word only where it is text."""
    hit = parts(body={"f": -1, "g": "-1"})
    assert compile_field(field(of="body.f", kind="integer"), [], 100)(hit) == -1
    assert hit[4] == []
    assert compile_field(field(of="body.g", kind="integer"), [], 100)(hit) is None
    assert hit[4] == ["unknown_value"]


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("body/cart/1/sku", "B"), ("body/cart/0/price", "9.5"), ("body/cart/2/sku", None), ("body/cart/01/sku", None), ("body/cart/-", None), ("body/a~1b", "slash"),
        ("body/m~0n", "tilde"), ("body/cart", INVALID), ("body/", "empty"), ("body/cart/sku", None), ("body/deep/x", None), ("body/cart/99999", None), ("body/01", "1"),
    ],
)  # fmt: skip
def test_a_pointer_reaches_into_the_body(pointer: str, found: object) -> None:
    """RFC 6901: escapes, array indices without leading zeros; what is not there is absent, what is no value is invalid."""
    body = {"cart": [{"sku": "A", "price": 9.5}, {"sku": "B"}], "a/b": "slash", "m~n": "tilde", "": "empty", "deep": 5, "01": 1}
    assert compile_field(field(of=pointer), [], 100)(parts(body=body)) == found


def test_a_list_takes_all_values_of_a_repeated_parameter_or_of_a_json_array() -> None:
    """A comma inside an item stays encoded; numbers are written; nothing is flagged as repeated."""
    hit = parts(query={"f": ["a", "b,c", "-1"]}, body={"f": ["x,y", 5, None, {"no": 1}, "100%"]})
    assert compile_field(field(of="query.f", kind="list"), [], 100)(hit) == "a,b,c"
    assert compile_field(field(of="body.f", kind="list"), [], 100)(hit) == "x%2Cy,5,100%"
    assert hit[4] == []


def test_a_cookie_is_a_source_like_any_other() -> None:
    """One of several, by its exact name."""
    hit = parts(header={"cookie": "a=1; __Host-tid=abc; b=2"})
    assert compile_field(field(of="cookie.__Host-tid"), [], 100)(hit) == "abc"
    assert compile_field(field(of="cookie.tid"), [], 100)(hit) is None


def test_a_constant_needs_no_hit() -> None:
    """Converted at start, cut at its limit."""
    assert compile_field(field(const="spring"), [], 100)(parts()) == "spring"
    assert compile_field(field(const="2.5", kind="money"), [], 100)(parts()) == 2_500_000
    assert compile_field(field(const="spring", max_length=3), [], 100)(parts()) == "spr"


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (7, "text", "7"), (2.5, "text", "2.5"), (True, "text", "true"), (False, "text", "false"), ([1], "text", INVALID), ({"a": 1}, "text", INVALID), (None, "text", None),
        (7, "integer", 7), (7.0, "integer", 7), (7.5, "integer", INVALID), (True, "integer", INVALID), (-(2**63), "integer", -(2**63)),
        (2.5, "money", 2_500_000), (3, "money", 3_000_000), (0.1, "money", 100_000), (1e-06, "money", 1), (-1, "money", INVALID), (1e300, "money", INVALID),
        (12345678901.234567, "money", INVALID), (1.5, "number", 1.5), (1e300, "number", 1e300), ("a\nb", "text", "a\ufffdb"),
    ],
)  # fmt: skip
def test_json_values_count_as_the_text_that_they_write(value: object, kind: str, found: object) -> None:
    """Numbers, booleans, null; an object or array is no value of a field."""
    assert compile_field(field(of="body.f", kind=kind), [], 100)(parts(body={"f": value})) == found


@pytest.mark.parametrize(
    ("raw", "kind", "found", "flags"),
    [
        ("x", "text", "x", []), ("caf\xc3\xa9", "text", "café", []), ("\xff", "text", "\ufffd", ["cleaned"]), ("[UA]", "text", None, ["macro_unreplaced"]),
        ("x" * 101, "text", "x" * 100, ["cut"]), ("https://a.example/" + "x" * 2000, "host", "a.example", []), ("about:blank", "host", None, []),
        ("null", "host", "null", []), ("7", "integer", 7, []), ("x", "integer", INVALID, []),
    ],
)  # fmt: skip
def test_a_header_is_read_the_same_the_first_and_the_second_time(raw: str, kind: str, found: object, flags: list[str]) -> None:
    """A memo answers the second time, flags included; a header without a host is no fault of the tag."""
    read = compile_field(field(of="header.X-Thing", kind=kind), [], 100)
    for _ in range(2):
        hit = parts(header={"x-thing": raw})
        assert read(hit) == found
        assert hit[4] == flags
    assert read(parts()) is None


def test_a_repeated_parameter_gives_its_first_value_to_any_type() -> None:
    """And is flagged once, however many fields read it."""
    hit = parts(query={"f": ["7", "8"]})
    assert compile_field(field(of="query.f", kind="integer"), [], 100)(hit) == 7
    assert compile_field(field(of="query.f"), [], 100)(hit) == "7"
    assert hit[4] == ["repeated_parameter"]


def test_properties_are_what_no_field_has_read() -> None:
    """All or the listed ones; the body's word goes before the query's; text of the query is cleaned here."""
    hit = parts(query={"a": "1", "b": ["2", "3"], "c": "q", "used": "x", "t\x00": "\x1b"}, body={"c": [1], "used": 5, "d": None})
    everything = properties_of(None, hit, frozenset({"used"}), frozenset())
    assert everything == {"a": "1", "b": "2", "c": [1], "used": 5, "d": None, "t\ufffd": "\ufffd"}
    assert sorted(hit[4]) == ["cleaned", "repeated_parameter"]
    assert properties_of(frozenset({"a", "d", "z"}), hit, frozenset(), frozenset()) == {"a": "1", "d": None}


def test_a_memo_forgets_rather_than_grows() -> None:
    """More texts than it holds, each twice, and texts longer than it keeps: right answers, bounded size."""
    memo = Memo(len)
    assert [memo["x" * (MAX_CHARS + 1)] for _ in range(3)] == [MAX_CHARS + 1] * 3
    assert len(memo) == 0
    for n in range(3 * MAX_TEXTS):
        assert [memo[str(n)] for _ in range(3)] == [len(str(n))] * 3
        assert 0 < len(memo) <= MAX_TEXTS


def test_a_memo_remembers_what_comes_twice_and_is_not_flooded_by_what_comes_once() -> None:
    """Worked out twice, then known, also after a hundred thousand others."""
    calls: list[str] = []
    memo = Memo(calls.append)
    for _ in range(5):
        memo["again"]
    assert calls == ["again", "again"]
    for n in range(100_000):
        memo[f"once {n}"]
    memo["again"]
    assert calls.count("again") == 2
    assert len(memo) < 100
