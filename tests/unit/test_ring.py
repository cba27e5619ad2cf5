"""The ring: positions, wrapping, refusal, and what another process may see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracker.capture.ring import HEADER_BYTES, MIN_CAPACITY, Positions, Ring, RingError

STREAM = bytes(range(16))
BOOT = bytes(16)


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring.create(tmp_path / "ring", MIN_CAPACITY, STREAM, BOOT)


def test_a_new_ring_is_full_of_zeros_and_allocated(ring: Ring) -> None:
    """Every block of the file is there, so that a store cannot fail on a full disk."""
    status = os.stat(ring.path)
    assert status.st_size == HEADER_BYTES + MIN_CAPACITY
    assert status.st_blocks * 512 >= status.st_size
    assert ring.path.read_bytes()[HEADER_BYTES:] == bytes(MIN_CAPACITY)
    assert (ring.stream, ring.boot, ring.head, ring.durable) == (STREAM.hex(), BOOT, 0, 0)


def test_bytes_come_back_as_they_were_published_across_the_wrap(ring: Ring) -> None:
    """A hundred laps with lines of every length: what lies between durable and head is what was published."""
    published = b""
    for i in range(2000):
        line = bytes([65 + i % 26]) * (i * 37 % 4001) + b"\n"
        while not ring.publish(line):
            ring.durable = ring.head
        published += line
        assert ring.copy(ring.durable, ring.head) == published[ring.durable : ring.head]
    assert ring.head == len(published) > 50 * MIN_CAPACITY


def test_a_full_ring_refuses_and_changes_nothing(ring: Ring) -> None:
    """One byte too many is refused; freeing exactly that byte lets it in."""
    assert ring.publish(b"x" * (MIN_CAPACITY - 1) + b"\n")
    assert not ring.publish(b"\n")
    assert ring.head == MIN_CAPACITY and ring.crowded
    ring.durable = 1
    assert ring.publish(b"\n") and ring.head == MIN_CAPACITY + 1


def test_durable_never_passes_head_nor_goes_back(ring: Ring) -> None:
    """The consumer's own mistake is an error, not a corrupted ring."""
    ring.publish(b"abc\n")
    with pytest.raises(ValueError, match="durable"):
        ring.durable = 5
    ring.durable = 4
    with pytest.raises(ValueError, match="durable"):
        ring.durable = 3


def test_only_held_bytes_can_be_viewed(ring: Ring) -> None:
    """A view beyond head or below what the ring still holds is refused."""
    ring.publish(b"abc\n")
    with pytest.raises(ValueError, match="not in the ring"):
        list(ring.views(0, 5))


@pytest.mark.parametrize("damage", ["short", "magic", "capacity", "positions", "empty"])
def test_a_file_that_is_no_ring_is_said_to_be_none(ring: Ring, damage: str) -> None:
    """Foreign, cut, future or contradicting files raise RingError, whatever is wrong with them."""
    ring.close()
    content = bytearray(ring.path.read_bytes())
    if damage == "short":
        del content[-1]
    elif damage == "magic":
        content[7] ^= 3
    elif damage == "capacity":
        content[8:16] = (MIN_CAPACITY * 2).to_bytes(8, "little")
    elif damage == "positions":
        content[128 * 8 : 128 * 8 + 8] = (7).to_bytes(8, "little")  # durable > head
    else:
        content.clear()
    ring.path.write_bytes(content)
    with pytest.raises(RingError):
        Ring.open(ring.path)


def test_a_copy_of_a_ring_is_known_as_one(ring: Ring) -> None:
    """A cloned or restored file has another inode; the original has not."""
    clone = ring.path.with_name("clone")
    clone.write_bytes(ring.path.read_bytes())
    assert not ring.copied
    assert Ring.open(clone).copied


def test_reopening_goes_on_where_it_stopped(ring: Ring) -> None:
    """Positions live in the file, not in the object."""
    ring.publish(b"abc\n")
    ring.durable = 4
    ring.publish(b"defg\n")
    ring.close()
    again = Ring.open(ring.path)
    assert (again.head, again.durable) == (9, 4)
    assert again.copy(4, 9) == b"defg\n"
    assert again.publish(b"h\n") and again.head == 11


WRITER = """
import sys
from pathlib import Path
from tracker.capture.ring import Ring
ring = Ring.open(Path(sys.argv[1]))
print("ready", flush=True)
i = 0
while True:
    i += 1
    line = b"%d %s\\n" % (i, b"y" * (i % 700))
    while not ring.publish(line):
        ring.durable = ring.head
"""


def test_another_process_sees_positions_whole_and_a_killed_writer_leaves_whole_lines(ring: Ring) -> None:
    """head and durable, read from outside while they change, never go back; after kill -9 the last line is whole."""
    ring.close()
    positions = Positions(ring.path)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(ring.path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    seen = 0
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        durable = positions.durable
        head = positions.head
        assert seen <= durable <= head, "torn or going back"
        seen = durable
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert seen > MIN_CAPACITY
    left = Ring.open(ring.path)
    lines = left.copy(left.durable, left.head).splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else left.head == left.durable
    assert all(len(line) == len(str(n)) + 1 + n % 700 for line, n in zip(lines, numbers, strict=True))
