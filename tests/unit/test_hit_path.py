"""What a hit executes: compiled closures of capture, and nothing that knows configuration."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tracker
from tracker.capture import routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.event import encode_line
from tracker.settings.load import load

PACKAGE = Path(tracker.__file__).parent
HEADERS = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "referer": "https://news.example/", "accept-language": "de-CH,de;q=0.9"}
HITS = {
    "impression": ("GET", "/imp/c1/cr1.gif", "price=2.50&cb=1", b""),
    "click": ("GET", "/click/c1/cr1", "url=https%3A%2F%2Fexample.com%2F", b""),
    "spring": ("GET", "/go/spring", "", b""),
    "conversion": ("POST", "/conv/c1.gif", "value=9.99&order=o1", b""),
    "video": ("GET", "/video/c1/cr1/midPoint.gif", "watch_ms=900", b""),
    "hit": ("POST", "/hit/signup", "", b'{"plan":"pro"}'),
}


def executed(name: str, warm: int) -> tuple[Counter[str], list[str]]:
    """Python functions that one hit runs, by file; and how every one of them is called."""
    settings = load(None, None, {}, {}, (routing.check,))
    endpoint = Endpoint(settings, FreshIds())
    method, path, query, body = HITS[name]
    hit = Hit(method, path, query, HEADERS, body, "203.0.113.7", 1_795_210_021_123)
    for _ in range(warm):
        encode_line(endpoint.answer(hit).events[0])
    files: Counter[str] = Counter()
    names: list[str] = []

    def see(frame: FrameType, what: str, _: Any) -> None:
        if what == "call":
            file = Path(frame.f_code.co_filename)
            files[file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else file.name] += 1
            names.append(frame.f_code.co_qualname)

    sys.setprofile(see)
    try:
        encode_line(endpoint.answer(hit).events[0])
    finally:
        sys.setprofile(None)
    return files, names


def test_every_default_route_has_a_hit_here() -> None:
    """A new route must be looked at too."""
    assert HITS.keys() == load(None, None, {}, {}, (routing.check,)).routes.routes.keys()


@pytest.mark.parametrize("warm", [0, 3])
@pytest.mark.parametrize("name", HITS)
def test_a_hit_interprets_no_configuration(name: str, warm: int) -> None:
    """Nothing of tracker.settings runs, nor anything that compiles: the first hit and the fourth alike."""
    files, names = executed(name, warm)
    assert files["capture/endpoint.py"] >= 1
    assert {file for file in files if "/" in file and not file.startswith("capture/")} <= {"event.py"}
    assert not files.keys() & {"capture/plan.py", "capture/routing.py", "capture/field_checks.py", "capture/preprocess.py"}
    ran = {name.rpartition(".")[2] for name in names}  # of a closure, its own name
    assert not any("compile" in each or "check" in each for each in ran)


def test_a_known_impression_runs_few_functions() -> None:
    """A count, not a time: whoever adds a call to every hit sees it here."""
    _, names = executed("impression", 3)
    assert len(names) <= 14, names
