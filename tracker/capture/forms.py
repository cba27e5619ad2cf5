"""Forms: urlencoded and multipart bodies to their text fields.

Rules
1. Never raises. What is no form in UTF-8 is ``invalid_body``.
2. Of a field that comes twice the first value is taken, and the event is flagged ``repeated_parameter``.
3. Browsers send multipart for ``FormData`` (``fetch``, ``sendBeacon``), mail services for one-click unsubscribes
   (RFC 8058, 3.2). Only text fields are read; a file is passed over.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import falcon
from falcon.media.multipart import MultipartFormHandler, MultipartParseOptions
from falcon.util.uri import parse_query_string

from tracker import reasons
from tracker.capture.text import clean_property, mark
from tracker.settings.model import Limits

_MAX_PART_HEADERS_BYTES = 1024


def read_urlencoded(body: bytes, limits: Limits, flags: list[str]) -> dict[str, Any] | str:
    """The fields, cleaned; or the reason why there are none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return reasons.INVALID_BODY
    if text.count("&") >= limits.max_query_parameters:
        return reasons.TOO_MANY_PARAMETERS
    pairs = parse_query_string(text, keep_blank=True, csv=False).items()
    values = [(key, value if isinstance(value, list) else [value]) for key, value in pairs]
    return _first([(key, each) for key, several in values for each in several], flags)


def read_multipart(body: bytes, content_type: str, limits: Limits, flags: list[str]) -> dict[str, Any] | str:
    """The text fields (RFC 7578), cleaned; or the reason why there are none."""
    options = MultipartParseOptions()
    options.max_body_part_count = limits.max_query_parameters + 1
    options.max_body_part_buffer_size = limits.max_body_bytes
    options.max_body_part_headers_size = _MAX_PART_HEADERS_BYTES
    pairs: list[tuple[str, str]] = []
    try:
        for part in MultipartFormHandler(options).deserialize(io.BytesIO(body), content_type, len(body)):
            if len(pairs) >= limits.max_query_parameters:
                return reasons.TOO_MANY_PARAMETERS
            if part.filename is None and part.name is not None:
                pairs.append((part.name, part.get_data().decode()))
    except (falcon.HTTPError, ValueError):  # UnicodeDecodeError is a ValueError
        return reasons.INVALID_BODY
    return _first(pairs, flags)


def _first(pairs: Iterable[tuple[str, str]], flags: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        name = clean_property(key, flags)
        if name in fields:
            mark(flags, reasons.REPEATED_PARAMETER)
        else:
            fields[name] = clean_property(value, flags)
    return fields
