"""What is counted: the closed list of counters, and how a thread counts.

Rules
1. A thread counts in a plain list of ints that belongs to it: ``counts[INDEX] += 1``. No lock, no call.
2. Once a second the flusher publishes the list into the slot's memory-mapped counter file; ``/-/metrics`` sums the
   files. A slot's file outlives its process, so the sums never go back.
3. Labels come from closed lists only; a counter's place in the list is its place in the file.
"""

from __future__ import annotations

from typing import NamedTuple

from tracker.reasons import REASONS


class Counter(NamedTuple):
    """One row of the list: a Prometheus sample."""

    name: str
    help: str
    label: str = ""
    """Label name, or empty."""
    value: str = ""
    """Label value."""


_FIXED = (
    Counter("tracker_events_accepted_total", "Events published to a ring.", "lane", "good"),
    Counter("tracker_events_accepted_total", "Events published to a ring.", "lane", "bad"),
    Counter("tracker_ring_bytes_total", "Bytes published to rings."),
    Counter("tracker_journal_bytes_total", "Bytes written to segment files."),
    Counter("tracker_journal_syncs_total", "Syncs of the journal (fdatasync of segment and index)."),
    Counter("tracker_journal_sync_microseconds_total", "Time spent in syncs, in microseconds."),
    Counter("tracker_journal_errors_total", "Failed writes and syncs of the journal."),
    Counter("tracker_journal_streams_sealed_total", "Streams sealed because their continuity could not be proven."),
    Counter("tracker_journal_adoptions_total", "Rings of dead workers that were flushed by another process."),
    Counter("tracker_flusher_restarts_total", "Times the flusher thread was restarted after an unexpected error."),
    Counter("tracker_replies_total", "Replies by status class.", "class", "2xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "3xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "4xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "5xx"),
)

COUNTERS: tuple[Counter, ...] = _FIXED + tuple(
    Counter(f"tracker_hits_{'flagged' if r.kind == 'flag' else r.kind}_total", {
        "bad": "Hits kept in the bad lane, by reason.",
        "refused": "Hits not kept, by reason.",
        "flag": "Events marked, by flag.",
    }[r.kind], "reason", r.name)
    for r in REASONS
)

(
    EVENTS_GOOD, EVENTS_BAD, RING_BYTES, JOURNAL_BYTES, JOURNAL_SYNCS, JOURNAL_SYNC_US, JOURNAL_ERRORS,
    STREAMS_SEALED, ADOPTIONS, FLUSHER_RESTARTS, REPLIES_2XX, REPLIES_3XX, REPLIES_4XX, REPLIES_5XX,
) = range(len(_FIXED))

REASON_INDEX: dict[str, int] = {reason.name: len(_FIXED) + i for i, reason in enumerate(REASONS)}


def new_counts() -> list[int]:
    """A thread's counters, all zero, one place for each row of ``COUNTERS``."""
    return [0] * len(COUNTERS)
