"""The documented `docker run` lines start: with the image's own command, on a public address inside the container."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from tracker.capture import routing
from tracker.delivery import registry
from tracker.settings.load import examine

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
DOCUMENTED = re.findall(r"docker run (.*?[^\\])\n", (ROOT / "docs" / "howto" / "docker.md").read_text("utf-8"), re.DOTALL)
DOCUMENTED += re.findall(r"^# +docker run (.*)$", DOCKERFILE, re.MULTILINE)
VALUED = {"-e", "--env", "-p", "-v", "--name", "--stop-timeout"}


def taken_apart(line: str) -> tuple[dict[str, str], list[str]]:
    """The environment and the arguments of the tracker in a `docker run` line."""
    words = shlex.split(line.replace("\\\n", " "))
    environ: dict[str, str] = {}
    while words[0].startswith("-"):
        option = words.pop(0)
        value = words.pop(0) if option in VALUED else ""
        if option in ("-e", "--env"):
            name, _, environ[name] = value.partition("=")
    image, *arguments = words
    assert image == "tracker"
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    return environ, arguments or json.loads(command)


def test_there_are_lines_to_look_at() -> None:
    """One in the Dockerfile, several in the document."""
    assert len(DOCUMENTED) >= 3


@pytest.mark.parametrize("line", DOCUMENTED, ids=lambda line: " ".join(line.split())[:60])
def test_a_documented_line_passes_every_check_of_serve(line: str) -> None:
    """Settings out of its -e options and its flags, and the built-in files unless it mounts its own."""
    environ, arguments = taken_apart(line)
    assert arguments[0] == "serve"
    flags = {name[2:].replace("-", "_"): value for name, value in pairwise(arguments) if name.startswith("--")}
    flags = {name: flags[name] for name in ("bind", "data_dir")}
    if "--config" in arguments:  # files of one's own: what they must say stands above the line
        environ["TRACKER_PUBLIC_WITHOUT_KEYS"] = "true"
    found = examine(None, None, environ, flags, (routing.check, registry.check))
    assert found.settings is not None, "\n".join(map(str, found.problems))


def test_without_the_word_it_would_not_start() -> None:
    """So the documented variable is there for a reason."""
    environ, _ = taken_apart(DOCUMENTED[0])
    assert environ.pop("TRACKER_PUBLIC_WITHOUT_KEYS") == "true"
    assert examine(None, None, environ, {"bind": "0.0.0.0:8000"}, ()).settings is None
