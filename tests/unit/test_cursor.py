"""Cursors: saved whole, and never a reason to crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker import disk
from tracker.journal import cursor
from tracker.journal.cursor import Cursor, Position

A, B = "a" * 32, "b" * 32


def saved(data_dir: Path, **streams: Position) -> Cursor:
    own = cursor.load(data_dir, "log")
    own.streams = {name * 32: place for name, place in streams.items()}
    own.save()
    return own


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Offsets and seqs of every stream come back, to the largest there are."""
    saved(tmp_path, a=Position(0, 0), b=Position(2**63 - 1, 2**63 - 1))
    again = cursor.load(tmp_path, "log")
    assert again.known
    assert not again.problem
    assert again.streams == {A: Position(0, 0), B: Position(2**63 - 1, 2**63 - 1)}


def test_a_collector_without_a_file_is_unknown_and_empty(tmp_path: Path) -> None:
    """Nothing is created by looking."""
    own = cursor.load(tmp_path, "log")
    assert (own.known, own.streams, own.problem) == (False, {}, "")
    assert list(tmp_path.iterdir()) == []


def test_collectors_have_cursors_of_their_own(tmp_path: Path) -> None:
    """One collector's save changes no other's file."""
    saved(tmp_path, a=Position(10, 1))
    other = cursor.load(tmp_path, "kafka")
    other.streams = {A: Position(99, 9)}
    other.save()
    assert cursor.load(tmp_path, "log").streams == {A: Position(10, 1)}


def test_every_cut_of_the_file_counts_as_unknown_and_says_why(tmp_path: Path) -> None:
    """A file cut at any byte gives an empty cursor with a problem, never positions and never an exception."""
    own = saved(tmp_path, a=Position(12345, 67))
    whole = own.path.read_bytes()
    for size in range(len(whole.rstrip())):
        own.path.write_bytes(whole[:size])
        torn = cursor.load(tmp_path, "log")
        assert torn.problem
        assert (torn.known, torn.streams) == (False, {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 512,
        b"[]",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format":2,"collector":"log","saved_at":"","streams":{}}',
        b'{"format":1,"collector":"kafka","saved_at":"","streams":{}}',
        b'{"format":1,"collector":"log","saved_at":"","streams":{"%s":{"offset":-1}}}' % A.encode(),
        b'{"format":1,"collector":"log","saved_at":"","streams":{"%s":{"offset":1e3}}}' % A.encode(),
        b'{"format":1,"collector":"log","saved_at":"","streams":{"%s":{"offset":9223372036854775808}}}' % A.encode(),
        b'{"format":1,"collector":"log","saved_at":"","streams":{"../../x":{"offset":1}}}',
    ],
    ids=["empty", "zeros", "array", "null", "deep", "utf8", "future", "foreign", "negative", "float", "huge", "stream"],
)
def test_a_file_that_is_no_cursor_of_ours_is_set_aside_whole(tmp_path: Path, content: bytes) -> None:
    """The foreign bytes stay under another name, and the collector begins with a cursor of its own."""
    own = saved(tmp_path)
    own.path.write_bytes(content)
    bad = cursor.load(tmp_path, "log")
    assert bad.problem
    kept = bad.set_aside()
    assert kept.name == "log.json.bad-1"
    assert kept.read_bytes() == content
    assert cursor.load(tmp_path, "log").problem == ""
    bad.streams = {A: Position(5, 1)}
    bad.save()
    assert cursor.load(tmp_path, "log").streams == {A: Position(5, 1)}


def test_nothing_set_aside_replaces_what_was_set_aside_before(tmp_path: Path) -> None:
    """Each bad file gets the next free number."""
    for number in (1, 2, 3):
        own = saved(tmp_path)
        own.path.write_bytes(b"bad %d" % number)
        assert cursor.load(tmp_path, "log").set_aside().read_bytes() == b"bad %d" % number
    assert sorted(path.name for path in (tmp_path / "cursors").iterdir()) == [f"log.json.bad-{n}" for n in (1, 2, 3)]


def test_a_folder_in_the_files_place_is_set_aside(tmp_path: Path) -> None:
    """Whatever stands there, a cursor can be saved afterwards."""
    (tmp_path / "cursors/log.json").mkdir(parents=True)
    own = cursor.load(tmp_path, "log")
    assert own.problem
    own.set_aside()
    own.save()
    assert cursor.load(tmp_path, "log").known


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "sync_folder"])
def test_a_save_cut_at_any_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Killed within a save: what is loaded is the old cursor or the new one, whole; and the next save works."""
    own = saved(tmp_path, a=Position(10, 1))

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if call in ("write", "sync_folder"):
            patch.setattr(disk, {"write": "write_at", "sync_folder": "sync_folder"}[call], die)
        else:
            patch.setattr(os, call, die)
        own.streams = {A: Position(20, 2)}
        with pytest.raises(Killed):
            own.save()
    now = cursor.load(tmp_path, "log")
    assert now.streams == {A: Position(20, 2) if call == "sync_folder" else Position(10, 1)}
    now.streams = {A: Position(30, 3)}
    now.save()
    assert cursor.load(tmp_path, "log").streams == {A: Position(30, 3)}


def test_a_disk_that_does_not_give_the_file_is_no_reason_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error is raised: an empty cursor would deliver the whole journal again."""
    saved(tmp_path, a=Position(10, 1))

    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output"):
        cursor.load(tmp_path, "log")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400) | st.text().map(str.encode))
def test_any_bytes_load_without_an_exception(tmp_path: Path, content: bytes) -> None:
    """Decoding raises nothing of its own, whatever the file holds."""
    own = Cursor(cursor.cursor_path(tmp_path, "log"), "log")
    own.path.parent.mkdir(exist_ok=True)
    own.path.write_bytes(content)
    found = cursor.load(tmp_path, "log")
    assert found.known or found.problem
