"""The loop: deadlines of connections, looked at without waiting for them."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from tracker.capture import app, routing
from tracker.capture.connection import Connection, Parked
from tracker.capture.current import Current
from tracker.capture.loop import Loop
from tracker.capture.pages_door import Pages
from tracker.capture.plain import Names
from tracker.capture.rings import Rings
from tracker.capture.wire import Wire
from tracker.settings import load


def test_a_reply_that_waits_for_a_sync_is_not_cut_off_by_an_older_deadline(tmp_path: Path) -> None:
    """The connection was about to be idle for too long when its request came; the sync may take its own time."""
    settings = load.load(None, None, {"TRACKER_DATA_DIR": str(tmp_path), "TRACKER_RING_BYTES_PER_WORKER": "1048576"}, {}, [routing.check])
    rings = Rings(settings.tracker)
    current = Current(settings, lambda ms: f"id-{ms}")
    ours, theirs = socket.socketpair()
    wake = os.open(os.devnull, os.O_RDONLY)
    loop = Loop([], current, rings, Pages(app.assemble(current, rings)), wake, lambda: True, lambda: None, 10)
    connection = Connection(ours, Wire("", Names(None), 100), time.monotonic())
    loop._connections[connection.fd] = connection
    loop._epoll.register(connection.fd, 0)
    now = time.monotonic()
    connection.deadline = now + 0.01
    connection.push(Parked(b"reply", 1, now + 9.0))
    loop._waiting.add(connection)
    loop._send(connection)
    loop._now = now + 1.0
    loop._look()
    assert loop._connections == {connection.fd: connection}
    assert connection.deadline > now + 9.0
    loop._now = now + 9.5  # nobody knows whether the event is kept: closed without a reply
    loop._look()
    assert loop._connections == {}
    theirs.settimeout(1)
    assert theirs.recv(100) == b""
    theirs.close()
    os.close(wake)
    rings.stop(1)
