"""Patterns: regular expressions that settings bring and that anybody's text is matched against.

Rules
1. RE2, whose time grows with the text and never with its square: no text, however odd, makes a pattern slow.
2. A pattern must match the whole text.

PERF: RE2 takes 3 us a match through its Python binding; a text seen before costs a look.
"""

from __future__ import annotations

from collections.abc import Callable

import re2  # type: ignore[import-untyped]

from tracker.capture.memo import Memo

_QUIET = re2.Options()
_QUIET.log_errors = False


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a text matches. Raises ``ValueError`` with what is wrong with the pattern."""
    try:
        compiled = re2.compile(pattern, _QUIET)
    except re2.error as error:
        cause = error.args[0] if error.args else error
        raise ValueError(cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)) from None
    return Memo(lambda text: compiled.fullmatch(text) is not None).__getitem__
