"""Who runs on a data folder: locks tell the living from what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracker import running

SIT = """
import sys, pathlib
from tracker import running
seat = running.take_seat(pathlib.Path(sys.argv[1]), sys.argv[2])
if len(sys.argv) > 3:
    presence = running.Presence(pathlib.Path(sys.argv[1]), seat.dump.name, sys.argv[3])
print(seat.number, flush=True)
sys.stdin.read()
"""


class Sitting:
    """Another process with a seat, and a worker's presence if it is given a version."""

    def __init__(self, data_dir: Path, bind: str, *version: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIT, str(data_dir), bind, *version], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.seat = int(self.process.stdout.readline())

    def __enter__(self) -> Sitting:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def verdict(outcome: running.Outcome = "taken") -> running.Verdict:
    return running.Verdict(outcome=outcome, version="0123456789ab", routes=1, workers=1)


def test_a_folder_where_nobody_ever_ran_has_nobody(tmp_path: Path) -> None:
    """No file is needed, and none is made, to say so."""
    assert running.who_runs(tmp_path) == []
    assert running.workers(tmp_path, 0) == {} and running.versions(tmp_path) == []
    assert running.verdict(tmp_path, 0) is None and not running.reload_failed(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_lives_is_found_and_who_is_killed_is_not(tmp_path: Path) -> None:
    """By the lock, which the kernel takes from the dead; their files stay and say nothing."""
    with Sitting(tmp_path, "127.0.0.1:1", "0123456789ab") as other:
        assert running.who_runs(tmp_path) == [running.Running(0, other.process.pid, "127.0.0.1:1")]
        assert list(running.workers(tmp_path, 0).values()) == ["0123456789ab"]
    assert (tmp_path / "run" / "supervisor.json").exists()
    assert len(list((tmp_path / "run" / "workers").iterdir())) == 1
    assert running.who_runs(tmp_path) == [] and running.versions(tmp_path) == []


def test_a_leftover_with_a_living_strangers_id_is_nobody(tmp_path: Path) -> None:
    """Process ids are reused: what a file says about them proves nothing."""
    (tmp_path / "run" / "workers").mkdir(parents=True)
    (tmp_path / "run" / "supervisor.json").write_text(f'{{"pid":{os.getpid()},"bind":"127.0.0.1:1"}}')
    (tmp_path / "run" / "workers" / "1-x.json").write_text('{"pid":1,"settings":"settings.json","version":"x"}')
    assert running.who_runs(tmp_path) == [] and running.versions(tmp_path) == []


def test_each_tracker_has_a_seat_of_its_own_and_the_first_free_one(tmp_path: Path) -> None:
    """Two at a time have two dumps; whoever comes after the first has gone takes its place."""
    with Sitting(tmp_path, "127.0.0.1:1") as first, Sitting(tmp_path, "127.0.0.1:2") as second:
        assert (first.seat, second.seat) == (0, 1)
        assert [(each.seat, each.bind) for each in running.who_runs(tmp_path)] == [(0, "127.0.0.1:1"), (1, "127.0.0.1:2")]
        first.process.kill()
        first.process.wait()
        seat = running.take_seat(tmp_path, "127.0.0.1:3")
        assert (seat.number, seat.dump) == (0, tmp_path / "run" / "settings.json")
        third = running.take_seat(tmp_path, "127.0.0.1:4")
        assert (third.number, third.dump.name) == (2, "settings.2.json")
        third.leave()
        seat.leave()
        assert [each.seat for each in running.who_runs(tmp_path)] == [1]


def test_looking_takes_no_seat_away(tmp_path: Path) -> None:
    """Many who look all the time do not keep a tracker from the seat it has a right to."""
    stop = threading.Event()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "supervisor.json").touch()

    def look() -> None:
        while not stop.is_set():
            running.who_runs(tmp_path)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            seat = running.take_seat(tmp_path, "127.0.0.1:1")
            number = seat.number
            seat.leave()
            assert number == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_ask_is_answered_once_and_only_by_whom_it_was_for(tmp_path: Path) -> None:
    """The verdict bears the token of every ask that was there before the files were read, and of none after."""
    first, second = running.take_seat(tmp_path, "127.0.0.1:1"), running.take_seat(tmp_path, "127.0.0.1:2")
    one, two, other = running.ask(tmp_path, 0), running.ask(tmp_path, 0), running.ask(tmp_path, 1)
    assert first.asked() and not first.asked()
    late = running.ask(tmp_path, 0)
    first.tell(verdict())
    answered = running.verdict(tmp_path, 0)
    assert answered is not None and set(answered.answered) == {one, two}
    running.withdraw(tmp_path, 0, late)
    assert not first.asked()
    assert second.asked()
    second.tell(verdict("refused"))
    answered = running.verdict(tmp_path, 1)
    assert answered is not None and answered.answered == (other,)
    first.leave()
    second.leave()


def test_asks_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    """A verdict does not grow for ever; the newest are in it."""
    seat = running.take_seat(tmp_path, "127.0.0.1:1")
    for _ in range(100):
        token = running.ask(tmp_path, 0)
        assert seat.asked()
    seat.tell(verdict())
    told = running.verdict(tmp_path, 0)
    assert told is not None and told.answered[-1] == token and len(told.answered) < 50
    seat.leave()


def test_a_refusal_counts_until_the_next_good_reload_and_while_its_owner_lives(tmp_path: Path) -> None:
    """What a dead tracker was told last concerns nobody."""
    seat = running.take_seat(tmp_path, "127.0.0.1:1")
    seat.tell(verdict("refused"))
    assert running.reload_failed(tmp_path)
    seat.tell(verdict("unchanged"))
    assert not running.reload_failed(tmp_path)
    seat.tell(verdict("refused"))
    seat.leave()
    assert not running.reload_failed(tmp_path)


def test_a_workers_file_follows_its_version_and_goes_with_it(tmp_path: Path) -> None:
    """Each supervisor sees its own workers; leftovers of the killed are swept by the next one."""
    left = tmp_path / "run" / "workers" / "99-left.json"
    left.parent.mkdir(parents=True)
    left.write_text('{"pid":99,"settings":"settings.json","version":"x"}')
    mine = running.Presence(tmp_path, "settings.json", "a" * 12)
    theirs = running.Presence(tmp_path, "settings.1.json", "b" * 12)
    assert not left.exists()
    mine.tell("c" * 12)
    assert list(running.workers(tmp_path, 0).values()) == ["c" * 12]
    assert list(running.workers(tmp_path, 1).values()) == ["b" * 12]
    assert sorted(running.versions(tmp_path)) == ["b" * 12, "c" * 12]
    mine.leave()
    theirs.leave()
    assert running.versions(tmp_path) == [] and list(left.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"outcome":"maybe"}', b"[" * 100_000])
def test_foreign_files_are_no_verdict(content: bytes, tmp_path: Path) -> None:
    """Whatever stands in them, reading them raises nothing."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "reload.json").write_bytes(content)
    assert running.verdict(tmp_path, 0) is None
