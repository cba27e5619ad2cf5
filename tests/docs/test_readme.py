"""The README's first screen is true: its commands exist and its curl line does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in PAGES if "generated" not in path.parts and "_build" not in path.parts]


def curl_line() -> str:
    """The README's curl line."""
    (line,) = [line for block in BLOCKS for line in block.splitlines() if line.startswith("curl")]
    return line


def test_the_readme_is_one_screen() -> None:
    """From the title to the first event within 40 lines, the whole within 70."""
    lines = README.splitlines()
    assert lines.index("tail var/log/events.ndjson") < 40
    assert len(lines) <= 70


def test_the_make_targets_of_the_documents_exist() -> None:
    """`make x` anywhere in README or docs is a target of the Makefile."""
    known = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert known
    for page in PAGES:
        for target in re.findall(r"(?:^|`|\$ )make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE):
            assert target in known[1].split(), f"{page.name}: make {target}"


def test_the_first_two_commands_are_the_promised_ones() -> None:
    """`make run`, then curl, then look."""
    assert [block.strip() for block in BLOCKS] == [
        "make run",
        "curl -i 'http://127.0.0.1:8000/imp/c1/cr1.gif?price=2.50'",
        "tail var/log/events.ndjson",
        "make test",
    ]


def test_the_curl_line_asks_the_default_address_and_a_default_route() -> None:
    """The URL is answered by the built-in settings with the pixel and the event that the README describes."""
    from tracker.capture.endpoint import Endpoint
    from tracker.capture.hit import Hit
    from tracker.settings.load import load

    url = urlsplit(curl_line().split("'")[1])
    settings = load(None, None, {}, {}, ())
    assert url.netloc == settings.tracker.bind
    endpoint = Endpoint(settings, lambda _: "00000000-0000-7000-8000-000000000000")
    answer = endpoint.answer(Hit("GET", url.path, url.query, {}, b"", "127.0.0.1", 1_700_000_000_000))
    assert answer.reply.fixed.status == 200
    assert 35 <= len(answer.reply.fixed.body) <= 43
    assert ("Content-Type", "image/gif") in answer.reply.fixed.headers
    (event,) = answer.events
    assert event.event == "impression"
    assert event.dimensions["campaign"] == "c1"
    assert event.metrics["price_micros"] == 2_500_000
    assert event.context is not None
    assert event.context.ip == "127.0.0.0"


def test_the_tracker_prints_the_same_curl_line() -> None:
    """What one reads and what one sees are one line to copy."""
    from tracker.settings.load import load
    from tracker.terminal.banner import try_it

    settings = load(None, None, {}, {}, ())
    assert try_it(settings, f"http://{settings.tracker.bind}") == curl_line()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """A link in README, change log or docs names a file that is there, or a page that is generated."""
    import generate

    generated = {generate.GENERATED / f"{name}.md" for name in generate.PAGES}
    for target in re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            path = (page.parent / target).resolve()
            assert path.exists() or path in generated, f"{page.name} -> {target}"


def test_every_command_in_the_documents_exists() -> None:
    """`tracker x` in a code block or in code marks is a command of the CLI."""
    import generate

    known = {name.split()[1] for name in generate.commands() if " " in name}
    for page in PAGES:
        text = page.read_text("utf-8")
        for command in re.findall(r"(?:`|\$ |bin/)tracker ([a-z][a-z-]*)", text):
            assert command in known, f"{page.name}: tracker {command}"


def test_every_default_path_of_the_tutorial_is_a_default_route() -> None:
    """The table `Try the rest` is answered as it says: no 404 among it."""
    from tracker.capture.endpoint import Endpoint
    from tracker.capture.hit import Hit
    from tracker.settings.load import load

    endpoint = Endpoint(load(None, None, {}, {}, ()), lambda _: "00000000-0000-7000-8000-000000000000")
    tutorial = (ROOT / "docs" / "tutorial" / "first-event.md").read_text("utf-8")
    rows = re.findall(r"^\| [a-z ]+ \| `(POST )?(/[^`]+)`[^|]*\| ([^|]+) \|$", tutorial, re.MULTILINE)
    assert len(rows) == 6
    for post, target, says in rows:
        url = urlsplit(target)
        method, body = ("POST", b"plan=pro") if post else ("GET", b"")
        headers = {"content-type": "application/x-www-form-urlencoded"} if post else {}
        answer = endpoint.answer(Hit(method, url.path, url.query, headers, body, "127.0.0.1", 1_700_000_000_000))
        expected = {"a pixel": 200, "a redir": 302, "204": 204}[says[:7].strip()]
        assert answer.reply.fixed.status == expected, target
        assert [event.lane for event in answer.events] == ["good"], target


def test_the_tutorials_mistake_is_answered_as_it_says() -> None:
    """A price that is no number: the pixel all the same, the reason in a header, the event in the bad lane."""
    from tracker.capture.endpoint import Endpoint
    from tracker.capture.hit import Hit
    from tracker.settings.load import load

    tutorial = (ROOT / "docs" / "tutorial" / "first-event.md").read_text("utf-8")
    url = urlsplit(next(line for line in tutorial.splitlines() if "price=cheap" in line).split("'")[1])
    endpoint = Endpoint(load(None, None, {}, {}, ()), lambda _: "00000000-0000-7000-8000-000000000000")
    answer = endpoint.answer(Hit("GET", url.path, url.query, {}, b"", "127.0.0.1", 1_700_000_000_000))
    assert answer.reply.fixed.status == 200
    assert ("X-Tracker-Reason", "invalid_field") in answer.reply.extra
    (event,) = answer.events
    assert (event.lane, event.reason) == ("bad", "invalid_field")
