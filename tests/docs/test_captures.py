"""The captures in the documents are what the commands show today."""

from __future__ import annotations

from pathlib import Path

import captures
import pytest


@pytest.mark.parametrize("page", captures.PAGES, ids=lambda page: page.name)
def test_a_capture_is_what_the_command_shows(page: Path) -> None:
    """Word for word; `python docs/captures.py` writes them anew."""
    found = captures.captures(page.read_text("utf-8"))
    assert len(found) >= 3
    for command, output in found:
        assert output == captures.capture(command), f"{command}: run python docs/captures.py"


def test_a_stale_capture_is_found() -> None:
    """The test above is not blind: what was changed by hand is written anew."""
    page = "# x\n\n```text\n$ tracker explain /nothing\nGET /something\n```\n\nmore\n"
    fresh = captures.renewed(page)
    assert captures.captures(page) == [("tracker explain /nothing", "GET /something\n")]
    assert "no event: no_route" in fresh
    assert fresh.endswith("```\n\nmore\n")
    assert captures.renewed(fresh) == fresh
