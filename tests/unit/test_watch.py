"""A worker follows the dump: what it takes over, what it leaves alone, and what it survives."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracker import disk, supervisor
from tracker.capture import watch
from tracker.capture.current import Current
from tracker.capture.hit import Hit
from tracker.settings import load
from tracker.settings.model import Clients, Collector, Journal, Limits, Ring, Routes, Settings, Tracker

OTHER: dict[str, Any] = {
    "bind": "127.0.0.1:1", "data_dir": "elsewhere", "workers": 7, "door": "portable", "threads": 7, "graceful_timeout_s": 7,
    "environment": "other", "status_networks": ("10.0.0.0/8",), "public_without_keys": True,
    "signing_keys": {"a": {"k": "0123456789abcdef"}}, "clients": Clients(proxy_protocol=True),
    "limits": Limits(max_body_bytes=7), "ring": Ring(max_slots=7), "journal": Journal(segment_age_s=7),
    "collectors": {"a": Collector(type="log")},
}  # fmt: skip
IN_PLACE = {"environment", "status_networks", "public_without_keys", "signing_keys", "limits", "collectors"}


def settings(name: str = "a", version: str = "1", **tracker: Any) -> Settings:
    """One route, whose path and version are given."""
    table = {"routes": {"only": {"path": f"/{name}", "reply": "no_content"}}}
    return Settings(tracker=Tracker(**tracker), routes=msgspec.convert(table, Routes), version=version)


class Worker:
    """A dump, and who follows it."""

    def __init__(self, folder: Path) -> None:
        self.dump = folder / "settings.json"
        self.write(settings())
        self.current = Current(settings(), lambda ms: f"id-{ms}")
        self.watch = watch.Watch(self.dump, settings(), self.current.take)
        assert not self.watch.look()

    def write(self, new: Settings) -> None:
        disk.replace(self.dump, load.dump(new))

    def status(self, path: str) -> int:
        hit = Hit("GET", path, "", {}, b"", "127.0.0.1", 1_795_212_425_000)
        return self.current.now.endpoint.answer(hit).reply.fixed.status


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(Tracker) if field.name != "version"])
def test_every_setting_is_either_swapped_or_takes_a_new_worker(name: str) -> None:
    """Whatever field there is now or will be: what is not known to be swapped starts workers anew."""
    was, new = Tracker(), Tracker(**{name: OTHER[name]})
    assert was != new
    assert watch.in_place(was, new) == (name in IN_PLACE)
    assert watch.in_place(new, new)


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(Tracker) if field.name != "version"])
def test_delivery_starts_anew_for_what_it_reads(name: str) -> None:
    """Collectors, the journal it cares for, its grace; not for what concerns hits alone."""
    starts_anew = name in {"bind", "data_dir", "graceful_timeout_s", "journal", "collectors"}
    assert supervisor.delivers_alike(Tracker(), Tracker(**{name: OTHER[name]})) == (not starts_anew)


@pytest.mark.parametrize(("was", "new", "in_place"), [
    (Clients(), Clients(trusted_proxies=("10.0.0.0/8",), proxy_header="forwarded", ssai_networks=("10.0.0.0/8",)), True),
    (Clients(), Clients(proxy_protocol=True), False),
    (Clients(proxy_protocol=True), Clients(proxy_protocol=True, ssai_networks=("10.0.0.0/8",)), True),
    (Clients(proxy_protocol=True), Clients(proxy_protocol=True, trusted_proxies=("10.0.0.0/8",)), False),
])
def test_proxies_are_swapped_unless_the_server_itself_asks_for_them(was: Clients, new: Clients, in_place: bool) -> None:
    """The PROXY protocol is read before there is a hit, with what the server was started with."""
    assert watch.in_place(Tracker(clients=was), Tracker(clients=new)) == in_place


def test_a_new_table_is_taken_and_a_hit_in_flight_keeps_the_old_one(worker: Worker) -> None:
    """One assignment: who has taken the old version goes on with it."""
    in_flight = worker.current.now
    worker.write(settings("b", "2", environment="new"))
    assert worker.watch.look() and not worker.watch.look()
    assert worker.current.now.version == "2" and in_flight.version == "1"
    assert (worker.status("/a"), worker.status("/b")) == (404, 204)
    hit = Hit("GET", "/a", "", {}, b"", "127.0.0.1", 1_795_212_425_000)
    assert in_flight.endpoint.answer(hit).reply.fixed.status == 204


def test_settings_of_the_process_itself_are_left_to_the_next_one(worker: Worker) -> None:
    """With other threads or rings not even the routes are taken; when they come back as they were, they are."""
    worker.write(settings("b", "2", threads=9))
    assert not worker.watch.look()
    assert (worker.current.now.version, worker.status("/a")) == ("1", 204)
    worker.write(settings("c", "3"))
    assert worker.watch.look() and worker.status("/c") == 204


def test_what_does_not_compile_is_said_once_and_changes_nothing(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin's transform that is missing here, say: the last good table serves, and the next good one is taken."""
    table = {"routes": {"only": {"path": "/b", "reply": "no_content", "preprocess": ["no_such_transform"]}}}
    worker.write(msgspec.structs.replace(settings(version="2"), routes=msgspec.convert(table, Routes)))
    with caplog.at_level(logging.ERROR):
        assert not any(worker.watch.look() for _ in range(5))
    assert len(caplog.records) == 1
    assert "version 2" in caplog.text and "version 1 stays" in caplog.text and "preprocess" in caplog.text
    assert (worker.current.now.version, worker.status("/a")) == ("1", 204)
    worker.write(settings("b", "3"))
    assert worker.watch.look() and worker.status("/b") == 204


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"tracker":{}}', b"[" * 100_000, b"\xff"])
def test_what_is_no_dump_is_said_once_and_changes_nothing(
    content: bytes, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut, foreign or damaged."""
    disk.replace(worker.dump, content)
    with caplog.at_level(logging.ERROR):
        assert not any(worker.watch.look() for _ in range(5))
    assert len(caplog.records) == 1 and str(worker.dump) in caplog.text
    assert worker.status("/a") == 204


def test_a_missing_dump_is_said_once_and_waited_for(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """It may come back, also as it was."""
    worker.dump.unlink()
    with caplog.at_level(logging.ERROR):
        assert not any(worker.watch.look() for _ in range(5))
    assert len(caplog.records) == 1
    worker.write(settings())
    assert not worker.watch.look()
    worker.write(settings("b", "2"))
    assert worker.watch.look()


def test_a_file_that_has_not_been_replaced_is_not_read(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice a second for years: one system call, no more."""
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    calls = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path: calls.append(path) or stat(path))
    assert not worker.watch.look()
    assert calls == [worker.dump]


def test_its_thread_looks_until_it_is_stopped(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started in a worker; the new version is there without anybody's asking."""
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.01)
    taken = threading.Event()
    follower = watch.Watch(worker.dump, settings(), lambda _: taken.set())
    follower.start()
    worker.write(settings("b", "2"))
    assert taken.wait(5)
    follower.stop()
    deadline = time.monotonic() + 5
    while any(each.name == "watch" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
