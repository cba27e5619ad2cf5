"""The check of the routing table: one mistake at a time, each found at its place; and the defaults without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tracker.capture import routing
from tracker.capture.identity import CLIENT_WORDS
from tracker.capture.plan import compile_plan
from tracker.capture.template import parse
from tracker.settings.load import load
from tracker.settings.model import Routes, Tracker

CONFIG = Path(__file__).parents[2] / "config"


def faults(text: str) -> list[tuple[tuple[str | int, ...], str]]:
    routes = msgspec.convert(yaml.safe_load(text), Routes)
    found = list(routing.check(Tracker(), routes))
    assert {fault.file for fault in found} <= {"routes"}
    return [(fault.path, f"{fault.message} {fault.hint}".strip()) for fault in found]


def route(body: str, path: str = "/a/{x}", reply: str = "pixel") -> str:
    return f"routes: {{r: {{path: '{path}', reply: {reply}, {body}}}}}"


def test_the_default_routes_have_no_fault_and_compile() -> None:
    """What travels in the wheel is right, and every one of its paths leads to its own plan."""
    settings = load(None, None, {}, {}, (routing.check,))
    tree = routing.table(settings.routes, settings.tracker)
    for name, each in settings.routes.routes.items():
        path = each.path.replace("{", "").replace("}", "")
        found = tree.find(path)
        assert found is not None
        assert found[0].name == name


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (route("", path="imp"), ("path",), "begins with `/`"),
        (route("", path="/-/x"), ("path",), "tracker's own"),
        (route("use: [adds]"), ("use", 0), "unknown field set `adds`"),
        (route("event: path.y"), ("event",), "no parameter `y` in /a/{x} (it has `x`)"),
        (route("event: 'two words'"), ("event",), "letters, digits"),
        (route("event: ''"), ("event",), "1 to 128"),
        (route("methods: []"), ("methods",), "at least one method"),
        (route("dimensions: {d: path.y}"), ("dimensions", "d"), "no parameter `y`"),
        (route("dimensions: {d: {from: path.y}}"), ("dimensions", "d", "from"), "no parameter `y`"),
        (route("dimensions: {d: {from: [query.q, path.y]}}"), ("dimensions", "d", "from", 1), "no parameter `y`"),
        (route("dimensions: {d: qery.q}"), ("dimensions", "d"), "did you mean `query`?"),
        (route("dimensions: {d: query}"), ("dimensions", "d"), "is no source"),
        (route("dimensions: {d: query.}"), ("dimensions", "d"), "is no source"),
        (route("dimensions: {d: 'query.a b'}"), ("dimensions", "d"), "no usable name"),
        (route("dimensions: {d: 'header.a b'}"), ("dimensions", "d"), "no header name"),
        (route("dimensions: {d: header.X-Forwarded-For}"), ("dimensions", "d"), "full address or a secret"),
        (route("dimensions: {d: header.cookie}"), ("dimensions", "d"), "full address or a secret"),
        (route("dimensions: {d: body.b}"), ("dimensions", "d"), "takes no POST"),
        (route("dimensions: {d: {from: query.q, as: money}}"), ("dimensions", "d", "as"), "text, macro, boolean, time, host, url, language, vast_event or list, not money"),
        (route("metrics: {m: query.q}"), ("metrics", "m"), "integer, number, boolean, money or time, not text"),
        (route("metrics: {m: {from: query.q}}"), ("metrics", "m", "as"), "add `as: integer`"),
        (route("metrics: {m: {from: query.q, as: host}}"), ("metrics", "m", "as"), "not host"),
        (route("dimensions: {d: {}}"), ("dimensions", "d"), "either `from` or `const`"),
        (route("dimensions: {d: {from: query.q, const: c}}"), ("dimensions", "d"), "either `from` or `const`"),
        (route("dimensions: {d: {from: []}}"), ("dimensions", "d"), "either `from` or `const`"),
        (route("dimensions: {d: {const: ''}}"), ("dimensions", "d", "const"), "no printable text"),
        (route('dimensions: {d: {const: "a\\tb"}}'), ("dimensions", "d", "const"), "no printable text"),
        (route("metrics: {m: {from: query.q, as: integer, default: x}}"), ("metrics", "m", "default"), "cannot be read as integer"),
        (route("metrics: {m: {const: '-1', as: money}}"), ("metrics", "m", "const"), "cannot be read as money"),
        (route("metrics: {m: {from: query.q, as: integer, cost: true}}"), ("metrics", "m", "cost"), "only money is a cost"),
        (route("metrics: {a: {from: query.a, as: money}, b: {from: query.b, as: money, currency: EUR}}"), ("metrics",), "one currency"),
        (route("metrics: {a: {from: query.a, as: money, cost: true}, b: {from: query.b, as: money, cost: true}}"), ("metrics",), "one cost"),
        (route("metrics: {a: {from: query.a, as: money}, a_micros: {from: query.b, as: integer}}"), ("metrics",), "made from a money field"),
        (route("metrics: {cost_nanos: {from: query.b, as: integer}}"), ("metrics",), "made from a money field"),
        (route("metrics: {a: {from: query.a, as: money}}, dimensions: {currency: query.c}"), (), "comes with the money fields"),
        (route("properties: [a, distinct_id]"), ("properties", 1), "a field of the event already"),
        (route("properties: [a], dimensions: {d: query.a}"), ("properties", 0), "a field of the event already"),
        (route("", path="/a/{x:int}"), ("path",), "a parameter's type is integer, hex, word, not `int`"),
        (route("", path="/a/../{x}"), ("path",), "no client sends `..` in a path"),
        (route("", path="/a/" + "b" * 2050), ("path",), "no hit can reach it"),
        (route("preprocess: [trim, trimm]"), ("preprocess", 1), "the transform `trimm` is not installed did you mean `trim`?"),
        (route("dimensions: {d: cookie.a b}"), ("dimensions", "d"), "no cookie name"),
        (route("dimensions: {d: header.Cookie}"), ("dimensions", "d"), "a single cookie is `cookie.NAME`"),
        (route("methods: [POST], dimensions: {d: query/a}"), ("dimensions", "d"), "no JSON Pointer into a body such as `body/cart/0/sku`"),
        (route("methods: [POST], dimensions: {d: 'body/a~2b'}"), ("dimensions", "d"), "no JSON Pointer"),
        (route("dimensions: {d: body/a}"), ("dimensions", "d"), "takes no POST"),
        (route("dimensions: {d: {from: query.q, pattern: '(a'}}"), ("dimensions", "d", "pattern"), "is no regular expression: missing ): (a"),
        (route("dimensions: {d: {from: query.q, pattern: 'a(?=b)'}}"), ("dimensions", "d", "pattern"), "as RE2 has them"),
        (route("dimensions: {d: {from: query.q, pattern: '[a-z]+', default: A1}}"), ("dimensions", "d", "default"), "cannot be read as text of the form `[a-z]+`"),
        (route("metrics: {m: {from: query.q, as: integer, pattern: '[0-9]'}}"), ("metrics", "m", "pattern"), "a metric is a number"),
        (route("metrics: {m: {from: query.q, as: integer, lower: true}}"), ("metrics", "m", "lower"), "a metric is a number"),
        (route("metrics: {m: {from: query.q, as: integer, max_length: 3}}"), ("metrics", "m", "max_length"), "a metric is a number"),
        (route("metrics: {m: {from: query.q, as: integer, unit: cpm}}"), ("metrics", "m", "unit"), "only money has a unit"),
        (route("dimensions: {d: {from: query.q, required: true, default: a}}"), ("dimensions", "d", "required"), "never missing"),
        (route("dimensions: {d: {const: a, required: true}}"), ("dimensions", "d", "const"), "do nothing"),
        (route("dimensions: {d: {from: query.q, as: boolean, default: maybe}}"), ("dimensions", "d", "default"), "cannot be read as boolean"),
        (route("", reply="{}"), ("reply",), "either `redirect` or `fixed`"),
        (route("", reply="{fixed: {}, redirect: {to: 'https://a.example/'}}"), ("reply",), "either `redirect` or `fixed`"),
        (route("", reply="{fixed: {status: 204, body: x}}"), ("reply", "fixed", "body"), "a 204 has no body"),
        (route("", reply="{fixed: {headers: {'a b': c}}}"), ("reply", "fixed", "headers"), "`a b` is no header name"),
        (route("", reply="{fixed: {headers: {Set-Cookie: a=b}}}"), ("reply", "fixed", "headers", "Set-Cookie"), "for the tracker to write"),
        (route("", reply="{fixed: {headers: {Cache-Control: max-age=60}}}"), ("reply", "fixed", "headers", "Cache-Control"), "a hit never counted"),
        (route("", reply="{fixed: {headers: {X-A: 'é'}}}"), ("reply", "fixed", "headers", "X-A"), "not printable ASCII"),
        (route("", reply="{fixed: {content_type: 'text/html\u00e9', body: x}}"), ("reply", "fixed", "content_type"), "printable ASCII"),
        (route("", reply="{redirect: {to: query.url}}"), ("reply", "redirect", "to"), "list them in `allow`"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_where_it_stands(text: str, path: tuple[str | int, ...], says: str) -> None:
    """One fault, at the right place, in words that name the way out."""
    ((found, message),) = faults(text)
    assert found == ("routes", "r", *path)
    assert says in message


def test_overlapping_routes_are_told_with_a_path_that_both_would_take() -> None:
    """The later one of the file is blamed; methods make no difference."""
    text = "routes: {a: {path: '/i/{x}.gif', reply: pixel}, b: {path: '/i/{y}', methods: [POST], reply: no_content}}"
    ((path, message),) = faults(text)
    assert path == ("routes", "b", "path")
    assert message == "overlaps route `a` (/i/{x}.gif): both would take `/i/y.gif`"


def test_a_fault_of_a_field_set_is_told_where_it_is_taken_in() -> None:
    """The set may be right for another route: the route that lacks the parameter is at fault."""
    sets = "field_sets: {ad: {dimensions: {c: path.campaign}}}\n"
    table = "routes: {r: {path: /a, reply: pixel, use: [ad]}, s: {path: '/b/{campaign}', reply: pixel, use: [ad]}}"
    assert [path for path, _ in faults(sets + table)] == [("routes", "r", "use", 0)]


def test_every_mistake_is_found_at_once() -> None:
    """Three routes, four faults."""
    text = """
    routes:
      a: {path: a, reply: pixel}
      b: {path: '/b', reply: pixel, use: [x, y]}
      c: {path: '/b', reply: pixel}
    """
    assert [path for path, _ in faults(text)] == [
        ("routes", "a", "path"), ("routes", "b", "use", 0), ("routes", "b", "use", 1), ("routes", "c", "path"),
    ]  # fmt: skip


def test_a_route_overrides_its_field_sets_and_the_later_set_the_earlier() -> None:
    """``use`` in order, then the route's own fields."""
    text = """
    field_sets:
      one: {dimensions: {a: {const: one}, b: {const: one}, c: {const: one}}}
      two: {dimensions: {b: {const: two}, c: {const: two}}}
    routes:
      r: {path: /r, reply: pixel, use: [one, two], dimensions: {c: {const: own}}}
    """
    routes = msgspec.convert(yaml.safe_load(text), Routes)
    assert list(routing.check(Tracker(), routes)) == []
    plan = compile_plan("r", routes.routes["r"], routes, parse("/r"), Tracker())
    nothing: dict[str, Any] = {}
    read = {name: take(([], nothing, nothing.get, nothing, [])) for name, take in plan.path_dimensions}
    assert read == {"a": "one", "b": "two", "c": "own"}


def test_what_every_route_reads_is_never_a_property() -> None:
    """Ids, time and page have fields of their own."""
    assert {"event_id", "timestamp", "page", "distinct_id", "anonymous_id", "device_id", "session_id", "profile_id"} == CLIENT_WORDS
