"""The commands: exit codes, what goes to which stream, and how they behave in pipes, on terminals and under signals."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tracker import cli, cli_given, interpreter, supervisor
from tracker.listeners import who_listens
from tracker.settings import load
from tracker.terminal.banner import banner

Journal = Any  # the fixture's class


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no TRACKER_ variable of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """A command in this process; its output is no terminal."""
    return CliRunner().invoke(cli.main, arguments, env=env, prog_name="tracker", catch_exceptions=False)


def start(*arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    """A command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "tracker", *arguments], stdin=subprocess.DEVNULL, **streams)


def read_until(fd: int, wanted: bytes, timeout_s: float = 10) -> bytes:
    """What comes out of a descriptor until it has ``wanted``."""
    got = b""
    deadline = time.monotonic() + timeout_s
    while wanted not in got:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {wanted!r} in {got!r}"
        piece = os.read(fd, 65_536)
        assert piece, f"ended without {wanted!r}: {got!r}"
        got += piece
    return got


COMMANDS = {"tracker": cli.main} | {f"tracker {name}": command for name, command in cli.main.commands.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_and_the_exit_codes(name: str) -> None:
    """It teaches: a line to copy, and what the command's exit code means."""
    result = run(*name.split()[1:], "--help")
    assert result.exit_code == 0
    assert f"  {name} " in result.stdout.partition("\n\n")[2]
    assert "Exit codes" in result.stdout
    assert all(option.help for option in COMMANDS[name].params if isinstance(option, click.Option))


def test_the_version_is_that_of_the_package() -> None:
    """`tracker --version`."""
    assert run("--version").stdout.strip().endswith(cli.tracker.__version__)


def test_wrong_usage_is_2() -> None:
    """Unknown commands, options and values: click's own code."""
    for arguments in (["serv"], ["tail", "--lines"], ["tail", "-n", "-1"], ["tail", "--lane", "ugly"], ["trace"], ["trace", "a b"]):
        assert run(*arguments).exit_code == 2, arguments


# --- interpreters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "gil", "said"), [
    ((3, 10), True, "needs Python 3.11"), ((3, 13), False, "free-threaded"), ((3, 14), False, "python3.14, not"),
])  # fmt: skip
def test_an_interpreter_that_will_not_do_is_refused(version: tuple[int, int], gil: bool, said: str) -> None:
    """Too old, or without the GIL: a sentence that says what to use."""
    assert said in interpreter.refusal(version, gil)
    assert interpreter.refusal((3, 13), True) == ""
    assert interpreter.refusal() == ""


def test_nothing_is_started_on_a_refused_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the command: 78 and the sentence."""
    monkeypatch.setattr(cli, "refusal", lambda: "no.")
    for arguments in (["check"], ["serve"], ["tail"]):
        result = run(*arguments)
        assert (result.exit_code, result.stderr, result.stdout) == (78, "no.\n", "")


# --- settings ----------------------------------------------------------------------------------------------------


def test_check_counts_what_is_right(tmp_path: Path) -> None:
    """The built-in files pass; one route and no collector are counted as such."""
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("OK: 6 routes, 2 collectors (version ")
    (tmp_path / "c.yaml").write_text("version: 1\n")
    (tmp_path / "r.yaml").write_text("version: 1\nroutes: {a: {path: /a, reply: pixel}}\n")
    assert run("check", "--config", "c.yaml", "--routes", "r.yaml").stdout.startswith("OK: 1 route, 0 collectors")


def test_every_problem_is_shown_with_its_place(tmp_path: Path) -> None:
    """File, line and column, the flag, the variable; on standard error, 78, nothing started."""
    (tmp_path / "r.yaml").write_text("version: 1\nroutes:\n  a: {path: /a, replly: pixel}\n  b: {path: /b, reply: gif}\n")
    result = run("check", "--routes", "r.yaml", "--workers", "many", env={"TRACKER_BNID": "x"})
    assert result.exit_code == 78
    assert result.stdout == ""
    for part in ("r.yaml:3:", "did you mean `reply`?", "r.yaml:4:", "--workers", "did you mean `TRACKER_BIND`?", "nothing was started"):
        assert part in result.stderr


def test_semantic_problems_are_found_as_serve_would() -> None:
    """Routing and collectors are checked too, and `serve` and `check` say the same."""
    Path("c.yaml").write_text("version: 1\ncollectors: {a: {type: lgo}}\n")
    Path("r.yaml").write_text("version: 1\nroutes: {a: {path: /a, reply: pixel, use: [nobody]}}\n")
    said = {name: run(name, "--config", "c.yaml", "--routes", "r.yaml") for name in ("check", "serve", "capture", "deliver")}
    assert {result.exit_code for result in said.values()} == {78}
    assert {result.stderr for result in said.values()} == {said["check"].stderr}
    assert "`lgo`" in said["check"].stderr
    assert "`nobody`" in said["check"].stderr
    assert not Path("var").exists()


DOUBTFUL = "version: 1\ncollectors: {a: {type: log, lanes: [bad]}}\n"


def test_a_warning_is_said_and_refuses_nothing_unless_that_is_wanted() -> None:
    """On standard error, at its place; with --strict the code is 78, and nothing says OK."""
    Path("c.yaml").write_text(DOUBTFUL)
    result = run("check", "--config", "c.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("OK: ")
    assert result.stderr.startswith("c.yaml:2:1: warning: collectors: no collector takes good events")
    result = run("check", "--config", "c.yaml", "--strict")
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.endswith("1 warning; with --strict nothing would be started.\n")
    assert run("check", "--strict").exit_code == 0


def test_serve_and_capture_say_warnings_at_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started; a child, which starts from a dump, does not repeat them."""
    from tracker.capture import server

    def ends_at_once(_settings: Any, listener: socket.socket, *_: Any, **__: Any) -> int:
        listener.close()
        return 0

    Path("c.yaml").write_text(DOUBTFUL)
    monkeypatch.setattr(supervisor, "serve", ends_at_once)
    monkeypatch.setattr(server, "run", ends_at_once)
    for name in ("serve", "capture"):
        result = run(name, "--config", "c.yaml", "--bind", "127.0.0.1:0")
        assert result.exit_code == 0
        assert result.stderr.count("c.yaml:2:1: warning: collectors: ") == 1
    Path("dump").write_bytes(load.dump(load.load(Path("c.yaml"), None, {}, {}, ())))
    assert "warning" not in run("capture", "--settings", "dump", "--bind", "127.0.0.1:0").stderr


def test_the_outcome_of_a_check_is_json_for_programs() -> None:
    """Errors and warnings alike, each with its place; the exit code says the same as `ok`."""
    Path("c.yaml").write_text(DOUBTFUL)
    result = run("check", "--config", "c.yaml", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, told["ok"], told["routes"], told["collectors"]) == (0, "", True, 6, 1)
    (problem,) = told["problems"]
    assert problem | {"message": "", "hint": ""} == {
        "file": "c.yaml", "line": 2, "column": 1, "path": "collectors", "message": "", "hint": "", "severity": "warning",
    }  # fmt: skip
    result = run("check", "--config", "c.yaml", "--json", "--strict")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (78, False)
    result = run("check", "--config", "c.yaml", "--json", "--workers", "many", env={"TRACKER_BNID": "x"})
    told = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, told["ok"], told["version"]) == (78, "", False, None)
    assert [(each["file"], each["line"], each["path"], each["severity"]) for each in told["problems"]] == [
        ("environment", 0, "TRACKER_BNID", "error"), ("flag", 0, "--workers", "error"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["tracker", "routes"])
def test_check_prints_the_schema_of_a_file(name: str) -> None:
    """To lie beside a copy of the file, whose first line names it; settings that are wrong do not matter."""
    result = run("check", "--schema", name, env={"TRACKER_BIND": "x"})
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert result.stdout_bytes == (Path(load.__file__).parents[1] / "config" / f"{name}.schema.json").read_bytes()


def test_flags_win_over_the_environment(journal: Journal) -> None:
    """TRACKER_DATA_DIR names one folder, --data-dir another."""
    journal.stream().add()
    there = str(journal.data_dir)
    assert run("tail", env={"TRACKER_DATA_DIR": there}).exit_code == 0
    assert run("tail", "--data-dir", "nowhere", env={"TRACKER_DATA_DIR": there}).exit_code == 1
    assert run("tail", "--data-dir", there, env={"TRACKER_DATA_DIR": "nowhere"}).exit_code == 0


def test_a_dump_that_is_none_is_78() -> None:
    """Children of the supervisor start from its dump; a missing or foreign one is no traceback."""
    Path("dump").write_text("{}")
    for name in ("missing", "dump"):
        result = run("deliver", "--settings", name)
        assert result.exit_code == 78
        assert name in result.stderr


# --- serving -----------------------------------------------------------------------------------------------------


def test_a_busy_port_is_75_and_says_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has it; another address to choose, by flag and by variable, is a line to copy."""
    monkeypatch.setattr(supervisor, "BIND_PATIENCE_S", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--bind", f"127.0.0.1:{port}")
        assert result.exit_code == 75
        assert f"127.0.0.1:{port} is taken by " in result.stderr
        if sys.platform == "linux":
            assert f"(process {os.getpid()})" in result.stderr
        assert f"--bind 127.0.0.1:{port + 1}" in result.stderr
        assert f"TRACKER_BIND=127.0.0.1:{port + 1}" in result.stderr
        assert run("capture", "--bind", f"127.0.0.1:{port}").exit_code == 75
    assert not Path("var").exists()


def test_an_address_that_is_not_ours_is_78(monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-NET-1 (RFC 5737) is on no interface."""
    monkeypatch.setattr(supervisor, "BIND_PATIENCE_S", 0)
    result = run("serve", "--bind", "192.0.2.1:8000")
    assert result.exit_code == 78
    assert "--bind" in result.stderr


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 75), (errno.EACCES, 78)])
def test_a_data_folder_that_cannot_be_written_is_said(number: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk may pass, a forbidden folder does not by itself."""

    def fails(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number), "somewhere/run")

    monkeypatch.setattr(supervisor, "serve", fails)
    result = run("serve", "--bind", "127.0.0.1:0")
    assert result.exit_code == code
    assert f"somewhere/run: {os.strerror(number)}" in result.stderr
    assert "--data-dir" in result.stderr


@pytest.mark.parametrize(("arguments", "tail"), [((), False), (("--tail",), True), (("--no-tail",), False)])
def test_serve_hands_over_what_was_checked(
    arguments: tuple[str, ...], tail: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, a listening socket, the tail as asked (a pipe is no terminal), and a way to read settings again."""
    seen: dict[str, Any] = {}

    def serve(settings: Any, listener: socket.socket, **more: Any) -> int:
        seen.update(more, settings=settings, address=listener.getsockname(), again=more["reread"]())
        listener.close()
        return 1

    monkeypatch.setattr(supervisor, "serve", serve)
    result = run("serve", "--bind", "127.0.0.1:0", "--data-dir", "here", "--workers", "3", *arguments)
    assert result.exit_code == 1
    assert seen["tail"] is tail
    assert (seen["settings"].tracker.data_dir, seen["settings"].tracker.workers) == ("here", 3)
    assert seen["again"] == seen["settings"]
    assert f"http://127.0.0.1:{seen['address'][1]}/imp/c1/cr1.gif?price=2.50" in result.stderr
    assert "here/log/events.ndjson" in result.stderr
    assert result.stdout == ""


def test_the_banner_shows_a_line_that_works_for_other_routes_too() -> None:
    """Wildcard addresses can be opened, POST routes are posted to, strangers' names are quoted."""
    Path("r.yaml").write_text("version: 1\nroutes: {a: {path: '/a/{x y}', reply: no_content, methods: [POST]}}\n".replace("x y", "xy"))
    environ = {"TRACKER_BIND": "0.0.0.0:9", "TRACKER_PUBLIC_WITHOUT_KEYS": "true"}
    settings = load.load(None, Path("r.yaml"), environ, {}, ())
    text = banner("1", settings, 4711, {}).plain
    assert "curl -i -X POST 'http://127.0.0.1:4711/a/xy1'" in text
    assert "Ctrl-C" in text


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_who_listens_names_processes_and_not_their_arguments() -> None:
    """A program by its name; a tracker as such; nobody where nobody is."""
    script = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    for arguments, name in (([], "python"), (["tracker", "--secret"], "another tracker")):
        with subprocess.Popen([sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            port = int(other.stdout.readline())
            told = who_listens(port)
            assert told.startswith(name)
            assert told.endswith(f"(process {other.pid})")
            assert "secret" not in told
            other.communicate(timeout=10)
        assert who_listens(port) == ""


# --- tail --------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_the_journals_own_lines(journal: Journal) -> None:
    """NDJSON byte for byte, the last ten by default, and then it ends."""
    stream = journal.stream()
    for _ in range(12):
        stream.add(dimensions={"page": "é\u202e"})
    folder = str(journal.data_dir)
    assert run("tail", "--data-dir", folder).stdout_bytes == b"".join(stream.lines[-10:])
    assert run("tail", "--data-dir", folder, "-n", "2").stdout_bytes == b"".join(stream.lines[-2:])
    assert run("tail", "--data-dir", folder, "-n", "0").stdout_bytes == b""


def test_what_is_asked_for_is_shown_alone(journal: Journal) -> None:
    """Name, condition and lane, all at once."""
    stream = journal.stream()
    for number in range(6):
        stream.add(event=["click", "impression"][number % 2], dimensions={"campaign": f"c{number}"},
                   lane="bad" if number == 3 else "good")  # fmt: skip
    result = run("tail", "--data-dir", str(journal.data_dir), "--event", "imp*", "--where", "dimensions.campaign!=c1", "--lane", "good")
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [6]


def test_a_condition_that_cannot_be_read_is_2_with_its_repair(journal: Journal) -> None:
    """Before the journal is looked for."""
    result = run("tail", "--data-dir", "nowhere", "--where", "campaign=c1")
    assert result.exit_code == 2
    assert "dimensions.campaign" in result.stderr


def test_no_journal_is_1_and_says_where_one_was_looked_for() -> None:
    """For each of the reading commands; nothing is made."""
    for arguments in (["tail"], ["trace", "some-event-id"], ["verify"]):
        result = run(*arguments, "--data-dir", "nowhere")
        assert result.exit_code == 1
        assert "nowhere: there is no journal here" in result.stderr
        assert not Path("nowhere").exists()


def test_text_in_a_pipe_has_no_colour(journal: Journal) -> None:
    """`--format text | less`."""
    journal.stream().add(event="evil\x1b[31m")
    result = run("tail", "--data-dir", str(journal.data_dir), "--format", "text")
    assert "evil\\x1b[31m" in result.stdout
    assert "\x1b" not in result.stdout


def test_damage_is_said_beside_the_output(journal: Journal) -> None:
    """On standard error; the lines stay clean."""
    stream = journal.stream()
    for _ in range(3):
        stream.add()
    stream.spoil(5)
    result = run("tail", "--data-dir", str(journal.data_dir))
    assert result.exit_code == 0
    assert result.stdout_bytes == b"".join(stream.lines[1:])
    assert "damaged" in result.stderr


@contextlib.contextmanager
def following(journal: Journal, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`tracker tail --follow`, as a process; it must have ended by itself."""
    process = start("tail", "--follow", "--data-dir", str(journal.data_dir), *arguments, **streams)
    try:
        yield process
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_new_events_come_and_ctrl_c_ends_quietly(journal: Journal) -> None:
    """Started before there is a journal; each event within half a second; exit 0 without a word."""
    with following(journal, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stream = journal.stream()
        first = stream.add()
        read_until(process.stdout.fileno(), first.id.encode())
        second = stream.add()
        began = time.monotonic()
        read_until(process.stdout.fileno(), second.id.encode())
        assert time.monotonic() - began < 0.5
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_a_reader_that_has_seen_enough_ends_it_quietly(journal: Journal) -> None:
    """`| head -n 1`: at once, though no further event ever comes, and without a traceback."""
    stream = journal.stream()
    stream.add()
    with following(journal, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == stream.lines[0]
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_a_reader_that_goes_while_much_is_written_ends_it_quietly(journal: Journal) -> None:
    """The pipe breaks within a write."""
    stream = journal.stream()
    for _ in range(2000):
        stream.publish()
    stream.flush()
    process = start("tail", "-n", "2000", "--data-dir", str(journal.data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(10) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command whose output is a terminal of 100 columns, and the other end of it."""
    here, there = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environ.pop("NO_COLOR", None)
    process = start(*arguments, stdout=there, stderr=subprocess.PIPE, env=environ)
    os.close(there)
    try:
        yield process, here
    finally:
        process.kill()
        process.communicate()
        os.close(here)


def test_a_terminal_gets_coloured_lines_and_follows(journal: Journal) -> None:
    """Without any flag: readable, money as decimals, nothing that an event says is obeyed, new events arrive."""
    stream = journal.stream()
    stream.add(dimensions={"campaign": "c\x1b]0;owned\x07", "currency": "USD"}, metrics={"price_micros": 2_500_000})
    with terminal("tail", "--data-dir", str(journal.data_dir)) as (process, screen):
        shown = read_until(screen, b"2.50 USD")
        assert b"\x1b[" in shown
        assert b"c\\x1b]0;owned\\x07" in shown
        assert b"\x1b]0;" not in shown
        event = stream.add(lane="bad", reason="invalid_field")
        shown = read_until(screen, event.id[-12:].encode())
        assert b"invalid_field" in shown
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_flood_on_a_terminal_is_counted(journal: Journal) -> None:
    """Nobody reads thousands of lines a second: some are shown, the rest is a number; a pipe gets all."""
    stream = journal.stream()
    stream.add()
    with terminal("tail", "--data-dir", str(journal.data_dir)) as (_, screen):
        read_until(screen, stream.events[0].id[-12:].encode())
        for _ in range(1000):
            stream.publish()
        stream.flush()
        shown = read_until(screen, stream.events[-1].id[-12:].encode())
        assert b"950 more events" in shown


# --- trace and verify --------------------------------------------------------------------------------------------


def test_trace_finds_an_event_and_asks_who_was_last_served(journal: Journal) -> None:
    """The collectors are those of the data folder's last `serve`, unless a file is named."""
    event = journal.stream().add()
    folder = str(journal.data_dir)
    result = run("trace", event.id, "--data-dir", folder)
    assert result.exit_code == 0
    assert "log: waiting (it has never delivered anything;" in result.stdout
    Path("c.yaml").write_text("version: 1\ncollectors: {audit: {type: log, options: {file: a.ndjson}}}\n")
    dump = journal.data_dir / "run" / "settings.json"
    dump.parent.mkdir()
    dump.write_bytes(load.dump(load.load(Path("c.yaml"), None, {}, {}, ())))
    assert "audit: waiting" in run("trace", event.id, "--data-dir", folder).stdout
    dump.write_text("not ours")
    assert "log: waiting" in run("trace", event.id, "--data-dir", folder).stdout
    assert "audit: waiting" in run("trace", event.id, "--data-dir", folder, "--config", "c.yaml").stdout


def test_trace_takes_the_end_of_an_id_as_tail_shows_it(journal: Journal) -> None:
    """Copied with or without the dots before it."""
    event = journal.stream().add()
    for shown in (event.id[-12:], "…" + event.id[-12:]):
        result = run("trace", shown, "--json", "--data-dir", str(journal.data_dir))
        assert result.exit_code == 0
        assert json.loads(result.stdout)["occurrences"][0]["id"] == event.id


def test_an_event_that_is_not_there_is_1(journal: Journal) -> None:
    """In words on standard error; as JSON an empty list."""
    journal.stream().add()
    result = run("trace", "no-such-event", "--data-dir", str(journal.data_dir))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Searched all" in result.stderr
    result = run("trace", "no-such-event", "--json", "--data-dir", str(journal.data_dir))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["occurrences"] == []


def test_verify_is_0_for_a_sound_journal_and_1_for_another(journal: Journal) -> None:
    """In words and as JSON."""
    stream = journal.stream()
    for _ in range(3):
        stream.add()
    folder = str(journal.data_dir)
    result = run("verify", "--data-dir", folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("No findings in 3 events")
    assert json.loads(run("verify", "--json", "--data-dir", folder).stdout)["clean"] is True
    stream.spoil(3)
    result = run("verify", "--data-dir", folder)
    assert result.exit_code == 1
    assert "bad_block (1)" in result.stdout
    result = run("verify", "--json", "--data-dir", folder)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["counts"] == {"bad_block": 1, "seq_unreadable": 1}


def test_the_readers_change_nothing(journal: Journal) -> None:
    """Every file has the same bytes and times after tail, trace and verify."""
    stream = journal.stream()
    event = stream.add()
    stream.publish()

    def state() -> dict[str, tuple[int, bytes]]:
        files = (path for path in journal.data_dir.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    for arguments in (["tail"], ["trace", event.id], ["verify"]):
        assert run(*arguments, "--data-dir", str(journal.data_dir)).exit_code == 0
    assert state() == before


def test_the_module_is_the_command(tracker_command: Callable[..., list[str]]) -> None:
    """`python -m tracker` and its exit codes, as processes see them."""
    done = subprocess.run(tracker_command("check"), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout[:3]) == (0, "OK:")
    done = subprocess.run(tracker_command("check", "--config", "missing.yaml"), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (cli_given.CONFIG, "")
    assert "missing.yaml: no such file" in done.stderr
