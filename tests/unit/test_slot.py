"""Claiming a slot: which streams go on, which are sealed, and what the seal says."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tracker import counters
from tracker.capture.ring import Ring
from tracker.capture.rings import Rings
from tracker.counters import CounterFile, read_counts
from tracker.event import Event, decode_line, encode_line
from tracker.journal import recovery, segment, slot
from tracker.journal.adoption import Adopter
from tracker.journal.reader import JournalReader
from tracker.journal.seal import Seal, read_seal
from tracker.journal.slot import NoSlot
from tracker.settings.model import Ring as RingSettings
from tracker.settings.model import Tracker

CAPACITY = 1 << 18


def settings(data_dir: Path, **more: object) -> Tracker:
    """One thread, a small ring."""
    return Tracker(data_dir=str(data_dir), threads=1, ring=RingSettings(bytes_per_worker=CAPACITY, **more))  # type: ignore[arg-type]


def feed(data_dir: Path, count: int, *, durable: bool = True) -> str:
    """A process that publishes events and is killed: it leaves everything as it is. Returns the stream."""
    script = f"""
import os, sys
from pathlib import Path
from tracker.capture.rings import Rings
from tracker.event import Event, decode_line, encode_line
from tracker.settings.model import Journal, Ring, Tracker
rings = Rings(Tracker(data_dir=sys.argv[1], threads=1, ring=Ring(bytes_per_worker={CAPACITY}),
                      journal=Journal(sync_interval_ms={50 if durable else 60_000})))
writer = rings.writer()
for i in range({count}):
    assert not writer.append([Event(id=f"e{{i}}", event="hit", received_at="2026-11-20T21:27:05.123Z")])
if {durable}:
    assert writer.wait_durable(5)
print(writer.stream, flush=True)
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", script, str(data_dir)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    return done.stdout.strip()


def claim_and_stop(data_dir: Path) -> tuple[str, int]:
    """Claim, look, and stop in order: the stream and its last seq."""
    rings = Rings(settings(data_dir))
    writer = rings.writer()
    assert writer is not None, rings.problem
    result = writer.stream, writer.seq
    rings.stop(5)
    return result


def seal_of(data_dir: Path, stream: str) -> Seal:
    """The stream's seal, which is there."""
    seal = read_seal(data_dir / "journal" / "streams" / stream)
    assert seal is not None
    return seal


def count_lines(data_dir: Path, stream: str) -> int:
    """Lines that the reader gives."""
    reader = JournalReader(data_dir)
    assert stream in reader.streams()
    at = count = 0
    while (chunk := reader.read(stream, at)).end > at:
        count += len(chunk.lines)
        at = chunk.end
    return count


def test_after_a_kill_the_stream_goes_on_with_every_published_line(tmp_path: Path) -> None:
    """kill -9 with nothing flushed: the next claim finds it all in the ring, in the same stream."""
    stream = feed(tmp_path, 100, durable=False)
    assert claim_and_stop(tmp_path) == (stream, 100)
    assert count_lines(tmp_path, stream) == 100


def test_a_reboot_after_an_orderly_stop_seals_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another boot begins another stream; the old one says that nothing is missing."""
    feed(tmp_path, 10)
    stream, _ = claim_and_stop(tmp_path)
    monkeypatch.setenv("TRACKER_BOOT_ID", str(uuid.uuid4()))
    assert claim_and_stop(tmp_path)[1] == 0
    seal = seal_of(tmp_path, stream)
    assert (seal.cause, seal.gap, seal.last_seq) == ("reboot", "none", 10)


def test_a_power_cut_seals_with_a_possible_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring of another boot is not trusted, even though it has more than the journal."""
    stream = feed(tmp_path, 100, durable=True)
    monkeypatch.setenv("TRACKER_BOOT_ID", str(uuid.uuid4()))
    new, seq = claim_and_stop(tmp_path)
    seal = seal_of(tmp_path, stream)
    assert (seal.cause, seal.gap, seal.last_seq, seal.successor) == ("power_cut", "possible", 100, new)
    assert new != stream and seq == 0


def test_a_copied_folder_does_not_go_on_with_the_same_stream(tmp_path: Path) -> None:
    """Two machines with one stream would both number their events: the copy seals it and begins its own."""
    stream = feed(tmp_path / "a", 10, durable=False)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert claim_and_stop(tmp_path / "a") == (stream, 10)
    assert claim_and_stop(tmp_path / "b")[0] != stream
    seal = seal_of(tmp_path / "b", stream)
    assert (seal.cause, seal.gap, seal.last_seq) == ("copied", "none", 10)
    assert count_lines(tmp_path / "b", stream) == 10


def test_a_wiped_journal_is_rebuilt_from_the_ring_if_it_still_holds_all(tmp_path: Path) -> None:
    """The stream's files are gone, the ring has everything since its beginning: nothing is lost."""
    stream = feed(tmp_path, 50)
    shutil.rmtree(tmp_path / "journal" / "streams")
    assert claim_and_stop(tmp_path) == (stream, 50)
    assert count_lines(tmp_path, stream) == 50


def test_a_wiped_journal_beyond_the_ring_is_an_explicit_hole(tmp_path: Path) -> None:
    """More was written than the ring holds, and the files are gone: the seal lists the missing range."""
    rings = Rings(settings(tmp_path))
    writer = rings.writer()
    assert writer is not None
    for i in range(30):
        events = [Event(id=f"e{i}", event="hit", dimensions={"fill": "x" * 20_000})]
        while writer.append(events):
            assert writer.wait_durable(5)
    assert writer.wait_durable(5)
    stream, durable = writer.stream, writer.slot.ring.durable
    rings.stop(5)
    shutil.rmtree(tmp_path / "journal" / "streams")
    assert claim_and_stop(tmp_path)[0] != stream
    seal = seal_of(tmp_path, stream)
    assert (seal.cause, seal.gap, seal.holes) == ("journal_lost", "known", [(0, durable)])


def test_a_journal_ahead_of_its_ring_is_sealed(tmp_path: Path) -> None:
    """An older ring was restored beside a newer journal: seq must not run twice."""
    feed(tmp_path, 5)
    ring = tmp_path / "journal" / "slots" / "0" / "ring"
    old = ring.read_bytes()
    stream = feed(tmp_path, 5)
    with open(ring, "r+b") as file:
        file.write(old)
    assert claim_and_stop(tmp_path)[0] != stream
    seal = seal_of(tmp_path, stream)
    assert (seal.cause, seal.last_seq) == ("journal_ahead", 10)


def test_a_ring_whose_lines_do_not_follow_is_not_believed(tmp_path: Path) -> None:
    """Foreign bytes in the ring: they are set aside, the stream is sealed where the journal ends."""
    stream = feed(tmp_path, 5)
    ring = Ring.open(tmp_path / "journal" / "slots" / "0" / "ring")
    ring.publish(b'{"id":"x","stream":"' + stream.encode() + b'","seq":9}\n')
    ring.close()
    assert claim_and_stop(tmp_path)[0] != stream
    seal = seal_of(tmp_path, stream)
    assert (seal.cause, seal.gap, seal.last_seq) == ("continuity", "known", 5)
    assert list((tmp_path / "journal" / "quarantine").iterdir())


def test_a_foreign_ring_file_is_set_aside(tmp_path: Path) -> None:
    """A file that is no ring costs nobody the start."""
    folder = tmp_path / "journal" / "slots" / "0"
    folder.mkdir(parents=True)
    (folder / "ring").write_bytes(b"not a ring")
    assert claim_and_stop(tmp_path)[1] == 0
    assert [path.read_bytes() for path in (tmp_path / "journal" / "quarantine").iterdir()] == [b"not a ring"]


def test_another_ring_size_begins_another_stream(tmp_path: Path) -> None:
    """The setting takes effect at the next claim; the old stream is whole."""
    stream = feed(tmp_path, 3)
    rings = Rings(Tracker(data_dir=str(tmp_path), threads=1, ring=RingSettings(bytes_per_worker=CAPACITY * 2)))
    writer = rings.writer()
    assert writer is not None and writer.slot.ring.capacity == CAPACITY * 2
    rings.stop(5)
    assert (seal_of(tmp_path, stream).cause, seal_of(tmp_path, stream).gap) == ("resized", "none")


def test_a_slot_has_one_owner(tmp_path: Path) -> None:
    """Two claims on one folder get two slots; with one slot only, the second is told which setting to raise."""
    first, second = Rings(settings(tmp_path, max_slots=1)), Rings(settings(tmp_path, max_slots=1))
    assert first.writer() is not None
    assert second.writer() is None and "ring.max_slots" in second.problem
    with pytest.raises(NoSlot):
        slot.claim(tmp_path, settings(tmp_path, max_slots=1), CAPACITY)
    first.stop(5)


def test_delivery_adopts_what_a_dead_worker_left(tmp_path: Path) -> None:
    """Nobody claims the slot again: one scan brings its lines into the journal."""
    stream = feed(tmp_path, 20, durable=False)
    assert Adopter(tmp_path, settings(tmp_path)).scan() == 1
    assert count_lines(tmp_path, stream) == 20
    assert Adopter(tmp_path, settings(tmp_path)).scan() == 0, "once"


def test_a_held_slot_is_left_alone(tmp_path: Path) -> None:
    """Adoption never touches a living worker's ring."""
    rings = Rings(settings(tmp_path))
    writer = rings.writer()
    assert writer is not None
    writer.append([Event(id="e", event="hit")])
    assert Adopter(tmp_path, settings(tmp_path), surplus_after_s=-1).scan() == 0
    rings.stop(5)


def test_a_surplus_slot_is_sealed_and_removed_and_its_counters_stay(tmp_path: Path) -> None:
    """Fewer workers than before: the empty slot goes, the sums of /-/metrics do not go back."""
    stream = feed(tmp_path, 20)
    rings = Rings(settings(tmp_path))
    assert rings.writer() is not None
    rings.flusher.slots[0].counts[counters.EVENTS_GOOD] = 20
    rings.stop(5)
    Adopter(tmp_path, settings(tmp_path), surplus_after_s=-1).scan()
    assert not slot.slot_folders(tmp_path)
    assert (seal_of(tmp_path, stream).cause, seal_of(tmp_path, stream).last_seq) == ("retired", 20)
    assert read_counts([tmp_path / "journal" / "counters"])[counters.EVENTS_GOOD] == 20


def test_a_reader_forgets_what_was_cut_off_after_a_kill(tmp_path: Path) -> None:
    """It looked while blocks beyond ``durable`` stood in the index; the next owner wrote other blocks in their place."""

    def publish(held: slot.Slot, *idents: str) -> None:
        for ident in idents:
            held.last_seq += 1
            event = Event(id=ident, event="hit", stream=held.ring.stream, seq=held.last_seq)
            assert held.ring.publish(encode_line(event))

    reader = JournalReader(tmp_path)
    held = slot.claim(tmp_path, settings(tmp_path), CAPACITY)
    publish(held, "a")
    recovery.drain(held.ring, held.appender)
    publish(held, "b")
    recovery.drain(held.ring, held.appender)
    publish(held, "c")
    held.appender.append(held.ring.views, held.ring.head)
    (stream,) = reader.streams()
    chunk = reader.read(stream, 0, 1)  # behind, so it looks into the index
    held.close()
    held = slot.claim(tmp_path, settings(tmp_path), CAPACITY)
    publish(held, "d")
    recovery.drain(held.ring, held.appender)
    held.close()
    reader.streams()
    lines = list(chunk.lines)
    while (chunk := reader.read(stream, chunk.end)).lines:
        lines += chunk.lines
    assert not chunk.damaged_bytes and not chunk.expired_bytes
    assert [decode_line(line).id for line in lines] == ["a", "b", "c", "d"]


def test_a_claim_that_fails_keeps_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are tried again each second while the disk is in trouble: none may leave descriptors behind."""
    feed(tmp_path, 3)
    claim_and_stop(tmp_path)  # so that the ring bears the mark of an orderly stop, which the next claim takes off
    before = set(os.listdir("/proc/self/fd"))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Ring, "mark_clean", broken)
        with pytest.raises(OSError, match="Input/output"):
            slot.claim(tmp_path, settings(tmp_path, max_slots=1), CAPACITY)
    assert len(set(os.listdir("/proc/self/fd")) - before) == 0
    assert claim_and_stop(tmp_path)[1] == 3


def test_a_seal_that_cannot_be_read_does_not_stop_a_claim(tmp_path: Path) -> None:
    """A damaged seal is said and passed over."""
    stream = feed(tmp_path, 3)
    (tmp_path / "journal" / "streams" / stream / "sealed.json").write_bytes(b"{")
    assert claim_and_stop(tmp_path) == (stream, 3)


def test_the_last_segment_truncated_to_nothing_is_made_good_from_the_ring(tmp_path: Path) -> None:
    """A torn file on the same boot: the ring still has the bytes."""
    stream = feed(tmp_path, 30)
    os.truncate(segment.data_path(tmp_path / "journal" / "streams" / stream, 0), 0)
    assert claim_and_stop(tmp_path) == (stream, 30)
    assert count_lines(tmp_path, stream) == 30


def test_counters_of_a_shorter_list_go_on_in_a_longer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade adds counters: the old values stay with their names."""
    keys = list(counters._KEYS)
    with monkeypatch.context() as patch:
        patch.setattr(counters, "_KEYS", [keys[5], keys[0]])
        file = CounterFile(tmp_path / "counters")
        file.write([55, 11])
        file.close()
    counts = CounterFile(tmp_path / "counters").read()
    assert (counts[0], counts[5], sum(counts)) == (11, 55, 66)


def test_a_thread_that_ends_leaves_its_ring_to_the_next(tmp_path: Path) -> None:
    """A server with a thread a request needs one ring, not one a request."""
    import threading

    rings = Rings(settings(tmp_path))
    streams = []
    for _ in range(5):
        thread = threading.Thread(target=lambda: streams.append(rings.writer().stream))  # type: ignore[union-attr]
        thread.start()
        thread.join()
    assert len(set(streams)) == 1
    rings.stop(5)


def test_a_forked_child_claims_its_own_slot_and_frees_its_parents_lock(tmp_path: Path) -> None:
    """Claimed before a fork, used after it: the child begins anew, and does not keep the parent's slot locked."""
    rings = Rings(settings(tmp_path))
    writer = rings.writer()
    assert writer is not None
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            mine = rings.writer()
            os.write(write, mine.stream.encode() if mine else b"none")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(read, 100).decode()
    assert child not in ("none", writer.stream)
    rings.stop(5)
    assert Adopter(tmp_path, settings(tmp_path)).scan() == 0
