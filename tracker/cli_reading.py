"""The commands that read the journal: tail, trace, verify. They write nothing and may run beside the tracker.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracker.cli_given import FOUND, Given, console, fail, settings_flags
from tracker.terminal.safe import safe

if TYPE_CHECKING:
    from tracker.journal.tail import Entry, Tail

POLL_S = 0.1
"""How often ``tail`` looks for new events."""
SHOWN_A_POLL = 50
"""Most events a terminal is shown in that time; the rest is counted. A pipe gets all."""


@click.command()
@settings_flags(serving=False)
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), default=10, show_default=True, metavar="N",
              help="Show the newest N events first.")  # fmt: skip
@click.option("-f", "--follow/--no-follow", default=None, help="Go on with new events (default: on a terminal).")
@click.option("--event", "events", multiple=True, metavar="GLOB",
              help="Only events of this name; * stands for any characters. May be repeated: any of them.")  # fmt: skip
@click.option("--where", "expressions", multiple=True, metavar="EXPR",
              help="Only events that fulfil this. May be repeated: all of them.")  # fmt: skip
@click.option("--lane", type=click.Choice(["good", "bad"]), help="Only this lane (default: both).")
@click.option("--format", "shape", type=click.Choice(["auto", "text", "ndjson"]), default="auto", show_default=True,
              help="Readable text, or the journal's own lines; auto: text on a terminal.")  # fmt: skip
def tail(
    given: Given, count: int, follow: bool | None, events: tuple[str, ...], expressions: tuple[str, ...],
    lane: str | None, shape: str,
) -> None:  # fmt: skip
    """Show the newest events, and those that arrive.

    On a terminal an event is one readable line. In a pipe it is the journal's own line of JSON, as the reference page
    "The event" describes it.

    EXPR is FIELD OP VALUE; OP is = != > >= < <= or ~ (regular expression). Money is whole millionths in the journal.
    An absent field is empty: `reason!=` takes events with a reason.

    \b
    tracker tail -n 100 --event 'imp*' --where dimensions.campaign=c1
    tracker tail --where 'metrics.price_micros>1000000' --where 'context.page~checkout'
    tracker tail --follow --lane bad | jq .reason

    Exit codes: 0, also after Ctrl-C and when the reader of the pipe has gone; 1 there is no journal; 2 an expression
    cannot be read.
    """
    from tracker.journal import where
    from tracker.journal.reader import JournalReader
    from tracker.journal.tail import Tail

    try:
        takes = where.select(events, lane, [where.parse(expression) for expression in expressions])
    except where.BadExpression as error:
        raise click.BadParameter(str(error), param_hint="--where") from error
    folder = given.data_dir()
    terminal = sys.stdout.isatty()
    following = terminal if follow is None else follow
    if not following:
        need_journal(folder)
    reader = JournalReader(folder)
    try:
        run_tail(Tail(reader, takes), count, following, shape == "text" or (shape == "auto" and terminal))
    except KeyboardInterrupt:
        pass
    finally:
        reader.close()


def run_tail(journal: Tail, count: int, following: bool, text: bool) -> None:
    """Show what there is; if following, go on until interrupted or nobody reads."""
    show: Callable[[list[Entry], int], None] = show_text if text else show_lines
    said: set[str] = set()
    show(journal.newest(count), 0)
    while True:
        for notice in notices(journal):
            if notice not in said:
                said.add(notice)
                click.echo(notice, err=True)
        if not following or reader_has_gone():
            return
        until = time.monotonic() + POLL_S
        fresh = journal.poll()
        if text:
            while time.monotonic() < until and (more := journal.poll()):
                fresh += more
            show(fresh[-SHOWN_A_POLL:], max(0, len(fresh) - SHOWN_A_POLL))
        else:
            show(fresh, 0)
        if text or not fresh:
            time.sleep(max(0.0, until - time.monotonic()))


def notices(journal: Tail) -> list[str]:
    """What could not be shown, and why."""
    found = []
    if journal.cut_short:
        found.append("older events were not searched: the search for the newest ones ends there")
    if journal.damaged_bytes:
        found.append("some bytes of the journal are damaged and were passed over: see `tracker verify`")
    if journal.expired_bytes:
        found.append("some events went by the journal's limits before they could be shown")
    if journal.problem:
        found.append(f"the journal cannot be read, trying again: {safe(journal.problem)}")
    return found


def show_lines(entries: list[Entry], _left_out: int) -> None:
    """The journal's own lines."""
    out = sys.stdout.buffer
    out.writelines(entry.line for entry in entries)
    out.flush()


def show_text(entries: list[Entry], left_out: int) -> None:
    """One readable line an event."""
    from rich.text import Text

    from tracker.terminal import event_line

    out = console()
    width = out.width if out.is_terminal else 0
    if left_out:
        out.print(Text(f"... {left_out:,} more events, too many to show; a pipe gets them all", "dim"))
    for entry in entries:
        line = event_line.line(entry.event, width) if entry.event else event_line.unreadable(entry.line, width)
        out.print(line, soft_wrap=True)
    sys.stdout.flush()


def reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more: it would be noticed at the next event only."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))
    except (OSError, ValueError, AttributeError):  # no descriptor (a test's buffer), or no poll (macOS has its own)
        return False


def need_journal(folder: Path) -> None:
    """Exit with 1 unless the data folder has a journal."""
    if not (folder / "journal").is_dir():
        fail(f"{folder}: there is no journal here; start `tracker serve`, or name its folder with --data-dir", FOUND)
