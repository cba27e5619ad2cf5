"""What delivery says about itself: ``DATA/delivery/<collector>.json``, replaced once a second.

Rules
1. Whoever reads it sees one whole state; ``updated_at`` says how old it is. Nothing depends on it.
2. Counts begin at 0 with the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["starting", "running", "retrying", "failed", "stopped"]


class Status(msgspec.Struct, kw_only=True):
    """One collector's state."""

    collector: str
    """Its name in the settings."""
    type: str
    """Its type."""
    state: State = "starting"
    """``retrying``: the same thing is tried again until it works, and nothing is lost meanwhile. ``failed``: it cannot
    even be made; see ``error``."""
    pid: int = 0
    """The process that delivers."""
    updated_at: str = ""
    """RFC 3339, UTC."""
    delivered_events: int = 0
    """Events that the collector has taken."""
    delivered_bytes: int = 0
    """Their lines."""
    rejected: int = 0
    """Events that the collector refused for ever; they are in ``<collector>.dead.ndjson``."""
    unreadable: int = 0
    """Lines of the journal that are no events; they are there too."""
    retries: int = 0
    """Attempts that failed."""
    expired_bytes: int = 0
    """Bytes that the journal's limits removed before they were delivered; listed in ``<collector>.gaps.ndjson``."""
    damaged_bytes: int = 0
    """Bytes that did not fit their checksum; listed there too."""
    missing_seqs: int = 0
    """Numbers left out between two lines that were read one after the other; listed there too."""
    cursors_set_aside: int = 0
    """Cursor files that could not be used."""
    lag_bytes: int = 0
    """Bytes of the journal between the cursor and what is durable."""
    lag_seconds: float = 0.0
    """Age of the oldest event between the two; 0 while the collector keeps up."""
    error: str = ""
    """The last error, its class first."""
    error_at: str = ""
    """When it was."""


def status_path(data_dir: Path, collector: str) -> Path:
    """Where a collector's status is."""
    return data_dir / "delivery" / f"{collector}.json"


def write(data_dir: Path, status: Status) -> None:
    """Replace the file; not synced, for it means nothing to the next boot. Raises ``OSError``."""
    path = status_path(data_dir, status.collector)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=1) + b"\n")
    os.rename(fresh, path)


def read(data_dir: Path, collector: str) -> Status | None:
    """What a collector's delivery last said; None if it never did, or not in our words."""
    try:
        return msgspec.json.decode(status_path(data_dir, collector).read_bytes(), type=Status)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
