"""The endpoint, from a parsed request to its event and its reply: the whole, its parts, and JSON decoders side by side.

    python bench/micro/endpoint.py [pyperf options]

Caveats, before any number

* A hit here is what a door hands over: HTTP is parsed, the socket and the ring are not in it (see ``ring.py``).
* The hits are 4,096 different ones: 512 placements, 4,096 prices and cache-busters, 64 user agents, 256 referers, 2,048
  networks, a new millisecond every 16 hits. In ``nothing seen before`` every path, agent, referer and network is new:
  no memo helps, and each has to make room. Traffic lies between the two, nearer to the first.
* ``one hit again and again`` flatters the caches of the processor and of the texts' hashes.
* A Python built without profile-guided optimisation (pyenv's default) is a fifth to a third slower than a packaged one:
  ``python -c "import sysconfig; print(sysconfig.get_config_var('CONFIG_ARGS'))"`` tells which it is.
* The parts are timed alone, with warm caches, and do not add up to the whole.
* Decoders do not do the same work: msgspec refuses NaN, Infinity, bad UTF-8 and lone surrogates; ``json`` takes NaN,
  Infinity and surrogates, ``ujson`` some of them, so the endpoint would have to look for them afterwards.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyperf
from falcon.util.uri import parse_query_string

from tracker.capture import body, routing
from tracker.capture.endpoint import Answer, Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds, Stamps
from tracker.capture.privacy import truncate
from tracker.capture.reply import PIXEL, Reply
from tracker.capture.values import host, money
from tracker.event import Context, Event, encode_line
from tracker.settings import load
from tracker.settings.model import Limits, Settings

NOW_MS = 1_795_210_021_123
MANY = 4096
POSTED = (
    b'{"event_id":"0198f3c2-9b1e","timestamp":1795210021000,"distinct_id":"u-1234","session_id":"s-99","plan":"pro",'
    b'"cart":[{"sku":"A-1","quantity":2,"price":19.99},{"sku":"B-7","quantity":1,"price":5}],"total":44.98,'
    b'"coupon":null,"new":true,"search":"blue shoes \xc3\xa9t\xc3\xa9"}'
)


def agent(n: int) -> str:
    """A user agent of the usual length."""
    return (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/142.0.{n}.0 Safari/537.36"
    )


def impression(n: int, *, known: bool = True) -> Hit:
    """The n-th impression, as a browser sends it."""
    placement, browser, page, network = (n % 512, n % 64, n % 256, n % 2048) if known else (n, n, n, n)
    headers = {
        "host": "t.example.com",
        "user-agent": agent(browser),
        "accept": "image/avif,image/webp,image/*,*/*;q=0.8",
        "accept-language": "".join(["en-US,en;q=0.9"]),
        "accept-encoding": "gzip, deflate, br",
        "referer": f"https://news{page}.example.org/",
        "sec-fetch-dest": "image",
        "sec-fetch-mode": "no-cors",
        "sec-fetch-site": "cross-site",
        "connection": "keep-alive",
    }
    query = f"price={n % 4096 / 400 + 0.01:.2f}&cb={10_000_000 + n * 7919}"
    address = f"203.{network >> 8 & 255}.{network & 255}.{n % 251}"
    return Hit("GET", f"/imp/c{placement}/cr{placement}.gif", query, headers, b"", address, NOW_MS + n // 16)


class Bench:
    """Functions that take ``loops`` and give seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fresh_ids = FreshIds()
        self.endpoint = Endpoint(settings, self._fresh_ids)
        order = list(range(MANY))
        random.Random(1).shuffle(order)
        self.hits = [impression(n) for n in order]
        self._seen = itertools.count(MANY)

    def encoded(self, loops: int) -> float:
        """``answer`` and ``encode_line``."""
        answer = self.endpoint.answer
        hits = itertools.islice(itertools.cycle(self.hits), loops)
        began = time.perf_counter()
        for hit in hits:
            encode_line(answer(hit).events[0])
        return time.perf_counter() - began

    def answered(self, loops: int) -> float:
        """``answer`` alone."""
        answer = self.endpoint.answer
        hits = itertools.islice(itertools.cycle(self.hits), loops)
        began = time.perf_counter()
        for hit in hits:
            answer(hit)
        return time.perf_counter() - began

    def walked(self, loops: int) -> float:
        """The loop itself, to be subtracted."""
        hits = itertools.islice(itertools.cycle(self.hits), loops)
        began = time.perf_counter()
        for _ in hits:
            pass
        return time.perf_counter() - began

    def again(self, hit: Hit) -> Callable[[int], float]:
        """One hit again and again."""

        def run(loops: int) -> float:
            answer = self.endpoint.answer
            began = time.perf_counter()
            for _ in range(loops):
                encode_line(answer(hit).events[0])
            return time.perf_counter() - began

        return run

    def unseen(self, loops: int) -> float:
        """Hits of which nothing was seen before; they are made outside the clock."""
        answer = self.endpoint.answer
        took = 0.0
        while loops:
            size = min(loops, 64)  # few, so that they are as warm as a parser leaves them
            hits = [impression(next(self._seen), known=False) for _ in range(size)]
            began = time.perf_counter()
            for hit in hits:
                encode_line(answer(hit).events[0])
            took += time.perf_counter() - began
            loops -= size
        return took


def over(function: Callable[[Any], object], values: Sequence[Any]) -> Callable[[int], float]:
    """Time a function of one value over many values."""

    def run(loops: int) -> float:
        some = itertools.islice(itertools.cycle(values), loops)
        began = time.perf_counter()
        for value in some:
            function(value)
        return time.perf_counter() - began

    return run


def whole_hits(runner: pyperf.Runner, bench: Bench) -> None:
    """From a parsed request to the event's line."""
    runner.bench_time_func("impression: answer + encode_line", bench.encoded)
    runner.bench_time_func("impression: answer", bench.answered)
    runner.bench_time_func("impression: the loop, to be subtracted", bench.walked)
    runner.bench_time_func("impression: one hit again and again", bench.again(bench.hits[0]))
    runner.bench_time_func("impression: nothing seen before", bench.unseen)
    headers = bench.hits[0].headers
    target = "url=https%3A%2F%2Fexample.com%2Fshoes%3Fid%3D1"
    click = Hit("GET", "/click/c1/cr1", target, headers, b"", "203.0.113.7", NOW_MS)
    runner.bench_time_func("click: answer + encode_line", bench.again(click))
    posted = Hit("POST", "/hit/purchase", "", headers, POSTED, "203.0.113.7", NOW_MS)
    runner.bench_time_func("JSON event: answer + encode_line", bench.again(posted))
    lost = [Hit("GET", f"/wp-login{n}.php", "", headers, b"", "203.0.113.7", NOW_MS) for n in range(10_000)]
    runner.bench_time_func("404: answer", over(bench.endpoint.answer, lost))
    bad = [Hit("GET", "/imp/c1/cr1.gif", f"price=x{n}", headers, b"", "203.0.113.7", NOW_MS) for n in range(MANY)]
    runner.bench_time_func("bad price: answer", over(bench.endpoint.answer, bad))


def parts(runner: pyperf.Runner, bench: Bench, settings: Settings) -> None:
    """What an impression is made of."""
    hits = bench.hits
    tree = routing.table(settings.routes, settings.tracker)
    plan = tree.find("/imp/c1/cr1.gif")
    assert plan is not None
    keep_ip = plan[0].keep_ip
    assert keep_ip is truncate
    event = bench.endpoint.answer(hits[0]).events[0]
    context = Context(ip="203.0.113.0", user_agent=agent(1), referer="https://news1.example.org/", locale="en-US")
    dimensions, metrics = event.dimensions, event.metrics
    fresh, stamp, ack = FreshIds().__call__, Stamps().__call__, ("X-Tracker-Ack", "process")

    def make_event(id: str) -> Event:
        return Event(
            id=id, event="impression", timestamp="t", received_at="t", environment="e", source="s",
            dimensions=dimensions, metrics=metrics, context=context, flags=[],
        )  # fmt: skip

    def make_answer(id: str) -> Answer:
        return Answer(Reply(PIXEL, (("X-Event-Id", id), ack)), (event,), "process", "impression", "")

    times = [hit.received_ms for hit in hits]
    runner.bench_time_func("part: route by the tree, unseen path", over(tree.find, [hit.path for hit in hits]))
    runner.bench_time_func("part: query string (falcon)", over(parse_query_string, [hit.query for hit in hits]))
    runner.bench_time_func("part: money", over(money, [f"{n / 400:.2f}" for n in range(MANY)]))
    runner.bench_time_func("part: money with six decimals", over(money, [f"{n / 777:.6f}" for n in range(MANY)]))
    referers = [f"https://n{n}.example/" for n in range(MANY)]
    runner.bench_time_func("part: host of an unseen referer", over(host, referers))
    runner.bench_time_func("part: truncate address", over(keep_ip, [hit.address for hit in hits]))
    runner.bench_time_func("part: fresh id", over(fresh, sorted(times)))
    runner.bench_time_func("part: time stamp", over(stamp, sorted(times)))
    runner.bench_time_func("part: make the event", over(make_event, [str(n) for n in range(MANY)]))
    runner.bench_time_func("part: make the answer", over(make_answer, [str(n) for n in range(MANY)]))
    events = [bench.endpoint.answer(hit).events[0] for hit in hits]
    runner.bench_time_func("part: encode_line", over(encode_line, events))


def decoders(runner: pyperf.Runner) -> None:
    """The same body by each decoder; see the caveats."""
    limits = Limits()
    bodies = [POSTED.replace(b"u-1234", b"u-%04d" % n) for n in range(1000)]
    runner.bench_time_func("JSON: msgspec", over(msgspec.json.Decoder().decode, bodies))

    def read(data: bytes) -> object:
        return body.read(data, "application/json", limits, [])

    runner.bench_time_func("JSON: msgspec and our checks", over(read, bodies))
    escaped = [data.replace(b" shoes", b"\\n") for data in bodies]
    runner.bench_time_func("JSON: msgspec, our checks and cleaning", over(read, escaped))
    try:
        import ujson
    except ImportError:
        pass
    else:
        runner.bench_time_func("JSON: ujson", over(ujson.loads, bodies))
    runner.bench_time_func("JSON: json", over(json.loads, bodies))


def main() -> None:
    """Run under pyperf."""
    runner = pyperf.Runner()
    settings = load.load(None, None, {}, {}, [routing.check])
    bench = Bench(settings)
    whole_hits(runner, bench)
    parts(runner, bench, settings)
    decoders(runner)


if __name__ == "__main__":
    main()
