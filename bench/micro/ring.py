"""The way of a hit behind the endpoint: stamp, encode, publish; then the flusher's share; beside each its plain twin.

    python bench/micro/ring.py [pyperf options]

The journal lies on /dev/shm, so that the figures are the code's and not a disk's; a sync costs nothing there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pyperf

from tracker.capture import routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.capture.ring import Ring
from tracker.capture.writer import Writer
from tracker.event import encode_line
from tracker.journal.flusher import Flusher
from tracker.journal.segment import Appender
from tracker.journal.slot import Slot, claim
from tracker.settings import load
from tracker.settings.model import Tracker

CAPACITY = 1 << 24
HEADERS = {
    "host": "t.example.com",
    "user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "referer": "https://news.example.org/",
    "accept-language": "en-US,en;q=0.9",
}
NOW_MS = 1_795_210_021_123


def impression() -> Hit:
    """An impression as a browser sends it."""
    return Hit("GET", "/imp/c1/cr1.gif", "price=2.50", HEADERS, b"", "203.0.113.7", NOW_MS)


class Bench:
    """A slot on /dev/shm, and functions that take ``loops`` and give seconds."""

    def __init__(self, folder: Path) -> None:
        tracker = Tracker(data_dir=str(folder))
        settings = load.load(None, None, {}, {}, [routing.check])
        self.slot: Slot = claim(folder, tracker, CAPACITY)
        self.writer = Writer(self.slot, Flusher(folder, 200))
        self.endpoint = Endpoint(settings, FreshIds())
        self.event = self.endpoint.answer(impression()).events[0]
        self.event.stream, self.event.seq = self.slot.ring.stream, 1_000_000
        self.line = encode_line(self.event)
        self.folder = folder

    def _free(self) -> None:
        ring: Ring = self.slot.ring
        ring.durable = ring.head

    def publish(self, loops: int) -> float:
        """One line into the ring; the consumer's share is one store a lap."""
        publish, line = self.slot.ring.publish, self.line
        began = time.perf_counter()
        for _ in range(loops):
            if not publish(line):
                self._free()
        return time.perf_counter() - began

    def into_deque(self, loops: int) -> float:
        """Plain twin: the same line onto a deque, which no other process survives to read."""
        lines: deque[bytes] = deque(maxlen=CAPACITY // len(self.line))
        append, line = lines.append, self.line
        began = time.perf_counter()
        for _ in range(loops):
            append(line)
        return time.perf_counter() - began

    def into_queue(self, loops: int) -> float:
        """Plain twin: onto a SimpleQueue and off it again."""
        queue: SimpleQueue[bytes] = SimpleQueue()
        put, get, line = queue.put, queue.get_nowait, self.line
        began = time.perf_counter()
        for _ in range(loops):
            put(line)
            get()
        return time.perf_counter() - began

    def into_file(self, loops: int) -> float:
        """Plain twin: one write(2) a line, the shortest way that also survives kill -9."""
        fd = os.open(self.folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = self.line
        began = time.perf_counter()
        for _ in range(loops):
            os.write(fd, line)
        took = time.perf_counter() - began
        os.ftruncate(fd, 0)
        os.close(fd)
        return took

    def append(self, loops: int) -> float:
        """Stamp, encode, publish, count."""
        append, events = self.writer.append, (self.event,)
        began = time.perf_counter()
        for _ in range(loops):
            if append(events):
                self._free()
        return time.perf_counter() - began

    def whole_hit(self, loops: int) -> float:
        """Endpoint and ring: everything between a parsed request and its reply."""
        answer, append, hit = self.endpoint.answer, self.writer.append, impression()
        began = time.perf_counter()
        for _ in range(loops):
            if append(answer(hit).events):
                self._free()
        return time.perf_counter() - began

    def flush(self, loops: int) -> float:
        """The flusher's share of one event: copy, CRC, index, write."""
        per_call = 1 << 20
        block = self.line * (per_call // len(self.line))
        appender = Appender(self.folder / "stream", self.slot.ring.stream, 0, 1 << 40, 1 << 30)
        base = 0

        def views(start: int, end: int) -> Iterator[memoryview]:
            yield memoryview(block)[start - base : end - base]

        events = 0
        began = time.perf_counter()
        while events < loops:
            base = appender.end
            appender.append(views, base + len(block))
            events += len(block) // len(self.line)
        took = time.perf_counter() - began
        appender.close()
        shutil.rmtree(self.folder / "stream")
        return took * loops / events

    def crc(self, loops: int) -> float:
        """Part of it: CRC-32 of one line."""
        crc32, line = zlib.crc32, self.line
        began = time.perf_counter()
        for _ in range(loops):
            crc32(line)
        return time.perf_counter() - began


def main() -> None:
    """Run under pyperf."""
    runner = pyperf.Runner()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        bench = Bench(folder)
        runner.bench_time_func("hit: endpoint + ring", bench.whole_hit)
        runner.bench_time_func("ring: stamp, encode, publish, count", bench.append)
        runner.bench_time_func("ring: publish one line", bench.publish)
        runner.bench_time_func("twin: append to a deque", bench.into_deque)
        runner.bench_time_func("twin: put and get on a SimpleQueue", bench.into_queue)
        runner.bench_time_func("twin: write(2) one line", bench.into_file)
        runner.bench_time_func("flusher: one event's share", bench.flush)
        runner.bench_time_func("flusher: CRC-32 of one line", bench.crc)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
