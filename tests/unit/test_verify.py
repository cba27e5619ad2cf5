"""The audit: each kind of damage has its name and place, and a sound journal has none."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracker.event import Event, encode_line
from tracker.journal import report as report_module
from tracker.journal import segment
from tracker.journal.fingerprints import Fingerprints, fingerprint
from tracker.journal.reader import JournalReader
from tracker.journal.report import KINDS, Kind, Report
from tracker.journal.seal import Seal, write_seal
from tracker.journal.tail import Tail
from tracker.journal.tracing import find
from tracker.journal.verify import audit
from tracker.terminal import audit_report

Journal = Any  # the fixture's classes
Stream = Any


def check(journal: Journal, **more: Any) -> Report:
    """Audit it; what the report says must fit into JSON and onto a terminal."""
    found = audit(journal.data_dir, **more)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found
    assert all(line.isprintable() for line in audit_report.report(found).plain.splitlines())
    assert found.clean == (not found.counts)
    return found


def kinds(found: Report) -> dict[str, int]:
    return found.counts


def seal(made: Stream, **fields: Any) -> None:
    """Seal it as the tracker would, everything durable."""
    write_seal(made.folder, Seal(**{
        "stream": made.name, "end": made.ring.durable, "last_seq": made.events[-1].seq, "cause": "retired",
        "gap": "none", "sealed_at": "2026-11-20T22:00:00.000Z", **fields,
    }))
    made.drop_ring()


def test_every_kind_is_explained() -> None:
    """The list that people read and the list that programs get are one."""
    assert set(KINDS) == set(Kind.__args__)  # type: ignore[attr-defined]


def test_a_sound_journal_has_no_findings(journal: Journal) -> None:
    """Several streams and segments, long lines, the bad lane, a sealed stream: counted, and nothing else."""
    one, two, three = journal.stream(segment_bytes=2000), journal.stream(), journal.stream()
    for number in range(50):
        one.add(dimensions={"campaign": "c1"})
        two.publish(properties={"fill": "x" * (number * 4001)}) if number < 8 else two.publish(lane="bad", reason="r")
        two.flush()
        three.add()
    seal(three)
    found = check(journal)
    assert kinds(found) == {}
    assert (found.streams, found.sealed, found.events, found.bad_lane) == (3, 1, 150, 42)
    assert found.bytes == sum(len(line) for stream in journal.streams for line in stream.lines)
    assert found.segments == sum(len(stream.segments()) for stream in journal.streams) > 7
    assert (found.oldest, found.newest) == (one.events[0].received_at, three.events[-1].received_at)
    assert any("retired" in note for note in found.notes)
    assert "No findings" in audit_report.report(found).plain


def test_an_empty_journal_is_sound(journal: Journal) -> None:
    """No folder at all, and a stream without a line."""
    assert kinds(check(journal)) == {}
    journal.stream()
    assert kinds(check(journal)) == {}


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_changed_byte_is_a_bad_block_and_the_events_in_it(journal: Journal, place: str) -> None:
    """The block and the numbers that cannot be read are named, whichever block it is; at the end nobody can know."""
    stream = journal.stream()
    for _ in range(5):
        stream.publish()
        stream.publish()
        stream.flush()
    number = {"first": 0, "middle": 4, "last": 8}[place]
    stream.spoil(stream.offset(number) + 30)
    found = check(journal)
    expected = {"bad_block": 1} if place == "last" else {"bad_block": 1, "seq_unreadable": 1}
    assert kinds(found) == expected
    (block,) = [each for each in found.findings if each.kind == "bad_block"]
    assert block.offset == stream.offset(number)
    assert block.path == str(stream.segments()[0].relative_to(journal.data_dir))
    if place != "last":
        (lost,) = [each for each in found.findings if each.kind == "seq_unreadable"]
        assert f"seq {number + 1} to {number + 2} (2 events)" in lost.message


def test_every_flipped_byte_of_a_segment_is_found(journal: Journal) -> None:
    """Bit rot anywhere: always a bad block, never a wrong event, never silence."""
    stream = journal.stream()
    for _ in range(3):
        stream.add()
    (path,) = stream.segments()
    sound = path.read_bytes()
    for offset in range(0, len(sound), 7):
        stream.spoil(offset)
        assert kinds(check(journal)).get("bad_block") == 1, offset
        path.write_bytes(sound)
    assert kinds(check(journal)) == {}


def test_every_cut_of_an_index_is_found(journal: Journal) -> None:
    """Bytes that no record vouches for are named; without a whole header the index itself is."""
    stream = journal.stream()
    for _ in range(4):
        stream.add()
    index = segment.index_path(stream.folder, 0)
    sound = index.read_bytes()
    for size in range(len(sound)):
        index.write_bytes(sound[:size])
        found = check(journal)
        assert kinds(found).get("no_record") == 1, size
        assert ("bad_index" in found.counts) == (size < segment.HEADER.size), size


def test_a_spoilt_index_record_costs_its_block_and_the_next(journal: Journal) -> None:
    """With the record the block's own bounds are lost."""
    stream = journal.stream()
    for _ in range(6):
        stream.add()
    index = segment.index_path(stream.folder, 0)
    content = bytearray(index.read_bytes())
    content[segment.HEADER.size + 2 * segment.RECORD.size] ^= 1
    index.write_bytes(content)
    found = check(journal)
    assert kinds(found) == {"bad_index": 1, "no_record": 1, "seq_unreadable": 1}
    assert any("seq 3 to 4 (2 events)" in each.message for each in found.findings)


def test_a_missing_segment_is_a_hole(journal: Journal) -> None:
    """The file in the middle is gone: its bytes, and its numbers."""
    stream = journal.stream(segment_bytes=500)
    for _ in range(9):
        stream.add()
    gone = stream.segments()[1]
    size = gone.stat().st_size
    gone.unlink()
    segment.index_path(stream.folder, int(gone.stem)).unlink()
    found = check(journal)
    assert kinds(found) == {"hole": 1, "seq_unreadable": 1}
    assert f"{size} bytes are not there" in found.findings[0].message
    assert found.findings[0].offset == int(gone.stem)


def test_a_cut_segment_is_a_hole(journal: Journal) -> None:
    """Durable bytes are missing at the end of the newest segment."""
    stream = journal.stream()
    stream.add()
    stream.add()
    (path,) = stream.segments()
    path.write_bytes(path.read_bytes()[:-10])
    found = check(journal)
    assert kinds(found) == {"hole": 1}
    assert "10 of the block's" in found.findings[0].message


def test_a_stream_whose_segments_are_all_gone_is_a_hole(journal: Journal) -> None:
    """The ring says that bytes were durable."""
    stream = journal.stream()
    stream.add()
    for path in stream.folder.iterdir():
        path.unlink()
    found = check(journal)
    assert kinds(found) == {"hole": 1}
    assert not found.unchecked


def test_expired_segments_are_no_finding_and_are_said(journal: Journal) -> None:
    """Retention takes whole segments from the front; the first number is then what the index says."""
    stream = journal.stream(segment_bytes=500)
    for _ in range(9):
        stream.add()
    for path in stream.segments()[:2]:
        segment.index_path(stream.folder, int(path.stem)).unlink()
        path.unlink()
    found = check(journal)
    assert kinds(found) == {}
    assert found.unchecked == [f"bytes 0 to {stream.segments()[0].stem.lstrip('0')} of stream {stream.name}: they have expired"]
    stream.spoil(int(stream.segments()[0].stem) + 5)
    assert "seq_unreadable" in kinds(check(journal))


def test_missing_and_repeated_numbers_are_found(journal: Journal) -> None:
    """In sound blocks: from 2 to 5, back to 5, and a beginning that is not 1."""
    stream = journal.stream()
    for seq in (1, 2, 5, 5, 6):
        stream.add(seq=seq)
    late = journal.stream()
    late.add(seq=3)
    found = check(journal)
    assert kinds(found) == {"seq_gap": 2, "seq_repeated": 1}
    messages = [each.message for each in found.findings]
    assert any("seq 3 to 4 (2 events)" in message for message in messages)
    assert any("seq 5 after 5" in message for message in messages)
    assert any("seq 1 to 2 (2 events)" in message for message in messages)


def test_lines_that_are_no_events_or_anothers_are_found(journal: Journal) -> None:
    """Junk with a good checksum, and a line of another stream."""
    stream = journal.stream()
    stream.publish()
    stream.raw(b'{"id":3}\n')
    stream.raw(b"\xff\xfe\n")
    stream.raw(b"[" * 100_000 + b"\n")
    stream.raw(encode_line(Event(id="x", stream="f" * 32, seq=2)))
    stream.publish()
    stream.flush()
    found = check(journal)
    assert kinds(found) == {"foreign": 1, "unparsable": 3}
    assert [each.offset for each in found.findings] == [stream.offset(number) for number in (1, 2, 3, 4)]


def test_what_a_seal_records_is_told_once(journal: Journal) -> None:
    """Lost bytes that the seal names are the seal's finding, and no gap besides."""
    stream = journal.stream(segment_bytes=500)
    for _ in range(9):
        stream.add()
    first, gone, after = stream.segments()[:3]
    gone.unlink()
    segment.index_path(stream.folder, int(gone.stem)).unlink()
    seal(stream, cause="journal_lost", gap="known", holes=[(int(gone.stem), int(after.stem))])
    found = check(journal)
    assert kinds(found) == {"recorded_gap": 1}
    assert f"bytes {int(gone.stem)} to {int(after.stem)}" in found.findings[0].message
    assert first.exists()


def test_a_possible_gap_is_a_note(journal: Journal) -> None:
    """After a power cut nobody knows; what was durable is all there."""
    stream = journal.stream()
    stream.add()
    seal(stream, cause="power_cut", gap="possible")
    found = check(journal)
    assert kinds(found) == {}
    assert any("power_cut" in note and "may be lost" in note for note in found.notes)


def test_a_seal_that_lies_is_found(journal: Journal) -> None:
    """Another last number, an end beyond the bytes, another stream, and no JSON."""
    streams = [journal.stream() for _ in range(4)]
    for stream in streams:
        stream.add()
        stream.add()
    seal(streams[0], last_seq=3)
    seal(streams[1], end=streams[1].ring.durable + 50)
    seal(streams[2], stream="f" * 32)
    (streams[3].folder / "sealed.json").write_text("{}")
    found = check(journal)
    assert kinds(found) == {"bad_seal": 3, "hole": 1}
    by_stream = {each.stream: each.kind for each in found.findings}
    assert by_stream == {
        streams[0].name: "bad_seal", streams[1].name: "hole", streams[2].name: "bad_seal", streams[3].name: "bad_seal",
    }


def test_a_sealed_stream_that_ends_in_damage_tells_how_many_are_lost(journal: Journal) -> None:
    """The seal knows the last number, so the end is no secret."""
    stream = journal.stream()
    for _ in range(3):
        stream.add()
    stream.spoil(stream.offset(1) + 9)
    stream.spoil(stream.offset(2) + 9)
    seal(stream)
    found = check(journal)
    assert kinds(found) == {"bad_block": 2, "seq_unreadable": 1}
    assert any("seq 2 to 3 (2 events)" in each.message for each in found.findings)


def test_an_event_that_was_written_twice_is_found(journal: Journal) -> None:
    """The tracker's own id in two lines of two streams; both places are named."""
    one, two = journal.stream(), journal.stream()
    event = one.add()
    one.add()
    two.add(id=event.id, received_at=event.received_at)
    found = check(journal)
    assert kinds(found) == {"id_repeated": 1}
    message = found.findings[0].message
    assert message.startswith(f"{event.id} stands 2 times")
    assert f"{one.name} seq 1" in message
    assert f"{two.name} seq 1" in message


def test_a_client_that_repeats_an_id_breaks_no_promise(journal: Journal) -> None:
    """Its retry is an event of its own; so is one that sends our id back later. That is noted."""
    stream = journal.stream()
    ours = stream.add()
    stream.add(id="order-1")
    stream.add(id="order-1")
    stream.add(id=ours.id)
    found = check(journal)
    assert kinds(found) == {}
    assert any(note.startswith("2 ids came more than once") for note in found.notes)


def test_ids_beyond_the_limit_are_said_to_be_unchecked(journal: Journal) -> None:
    """Memory is bounded; silence would be a lie."""
    stream = journal.stream()
    for _ in range(5):
        stream.add(id="same")
    found = check(journal, max_ids=3)
    assert any(text.startswith("2 events: ") for text in found.unchecked)


def test_what_is_on_its_way_is_not_checked_and_said(journal: Journal) -> None:
    """The ring's waiting bytes, and bytes in the segment past durable."""
    stream = journal.stream()
    stream.add()
    stream.publish()
    waiting = len(stream.lines[1])
    stream.appender.append(stream.ring.views, stream.ring.head)  # written, not synced, and not in the index's count
    found = check(journal)
    assert kinds(found) == {}
    assert found.events == 1
    assert sorted(found.unchecked) == sorted([
        f"{waiting} bytes of stream {stream.name} from {len(stream.lines[0])} on: not durable yet",
        f"{waiting} bytes of stream {stream.name} in the ring of slot 0, on their way to the journal",
    ])


def test_bytes_given_up_after_an_io_error_are_a_note(journal: Journal) -> None:
    """The segment is longer than where the next one begins; its lines are read once."""
    stream = journal.stream()
    stream.add()
    stream.publish()
    stream.appender.append(stream.ring.views, stream.ring.head)
    stream.appender.abandon()
    stream.flush()
    stream.add()
    assert len(stream.segments()) == 2
    found = check(journal)
    assert kinds(found) == {}
    assert found.events == 3
    assert any("given up after an I/O error" in note for note in found.notes)


def test_files_that_do_not_belong_are_found(journal: Journal) -> None:
    """In every folder of the format; what the tracker itself leaves there is no stranger."""
    stream = journal.stream()
    stream.add()
    root = journal.data_dir / "journal"
    for name in ("counters", "counters.lock", "refuse", "quarantine/x", "slots/0/ring.new", "slots/0/counters", "removed/y"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (stream.folder / "sealed.json.new").touch()
    assert kinds(check(journal)) == {}
    strangers = ["notes.txt", "streams/nonsense/x", f"streams/{stream.name}/00000000000000000000.ndjson.bak", "slots/0/core",
                 "slots/a", "streams/" + "0" * 31 + "g"]  # fmt: skip
    for name in strangers:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    found = check(journal)
    assert kinds(found) == {"stray": 6}
    expected = {f"journal/{name.removesuffix('/x')}" for name in strangers}
    assert {each.path for each in found.findings} == expected


def test_quarantine_is_not_checked_and_said(journal: Journal) -> None:
    """How much of it there is."""
    journal.stream().add()
    folder = journal.data_dir / "journal" / "quarantine"
    folder.mkdir()
    (folder / "a").write_bytes(b"123")
    (folder / "b").write_bytes(b"45")
    assert check(journal).unchecked == ["2 files (5 bytes), set aside in journal/quarantine"]


def test_a_ring_that_cannot_be_used_is_found(journal: Journal) -> None:
    """Another magic number; its stream is then checked as far as the index goes, and that is said."""
    stream = journal.stream()
    stream.add()
    path = stream.slot / "ring"
    copy = bytearray(path.read_bytes())
    copy[0] ^= 1
    path.unlink()
    path.write_bytes(copy)
    found = check(journal)
    assert kinds(found) == {"bad_ring": 1}
    assert any("no ring and no seal" in note for note in found.notes)


def test_a_copied_journal_without_rings_is_checked(journal: Journal, tmp_path: Path) -> None:
    """Somebody sends in the streams folder alone."""
    stream = journal.stream()
    for _ in range(3):
        stream.add()
    shutil.copytree(journal.data_dir / "journal" / "streams", tmp_path / "copy" / "journal" / "streams")
    found = audit(tmp_path / "copy")
    assert found.clean
    assert found.events == 3


def test_a_file_that_the_disk_does_not_give_is_found_and_the_rest_checked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One segment of one stream is unreadable; the others are looked at."""
    one, two = journal.stream(), journal.stream()
    one.add()
    two.add()
    read = segment.read

    def fails(folder: Path, *rest: int) -> bytes:
        if folder == one.folder:
            raise OSError(5, "Input/output error")
        return read(folder, *rest)

    monkeypatch.setattr(segment, "read", fails)
    found = check(journal)
    assert kinds(found) == {"unreadable": 1}
    assert found.events == 1


def test_findings_are_listed_up_to_a_limit_and_counted_beyond(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrecked journal does not fill the memory."""
    monkeypatch.setattr(report_module, "MAX_LISTED", 3)
    stream = journal.stream()
    for _ in range(6):
        stream.raw(b"junk\n")
    stream.flush()
    found = check(journal)
    assert kinds(found) == {"unparsable": 6}
    assert len(found.findings) == 3
    assert "... and 3 more" in audit_report.report(found).plain


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_to_a_file_the_readers_go_on(journal: Journal, seed: int) -> None:
    """Random damage to one file of the journal: audit, tail and trace end without an error, and no event is invented."""
    chance = random.Random(seed)
    made = [journal.stream(segment_bytes=700), journal.stream(), journal.stream(segment_bytes=700)]
    for number in range(8):
        for stream in made:
            stream.publish(properties={"fill": "x" * (number * 40)})
            if number % 3:
                stream.flush()
    seal(made[2])
    made[1].publish()
    lines = {line for stream in made for line in stream.lines}
    path = chance.choice(sorted(path for path in (journal.data_dir / "journal").rglob("*") if path.is_file()))
    content = bytearray(path.read_bytes())
    match chance.randrange(6):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(b"")
        case 2:
            path.write_bytes(content[: chance.randrange(len(content) + 1)])
        case 3:
            path.write_bytes(content + chance.randbytes(50))
        case 4:
            path.unlink()
            path.mkdir()
        case _:
            for _ in range(3):
                if content:
                    content[chance.randrange(min(len(content), 5000))] ^= 1 << chance.randrange(8)
            path.unlink()
            path.write_bytes(content)
    check(journal)
    reader = JournalReader(journal.data_dir)
    shown = Tail(reader).newest(1000)
    reader.close()
    assert {entry.line for entry in shown} <= lines
    with contextlib.suppress(OSError):  # a folder where a segment should be: said, not swallowed
        find(journal.data_dir, made[0].events[3].id, {}, everything=True)


def test_progress_ends_at_the_whole(journal: Journal) -> None:
    """Bytes done never pass bytes to do, and meet them."""
    stream = journal.stream(segment_bytes=500)
    for _ in range(9):
        stream.add()
    seen: list[tuple[int, int]] = []
    audit(journal.data_dir, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (stream.ring.durable, stream.ring.durable)


def test_fingerprints_tell_repeats_and_who_made_them() -> None:
    """Counted with the caller's bit; nothing beyond the limit; no repeat, no word."""
    prints = Fingerprints(100_000)
    for number in range(30_000):
        prints.add(f"id-{number}", own=False)
    assert list(prints.repeated()) == []
    prints.add("id-7", own=True)
    prints.add("id-7", own=True)
    prints.add("id-9", own=False)
    assert sorted(prints.repeated()) == sorted([(fingerprint("id-7"), 3, 2), (fingerprint("id-9"), 2, 0)])
    assert prints.left_out == 0


def test_the_documented_kinds_are_those_in_the_report() -> None:
    """A report's words are for people: no underscore ends a sentence, no kind is without one."""
    assert all(re.fullmatch(r"[a-z_]+", kind) and len(text) > 20 for kind, text in KINDS.items())
