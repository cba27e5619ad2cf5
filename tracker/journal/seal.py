"""Seals: the last word on a stream. A sealed stream never grows again, and says what it may have lost.

Rules
1. A seal is written once, whole, before the stream's ring is given to another stream.
2. ``gap`` is explicit: ``none`` (everything published is in the journal), ``possible`` (a power cut: at the most the
   ring's content past the end), ``known`` (``holes`` lists the byte ranges that are gone).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tracker import disk

FORMAT = 1

Cause = Literal[
    "retired",  # the slot was not needed any more; everything was durable
    "reboot",  # another boot, after an orderly stop
    "power_cut",  # another boot, and the ring's owner had not left in order
    "copied",  # the ring's file is a clone or a restored backup
    "journal_ahead",  # the journal has bytes that the ring never published: one of the two was restored
    "journal_lost",  # bytes that had been durable are gone from the journal, and the ring no longer has them
    "continuity",  # the ring's lines do not follow the journal's last one
    "ring_missing",  # the stream's ring is gone
    "resized",  # the ring's size was changed in the settings
]


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """``sealed.json`` in the stream's folder."""

    format: Literal[1] = 1
    stream: str
    end: int
    """Offset behind the last byte that counts."""
    last_seq: int
    """``seq`` of the last line; 0 if there is none."""
    cause: Cause
    gap: Literal["none", "possible", "known"]
    holes: list[tuple[int, int]] = []
    """Byte ranges ``[start, end)`` that were durable once and are gone."""
    successor: str = ""
    """Stream that took over the ring, if any."""
    sealed_at: str
    """RFC 3339, UTC."""


def seal_path(folder: Path) -> Path:
    """Where a stream's seal is."""
    return folder / "sealed.json"


def read_seal(folder: Path) -> Seal | None:
    """The stream's seal, or None. Raises ``ValueError`` for a file that is no seal of this version."""
    try:
        return msgspec.json.decode(seal_path(folder).read_bytes(), type=Seal)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{seal_path(folder).name}: {error}") from error


def write_seal(folder: Path, seal: Seal) -> None:
    """Seal the stream. Raises ``OSError``."""
    folder.mkdir(parents=True, exist_ok=True)
    disk.replace(seal_path(folder), msgspec.json.format(msgspec.json.encode(seal), indent=1) + b"\n")
