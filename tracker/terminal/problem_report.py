"""What is wrong with settings, for programs: editors, CI, a pipeline that opens a ticket."""

from __future__ import annotations

from typing import Any

from tracker.settings.load import Examined
from tracker.settings.problems import visible


def as_object(found: Examined, *, strict: bool) -> dict[str, Any]:
    """The outcome as plain data.

    ``ok``: whether `tracker serve` would start (with ``strict``: without a warning). ``version``, ``routes`` and
    ``collectors`` are None where there are no settings. ``problems``: each with ``file`` (as it was named; or
    ``environment``, ``flag``), ``line`` and ``column`` (from 1; 0 where there is none), ``path``, ``message``, ``hint``
    and ``severity``. ``more``: the search was given up, there may be more.
    """
    settings = found.settings
    return {
        "ok": settings is not None and not (strict and found.problems),
        "version": settings.version if settings else None,
        "routes": len(settings.routes.routes) if settings else None,
        "collectors": len(settings.tracker.collectors) if settings else None,
        "problems": [
            {
                "file": each.file,
                "line": each.line,
                "column": each.column,
                "path": each.path,
                "message": visible(each.message),
                "hint": visible(each.hint),
                "severity": each.severity,
            }
            for each in found.problems
        ],
        "more": found.more,
    }
