"""Segments on disk and the reader's promise: whole, checked, durable lines, and every loss said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.event import Event, encode_line
from tracker.journal import segment
from tracker.journal.reader import Chunk, JournalReader
from tracker.journal.segment import BLOCK_BYTES, Appender

STREAM = "0123456789abcdef" * 2


def lines(count: int, size: int = 100, first: int = 1) -> list[bytes]:
    """Lines of a stream in order."""
    return [
        encode_line(Event(id=f"e{seq}", stream=STREAM, seq=seq, event="hit", received_at=f"2026-11-20T21:27:{seq % 60:02d}.123Z",
                          dimensions={"fill": "x" * size}))
        for seq in range(first, first + count)
    ]


class Feed:
    """Bytes of a stream, as a ring would give them."""

    def __init__(self) -> None:
        self.content = b""

    def views(self, start: int, end: int) -> Iterator[memoryview]:
        """In two pieces, as at a wrap."""
        middle = (start + end) // 2
        yield memoryview(self.content)[start:middle]
        yield memoryview(self.content)[middle:end]


def write(appender: Appender, feed: Feed, batch: list[bytes]) -> None:
    """Append and sync until everything is durable."""
    feed.content += b"".join(batch)
    while appender.durable < len(feed.content):
        appender.append(feed.views, len(feed.content))
        appender.sync()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "streams" / STREAM


def read_all(data_dir: Path, max_bytes: int = 1 << 20) -> tuple[list[bytes], list[Chunk]]:
    """Everything the journal gives, and the chunks it came in."""
    reader = JournalReader(data_dir)
    reader.streams()
    got: list[bytes] = []
    chunks = []
    at = 0
    while (chunk := reader.read(STREAM, at, max_bytes)).end > at:
        got += chunk.lines
        chunks.append(chunk)
        at = chunk.end
    return got, chunks


@pytest.mark.parametrize("max_bytes", [1, 1000, 1 << 20])
def test_what_is_written_is_read_whatever_the_step(tmp_path: Path, folder: Path, max_bytes: int) -> None:
    """Many small batches over several segments; reading line by line or at once gives the same."""
    feed, expected = Feed(), []
    appender = Appender(folder, STREAM, 0, 5000, 3600)
    for i in range(40):
        batch = lines(5, size=i * 10, first=1 + i * 5)
        expected += batch
        write(appender, feed, batch)
    appender.close()
    got, chunks = read_all(tmp_path, max_bytes)
    assert got == expected
    assert not any(chunk.damaged_bytes or chunk.expired_bytes for chunk in chunks)
    starts = segment.offsets(folder)
    assert len(starts) > 5
    assert all(feed.content[start - 1 : start] == b"\n" for start in starts[1:]), "segments begin with a line"


def test_a_line_longer_than_a_block_is_read_whole(tmp_path: Path, folder: Path) -> None:
    """A line of three blocks between short ones."""
    expected = lines(3) + lines(1, size=3 * BLOCK_BYTES, first=4) + lines(3, first=5)
    appender = Appender(folder, STREAM, 0, 1 << 20, 3600)
    write(appender, Feed(), expected)
    for max_bytes in (1, 1 << 20):
        assert read_all(tmp_path, max_bytes)[0] == expected


def test_the_index_says_time_and_number_of_lines(folder: Path) -> None:
    """A block's record carries received_at of its first line and counts its lines."""
    write(Appender(folder, STREAM, 0, 1 << 20, 3600), Feed(), lines(7))
    index = segment.Index(folder, STREAM, 0)
    assert index.first_seq == 1
    assert [(block.first_time_ms, block.lines) for block in index.blocks] == [(1795210021123, 7)]


def test_a_segment_is_closed_when_it_is_old(folder: Path) -> None:
    """With no age at all every write begins a new segment."""
    appender, feed = Appender(folder, STREAM, 0, 1 << 20, 0.0), Feed()
    for i in range(3):
        write(appender, feed, lines(1, first=i + 1))
    assert len(segment.offsets(folder)) == 3


def six_blocks(folder: Path) -> list[bytes]:
    """A segment of six blocks with three lines each; the lines."""
    feed, expected = Feed(), []
    appender = Appender(folder, STREAM, 0, 1 << 20, 3600)
    for i in range(6):
        batch = lines(3, first=1 + i * 3)
        expected += batch
        write(appender, feed, batch)
    appender.close()
    return expected


def test_each_flipped_byte_costs_its_block_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    """Flip every 7th byte of a segment, one at a time: no wrong line comes out, and the loss is said."""
    expected = six_blocks(folder)
    path = segment.data_path(folder, 0)
    sound = path.read_bytes()
    for at in range(0, len(sound), 7):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x20]) + sound[at + 1 :])
        got, chunks = read_all(tmp_path)
        assert set(got) <= set(expected) and got == sorted(got, key=expected.index)
        assert len(got) == len(expected) - 3
        assert sum(chunk.damaged_bytes for chunk in chunks) + sum(map(len, got)) == len(sound)


def test_each_flipped_byte_of_the_index_gives_no_wrong_line(tmp_path: Path, folder: Path) -> None:
    """A damaged record takes its block and the next one with it; everything else is read, the loss is said."""
    expected = six_blocks(folder)
    size = sum(map(len, expected))
    write_mark_of_the_ring(tmp_path, size)
    path = segment.index_path(folder, 0)
    sound = path.read_bytes()
    for at in range(len(sound)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x20]) + sound[at + 1 :])
        got, chunks = read_all(tmp_path)
        assert got == sorted(got, key=expected.index) and set(got) <= set(expected)
        if at >= segment.HEADER.size:
            assert len(got) >= len(expected) - 6
        assert sum(chunk.damaged_bytes for chunk in chunks) + sum(map(len, got)) == size


def write_mark_of_the_ring(data_dir: Path, durable: int) -> None:
    """A ring that says how far the stream is durable."""
    from tracker.capture.ring import Ring

    slot = data_dir / "journal" / "slots" / "0"
    slot.mkdir(parents=True)
    ring = Ring.create(slot / "ring", 65_536, bytes.fromhex(STREAM), bytes(16))
    ring.publish(b"x" * durable)
    ring.durable = durable
    ring.close()


def test_nothing_beyond_durable_is_read(tmp_path: Path, folder: Path) -> None:
    """Bytes that are in the file, indexed and sound, but not durable, are not given out."""
    batch = lines(2)
    appender, feed = Appender(folder, STREAM, 0, 1 << 20, 3600), Feed()
    write(appender, feed, batch[:1])
    write(appender, feed, batch[1:])
    write_mark_of_the_ring(tmp_path, len(batch[0]))
    assert read_all(tmp_path)[0] == batch[:1]


def test_a_removed_segment_counts_as_expired(tmp_path: Path, folder: Path) -> None:
    """Retention takes the oldest segment: reading from 0 says how much is gone and goes on behind it."""
    appender, feed, expected = Appender(folder, STREAM, 0, 1000, 3600), Feed(), lines(30)
    for i in range(0, 30, 3):
        write(appender, feed, expected[i : i + 3])
    first, second = segment.offsets(folder)[:2]
    segment.data_path(folder, first).unlink()
    segment.index_path(folder, first).unlink()
    got, chunks = read_all(tmp_path)
    assert sum(chunk.expired_bytes for chunk in chunks) == second
    assert b"".join(got) == feed.content[second:]


def test_after_an_io_error_the_stream_goes_on_in_a_new_segment(tmp_path: Path, folder: Path) -> None:
    """What was not durable is written again at its place; the abandoned file's rest does not count."""
    expected = lines(9)
    appender, feed = Appender(folder, STREAM, 0, 1 << 20, 3600), Feed()
    write(appender, feed, expected[:3])
    feed.content += b"".join(expected[3:6])
    appender.append(feed.views, len(feed.content))
    appender.abandon()
    write(appender, feed, expected[6:])
    assert segment.offsets(folder) == [0, sum(map(len, expected[:3]))]
    assert os.path.getsize(segment.data_path(folder, 0)) > sum(map(len, expected[:3])), "the old rest is still there"
    assert read_all(tmp_path)[0] == expected


def test_a_reader_sees_what_is_appended_while_it_looks(tmp_path: Path, folder: Path) -> None:
    """One reader, read between the writes: each line once, in order."""
    appender, feed, expected = Appender(folder, STREAM, 0, 2000, 3600), Feed(), lines(50)
    reader = JournalReader(tmp_path)
    got, at = [], 0
    for line in expected:
        write(appender, feed, [line])
        reader.streams()
        chunk = reader.read(STREAM, at)
        got += chunk.lines
        at = chunk.end
    assert got == expected


@pytest.mark.parametrize("content", [b"", b"garbage", b"TRKIDX\x00\x02" + bytes(32), bytes(1000)])
def test_an_index_that_is_none_vouches_for_nothing(folder: Path, content: bytes) -> None:
    """Empty, foreign and future index files give no blocks and raise nothing."""
    folder.mkdir(parents=True)
    segment.index_path(folder, 0).write_bytes(content)
    index = segment.Index(folder, STREAM, 0)
    assert index.blocks == [] and index.torn == bool(content)
