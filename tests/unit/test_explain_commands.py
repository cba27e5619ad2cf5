"""`tracker explain` and `tracker routes`: exit codes, forms of input, JSON, and reports that fit any terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tracker import cli
from tracker.capture import routing
from tracker.delivery import registry
from tracker.explain import pasted
from tracker.explain.explainer import Explainer
from tracker.explain.table import table
from tracker.settings.load import load
from tracker.settings.model import Routes, Settings, Tracker
from tracker.terminal import explain_report, routes_report
from tracker.terminal.fold import fold

WIDTHS = [60, 80, 120, 200]
ID = "01a1fb11-f386-7000-ab68-c36f9719a68a"
GOOD = "/imp/c1/cr1.gif?price=2.50"


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no TRACKER_ variable of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """A command in this process; its output is no terminal."""
    return CliRunner().invoke(cli.main, arguments, input=stdin, prog_name="tracker", catch_exceptions=False)


def on_terminal(columns: int, *arguments: str) -> str:
    """What a terminal of so many columns is shown."""
    here, there = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environ.pop("NO_COLOR", None)
    process = subprocess.Popen([sys.executable, "-m", "tracker", *arguments], stdin=subprocess.DEVNULL, stdout=there, env=environ)
    os.close(there)
    shown = b""
    try:
        while True:
            try:
                piece = os.read(here, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        process.wait(20)
    finally:
        process.kill()
        process.communicate()
        os.close(here)
    return shown.decode()


# --- explain -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "said"), [
    ((GOOD,), 0, "a good event: impression"), (("/imp/c1/cr1.gif?price=2,50",), 1, "a bad event: impression, invalid_field"), (("/nothing",), 1, "no event: no_route"),
    (("POST /imp/c1/cr1.gif",), 1, "no event: method_not_allowed"), ((GOOD, "/nothing"), 1, "2 hits: 1 good, 1 refused"),
    (("<img src='http://t/imp/c1/cr1.gif'><img src='http://cdn/a.png'>",), 0, "1 more URL leads to other hosts"),
    (("curl", "http://t/hit/signup", "-d", "plan=a b&x", "-H", "X-A: 1", "-s"), 0, '"plan": "a b"'), (("--from", "198.51.100.9", GOOD), 0, "198.51.100.0"),
])  # fmt: skip
def test_explain_says_it_and_exits_with_it(arguments: tuple[str, ...], code: int, said: str) -> None:
    """0: each would be a good event; 1: one would not. A curl command may stand there without quotes around it."""
    result = run("explain", *arguments)
    assert (result.exit_code, result.stderr) == (code, "")
    assert said in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (("imp/c1",), "write /imp/c1"), (("@nowhere.txt",), "nowhere.txt: No such file"), (("--from", "nobody", GOOD), "no IP address"), (("",), "nothing was pasted"),
    (("curl", "-sS"), "names no URL"), (("@.",), "directory"), (("a\x1b[31m b",), "\\x1b[31m"),
])  # fmt: skip
def test_input_that_is_not_understood_is_2_and_says_how_to_write_it(arguments: tuple[str, ...], said: str) -> None:
    """Nothing on standard output, and nothing that a terminal would obey."""
    result = run("explain", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "\x1b" not in result.stderr


def test_wrong_settings_are_78() -> None:
    """As everywhere: each problem with its line."""
    Path("r.yaml").write_text("version: 1\nroutes: {a: {path: a, reply: pixel}}\n")
    for arguments in (["explain", "/a"], ["routes"]):
        result = run(*arguments, "--routes", "r.yaml")
        assert (result.exit_code, result.stdout) == (78, "")
        assert "r.yaml:2:" in result.stderr


def test_input_comes_from_files_and_standard_input() -> None:
    """@FILE, - and a pipe alone; several inputs one after the other."""
    Path("tag.html").write_text(f"<img src='https://t.example{GOOD}'>")
    for result in (run("explain", "@tag.html"), run("explain", "-", stdin=GOOD), run("explain", stdin=GOOD.encode() + b"\n")):
        assert result.exit_code == 0
        assert "a good event: impression" in result.stdout
    assert "3 hits: 3 good" in run("explain", "@tag.html", "-", GOOD, stdin="/go/spring").stdout
    assert run("explain", "-", stdin=b"/" * 10_000_001).exit_code == 2
    assert run("explain", "-", stdin=b"/imp/\xff/\xe9.gif").exit_code == 0


def test_explain_as_json_has_the_whole() -> None:
    """The event as stored, the reply, and the version of the settings that it holds for."""
    result = run("explain", "--json", GOOD, "/nothing")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    good, none = found["explanations"]
    assert found["version"] == load(None, None, {}, {}, ()).version
    assert (good["outcome"], good["event"]["metrics"]) == ("good", {"price_micros": 2_500_000, "cost_nanos": 2_500_000})
    assert {"stream", "seq"}.isdisjoint(good["event"])
    assert ["X-Event-Id", good["event"]["id"]] in good["reply"]["headers"]
    assert (none["outcome"], none["reason"], none["event"]) == ("refused", "no_route", None)


def test_explain_writes_nothing_and_needs_no_tracker() -> None:
    """The working folder stays empty."""
    assert run("explain", GOOD).exit_code == 0
    assert run("routes").exit_code == 0
    assert list(Path.cwd().iterdir()) == []


def test_a_terminal_gets_colours_and_lines_that_fit() -> None:
    """`explain` and `routes` on terminals of 60 and 130 columns."""
    for columns in (60, 130):
        for arguments in (["explain", GOOD + "&site=" + "x" * 300], ["routes"]):
            shown = on_terminal(columns, *arguments)
            assert "\x1b[" in shown
            plain = [_plain(line) for line in shown.splitlines()]
            assert "impression" in "".join(plain)
            assert max(map(cell_len, plain)) <= columns


def _plain(line: str) -> str:
    """Without colours."""
    pieces = line.split("\x1b[")
    return pieces[0] + "".join(piece.partition("m")[2] for piece in pieces[1:])


# --- reports -----------------------------------------------------------------------------------------------------

PASTES = [
    GOOD, "/imp/c1/cr1", "/imp/" + "c" * 400 + "/cr1.gif?price=AUDIT&site=[X]", "HEAD /imp/c1/cr1.gif?price=1&event_id=%00", "/click/c1/cr1?url=https://evil.example/" + "x" * 300,
    "curl http://t/hit/signup --json '{\"name\": \"\u202eevil\u4e16\u754c\", \"n\": {\"deep\": [[[[[[1]]]]]]}}' -A 'Googlebot/2.1'", "/-/x", "<img src='http://t/go/spring'><img src='http://t/x'><img src='http://u/x'>",
]  # fmt: skip
DEFAULTS = load(None, None, {}, {}, (routing.check, registry.check))


@pytest.mark.parametrize("width", [24, *WIDTHS])
@pytest.mark.parametrize("paste", PASTES, ids=range(len(PASTES)))
def test_an_explanation_fits_the_terminal_and_loses_nothing(paste: str, width: int) -> None:
    """No line is wider, and the words are those of the report that has all the room, in their order."""
    found = Explainer(DEFAULTS, lambda _: ID).explain_all(pasted.requests(paste), "203.0.113.7", 1_795_212_425_000)
    shown, wide = explain_report.report(found, width).plain, explain_report.report(found, 0).plain
    assert max(map(cell_len, shown.splitlines())) <= width
    assert shown.isprintable() or "\n" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    if width >= 60:  # names are cut in narrower ones
        assert "".join(shown.split()) == "".join(wide.split())


def test_a_report_without_colours_says_the_same() -> None:
    """Styles carry no meaning of their own: plain text has outcome, reason and marks."""
    found = Explainer(DEFAULTS, lambda _: ID).explain_all(pasted.requests("/imp/c1/cr1.gif?price=x&site=[X]"), "203.0.113.7", 0)
    plain = explain_report.report(found).plain
    for said in ("a bad event: impression, invalid_field", 'query.price "x" cannot be read as money', '- query.site "[X]" is a macro', "nothing", "set by dimension site"):
        assert said in plain


ROUTES = """
routes:
  a_rather_long_name_of_a_route: {path: "/with/a/rather/long/path/{campaign}/{creative}.gif", reply: pixel, ack: power, priority: high}
  click: {path: "/click/{campaign}", reply: {redirect: {to: "https://shop.example/a/rather/long/destination?click={click_id}"}}}
  named: {path: "/e/{event}", methods: [POST], event: path.event, reply: json}
  coded: {path: "/h/{event:hex}", methods: [POST], event: path.event, reply: {fixed: {body: ok}}}
  page: {path: /page, reply: no_content, access: open}
"""
COLLECTORS = """
all: {type: log, lanes: [good, bad], options: {file: a}}
clicks: {type: log, events: [click, purchase, "ab*"], options: {file: b}}
nothing: {type: log, events: [nothing], options: {file: c}}
"""


def settings(routes: str = ROUTES, collectors: str = COLLECTORS) -> Settings:
    """A checked table."""
    table = msgspec.convert(yaml.safe_load(routes), Routes)
    tracker = msgspec.convert({"collectors": yaml.safe_load(collectors)}, Tracker)
    assert [*routing.check(tracker, table), *registry.check(tracker, table)] == []
    return Settings(tracker=tracker, routes=table, version="0" * 12)


def test_the_table_says_who_takes_what() -> None:
    """By the globs and lanes of delivery itself; of a name that the client gives, all, some or none."""
    found = table(settings())
    takers = {row.name: [(taker.collector, taker.share) for taker in row.good] for row in found.routes}
    assert takers == {
        "a_rather_long_name_of_a_route": [("all", "all")], "click": [("all", "all"), ("clicks", "all")], "named": [("all", "all"), ("clicks", "some"), ("nothing", "some")],
        "coded": [("all", "all"), ("clicks", "some")], "page": [("all", "all")],
    }  # fmt: skip
    assert [(row.name, [taker.collector for taker in row.bad]) for row in found.routes] == [(name, ["all"]) for name in takers]
    assert [(each.name, each.good) for each in found.collectors] == [("all", tuple(takers)), ("clicks", ("click", "named", "coded")), ("nothing", ("named",))]
    assert found.untaken == ()
    assert table(settings(collectors="{n: {type: log, events: [nothing]}}")).untaken == ("a_rather_long_name_of_a_route", "click", "coded", "page")


def test_a_taker_of_all_valid_names_need_not_take_the_routes_own() -> None:
    """A bad event of a client's name has that name, or, if it is not valid, the route's."""
    (row,) = table(settings('routes: {named: {path: "/e/{event}", event: path.event, reply: pixel}}', "{own: {type: log, lanes: [bad], events: [named]}, hex: {type: log, lanes: [bad], events: ['0*'], options: {file: b}}}")).routes
    assert [(taker.collector, taker.share) for taker in row.bad] == [("own", "some"), ("hex", "some")]
    assert row.good == ()


@pytest.mark.parametrize("width", [24, *WIDTHS])
def test_the_table_fits_the_terminal(width: int) -> None:
    """No line is wider; every route, path and collector is there whole in all but the narrowest."""
    for chosen in (DEFAULTS, settings(), settings(collectors="{}"), settings("routes: {}")):
        found = table(chosen)
        shown = routes_report.report(found, width).plain
        assert max(map(cell_len, shown.splitlines())) <= width
        joined = "".join(shown.split())
        assert all(row.name in joined and row.path in joined for row in found.routes)
        assert all(each.name in joined for each in found.collectors)


def test_the_wide_table_is_one_line_a_route_and_the_narrow_says_what_is_unusual() -> None:
    """What a column says in the one, a word says in the other."""
    found = table(settings())
    wide = routes_report.report(found, 0).plain.splitlines()
    assert wide[0].split() == ["route", "methods", "path", "event", "reply", "ack", "access", "priority", "good", "events", "bad", "events"]
    assert [line.split()[0] for line in wide[1:6]] == [row.name for row in found.routes]
    for width in (60, 150):
        narrow = routes_report.report(found, width).plain
        assert "ack power" in narrow
        assert "event path.event" in narrow
        assert "unless said otherwise" in narrow


def test_routes_that_nobody_takes_are_marked() -> None:
    """In the line of the route, and below."""
    for width in (60, 0):
        shown = routes_report.report(table(settings(collectors="{n: {type: log, events: [nothing]}}")), width).plain
        assert "nobody" in shown
        assert "Nobody takes the good events of" in shown
    assert "none: events stay in the journal" in routes_report.report(table(settings(collectors="{}")), 80).plain


def test_routes_as_json() -> None:
    """The same table, for programs."""
    found = json.loads(run("routes", "--json").stdout)
    assert [row["name"] for row in found["routes"]] == ["impression", "click", "spring", "conversion", "video", "hit"]
    assert found["routes"][2] == {
        "name": "spring", "methods": ["GET", "HEAD"], "path": "/go/spring", "event": "click", "reply": "redirect", "to": "https://shop.example/spring", "ack": "process",
        "access": "open", "priority": found["routes"][2]["priority"], "good": [{"collector": "log", "share": "all"}], "bad": [{"collector": "bad", "share": "all"}],
    }  # fmt: skip


# --- folding -----------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("ab /-.\u4e16\u00e9"), max_size=80), st.integers(12, 40), st.integers(0, 6))
def test_folded_text_fits_and_keeps_every_character(text: str, width: int, indent: int) -> None:
    """Only spaces at which lines break are gone, and the indent is added."""
    lines = list(fold(text, width, "", " " * indent))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert list(fold(text, 0, "> ")) == [f"> {text}"]


def test_every_form_of_the_help_is_understood(tracker_examples: Callable[[str], list[str]]) -> None:
    """Each example of `tracker explain --help` that needs no file of its own does what it says."""
    examples = tracker_examples("explain")
    assert len(examples) >= 2
    for line in examples:
        done = subprocess.run(["bash", "-c", line.replace("tracker ", f"{sys.executable} -m tracker ", 1)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (line, done.stderr)
        assert "a good event" in done.stdout


@pytest.fixture
def tracker_examples() -> Callable[[str], list[str]]:
    """The lines of a command's help that can be copied and need nothing beside."""

    def found(name: str) -> list[str]:
        shown: Any = run(name, "--help").stdout
        lines = [line.strip() for line in shown.splitlines() if line.startswith(f"  tracker {name} ")]
        return [line for line in lines if not any(word in line for word in ("@", "my-", "jq", "pbpaste"))]

    return found
