"""A tracker: hits in, events out, and every answer is a receipt.

    capture (gunicorn workers)                                delivery
    socket -> hit -> route -> event -> ring -> [journal] ->   read -> collector -> cursor
                \\-> reply             flusher                 one loop per collector

Read in this order: ``event`` (what an event is), ``capture/endpoint`` (hit -> event, reply),
``capture/ring`` (where an answered hit is safe), ``journal/flusher`` (how it reaches the disk),
``journal/reader`` and ``delivery/runner`` (how it leaves). Nothing starts at import.
"""

__version__ = "0.1.0"
