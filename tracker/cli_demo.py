"""The command that makes traffic: demo.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from tracker.cli_given import FOUND, Given, console, fail, settings_flags
from tracker.cli_reading import need_journal, progress, show_json

if TYPE_CHECKING:
    from tracker.demo.connection import Target
    from tracker.demo.sender import Progress
    from tracker.demo.summary import Summary
    from tracker.demo.witness import Witness

INTERRUPTED = 130
"""Ended by Ctrl-C, as shells say it."""
SECONDS = 60.0
"""How long it sends without word to the contrary."""

_SPAN = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)\s*(s|m|h)?")
_RUN = re.compile(r"[a-z0-9]{1,16}")


def span(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds of ``90``, ``90s``, ``5m``, ``2h``; wrong usage for anything else."""
    if value is None:
        return None
    found = _SPAN.fullmatch(value.strip())
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[found[2]] if found is not None else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"`{value}` is no length of time: write 90s, 5m or 2h")
    return seconds


@click.command()
@settings_flags(serving=False)
@click.argument("url", required=False)
@click.option("--rate", type=click.FloatRange(0, 100_000, min_open=True), default=100.0, show_default=True, metavar="N",
              help="Hits a second.")  # fmt: skip
@click.option("--for", "seconds", callback=span, metavar="TIME", help="Send so long: 90s, 5m, 2h (default: 60s).")
@click.option("--count", type=click.IntRange(min=1, max=10_000_000), metavar="N", help="Send so many hits.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N",
              help="Same seed, same hits (default: another one each time; the summary says it).")  # fmt: skip
@click.option("--run", "run_name", metavar="NAME",
              help="Part of each event's id, demo-NAME-1 and so on (default: another one each time).")  # fmt: skip
@click.option("--campaigns", type=click.IntRange(1, 500), default=8, show_default=True, metavar="N",
              help="How many campaigns there are.")  # fmt: skip
@click.option("--day", is_flag=True, help="A day's rise and fall of the rate, squeezed into --for; --rate is noon's.")
@click.option("--check/--no-check", "checking", default=None,
              help="Look into the journal afterwards (default: if the data folder is this tracker's).")  # fmt: skip
@click.option("--i-own-it", is_flag=True,
              help="Also to another machine, which is mine: at most 200 hits a second, 100,000 in all.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Send nothing: print the hits as curl lines.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
def demo(
    given: Given, url: str | None, rate: float, seconds: float | None, count: int | None, seed: int | None,
    run_name: str | None, campaigns: int, day: bool, checking: bool | None, i_own_it: bool, dry_run: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Send believable ad traffic to a running tracker, and check what came of it.

    Campaigns with budgets, sites, browsers, impressions, viewability, clicks, orders, video with drop-off, product
    events, and about every tenth hit is odd: robots, prefetch, broken macros, bad prices, disallowed destinations,
    replays. URL is the tracker (default: where the settings bind it), with the built-in routing table. Nobody in it is
    real, and no redirect is followed.

    Each hit says its own event id, demo-RUN-NUMBER, and the demo writes down what should come of it. Afterwards it
    reads the journal and compares: every event there, once, in the right lane, with the right flags and cost, and the
    campaigns' totals equal.

    \b
    tracker demo --for 30s
    tracker demo http://127.0.0.1:8000 --rate 500 --seed 7 --data-dir /var/lib/tracker
    tracker demo --seed 7 --count 20 --dry-run | sh

    \b
    JSON: {"run", "url", "seed", "campaigns", "rate", "seconds", "sent", "answered", "receipts", "latest_s", "behind",
           "interrupted", "statuses", "latency_ms", "refused", "no_answer", "unchecked", "problems": [text],
           "rows": [{"route", "outcome", "reason", "flags", "sent", "kept", "not_kept", "unanswered", "stored"}],
           "bills": [{"campaign", "budget_micros", "impressions", "clicks", "conversions", "cost_nanos", "stored_..."}],
           "check": null | {"data_dir", "events", "answered", "counts": {KIND: number}, "differences": [text], ...}}

    Exit codes: 0 everything was answered as meant, and stored as answered if that was checked; 1 something was not, or
    no tracker answers; 130 ended by Ctrl-C, and nothing was wrong until then.
    """
    from tracker.demo import run as runs
    from tracker.demo.ledger import MOST_HITS
    from tracker.demo.summary import Summary

    if run_name is not None and not _RUN.fullmatch(run_name):
        raise click.BadParameter("a name of 1 to 16 small letters and digits", param_hint="--run")
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "big")
    if seconds is None and (count is None or day):
        seconds = SECONDS
    summary = Summary(run=run_name or os.urandom(4).hex(), url=url or bound(given), seed=seed, campaigns=campaigns,
                      rate=rate)  # fmt: skip
    if dry_run:
        print_hits(summary, count, seconds)
        return
    where, version = find(summary, i_own_it=i_own_it, count=count, seconds=seconds)
    witness = call_witness(given, summary, where, version, checking)
    if witness is not None:
        say_other_routes(given)
    most, longest = count or MOST_HITS, seconds or math.inf
    with sending(summary, most, longest, day=day, quiet=quiet) as watch:
        sent = runs.send(summary, where, count=most, seconds=longest, day=day, watch=watch)
    with progress("Checking") as advance:
        runs.conclude(summary, sent, witness, advance)
    if as_json:
        show_json(summary)
    else:
        from tracker.terminal import demo_report

        console().print(demo_report.report(summary), soft_wrap=True)
    if summary.problems:
        raise SystemExit(FOUND)
    if summary.interrupted:
        raise SystemExit(INTERRUPTED)


def bound(given: Given) -> str:
    """Where the settings bind the tracker, as a URL."""
    from tracker.terminal.banner import address

    bind = given.load().tracker.bind
    return address(bind, int(bind.rpartition(":")[2]))


def print_hits(summary: Summary, count: int | None, seconds: float | None) -> None:
    """The hits that would be sent, a line of curl each."""
    from tracker.demo.planned import curl
    from tracker.demo.traffic import Traffic

    most = math.inf if seconds is None else math.ceil(seconds * summary.rate)
    hits = Traffic(summary.seed, summary.run, summary.campaigns)
    for hit in itertools.islice(hits, int(min(most, count or math.inf))):
        click.echo(curl(hit, summary.url.rstrip("/")))


def find(summary: Summary, *, i_own_it: bool, count: int | None, seconds: float | None) -> tuple[Target, str]:
    """The tracker, and the version of its settings; exits if nobody may or can be asked."""
    from tracker.demo import run as runs

    try:
        where = runs.target(summary.url)
        if not runs.is_local(where):
            hits = min(math.inf if seconds is None else seconds * summary.rate, count or math.inf)
            if not i_own_it:
                raise click.UsageError(f"{summary.url} is not on this machine. If it is yours, say so: --i-own-it")
            if summary.rate > runs.STRANGERS_RATE or hits > runs.STRANGERS_HITS:
                most = f"{runs.STRANGERS_RATE:g} hits a second and {runs.STRANGERS_HITS:,} in all"
                raise click.UsageError(f"to another machine at most {most}: see --rate, --for and --count")
        return where, str(runs.ask(where).get("settings_version", ""))
    except runs.BadTarget as error:
        fail(str(error), FOUND)


def call_witness(given: Given, summary: Summary, where: Target, version: str, checking: bool | None) -> Witness | None:
    """Who will look into the journal; None, with ``summary.unchecked`` saying why, if nobody will."""
    from tracker.demo.run import is_local
    from tracker.demo.witness import Witness

    folder = given.data_dir()
    if checking is False:
        summary.unchecked = "--no-check"
    elif checking is None and not is_local(where):
        summary.unchecked = "the tracker is on another machine; --check and --data-dir if its folder is here"
    elif checking is None and not (folder / "journal").is_dir():
        summary.unchecked = f"{folder} has no journal; name the tracker's folder with --data-dir"
    elif checking is None and given.served().version != version:
        summary.unchecked = f"{folder} was served with other settings; name the tracker's folder with --data-dir"
    else:
        need_journal(folder)
        try:
            return Witness(folder)
        except OSError as error:
            fail(f"{error.filename or folder}: {error.strerror or error}", FOUND)
    return None


def say_other_routes(given: Given) -> None:
    """The expectations are those of the built-in routing table."""
    from tracker.settings import load

    if given.served().routes.routes != load.load(None, None, {}, {}, ()).routes.routes:
        click.echo("This tracker has other routes than the built-in ones, which the hits are meant for.", err=True)


@contextlib.contextmanager
def sending(
    summary: Summary, hits: int, seconds: float, *, day: bool, quiet: bool
) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on standard error, if that is a terminal: hits, rate, answers by status, and what goes wrong."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from tracker.demo.sender import LATE_S, NIGHT

    out = console(stderr=True)
    if quiet or not out.is_terminal:
        yield None
        return
    total = min(hits, seconds * summary.rate * ((1 + NIGHT) / 2 if day else 1))
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
    with Bar(*columns, TimeRemainingColumn(), console=out, transient=True) as bar:
        task = bar.add_task("", total=math.ceil(total), said="")

        def watch(progress: Progress) -> None:
            rate = progress.sent / progress.elapsed_s if progress.elapsed_s else 0.0
            said = f"{rate:,.0f}/s"
            for status, count in sorted(progress.statuses.items()):
                said += f"  {status or 'no answer'} {count:,}"
            if progress.late_s > LATE_S:
                said += f"  {progress.late_s:.1f} s late"
            bar.update(task, completed=progress.sent, said=said)

        yield watch
