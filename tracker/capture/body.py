"""Bodies: bytes to the top-level fields of a JSON object or a form.

Rules
1. Never raises. What is not JSON or a form in UTF-8 is ``invalid_body``; what is nested too deeply, holds too many
   values or a number beyond 64 bits (or beyond a double) is ``body_too_complex``.
2. ``text/plain`` is JSON: ``navigator.sendBeacon`` and ``fetch`` without preflight send it so. A body without a type,
   or labelled a form (``curl -d`` labels everything so), is JSON if it begins with ``{``, else a form: who encodes a
   form writes ``%7B``.
3. Text that leaves here has no control character but tab, newline and carriage return, which a person may have typed
   and which JSON writes as escapes; the rest became U+FFFD, flagged ``cleaned``. Escaped halves of surrogate pairs are
   ``invalid_body``.
4. Of a key that comes twice in JSON the last wins, as in JavaScript; in a form the first (see ``forms``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from tracker import reasons
from tracker.capture.forms import read_multipart, read_urlencoded
from tracker.capture.text import REPLACEMENT, clean_property
from tracker.capture.values import MAX_INTEGER, MIN_INTEGER
from tracker.settings.model import Limits

_DECODE = msgspec.json.Decoder().decode
_DIGITS = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_LONG_INTEGER = b"0" * 19


def read(body: bytes, content_type: str | None, limits: Limits, flags: list[str]) -> dict[str, Any] | str:
    """The fields of a body, cleaned; or the reason why there are none."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in ("application/json", "text/plain") or kind.endswith("+json"):
        return _json(body, limits, flags)
    if kind in ("", "application/x-www-form-urlencoded"):
        json = body.lstrip()[:1] == b"{"
        return _json(body, limits, flags) if json else read_urlencoded(body, limits, flags)
    if kind == "multipart/form-data":
        return read_multipart(body, content_type or "", limits, flags)
    return reasons.INVALID_BODY


def clean_fields(fields: Any, limits: Limits, flags: list[str]) -> dict[str, Any] | str:
    """Fields that somebody else made, by the same rules: cleaned, or the reason why they cannot be kept."""
    try:
        return _Cleaner(limits, flags).mapping(fields, 1)
    except (_TooComplex, RecursionError):
        return reasons.BODY_TOO_COMPLEX
    except (TypeError, AttributeError):
        return reasons.INVALID_BODY


def at_pointer(fields: Any, steps: Sequence[str]) -> Any:
    """What a JSON Pointer (RFC 6901), taken apart and unescaped, points at; None if there is nothing."""
    for step in steps:
        if isinstance(fields, dict):
            fields = fields.get(step)
        elif isinstance(fields, list) and step.isascii() and step.isdigit() and len(step) <= 4:
            fields = fields[int(step)] if int(step) < len(fields) and (step == "0" or step[0] != "0") else None
        else:
            return None
    return fields


def _json(body: bytes, limits: Limits, flags: list[str]) -> dict[str, Any] | str:
    try:
        fields = _DECODE(body.removeprefix(b"\xef\xbb\xbf"))
        if not isinstance(fields, dict):
            return reasons.INVALID_BODY
        if _plain(body, limits):
            return fields
        return _Cleaner(limits, flags).mapping(fields, 1)
    except (_TooComplex, RecursionError):
        return reasons.BODY_TOO_COMPLEX
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        # The one message for 1e999 and for integers of thousands of digits: valid JSON, and no number of ours.
        return reasons.BODY_TOO_COMPLEX if "out of range" in str(error) else reasons.INVALID_BODY


def _plain(body: bytes, limits: Limits) -> bool:
    """Whether a body that was decoded cannot hold anything to clean, count or refuse.

    PERF: told from the bytes, in a tenth of the time that a walk over the decoded values takes.
    """
    opened = body.count(b"{") + body.count(b"[")
    if opened > limits.max_json_depth or body.count(b",") + opened > limits.max_json_values:
        return False
    if b"\\" in body or _LONG_INTEGER in body.translate(_DIGITS):
        return False
    if body.isascii():
        return b"\x7f" not in body
    text = body.decode()  # was UTF-8 for the decoder too, at least inside its texts; and outside them it is ASCII
    return text.isprintable() and REPLACEMENT not in text


class _TooComplex(Exception):
    """More than the limits allow."""


class _Cleaner:
    """One walk over a decoded body: cleans texts, counts values, bounds depth and integers."""

    __slots__ = ("_depth", "_flags", "_values")

    def __init__(self, limits: Limits, flags: list[str]) -> None:
        self._values = limits.max_json_values
        self._depth = limits.max_json_depth
        self._flags = flags

    def mapping(self, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        self._descend(len(fields), depth)
        flags = self._flags
        return {clean_property(key, flags): self._value(value, depth) for key, value in fields.items()}

    def _descend(self, values: int, depth: int) -> None:
        self._values -= values
        if self._values < 0 or depth > self._depth:
            raise _TooComplex

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return clean_property(value, self._flags)
        if isinstance(value, dict):
            return self.mapping(value, depth + 1)
        if isinstance(value, list):
            self._descend(len(value), depth + 1)
            return [self._value(item, depth + 1) for item in value]
        if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
            raise _TooComplex
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise TypeError
