"""The log collector: each event one whole line, once, in a file of a name that never changes."""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracker.delivery.collectors import log as log_module
from tracker.delivery.collectors.log import LogCollector, LogOptions
from tracker.delivery.plugin import Item, Place, RetryLater
from tracker.event import Event, encode_line

A, B = "a" * 32, "b" * 32


def item(seq: int, stream: str = A, name: str = "impression", pad: int = 0) -> Item:
    event = Event(id=f"{stream[0]}-{seq}", stream=stream, seq=seq, event=name, properties={"pad": "x" * pad} if pad else {})
    return Item(event, encode_line(event))


def items(first: int, last: int, stream: str = A) -> list[Item]:
    return [item(seq, stream) for seq in range(first, last + 1)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., LogCollector]]:
    """Collectors of one data folder; what is still open at the end is closed."""
    made = []

    def make_one(**options: Any) -> LogCollector:
        state = tmp_path / "delivery" / "log"
        state.mkdir(parents=True, exist_ok=True)
        collector = LogCollector(msgspec.convert(options, LogOptions), Place("log", tmp_path, state))
        made.append(collector)
        return collector

    yield make_one
    for collector in made:
        collector.close()


def run(collector: LogCollector, *batches: Sequence[Item]) -> None:
    """Open, deliver, close."""
    collector.open()
    for batch in batches:
        assert collector.deliver(batch) == ()
    collector.close()


def die(collector: LogCollector) -> None:
    """What a kill -9 leaves: the descriptor is closed by the kernel, nothing is saved."""
    os.close(collector._fd)
    collector._fd = -1
    collector._saved_at = 0.0


def ids(folder: Path, live: str = "events.ndjson") -> list[str]:
    """Ids of all lines of all files, rotated ones first; every line must be whole."""
    rotated = sorted(path for path in folder.glob(f"{live.split('.')[0]}-*") if path.suffix != ".new")
    found = []
    for path in [*rotated, *([folder / live] if (folder / live).exists() else [])]:
        if path.suffix != ".gz" and path.with_name(path.name + ".gz").exists():
            continue
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert content == b"" or content.endswith(b"\n")
        found += [json.loads(line)["id"] for line in content.splitlines()]
    return found


def wait_for(fact: Callable[[], bool]) -> None:
    """Wait for the background thread."""
    deadline = time.monotonic() + 10
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fact()


def a(first: int, last: int) -> list[str]:
    return [f"a-{seq}" for seq in range(first, last + 1)]


# --- what is written


def test_a_line_is_the_journals_own_bytes(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """Nothing is encoded anew, so erasure padding and unknown fields survive."""
    line = b'{"id":"x","stream":"' + A.encode() + b'","seq":1,"event":"e","future":[1,2]}     \n'
    run(make(), [Item(Event(id="x", stream=A, seq=1), line)])
    assert (tmp_path / "log/events.ndjson").read_bytes() == line


def test_a_batch_that_comes_again_is_not_written_again(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """In the same process, whole or in part, mixed with new events, and twice within one batch."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 5))
    collector.deliver(items(1, 5))
    collector.deliver(items(3, 8) + items(7, 9))
    assert ids(tmp_path / "log") == a(1, 9)


def test_streams_do_not_shadow_each_other(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """A high seq in one stream hides nothing of another."""
    run(make(), [item(1000), item(1, B), item(1001), item(2, B)])
    run(make(), [item(2, B), item(3, B), item(1001), item(1002)])
    assert ids(tmp_path / "log") == ["a-1000", "b-1", "a-1001", "b-2", "b-3", "a-1002"]


def test_an_event_without_a_position_is_always_written(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """``seq`` 0 says that nobody numbered it: it cannot be known as a duplicate."""
    loose = Item(Event(id="x"), b'{"id":"x"}\n')
    run(make(), [loose], [loose])
    assert ids(tmp_path / "log") == ["x", "x"]


@pytest.mark.parametrize("memory", ["kept", "removed", "torn", "future"])
def test_after_a_kill_what_stands_in_the_file_is_known(
    tmp_path: Path, make: Callable[..., LogCollector], memory: str
) -> None:
    """The memory's last state may be old, gone or unreadable: the file itself tells."""
    collector = make()
    collector.open()
    for seq in range(1, 8):
        collector.deliver([item(seq)])
    die(collector)
    path = tmp_path / "delivery/log/memory.json"
    if memory == "removed":
        path.unlink()
    elif memory == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    elif memory == "future":
        path.write_bytes(b'{"format":2}')
    run(make(), items(1, 10))
    assert ids(tmp_path / "log") == a(1, 10)


def test_a_torn_last_line_is_cut_at_every_byte_and_written_again(
    tmp_path: Path, make: Callable[..., LogCollector]
) -> None:
    """Wherever a kill stopped the write, the file ends up with each line once."""
    run(make(), items(1, 2))
    path, memory = tmp_path / "log/events.ndjson", tmp_path / "delivery/log/memory.json"
    whole, known = path.read_bytes(), memory.read_bytes()
    line = item(3).line
    for size in range(len(line) + 1):
        with open(path, "r+b") as file:  # in place: a new inode would hide the case
            file.truncate(len(whole))
            file.seek(0, os.SEEK_END)
            file.write(line[:size])
        memory.write_bytes(known)
        run(make(), items(1, 4))
        assert path.read_bytes() == whole + line + item(4).line


def test_zeros_that_a_power_cut_left_are_cut(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """A file system may give zeros where lines had been promised."""
    run(make(), items(1, 2))
    with open(tmp_path / "log/events.ndjson", "ab") as file:
        file.write(bytes(3_000_000))
    run(make(), items(1, 3))
    assert ids(tmp_path / "log") == a(1, 3)


def test_a_file_that_lost_its_end_gets_it_again(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """Shorter than what the memory says (a power cut): the memory is not believed, what comes again is written."""
    run(make(), items(1, 9))
    path = tmp_path / "log/events.ndjson"
    os.truncate(path, len(b"".join(line for _, line in items(1, 6))) + 5)
    run(make(), items(5, 10))
    assert ids(tmp_path / "log") == a(1, 10)


def test_somebody_elses_last_line_is_ended_not_cut(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """A text without a newline that does not begin like an event is not ours to destroy."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log/events.ndjson").write_bytes(b"# my notes\nno newline")
    run(make(), items(1, 1))
    assert (tmp_path / "log/events.ndjson").read_bytes() == b"# my notes\nno newline\n" + item(1).line


def test_two_processes_never_write_one_file(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """The second one is told to come later, and nothing is cut under the first."""
    first, second = make(), make()
    first.open()
    first.deliver(items(1, 3))
    with pytest.raises(RetryLater, match="another process"):
        second.open()
    first.close()
    second.open()
    second.deliver(items(1, 4))
    assert ids(tmp_path / "log") == a(1, 4)


def test_streams_beyond_the_limit_are_forgotten_oldest_first(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory stays bounded however many streams there were."""
    monkeypatch.setattr(log_module, "MAX_STREAMS", 3)
    run(make(), [item(1, letter * 32) for letter in "abcde"], [item(2, "c" * 32)])
    memory = json.loads((tmp_path / "delivery/log/memory.json").read_bytes())
    assert list(memory["seqs"]) == ["d" * 32, "e" * 32, "c" * 32]


# --- moved, removed, cut by others


def test_a_file_that_was_moved_away_is_left_and_begun_anew(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """As logrotate does it, with no signal: the next batch goes to a new file of the same name."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 3))
    os.rename(tmp_path / "log/events.ndjson", tmp_path / "log/events-old.ndjson")
    collector.deliver(items(2, 5))
    assert (tmp_path / "log/events-old.ndjson").read_bytes() == b"".join(line for _, line in items(1, 3))
    assert (tmp_path / "log/events.ndjson").read_bytes() == b"".join(line for _, line in items(4, 5))


def test_a_file_that_was_removed_is_begun_anew_without_the_old_lines(
    tmp_path: Path, make: Callable[..., LogCollector]
) -> None:
    """Somebody wanted them gone: they do not come back, and nothing else is lost."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 3))
    (tmp_path / "log/events.ndjson").unlink()
    collector.deliver(items(2, 5))
    collector.close()
    assert ids(tmp_path / "log") == a(4, 5)


def test_a_folder_that_was_removed_is_retried_until_it_is_back(
    tmp_path: Path, make: Callable[..., LogCollector]
) -> None:
    """No folder, no write, no loss."""
    collector = make()
    collector.open()
    os.rename(tmp_path / "log", tmp_path / "elsewhere")
    with pytest.raises(RetryLater):
        collector.deliver(items(1, 3))
    os.mkdir(tmp_path / "log")
    collector.deliver(items(1, 3))
    assert ids(tmp_path / "log") == a(1, 3)


def test_moved_and_killed_before_anybody_looked(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """Lines past the saved size in a file that has another name now are known by its inode; its torn end is cut."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 3))
    collector._saved_at = time.monotonic() + 1000  # the memory on disk stays as it is
    collector.deliver(items(4, 6))
    os.write(collector._fd, item(7).line[:20])
    die(collector)
    os.rename(tmp_path / "log/events.ndjson", tmp_path / "log/moved.1")
    run(make(), items(1, 8))
    assert (tmp_path / "log/moved.1").read_bytes() == b"".join(line for _, line in items(1, 6))
    assert ids(tmp_path / "log") == a(7, 8)


def test_a_file_cut_under_us_is_gone_on_with(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """copytruncate: no hole of zeros, no line twice."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 5))
    os.truncate(tmp_path / "log/events.ndjson", 0)
    collector.deliver(items(4, 7))
    die(collector)
    run(make(), items(6, 8))
    assert ids(tmp_path / "log") == a(6, 8)


def test_lines_appended_by_somebody_else_stay_and_a_torn_one_is_ended(
    tmp_path: Path, make: Callable[..., LogCollector]
) -> None:
    """A person's `echo >> events.ndjson` costs no event."""
    collector = make()
    collector.open()
    collector.deliver(items(1, 2))
    with open(tmp_path / "log/events.ndjson", "ab") as file:
        file.write(b"hello\nworld")
    collector.deliver(items(3, 4))
    assert (tmp_path / "log/events.ndjson").read_bytes() == b"".join(
        [item(1).line, item(2).line, b"hello\nworld\n", item(3).line, item(4).line]
    )


# --- rotation


def test_rotation_by_size_keeps_every_file_below_it(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """A batch larger than a file is spread over several; no line is split, none repeated."""
    size = len(item(1).line) * 3 + 5
    run(make(rotate_bytes=size), items(1, 9), [item(10), item(11)])
    files = sorted((tmp_path / "log").iterdir())
    assert len(files) == 4
    assert all(path.stat().st_size <= size for path in files)
    assert ids(tmp_path / "log") == a(1, 11)


def test_a_line_longer_than_a_file_has_one_of_its_own(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """It is neither cut nor refused."""
    run(make(rotate_bytes=300), [item(1), item(2, pad=2000), item(3)])
    assert [path.stat().st_size > 300 for path in sorted((tmp_path / "log").iterdir())] == [False, True, False]
    assert ids(tmp_path / "log") == a(1, 3)


def test_rotation_by_time_follows_the_clocks_multiples(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """86400 means midnight UTC, whenever the process began; an empty file is not rotated."""
    now = [1_790_000_000.0 // 86_400 * 86_400 + 86_000]
    monkeypatch.setattr(time, "time", lambda: now[0])
    collector = make(rotate_every_s=86_400)
    collector.open()
    now[0] += 86_400
    collector.deliver(items(1, 1))
    now[0] += 300
    collector.deliver(items(2, 2))
    assert len(list((tmp_path / "log").iterdir())) == 1
    now[0] += 101
    collector.deliver(items(3, 3))
    assert len(list((tmp_path / "log").iterdir())) == 2
    now[0] -= 5_000
    collector.deliver(items(4, 4))
    assert len(list((tmp_path / "log").iterdir())) == 2
    assert ids(tmp_path / "log") == a(1, 4)


def test_names_stay_in_order_when_the_clock_goes_back(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rotated file is replaced, and their order is the order of the events."""
    times = iter([1_790_000_000, 1_789_000_000, 1_790_000_000, 1_790_000_001])
    real = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda: real(next(times)))
    run(make(rotate_bytes=1), items(1, 5))
    assert ids(tmp_path / "log") == a(1, 5)
    assert len(list((tmp_path / "log").iterdir())) == 5


def test_rotated_files_are_compressed_and_the_oldest_removed(
    tmp_path: Path, make: Callable[..., LogCollector]
) -> None:
    """``keep`` counts rotated files; a packed one gives its lines back."""
    collector = make(rotate_bytes=1, compress="gzip", keep=3)
    collector.open()
    collector.deliver(items(1, 9))
    kept = [".gz", ".gz", ".gz", ".ndjson"]
    wait_for(lambda: sorted(path.suffix for path in (tmp_path / "log").iterdir()) == kept)
    assert ids(tmp_path / "log") == a(6, 9)


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_the_background_thread_compresses_without_being_asked(
    tmp_path: Path, make: Callable[..., LogCollector], compress: str
) -> None:
    """Within moments of a rotation only packed rotated files are left."""
    collector = make(rotate_bytes=200, compress=compress)
    collector.open()
    collector.deliver(items(1, 9))
    suffix = {"gzip": ".gz", "zstd": ".zst"}[compress]
    wait_for(lambda: {path.suffix for path in (tmp_path / "log").glob("events-*")} == {suffix})


@pytest.mark.parametrize("compress", ["gzip", "zstd", "none"])
def test_without_a_memory_the_newest_rotated_file_is_read_too(
    tmp_path: Path, make: Callable[..., LogCollector], compress: str
) -> None:
    """Killed right after a rotation, and the memory lost: packed or not, the file tells."""
    collector = make(rotate_bytes=len(item(1).line) * 3, compress=compress)
    collector.open()
    collector.deliver(items(1, 4))
    suffix = {"gzip": ".gz", "zstd": ".zst", "none": ".ndjson"}[compress]
    wait_for(lambda: [path.suffix for path in (tmp_path / "log").glob("events-*")] == [suffix])
    collector.close()
    (tmp_path / "delivery/log/memory.json").unlink()
    (tmp_path / "log/events.ndjson").unlink()
    run(make(), items(2, 5))
    assert (tmp_path / "log/events.ndjson").read_bytes() == b"".join(line for _, line in items(4, 5))


def test_a_packed_twin_of_a_death_is_made_again(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """Killed between rename and unlink, or within packing: leftovers are finished at the next start."""
    run(make(rotate_bytes=1), items(1, 3))
    first, second = sorted((tmp_path / "log").glob("events-*"))
    first.with_name(first.name + ".gz").write_bytes(gzip.compress(first.read_bytes()))
    second.with_name(second.name + ".gz.new").write_bytes(b"torn")
    collector = make(compress="gzip")
    collector.open()
    packed = [first.name + ".gz", second.name + ".gz"]
    wait_for(lambda: sorted(path.name for path in (tmp_path / "log").glob("events-*")) == packed)
    assert ids(tmp_path / "log") == a(1, 3)


# --- disks that say no


class Disk:
    """Stands in for ``os`` in the collector: the next writes and syncs do as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: list[int | OSError] = []
        self.syncs: list[OSError | None] = []
        self.synced = 0
        monkeypatch.setattr(log_module, "os", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, content: memoryview | bytes) -> int:
        order = self.writes.pop(0) if self.writes else len(content)
        if isinstance(order, OSError):
            raise order
        return os.write(fd, content[:order])

    def fdatasync(self, fd: int) -> None:
        self.synced += 1
        if self.syncs and (order := self.syncs.pop(0)):
            raise order
        os.fdatasync(fd)


FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "broken"])
@pytest.mark.parametrize("taken", [0, 1, 40, 95, 96, 97, 150])
def test_a_write_that_fails_half_way_is_cut_back_and_comes_again(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch, error: OSError, taken: int
) -> None:
    """However much the disk took: the file ends with a whole line, and the retry gives each line once."""
    disk = Disk(monkeypatch)
    collector = make()
    collector.open()
    collector.deliver(items(1, 2))
    before = (tmp_path / "log/events.ndjson").read_bytes()
    disk.writes = [taken, error] if taken else [error]
    with pytest.raises(RetryLater, match="events.ndjson: " + str(error.strerror)):
        collector.deliver(items(3, 5))
    assert (tmp_path / "log/events.ndjson").read_bytes() == before
    collector.deliver(items(3, 5))
    assert ids(tmp_path / "log") == a(1, 5)


def test_short_writes_are_gone_on_with(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes one byte at a time gets the whole line."""
    disk = Disk(monkeypatch)
    disk.writes = [1] * 500
    run(make(), items(1, 3))
    assert ids(tmp_path / "log") == a(1, 3)


def test_when_even_the_cut_fails_nothing_is_written_before_it_is_done(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The torn line is never built upon."""
    disk = Disk(monkeypatch)
    collector = make()
    collector.open()
    collector.deliver(items(1, 2))
    refusals = [BROKEN, BROKEN, BROKEN]

    def ftruncate(fd: int, size: int) -> None:
        if refusals:
            raise refusals.pop()
        os.ftruncate(fd, size)

    monkeypatch.setattr(disk, "ftruncate", ftruncate, raising=False)
    disk.writes = [50, FULL]
    for _ in range(3):
        with pytest.raises(RetryLater):
            collector.deliver(items(3, 4))
    collector.deliver(items(3, 4))
    assert ids(tmp_path / "log") == a(1, 4)


def test_a_failed_sync_is_never_believed_later(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After EIO the pages count as clean: the lines are cut off and written anew before the next sync."""
    disk = Disk(monkeypatch)
    collector = make(fsync="commit")
    collector.open()
    collector.deliver(items(1, 2))
    size = (tmp_path / "log/events.ndjson").stat().st_size
    disk.syncs = [BROKEN]
    with pytest.raises(RetryLater):
        collector.deliver(items(3, 4))
    assert (tmp_path / "log/events.ndjson").stat().st_size == size
    collector.deliver(items(3, 4))
    assert ids(tmp_path / "log") == a(1, 4)


def test_each_policy_syncs_as_often_as_it_says(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``never``: not at all; ``commit``: before each batch counts as delivered, and not for an empty one."""
    disk = Disk(monkeypatch)
    never = make(file="never.ndjson", fsync="never")
    run(never, items(1, 2), items(3, 4))
    assert disk.synced == 0
    commit = make(file="commit.ndjson")  # the default
    commit.open()
    opened = disk.synced
    commit.deliver(items(5, 6))
    commit.deliver(items(7, 8))
    commit.deliver(items(7, 8))
    assert disk.synced - opened == 2


def test_lines_that_a_dead_process_left_are_synced_before_they_are_counted_on(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the live file and in one that was moved away: they are not written again, so they have to stay."""
    collector = make(fsync="commit")
    collector.open()
    collector.deliver(items(1, 2))
    os.write(collector._fd, item(3).line)  # and killed before its sync
    die(collector)
    os.rename(tmp_path / "log/events.ndjson", tmp_path / "log/moved")
    disk, synced = Disk(monkeypatch), []
    real = disk.fdatasync
    monkeypatch.setattr(disk, "fdatasync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd)), raising=False)
    collector = make(fsync="commit")
    collector.open()
    assert set(synced) == {path.stat().st_ino for path in (tmp_path / "log").iterdir()}
    collector.deliver(items(1, 4))
    assert ids(tmp_path / "log") == a(4, 4)


def test_a_start_on_a_full_disk_succeeds_once_there_is_space(
    tmp_path: Path, make: Callable[..., LogCollector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``open`` may be called again after ``RetryLater``, and holds nothing in between."""
    collector = make()
    monkeypatch.setattr(log_module.disk, "replace", lambda path, content: (_ for _ in ()).throw(FULL))
    for _ in range(3):
        with pytest.raises(RetryLater, match="No space left"):
            collector.open()
    monkeypatch.undo()
    run(collector, items(1, 2))
    assert ids(tmp_path / "log") == a(1, 2)


# --- standard output


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Disk, Callable[[], bytes]]]:
    """A pipe in place of standard output, with a disk that can be told to refuse."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    disk = Disk(monkeypatch)
    real = disk.write
    monkeypatch.setattr(disk, "write", lambda fd, content: real(writing if fd == 1 else fd, content), raising=False)

    def written() -> bytes:
        try:
            return os.read(reading, 1 << 20)
        except BlockingIOError:
            return b""

    yield disk, written
    os.close(reading)
    os.close(writing)


def test_standard_output_gets_each_line_once_whatever_it_takes_at_a_time(
    make: Callable[..., LogCollector], pipe: tuple[Disk, Callable[[], bytes]]
) -> None:
    """It cannot be cut back: a line that was begun is ended by the next call, and only then comes another one."""
    disk, written = pipe
    collector = make(file="-")
    collector.open()
    whole = b"".join(line for _, line in items(1, 4))
    got = b""
    for taken in range(0, len(whole) + 1, 7):
        disk.writes = [taken % 90, BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")]
        try:
            collector.deliver(items(1, 4))
            break
        except RetryLater:
            got += written()
    disk.writes = []
    collector.deliver(items(1, 4))
    assert got + written() == whole


def test_standard_output_has_no_file_and_remembers_across_an_orderly_restart(
    tmp_path: Path, make: Callable[..., LogCollector], pipe: tuple[Disk, Callable[[], bytes]]
) -> None:
    """What was printed before the stop is not printed again."""
    _, written = pipe
    run(make(file="-"), items(1, 3))
    run(make(file="-"), items(2, 4))
    assert written() == b"".join(line for _, line in items(1, 4))
    assert not (tmp_path / "log").exists()


# --- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": ""}, "file: name a file"),
        ({"file": "logs/"}, "file: name a file"),
        ({"file": "a\0b"}, "file: name a file"),
        ({"compress": "bzip2"}, "bzip2"),
        ({"fsync": True}, "fsync"),
        ({"rotate_bytes": -1}, "rotate_bytes"),
        ({"rotate_bytes": 1.5}, "rotate_bytes"),
        ({"keep": "3"}, "keep"),
        ({"fille": "x"}, "fille"),
    ],
)
def test_wrong_options_name_what_is_wrong(options: dict[str, Any], message: str) -> None:
    """Every mistake is found when the settings are read."""
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(options, LogOptions)


def test_zstd_without_its_library_answers_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair is in the message."""
    monkeypatch.setattr(log_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(msgspec.ValidationError, match=r"pip install 'tracker\[zstd\]'"):
        msgspec.convert({"compress": "zstd"}, LogOptions)


def test_the_file_may_be_anywhere(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """Absolute, or relative to ``DATA/log``, with or without a suffix; folders are made."""
    run(make(file=str(tmp_path / "x/y/clicks")), items(1, 1))
    run(make(file="sub/events.log"), items(2, 2))
    assert (tmp_path / "x/y/clicks").read_bytes() == item(1).line
    assert (tmp_path / "log/sub/events.log").read_bytes() == item(2).line


def test_the_lock_on_the_live_file_goes_with_it(tmp_path: Path, make: Callable[..., LogCollector]) -> None:
    """After ``close`` and after a rotation nobody holds what was left behind."""
    collector = make(rotate_bytes=1)
    collector.open()
    collector.deliver(items(1, 2))
    for path in (tmp_path / "log").glob("events-*"):
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    collector.close()
    with open(tmp_path / "log/events.ndjson", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
