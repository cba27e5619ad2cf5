"""Event names: what may name an event."""

from __future__ import annotations

import re

valid_event_name = re.compile(r"[A-Za-z0-9_.$:-]{1,128}").fullmatch
