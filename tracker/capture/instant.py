"""Instants: a client's text as Unix milliseconds, and back as RFC 3339.

Rules
1. A number below 10^11 is seconds, from there on milliseconds (as seconds it would mean the year 5138).
2. RFC 3339 needs its offset; a ``+`` that was not percent-encoded arrives as a space, and counts. So does the way in
   which VAST 4.3 (6.2) writes ``[TIMESTAMP]``: ``2016-01-17T8:15:07.127-05``.
3. Only the years 1 to 9999, which RFC 3339 can write and ``datetime`` can hold. Finer than milliseconds is cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d?)(:\d\d:\d\d(?:\.\d{1,9})?)(?:[Zz]|([+ -])(\d\d):?(\d\d)?)", re.ASCII
)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII).fullmatch
_NUMBER = re.compile(r"(\d{1,16})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS_NUMBER = 100_000_000_000
_MILLIS = tuple(f".{n:03}Z" for n in range(1000))

FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


def unix_ms(text: str) -> int | None:
    """The Unix time in milliseconds that a text means; None if it means none by the rules above."""
    if text.isdigit() and text.isascii() and len(text) <= 16:  # PERF: what scripts send
        ms = int(text)
        if ms < _FIRST_MS_NUMBER:
            return ms * 1000
        return ms if ms <= LAST_MS else None
    try:
        moment = _moment(text)
        if moment is None:
            return _fraction_ms(text)
        ms = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):  # no such day, hour, minute, second or offset
        return None
    return ms if FIRST_MS <= ms <= LAST_MS else None


def _moment(text: str) -> datetime | None:
    """What RFC 3339 or VAST wrote; None if they wrote nothing such. Raises ``ValueError`` for 30 February."""
    if _PLAIN(text):  # PERF: what JavaScript sends (``toISOString``)
        return datetime.fromisoformat(text)
    parts = _RFC3339.fullmatch(text)
    if parts is None:
        return None
    date, hour, rest, sign, hours, minutes = parts.groups("")
    offset = f"{'-' if sign == '-' else '+'}{hours}:{minutes or '00'}" if sign else "+00:00"
    return datetime.fromisoformat(f"{date}T{hour:0>2}{rest}{offset}")


def _fraction_ms(text: str) -> int | None:
    """Seconds with decimals (of milliseconds they are cut off)."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        return None
    ms = int(number[1])
    if ms < _FIRST_MS_NUMBER:
        ms = ms * 1000 + int((number[2] or "")[:3].ljust(3, "0"))
    return ms if ms <= LAST_MS else None


def utc_text(text: str) -> str | None:
    """The instant that a text means, as ``rfc3339`` writes it; None if it means none."""
    if _PLAIN(text):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return None
        return text
    ms = unix_ms(text)
    return rfc3339(ms) if ms is not None else None


def rfc3339(ms: int) -> str:
    """Unix milliseconds (``FIRST_MS`` to ``LAST_MS``) in UTC with three decimals: ``2026-01-31T10:00:00.000Z``."""
    second, millis = divmod(ms, 1000)
    return _second_text(second) + _MILLIS[millis]


@lru_cache(4096)  # PERF: clients' times lie close together; a known second takes a sixth of the time
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]
