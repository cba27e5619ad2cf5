"""The command that speaks to a tracker that runs: reload.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tracker import running
from tracker.cli_given import CONFIG, TEMPORARY, console, fail

PATIENCE_S = 15.0
"""How long the verdict, and then the workers, are waited for, together."""


@click.command()
@click.option("--data-dir", metavar="FOLDER",
              help="Data folder of the running tracker (default: $TRACKER_DATA_DIR, else as in --config).")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Settings that name the data folder (default: $TRACKER_CONFIG).")  # fmt: skip
def reload(data_dir: str | None, config: Path | None) -> None:
    """Have the running tracker take over changed settings and a changed routing table.

    It reads the files that it was started with, once nobody is writing them, and makes every check of `tracker check`.
    If anything is wrong, all of it is shown and the last good settings stay. If they are right, every worker swaps them
    between two hits. No process restarts for routes, limits, keys, clients and the like; delivery does for collectors,
    and capture for workers, threads, rings and journal. The command waits until every worker serves the new version.

    A tracker is found by its data folder, where it holds a lock; it is asked by a file there, so its user or root may.

    \b
    tracker reload
    Reloaded: version 56449d2b5fba, 7 routes; nothing restarted
    tracker reload --data-dir /var/lib/tracker

    Exit codes: 0 all workers serve the files as they are; 75 no tracker runs on the folder, or it took longer than
    15 s; 78 the settings are refused.
    """
    folder = Path(data_dir or os.environ.get("TRACKER_DATA_DIR") or data_dir_in(config))
    try:
        trackers = running.who_runs(folder)
        if not trackers:
            where = folder.absolute()
            fail(f"No tracker is running on {where}.\n"
                 f"Start one with `tracker serve --data-dir {where}`, or name the folder of the one that runs: "
                 "`tracker reload --data-dir FOLDER`.", TEMPORARY)  # fmt: skip
        several = len(trackers) > 1
        codes = [reload_one(folder, each, f"{each.bind}: " if several else "") for each in trackers]
    except PermissionError as error:
        fail(f"{error.filename or folder}: {error.strerror}.\nRun it as the user that the tracker runs as.", TEMPORARY)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}", TEMPORARY)
    sys.exit(max(codes))


# --- how it is done --------------------------------------------------------------------------------------------------


def data_dir_in(config: Path | None) -> str:
    """The data folder that the settings' file names. Whatever else is wrong with the file is the tracker's to say."""
    from tracker.settings.file import BUILT_IN, File, Unopened, read
    from tracker.settings.model import Tracker
    from tracker.settings.overrides import Overrides
    from tracker.settings.variables import CONFIG as VARIABLE

    named = config or os.environ.get(VARIABLE)
    path = Path(named) if named else BUILT_IN / "tracker.yaml"
    problems: list[str] = []
    try:
        file = File(path, str(path), read(path), os.environ)
        settings = file.settings(Tracker, Overrides({}, {}))
        if settings is not None:
            return settings.data_dir
        problems += map(str, file.problems)
    except Unopened as error:
        problems.append(f"{path}: {error}")
    fail("\n".join([*problems, "So its data folder is not known: name it with --data-dir to ask the tracker itself. "
                    "Nothing was reloaded."]), CONFIG)  # fmt: skip


def reload_one(folder: Path, tracker: running.Running, prefix: str) -> int:
    """Ask one tracker, wait, and say what came of it. The exit code."""
    until = time.monotonic() + PATIENCE_S
    token = running.ask(folder, tracker.seat)
    try:
        with waiting() as show:
            verdict = None
            for _ in looks(until):
                verdict = running.verdict(folder, tracker.seat)
                if verdict is not None and token in verdict.answered:
                    break
                verdict = None
                if tracker not in running.who_runs(folder):
                    click.echo(f"{prefix}The tracker has stopped meanwhile.", err=True)
                    return TEMPORARY
                show(f"process {tracker.pid} reads and checks the files")
            if verdict is None:
                click.echo(f"{prefix}No word from process {tracker.pid} within {PATIENCE_S:.0f} s; its log may say "
                           "why.", err=True)  # fmt: skip
                return TEMPORARY
            for warning in verdict.warnings:
                click.echo(prefix + warning, err=True)
            if verdict.outcome == "refused":
                click.echo(prefix + refusal(verdict), err=True)
                return CONFIG
            serving = count = 0
            for _ in looks(until):
                versions = list(running.workers(folder, tracker.seat).values())
                serving, count = versions.count(verdict.version), max(len(versions), verdict.workers)
                if serving == count:
                    break
                show(f"{serving} of {count} workers serve version {verdict.version}")
        if serving < count:
            click.echo(f"{prefix}Only {serving} of {count} workers serve version {verdict.version} after "
                       f"{PATIENCE_S:.0f} s; the tracker's log may say why.", err=True)  # fmt: skip
            return TEMPORARY
    finally:
        running.withdraw(folder, tracker.seat, token)
    click.echo(prefix + success(verdict))
    return 0


def success(verdict: running.Verdict) -> str:
    """The sentence for a reload that has worked."""
    what = f"version {verdict.version}, {verdict.routes} route{'s' * (verdict.routes != 1)}"
    if verdict.outcome != "taken":
        return f"Nothing has changed: {what}"
    return f"Reloaded: {what}; {' and '.join(verdict.restarts) or 'nothing'} restarted"


def refusal(verdict: running.Verdict) -> str:
    """The problems as `tracker check` prints them."""
    count = len(verdict.problems)
    many = f"{count} problem{'s' * (count != 1)}{' or more' * verdict.more}"
    return "\n".join([*verdict.problems, f"{many}; the last good settings (version {verdict.version}) stay."])


def looks(until: float) -> Iterator[None]:
    """Some times a second, until then; at least once."""
    began = now = time.monotonic()
    yield
    while now < until:
        time.sleep(0.02 if now - began < 1 else 0.1)
        yield
        now = time.monotonic()


@contextmanager
def waiting() -> Iterator[Callable[[str], None]]:
    """On a terminal, says what is waited for once that takes longer than a second."""
    from rich.text import Text

    out = console(stderr=True)
    status = out.status(Text())
    began = time.monotonic()

    def show(what: str) -> None:
        if out.is_terminal and time.monotonic() - began > 1:
            status.update(Text(what))
            status.start()

    try:
        yield show
    finally:
        status.stop()
