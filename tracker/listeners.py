"""Who listens at a port of this machine, in plain words. Linux only; elsewhere, and for other people's processes,
the answer is empty.

Rules
1. It reads ``/proc`` and touches nothing; no error of it ever reaches the caller.
2. It says the program's name and process id, never its arguments: they may hold secrets.
"""

from __future__ import annotations

import os
from pathlib import Path

_LISTEN = "0A"
"""State of a listening socket in ``/proc/net/tcp``."""


def who_listens(port: int) -> str:
    """Such as ``nginx (process 812)`` or ``another tracker (process 4711)``; empty if nobody can be named."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return ""
    for process in sorted(int(name) for name in _names(Path("/proc")) if name.isdigit()):
        descriptors = Path(f"/proc/{process}/fd")
        for name in _names(descriptors):
            try:
                if os.readlink(descriptors / name) in sockets:
                    return f"{_program(process)} (process {process})"
            except OSError:
                continue
    return ""


def _inodes(port: int) -> list[str]:
    """Inodes of the sockets that listen at the port, on any address."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text("ascii").splitlines()[1:]
        except (OSError, UnicodeDecodeError):
            continue
        for row in rows:
            fields = row.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[1].rpartition(":")[2] == f"{port:04X}":
                found.append(fields[9])
    return found


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # another user's process, or gone by now
        return []


def _program(process: int) -> str:
    try:
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{process}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program"
    # `python -m tracker serve`, or the console script of that name.
    if any(argument == b"tracker" or argument.endswith(b"/tracker") for argument in arguments[:4]):
        return "another tracker"
    return name or "a program"
