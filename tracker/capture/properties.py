"""Properties: what a hit brings beside the fields of its route.

Rules
1. A parameter or body field that became a field of the event is no property.
2. Of a name that both have, the body's value is taken.
"""

from __future__ import annotations

from typing import Any

from tracker import reasons
from tracker.capture.extract import BODY, FLAGS, QUERY, Parts
from tracker.capture.text import clean_property, mark


def properties_of(
    wanted: frozenset[str] | None, parts: Parts, consumed_query: frozenset[str], consumed_body: frozenset[str]
) -> dict[str, Any]:
    """What the query and the body hold beside the fields (None wants all of it); the body's word goes first."""
    flags = parts[FLAGS]
    found: dict[str, Any] = {}
    for key, value in parts[QUERY].items():
        if key not in consumed_query and (wanted is None or key in wanted):
            if isinstance(value, list):
                mark(flags, reasons.REPEATED_PARAMETER)
                value = value[0]
            found[clean_property(key, flags)] = clean_property(value, flags)
    return found | {  # the body was cleaned when it was decoded
        key: value
        for key, value in parts[BODY].items()
        if key not in consumed_body and (wanted is None or key in wanted)
    }
