"""What the routing table costs a hit: many routes beside few, and each part of the language beside a route without it.

    python bench/micro/routes.py [pyperf options]

Caveats, before any number

* The hits and what else is said are those of ``endpoint.py``: 4,096 different ones, half a thousand paths.
* ``1,006 routes`` are the default ones and 1,000 more of four shapes (literal, one parameter, two, a typed one); the
  hits go to the default ``impression`` route, and in ``... to the other routes`` to all of the thousand in turn.
* Memos hold the paths that were seen: ``unseen path`` shows the tree itself, by paths that come once.
* What a part of the language costs is the difference to ``plain``, which has no field but the path's.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import msgspec
import pyperf
import yaml
from endpoint import MANY, NOW_MS, impression

from tracker.capture import routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.capture.signing import sign
from tracker.settings import load
from tracker.settings.model import Route, Routes, Settings, Tracker

SHAPES = ("/lp/site{n}/open.gif", "/px/n{n}/{{a}}.gif", "/trk/s{n}/{{a}}/{{b}}", "/go/t{n}/{{id:integer}}")
SECRET = "a secret of more than sixteen characters"
LANGUAGE = {
    "plain": "reply: pixel",
    "5 absent query fields": "reply: pixel, dimensions: {a: query.a, b: query.b, c: query.c, d: query.d, e: query.e}",
    "text field": "reply: pixel, dimensions: {a: query.cb}",
    "text field with a pattern": "reply: pixel, dimensions: {a: {from: query.cb, pattern: '[0-9]+'}}",
    "money field": "reply: pixel, metrics: {price: {from: query.price, as: money, unit: cpm, cost: true}}",
    "number field": "reply: pixel, metrics: {price: {from: query.price, as: number}}",
    "time field": "reply: pixel, dimensions: {at: {from: query.at, as: time}}",
    "URL field": "reply: pixel, dimensions: {page: {from: query.page_url, as: url}}",
    "all properties": "reply: pixel, properties: all",
    "id cookie, seen": "reply: pixel, cookie: {}",
    "one transform": "reply: pixel, preprocess: [trim]",
    "JSON reply": "reply: json, access: open",
    "stored redirect": "reply: {redirect: {to: 'https://shop.example/'}}",
    "stored redirect with macros": "dimensions: {x: path.a}, "
    "reply: {redirect: {to: 'https://shop.example/{x}?c={click_id}'}}",
    "redirect to an allowed host": "reply: {redirect: {to: query.url, allow: [shop.example]}}",
    "signed redirect": "reply: {redirect: {to: query.url, signed_by: ring}}",
}


def table(more: int) -> Settings:
    """The built-in settings with so many routes more."""
    settings = load.load(None, None, {}, {}, [routing.check])
    added = {f"more_{n}": Route(path=SHAPES[n % 4].format(n=n), reply="pixel") for n in range(more)}
    routes = msgspec.structs.replace(settings.routes, routes=settings.routes.routes | added)
    return msgspec.structs.replace(settings, routes=routes)


def speaking(route: str) -> Endpoint:
    """An endpoint with one route at ``/imp/{a}/{b}.gif``."""
    text = f"{{path: '/imp/{{a}}/{{b}}.gif', {route}}}"
    routes = Routes(routes={"r": msgspec.convert(yaml.safe_load(text), Route)})
    tracker = Tracker(signing_keys={"ring": {"a": SECRET}})
    assert list(routing.check(tracker, routes)) == []
    return Endpoint(Settings(tracker=tracker, routes=routes, version="0" * 12), FreshIds())


def spoken(name: str) -> list[Hit]:
    """The hits for a part of the language."""
    hits = [impression(n) for n in range(MANY)]
    for n, hit in enumerate(hits):
        if name == "time field":
            hit.query += f"&at={NOW_MS - n}"
        elif name == "URL field":
            hit.query += f"&page_url=https%3A%2F%2Fnews.example%2Fstory-{n}"
        elif name == "id cookie, seen":
            hit.headers["cookie"] = f"a=b; __Host-tid=0198f3c2-9b1e-7000-8000-{n:012x}"  # type: ignore[index]
        elif name in ("redirect to an allowed host", "signed redirect"):
            target = f"https://shop.example/item-{n % 512}"
            hit.query += f"&url={quote(target, safe='')}"
            if name == "signed redirect":
                hit.query += f"&kid=a&sig={sign(SECRET, 'a', None, hit.path, target)}"
    return hits


def over(endpoint: Endpoint, hits: list[Hit]) -> Callable[[int], float]:
    """Answer these hits in turn."""

    def run(loops: int) -> float:
        answer = endpoint.answer
        some = itertools.islice(itertools.cycle(hits), loops)
        began = time.perf_counter()
        for hit in some:
            answer(hit)
        return time.perf_counter() - began

    return run


def main() -> None:
    """Run under pyperf."""
    runner = pyperf.Runner()
    few, many = Endpoint(table(0), FreshIds()), Endpoint(table(1000), FreshIds())
    hits = [impression(n) for n in range(MANY)]
    once = [Hit("GET", f"/imp/c{n}/cr{n}.gif", hit.query, hit.headers, b"", hit.address, hit.received_ms)
            for n, hit in zip(itertools.count(), hits * 8, strict=False)]  # fmt: skip
    for name, endpoint in (("6 routes", few), ("1,006 routes", many)):
        runner.bench_time_func(f"{name}: impression", over(endpoint, hits))
        runner.bench_time_func(f"{name}: impression, unseen path", over(endpoint, once))
    paths = [re.sub(r"\{.+?\}", "7", SHAPES[n % 4].format(n=n)) for n in range(1000)]
    others = [Hit("GET", path, "", hits[0].headers, b"", "203.0.113.7", NOW_MS) for path in paths]
    assert {many.answer(hit).reply.fixed.status for hit in others} == {200}
    runner.bench_time_func("1,006 routes: to the other routes", over(many, others))
    lost = [Hit("GET", f"/wp-login{n}.php", "", hits[0].headers, b"", "203.0.113.7", NOW_MS) for n in range(10_000)]
    for name, endpoint in (("6 routes", few), ("1,006 routes", many)):
        runner.bench_time_func(f"{name}: 404", over(endpoint, lost))
    for name, route in LANGUAGE.items():
        endpoint, some = speaking(route), spoken(name)
        assert endpoint.answer(some[0]).events[0].lane == "good", name
        runner.bench_time_func(f"language: {name}", over(endpoint, some))


if __name__ == "__main__":
    main()
