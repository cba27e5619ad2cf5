"""Settings are read again only from files that nobody is writing."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tracker.settings import settled
from tracker.settings.model import Routes, Settings, Tracker
from tracker.settings.problems import Problem, SettingsError


def taken(version: str = "1") -> Settings:
    return Settings(tracker=Tracker(), routes=Routes(), version=version)


def old(path: Path, text: str = "x") -> Path:
    """A file that was written long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9, 1e9))
    return path


def test_files_at_rest_are_read_at_once(tmp_path: Path) -> None:
    """Nobody waits for a file that was saved before."""
    path = old(tmp_path / "routes.yaml")
    began = time.monotonic()
    assert settled.read(taken, [path]) == taken()
    assert time.monotonic() - began < 0.05


def test_a_file_of_a_moment_ago_is_read_when_it_has_come_to_rest(tmp_path: Path) -> None:
    """Its second half may still be on its way."""
    path = tmp_path / "routes.yaml"
    path.write_text("half")

    def finish() -> None:
        time.sleep(settled.REST_S / 2)
        with path.open("a") as file:
            file.write(" and half")

    writer = threading.Thread(target=finish)
    writer.start()
    read = settled.read(lambda: taken(path.read_text()), [path])
    writer.join()
    assert read.version == "half and half"


@pytest.mark.parametrize("where", ["routes.yaml", "included.yaml", "presets/mine.yml"])
def test_what_changes_while_it_is_read_is_read_again(where: str, tmp_path: Path) -> None:
    """Also a file that is only included: it stands beside the named one."""
    path = old(tmp_path / "routes.yaml")
    other = old(tmp_path / where)
    times: list[float] = []

    def load() -> Settings:
        times.append(time.monotonic())
        if len(times) == 1:
            other.write_text("changed meanwhile")
        return taken(str(len(times)))

    assert settled.read(load, [path]).version == "2"
    assert times[1] - times[0] >= settled.REST_S * 0.9


def test_a_mistake_counts_only_in_a_file_at_rest(tmp_path: Path) -> None:
    """Half a file is no reason for a page of problems; a whole one with a mistake is."""
    path = old(tmp_path / "routes.yaml")
    mistake = SettingsError([Problem("routes.yaml", 1, 1, "", "a mistake")])
    reads = []

    def load() -> Settings:
        reads.append(1)
        if len(reads) == 1:
            path.write_text("the rest")
            raise mistake
        return taken()

    assert settled.read(load, [path]) == taken()

    def broken() -> Settings:
        raise mistake

    with pytest.raises(SettingsError, match="a mistake"):
        settled.read(broken, [old(path)])


def test_files_that_never_come_to_rest_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time, and by name."""
    monkeypatch.setattr(settled, "PATIENCE_S", 0.3)
    path = old(tmp_path / "routes.yaml")
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            path.write_text(str(time.monotonic()))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(SettingsError) as caught:
            settled.read(taken, [path])
        assert time.monotonic() - began < 2
    finally:
        stop.set()
        writer.join()
    assert str(caught.value).startswith(f"{path}: is being changed all the time")


@pytest.mark.parametrize("ahead_s", [3600, 1e8])
def test_a_time_of_the_future_is_no_moment_ago(ahead_s: float, tmp_path: Path) -> None:
    """A wrong clock where the file was made does not hold reloads up."""
    path = tmp_path / "routes.yaml"
    path.touch()
    os.utime(path, (time.time() + ahead_s,) * 2)
    began = time.monotonic()
    assert settled.read(taken, [path]) == taken()
    assert time.monotonic() - began < 0.05


def test_built_in_files_and_missing_ones_are_no_trouble(tmp_path: Path) -> None:
    """No named file: nothing to watch. A folder that is not there: the loading says so."""
    assert settled.read(taken, []) == taken()
    assert settled.read(taken, [tmp_path / "nowhere" / "routes.yaml"]) == taken()
