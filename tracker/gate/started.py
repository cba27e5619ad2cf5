"""A tracker for the gate: ``tracker serve`` in a process of its own, on a free port, and its end.

Rules
1. It is what a user starts: the same command, the settings' files and ``TRACKER_`` variables as they are given, but for
   the address and the data folder.
2. It is always ended: in order if it can be, and killed if it does not end in its grace. It ends with the gate, too, if
   that is killed.
3. What it says goes into a file, which is shown when something is wrong.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracker.capture.arbiter import die_with_parent
from tracker.demo import run as asking
from tracker.demo.connection import Target

READY_S: Final = 30.0
STOP_S: Final = 45.0
"""Longer than the grace that the tracker's own parts have."""
_POLL_S: Final = 0.05
_SHOWN: Final = 4000


class NotServing(Exception):
    """The tracker did not start, or is gone; ``str()`` says what it said last."""


class Started:
    """A tracker that runs."""

    def __init__(self, arguments: Sequence[str], data_dir: Path, said: Path) -> None:
        """``arguments`` of ``tracker serve`` beside address and folder; ``said``: the file for its output.

        Raises ``NotServing`` when it takes no hits within ``READY_S``.
        """
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        self._said = said
        command = [sys.executable, "-m", "tracker", "serve", *arguments, "--bind", f"127.0.0.1:{port}",
                   "--data-dir", str(data_dir), "--no-tail"]  # fmt: skip
        with said.open("wb") as out:
            # A group of its own: Ctrl-C is the gate's, which ends the tracker afterwards.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                preexec_fn=functools.partial(die_with_parent, signal.SIGTERM, os.getpid()),
            )  # fmt: skip
        try:
            self.where = self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> Target:
        until = time.monotonic() + READY_S
        while True:
            self.look()
            try:
                where = asking.target(self.url)
                asking.ask(where)
                return where
            except asking.BadTarget as error:
                if time.monotonic() > until:
                    raise NotServing(f"no hits are taken after {READY_S:g} s: {error}\n{self.said()}") from None
            time.sleep(_POLL_S)

    def look(self) -> None:
        """Raises ``NotServing`` if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise NotServing(f"`tracker serve` has ended with {code}:\n{self.said()}")

    def said(self) -> str:
        """The end of its output."""
        try:
            return self._said.read_text("utf-8", "replace")[-_SHOWN:].strip()
        except OSError:
            return ""

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to one that does not end; its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its children die with it
                self._process.wait()
        return self._process.returncode
