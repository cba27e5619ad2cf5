"""The commands that read the journal: tail, trace, verify. They write nothing and may run beside the tracker.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracker.cli_given import FOUND, Given, console, fail, settings_flags
from tracker.terminal.safe import safe

if TYPE_CHECKING:
    from rich.progress import TaskID

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


@click.command()
@settings_flags(serving=False)
@click.option("--all", "everything", is_flag=True, help="Search the whole journal, not only around the id's own time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.argument("event_id")
def trace(given: Given, event_id: str, everything: bool, as_json: bool) -> None:
    """Find an event: its place in the journal, and who has it.

    EVENT_ID is what the reply said in X-Event-Id, or its last 8 characters or more, as `tracker tail` shows them. For
    each collector: delivered, waiting (how far behind), dead (refused for ever, and why), lost (in a gap), or not
    subscribed. The collectors are those that the data folder was last served with, unless --config names a file.

    \b
    tracker trace 01a1fb11-f386-7000-ab68-c36f9719a68a
    tracker trace c36f9719a68a --json | jq '.occurrences[].collectors'

    \b
    JSON: {"id", "narrowed", "searched_bytes", "streams", "occurrences": [
      {"id", "stream", "seq", "offset", "size", "segment", "position", "place": "journal" | "ring", "intact",
       "event", "lane", "reason", "received_at", "collectors": [
         {"collector", "state": "delivered" | "waiting" | "dead" | "lost" | "not_subscribed",
          "detail", "bytes_behind"}]}]}

    Exit codes: 0 found; 1 not found, or there is no journal; 2 no id.
    """
    from tracker.journal import tracing
    from tracker.terminal import trace_report

    event_id = event_id.lstrip("\u2026")
    try:
        tracing.check_id(event_id)
    except tracing.NoId as error:
        raise click.BadParameter(str(error), param_hint="EVENT_ID") from error
    collectors = given.served().tracker.collectors
    folder = given.data_dir()
    need_journal(folder)
    try:
        with progress("Searching") as advance:
            found = tracing.find(folder, event_id, collectors, everything=everything, progress=advance)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}", FOUND)
    if as_json:
        show_json(found)
    elif found.occurrences:
        console().print(trace_report.report(found), soft_wrap=True)
    if not found.occurrences:
        if not as_json:
            click.echo(trace_report.not_found(found), err=True)
        sys.exit(FOUND)


@click.command()
@settings_flags(serving=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(given: Given, as_json: bool) -> None:
    """Audit the journal: all there, once, and in order?

    Looks at every durable byte: checksums, numbers without a gap, lines, seals, ids, and files that do not belong. It
    changes nothing, may run beside the tracker, and says what it did not look at.

    \b
    tracker verify --data-dir /var/lib/tracker
    tracker verify --json | jq .counts

    \b
    JSON: {"data_dir", "streams", "sealed", "segments", "bytes", "events", "bad_lane", "oldest", "newest", "clean",
           "counts": {KIND: number}, "notes": [text], "unchecked": [text],
           "findings": [{"kind", "message", "stream", "offset", "path"}]}   at most 1000 of a kind

    Exit codes: 0 no findings; 1 findings, or there is no journal.
    """
    from tracker.journal import verify as verifying
    from tracker.terminal import audit_report

    folder = given.data_dir()
    need_journal(folder)
    with progress("Checking") as advance:
        report = verifying.audit(folder, advance)
    if as_json:
        show_json(report)
    else:
        console().print(audit_report.report(report), soft_wrap=True)
    sys.exit(0 if report.clean else FOUND)


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


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error if that is a terminal and the work takes longer than a second."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(stderr=True)
    bar = Progress(TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=out, transient=True)
    began = time.monotonic()
    shown_at = began
    task: TaskID | None = None

    def advance(done: int, total: int) -> None:
        nonlocal task, shown_at
        now = time.monotonic()
        if not out.is_terminal or now - began < 1 or now - shown_at < 0.1:
            return
        shown_at = now
        if task is None:
            bar.start()
            task = bar.add_task(what)
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if task is not None:  # rich ends even a bar that was never shown with a newline
            bar.stop()


def show_json(value: Any) -> None:
    """A value as one JSON object, for people and programs."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=1))
