"""The door under a gunicorn of one's own, as config/gunicorn.conf.py says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.resources import as_file, files
from pathlib import Path

from tracker.journal.reader import JournalReader


def test_gunicorn_serves_the_app_by_its_own_configuration_file(tmp_path: Path) -> None:
    """One hit is answered, SIGTERM ends it with 0, and the event is in the journal."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with as_file(files("tracker") / "config" / "gunicorn.conf.py") as configuration:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(configuration), "-b", address, "tracker.capture.app:create()"],
            cwd=tmp_path, env=os.environ | {"TRACKER_RING_BYTES_PER_WORKER": "4194304"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        try:
            deadline = time.monotonic() + 15
            ident = ""
            while not ident:
                assert process.poll() is None and time.monotonic() < deadline
                try:
                    with urllib.request.urlopen(f"http://{address}/imp/c1/cr1.gif", timeout=5) as reply:
                        ident = reply.headers["X-Event-Id"]
                except OSError:
                    time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=15)
    assert process.returncode == 0, said.decode()
    reader = JournalReader(tmp_path / "var")
    lines = [line for stream in reader.streams() for line in reader.read(stream, 0).lines]
    reader.close()
    assert len(lines) == 1 and ident.encode() in lines[0]
