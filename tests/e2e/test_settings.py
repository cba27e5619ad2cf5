"""Settings as a served tracker has them: a table out of several files, warnings at the start, secrets kept."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECRET = "x7Gq2mWz9Lt4RbV8KpQn"


def test_a_table_of_several_files_is_served_and_no_secret_is_told(serve: Callable[..., Any], tmp_path: Path) -> None:
    """An included route answers, the doubt is said once, and the dump for the children is its owner's alone."""
    (tmp_path / "t.yaml").write_text(
        "signing_keys: {clicks: {k1: '${CLICKS_KEY}'}}\ncollectors: {log: {type: log}}\n"
    )
    (tmp_path / "r.yaml").write_text("include: [more.yaml]\nroutes: {own: {path: /own, reply: pixel}}\n")
    (tmp_path / "more.yaml").write_text("defaults: {ack: power}\nroutes: {other: {path: /other, reply: pixel}}\n")
    tracker = serve("--config", str(tmp_path / "t.yaml"), "--routes", str(tmp_path / "r.yaml"), CLICKS_KEY=SECRET)
    assert tracker.get("/own")[1]["X-Tracker-Ack"] == "process"
    assert tracker.get("/other")[1]["X-Tracker-Ack"] == "power"
    tracker.wait_logged(2)
    said = tracker.output.read_text()
    assert said.count("warning: signing_keys.clicks: no route's redirect is `signed_by` this key ring") == 1
    dump = tracker.data_dir / "run" / "settings.json"
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert SECRET in dump.read_text()
    telling = [path for path in tracker.folder.rglob("*") if path.is_file() and path != dump and SECRET.encode() in path.read_bytes()]
    assert telling == []
