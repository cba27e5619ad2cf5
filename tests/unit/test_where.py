"""Conditions: what they take, and how they say that they cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.event import Context, Event
from tracker.journal.where import BadExpression, parse, select

EVENT = Event(
    id="e1", stream="0" * 32, seq=7, event="impression", received_at="2026-11-20T21:27:05.123Z",
    dimensions={"campaign": "c1", "age": "10", "version": "1.10", "odd.name": "x"},
    metrics={"price_micros": 2_500_000, "big": 2**63, "share": 0.25},
    properties={"cart": {"total": 3, "open": True, "gift.wrap": "no"}, "tags": ["a", "b"], "nothing": None},
    context=Context(page="https://shop.example/checkout?step=2", user_agent="Mozilla/5.0"),
    flags=["head", "prefetch"],
)
EMPTY = Event(id="e2")


@pytest.mark.parametrize("expression", [
    "dimensions.campaign=c1",
    " dimensions.campaign = c1 ",
    'dimensions.campaign="c1"',
    "dimensions.campaign!=c2",
    "dimensions.absent!=c2",
    "dimensions.absent=",
    "dimensions.campaign!=",
    "dimensions.odd.name=x",
    "reason=",
    "lane=good",
    "event~^imp",
    "event~(?i)IMP",
    "context.page~checkout",
    "metrics.price_micros>1000000",
    "metrics.price_micros>=2.5e6",
    "metrics.price_micros=2500000",
    "metrics.price_micros=2500000.0",
    "metrics.big>9223372036854775807",
    "metrics.share<0.3",
    "metrics.price_micros~^25",
    "dimensions.age>9",
    "received_at>=2026-11-20T21:27",
    "received_at<2026-11-21",
    "seq=7",
    "flags=head",
    "flags=prefetch",
    "flags!=bot",
    "properties.cart.total=3",
    "properties.cart.open=true",
    "properties.cart.gift.wrap=no",
    "properties.tags=b",
    "properties.nothing=",
    "properties.cart!=",
])  # fmt: skip
def test_a_condition_takes_what_it_says(expression: str) -> None:
    """Text, numbers, lists, nested properties, absent fields, times."""
    assert parse(expression).takes(EVENT)


@pytest.mark.parametrize("expression", [
    "dimensions.campaign=C1", "dimensions.campaign!=c1", "dimensions.campaign=", "reason!=", "flags!=head",
    "metrics.price_micros>2500000", "metrics.big=9223372036854775807", "metrics.absent>0", "metrics.absent<1",
    "properties.cart.absent=3", "properties.absent.deep=3", "seq>7", "event~^click", "received_at<2026",
])  # fmt: skip
def test_a_condition_leaves_the_rest(expression: str) -> None:
    """The neighbours of the above; an absent number is neither large nor small; 2**63 is not 2**63 - 1."""
    assert not parse(expression).takes(EVENT)


@pytest.mark.parametrize(("expression", "repair"), [
    ("", "write FIELD OP VALUE"),
    ("campaign", "dimensions.campaign=c1"),
    ("=c1", "write FIELD OP VALUE"),
    ("campaign=c1", "dimensions.campaign"),
    ("evnt=x", "did you mean `event`?"),
    ("dimensions=c1", "dimensions.campaign"),
    ("metrics=1", "metrics.price_micros"),
    ("id.x=1", "write id alone"),
    ("context.pag=1", "page"),
    ("dimensions.campaign==c1", "write dimensions.campaign=c1"),
    ("metrics.price_micros>cheap", "2.50 is 2500000"),
    ("metrics.price_micros=nan", "metrics are numbers"),
    ("seq>", "a value is missing"),
    ("event~", "regular expression is missing"),
    ("event~(", "put a backslash before"),
    ("event~" + "a" * 257, "longer than 256"),
    ('event="a"b"', "not a JSON string"),
])  # fmt: skip
def test_a_mistake_is_said_with_its_repair(expression: str, repair: str) -> None:
    """Found when it is read, not at the first event."""
    with pytest.raises(BadExpression) as caught:
        parse(expression)
    assert repair in str(caught.value)


def test_a_pattern_looks_only_so_far_into_a_text() -> None:
    """The end of a very long text is not searched."""
    near, far = (Event(id="x", properties={"t": "a" * n + "b"}) for n in (4095, 4096))
    takes = parse("properties.t~b").takes
    assert takes(near)
    assert not takes(far)


def test_several_questions_are_all_asked() -> None:
    """Any of the names, and the lane, and every condition; nothing asked is None."""
    assert select() is None
    takes = select(["click", "imp*n"], "good", [parse("dimensions.campaign=c1"), parse("seq>6")])
    assert takes is not None
    assert takes(EVENT)
    assert not takes(Event(id="x", event="click"))
    assert not takes(Event(id="x", event="impressions", dimensions={"campaign": "c1"}, seq=9))
    bad = select(lane="bad")
    assert bad is not None
    assert not bad(EVENT)
    assert bad(Event(id="x", lane="bad"))


def test_a_star_alone_is_special_in_a_name() -> None:
    """`.`, `?` and brackets mean themselves, as for collectors."""
    takes = select(["a.b", "x?"])
    assert takes is not None
    assert takes(Event(id="x", event="a.b"))
    assert not takes(Event(id="x", event="aXb"))
    assert not takes(Event(id="x", event="xy"))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=30) | st.builds("{}{}{}".format, st.sampled_from(
    ["properties.a", "properties.a.b", "metrics.a", "flags", "seq", "context.page", "dimensions.a"]),
    st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "~"]), st.text(max_size=10)), VALUES)  # fmt: skip
def test_no_text_and_no_event_raises_anything_else(text: str, value: Any) -> None:
    """Any text is a condition or a BadExpression; a condition answers True or False for any event."""
    try:
        condition = parse(text)
    except BadExpression as error:
        assert str(error)
        return
    for event in (EVENT, EMPTY, Event(id="x", properties={"a": value}, dimensions={"a": "1"}, metrics={"a": 1})):
        assert condition.takes(event) in (True, False)
