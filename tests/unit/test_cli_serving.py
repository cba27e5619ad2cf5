"""``tracker reload``: whom it asks, what it says, and how long it waits. The rest is in tests/long/test_reload.py."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracker import cli, cli_serving, running


@pytest.fixture
def seat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[running.Seat]:
    """A supervisor's seat in this folder's ``var``, and nobody who answers yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_serving, "PATIENCE_S", 0.5)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    seat = running.take_seat(Path("var"), "127.0.0.1:8000")
    yield seat
    seat.leave()


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.main, ["reload", *arguments], env=env)


def answered(seat: running.Seat, verdict: running.Verdict, *versions: str) -> Result:
    """What the command says when the supervisor answers so and there are workers with these versions."""
    present = [running.Presence(Path("var"), seat.dump.name, version) for version in versions]

    def answer() -> None:
        while not seat.asked():
            time.sleep(0.01)
        seat.tell(verdict)

    thread = threading.Thread(target=answer)
    thread.start()
    result = run()
    thread.join()
    for each in present:
        each.leave()
    return result


NEW = "0123456789ab"


@pytest.mark.parametrize(("outcome", "routes", "restarts", "said"), [
    ("taken", 1, (), f"Reloaded: version {NEW}, 1 route; nothing restarted\n"),
    ("taken", 2, ("delivery",), f"Reloaded: version {NEW}, 2 routes; delivery restarted\n"),
    ("taken", 0, ("capture", "delivery"), f"Reloaded: version {NEW}, 0 routes; capture and delivery restarted\n"),
    ("unchanged", 7, (), f"Nothing has changed: version {NEW}, 7 routes\n"),
])
def test_it_says_what_has_happened(
    outcome: running.Outcome, routes: int, restarts: tuple[str, ...], said: str, seat: running.Seat
) -> None:
    """On standard output in one line; warnings beside it, on standard error."""
    verdict = running.Verdict(outcome=outcome, version=NEW, routes=routes, workers=2, restarts=restarts, warnings=("hm",))
    result = answered(seat, verdict, NEW, NEW)
    assert (result.exit_code, result.stdout, result.stderr) == (0, said, "hm\n")


def test_all_problems_are_shown_and_counted(seat: running.Seat) -> None:
    """As `tracker check` shows them; and what serves meanwhile."""
    verdict = running.Verdict(outcome="refused", version=NEW, routes=1, workers=1, problems=("a.yaml:1:1: x", "b"), more=True)
    result = answered(seat, verdict)
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr == f"a.yaml:1:1: x\nb\n2 problems or more; the last good settings (version {NEW}) stay.\n"


@pytest.mark.parametrize(("versions", "serving"), [((), 0), ((NEW,), 1), ((NEW, "f" * 12), 1), ((NEW, NEW, "f" * 12), 2)])
def test_workers_that_do_not_follow_are_not_called_reloaded(
    versions: tuple[str, ...], serving: int, seat: running.Seat
) -> None:
    """Too few of them, or one with another version: 75, and how many there are."""
    result = answered(seat, running.Verdict(outcome="taken", version=NEW, routes=1, workers=2), *versions)
    assert (result.exit_code, result.stdout) == (75, "")
    assert f"Only {serving} of {max(2, len(versions))} workers serve version {NEW}" in result.stderr


def test_no_answer_is_75_and_the_ask_is_withdrawn(seat: running.Seat) -> None:
    """In bounded time; a verdict that answers somebody else's ask is none."""
    seat.tell(running.Verdict(outcome="taken", version=NEW, routes=1, workers=0))
    result = run()
    assert (result.exit_code, result.stdout) == (75, "")
    assert f"No word from process {os.getpid()}" in result.stderr
    assert not seat.asked()


def test_a_tracker_that_stops_meanwhile_is_75(seat: running.Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for one that has gone."""
    there = running.who_runs(Path("var"))
    looks = iter([there])
    monkeypatch.setattr(running, "who_runs", lambda _: next(looks, []))
    result = run()
    assert result.exit_code == 75 and "stopped meanwhile" in result.stderr


def test_the_folder_is_flagged_or_in_the_environment_or_in_the_file(seat: running.Seat, tmp_path: Path) -> None:
    """In this order; a file that is wrong elsewhere names it all the same, one that cannot be read says so."""
    assert run("--data-dir", "nowhere", env={"TRACKER_DATA_DIR": "var"}).stderr.startswith("No tracker is running on ")
    assert "No word from" in run(env={"TRACKER_DATA_DIR": "var"}).stderr
    Path("t.yaml").write_text("version: 1\nbind: nonsense\ndata_dir: var\n")
    assert "No word from" in run("--config", "t.yaml").stderr
    assert "No word from" in run(env={"TRACKER_CONFIG": "t.yaml", "TRACKER_ROUTES": "missing.yaml"}).stderr
    Path("t.yaml").write_text("version: 1\nbnid: x\n")
    for name, said in (("t.yaml", "did you mean `bind`?"), ("missing.yaml", "missing.yaml: no such file")):
        result = run("--config", name)
        assert result.exit_code == 78
        assert said in result.stderr and "--data-dir" in result.stderr


def test_who_may_not_ask_is_told_who_may(seat: running.Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user: no traceback, and what to do."""

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied", "var/run/asks/0.x")

    monkeypatch.setattr(running, "ask", refuse)
    result = run()
    assert result.exit_code == 75
    assert "var/run/asks/0.x: Permission denied" in result.stderr and "the user that the tracker runs as" in result.stderr
