"""Every YAML example in the documents is a file that the tracker accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracker.capture import routing
from tracker.delivery import registry
from tracker.settings.load import load

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    (f"{path.relative_to(ROOT)}:{number}", text)
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if "generated" not in path.parts and "_build" not in path.parts
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text("utf-8"), re.M | re.S), 1)
]


def test_there_are_examples_of_both_files() -> None:
    """The test below does not pass for want of examples."""
    assert any("\nroutes:" in text for _, text in EXAMPLES)
    assert any("\ncollectors:" in text for _, text in EXAMPLES)


@pytest.mark.parametrize(("where", "text"), EXAMPLES, ids=[where for where, _ in EXAMPLES])
def test_an_example_is_accepted(where: str, text: str, tmp_path: Path) -> None:
    """Checked like a user's file, with every check that `tracker check` makes."""
    path = tmp_path / "example.yaml"
    path.write_text(text, "utf-8")
    is_routes = re.search(r"^routes:", text, re.MULTILINE) is not None
    settings = load(
        None if is_routes else path, path if is_routes else None, {}, {}, (routing.check, registry.check)
    )
    assert settings.version
