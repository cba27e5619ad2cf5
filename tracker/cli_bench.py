"""The commands that measure: bench gate.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracker.cli_demo import INTERRUPTED, span
from tracker.cli_given import FOUND, TEMPORARY, console, fail
from tracker.cli_reading import progress

if TYPE_CHECKING:
    from tracker.gate.record import Record
    from tracker.gate.run import Order, Told
    from tracker.gate.verdict import Judgement, Limits

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def bench() -> None:
    """Measure a tracker.

    \b
    tracker bench gate --rps 2000 --mean-ms 15

    Exit codes: those of the command below.
    """


@bench.command()
@click.argument("url", required=False)
@click.option("--rps", type=click.FloatRange(1, 100_000), default=2000.0, show_default=True, metavar="N",
              help="Requests a second, sent whether or not earlier ones are answered.")  # fmt: skip
@click.option("--mean-ms", type=click.FloatRange(0, min_open=True), default=15.0, show_default=True, metavar="MS",
              help="Limit for the mean latency.")  # fmt: skip
@click.option("--p99-ms", type=click.FloatRange(0, min_open=True), metavar="MS",
              help="Limit for the 99th percentile (default: it is shown, and no limit).")  # fmt: skip
@click.option("--duration", "duration", callback=span, default="20s", show_default=True, metavar="TIME",
              help="How long it is loaded: 20, 90s, 5m.")  # fmt: skip
@click.option("--warm-up", type=click.FloatRange(0, 600), default=3.0, show_default=True, metavar="SECONDS",
              help="Load before the measuring begins.")  # fmt: skip
@click.option("--generator", type=click.Choice(["auto", "tracker", "wrk2"]), default="auto", show_default=True,
              help="Who sends: our own, which measures itself; wrk2; auto: wrk2 if it is on the PATH.")  # fmt: skip
@click.option("--connections", type=click.IntRange(1, 1000), default=64, show_default=True, metavar="N",
              help="Kept-alive connections.")  # fmt: skip
@click.option("--mix", "mix_file", type=_FILE, metavar="FILE",
              help="Requests to send (default: hits for the built-in routes, config/mix.yaml).")  # fmt: skip
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="With URL: that tracker's data folder, to reconcile its events. Without: a new one for the tracker "
                   "that is started.")  # fmt: skip
@click.option("--config", type=_FILE, metavar="FILE", help="Settings of the tracker that is started.")
@click.option("--routes", type=_FILE, metavar="FILE", help="Routing table of the tracker that is started.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the whole report as JSON.")
@click.option("--junit", "junit_file", type=_FILE, metavar="FILE", help="Write JUnit XML, a test case for each limit.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Append a summary in Markdown.")
@click.option("--picture", "picture_file", type=_FILE, metavar="FILE",
              help="Draw latency over time and by percentile, as SVG.")  # fmt: skip
@click.option("--i-own-it", is_flag=True, help="Also to another machine, which is mine and may be put under load.")
def gate(
    url: str | None, rps: float, mean_ms: float, p99_ms: float | None, duration: float, warm_up: float,
    generator: str, connections: int, mix_file: Path | None, data_dir: Path | None, config: Path | None,
    routes: Path | None, json_file: Path | None, junit_file: Path | None, markdown_file: Path | None,
    picture_file: Path | None, i_own_it: bool,
) -> None:  # fmt: skip
    """Put a tracker under load, and say by the exit code whether it is fast enough and loses nothing.

    URL is a tracker that runs. Without it one is started: `tracker serve` on a free port with a temporary data folder,
    and with the settings that --config, --routes and TRACKER_ variables name; it delivers as ever, and is stopped
    afterwards.

    Requests leave at a constant rate, and latency counts from when a request was due: a stall is charged for everyone
    who waited. The generator measures its own lag; when that takes part in what was to be measured, the run is invalid.

    Then the events are reconciled, if the data folder is known: every answer that was a receipt must have its event in
    the journal once, and once in the log collector's files. A request without the answer that the mix expects fails,
    too.

    Needs `pip install 'tracker[bench]'`.

    \b
    tracker bench gate --rps 2000 --mean-ms 15
    tracker bench gate --p99-ms 15 --duration 1m --picture gate.svg --junit gate.xml
    tracker bench gate http://127.0.0.1:8000 --data-dir /var/lib/tracker --mix mix.yaml

    Exit codes: 0 every limit was kept; 1 one was broken, or there is no tracker; 2 wrong usage; 75 the run is invalid,
    try again on a quieter machine; 78 the mix or the settings will not do; 130 ended by Ctrl-C.
    """
    from tracker.demo.run import BadTarget
    from tracker.gate import mix as mixes
    from tracker.gate import wrk2
    from tracker.gate.figures import MissingLibrary
    from tracker.gate.generator import Unreachable
    from tracker.gate.run import Order, Told
    from tracker.gate.started import NotServing
    from tracker.gate.verdict import Limits

    if url is not None and (config is not None or routes is not None):
        raise click.UsageError("--config and --routes are for a tracker that is started; one runs at URL already")
    path = wrk2.find() if generator != "tracker" else None
    if generator == "wrk2" and path is None:
        raise click.BadParameter("there is no wrk2 on the PATH (its usage has -R, --rate)", param_hint="--generator")
    limits = Limits(rps=rps, mean_ms=mean_ms, p99_ms=p99_ms, duration_s=duration)
    order = Order(limits=limits, mix=mixes.load(mix_file), connections=connections, warm_up_s=warm_up,
                  data_dir=data_dir, wrk2=path)  # fmt: skip
    try:
        with watching(limits) as (stage, watch), progress("Reconciling") as reckon:
            told = Told(stage=stage, watch=watch, reckon=reckon)
            if url is None:
                judgement = with_started(order, told, config, routes)
            else:
                judgement = with_running(order, told, url, i_own_it=i_own_it)
    except MissingLibrary as error:
        fail(str(error), FOUND)
    except (BadTarget, NotServing, Unreachable, wrk2.Failed) as error:
        fail(str(error), FOUND)
    except OSError as error:
        fail(f"{error.filename or 'the gate'}: {error.strerror or error}", FOUND)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    show(judgement, json_file, junit_file, markdown_file, picture_file)
    if judgement.figures.interrupted:
        raise SystemExit(INTERRUPTED)
    raise SystemExit({"passed": 0, "failed": FOUND, "invalid": TEMPORARY}[judgement.outcome])


# --- how it is done --------------------------------------------------------------------------------------------------


def with_started(order: Order, told: Told, config: Path | None, routes: Path | None) -> Judgement:
    """The gate for a tracker of our own."""
    from tracker.gate.figures import histogram
    from tracker.gate.run import gate as run
    from tracker.gate.started import Started

    histogram()  # before anything is started
    if order.data_dir is not None and order.data_dir.is_dir() and any(order.data_dir.iterdir()):
        raise click.BadParameter("the folder for a new tracker must be empty, or not there", param_hint="--data-dir")
    arguments = []
    for name, file in (("--config", config), ("--routes", routes)):
        arguments += [name, str(file)] if file is not None else []
    with tempfile.TemporaryDirectory(prefix="tracker-gate-") as folder:
        told.stage("Starting a tracker")
        started = Started(arguments, order.data_dir or Path(folder) / "var", Path(folder) / "said")
        try:
            return run(order, started.where, started.url, told, started)
        finally:
            started.stop()


def with_running(order: Order, told: Told, url: str, *, i_own_it: bool) -> Judgement:
    """The gate for the tracker at a URL."""
    from tracker.demo import run as asking
    from tracker.gate.run import gate as run

    where = asking.target(url)
    if where.tls is not None:
        raise click.UsageError("the gate speaks HTTP without TLS: name the tracker itself, not what stands before it")
    if not asking.is_local(where) and not i_own_it:
        raise click.UsageError(f"{url} is not on this machine. If it is yours and may be put under load: --i-own-it")
    return run(order, where, url.rstrip("/"), told, None)


@contextlib.contextmanager
def watching(limits: Limits) -> Iterator[tuple[Callable[[str], None], Callable[[Record], None]]]:
    """What to tell on standard error: each stage as a line, and, on a terminal, how far the load is."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(stderr=True)
    # It draws when it is told to, not from a thread of its own: that one would take the processor from the generator.
    bar = Progress(TextColumn("Load"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn(),
                   console=out, transient=True, auto_refresh=False)  # fmt: skip
    task = bar.add_task("", total=limits.rps * limits.duration_s, said="")

    def stage(what: str) -> None:
        if bar.live.is_started:  # rich ends even a bar that was never shown with a newline
            bar.stop()
        click.echo(f"{what} ...", err=True)

    def watch(record: Record) -> None:
        if not out.is_terminal:
            return
        if not bar.live.is_started:
            bar.start()
        rate = record.noticed / record.elapsed_s if record.elapsed_s else 0.0
        failed = sum(record.errors.values())
        said = f"{rate:,.0f}/s" + f"  {failed:,} without an answer" * (failed > 0)
        bar.update(task, completed=record.noticed, said=said)
        bar.refresh()

    try:
        yield stage, watch
    finally:
        if bar.live.is_started:
            bar.stop()


def show(
    judgement: Judgement, json_file: Path | None, junit_file: Path | None, markdown_file: Path | None,
    picture_file: Path | None,
) -> None:  # fmt: skip
    """The report, on the terminal and in the files that were asked for."""
    import msgspec

    from tracker.gate import picture, summaries
    from tracker.terminal import gate_report

    console().print(gate_report.report(judgement), soft_wrap=True)
    try:
        if json_file is not None:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(judgement), indent=1) + b"\n")
        if junit_file is not None:
            junit_file.write_text(summaries.junit(judgement), "utf-8")
        if markdown_file is not None:
            with markdown_file.open("a", encoding="utf-8") as page:  # $GITHUB_STEP_SUMMARY is appended to
                page.write(summaries.markdown(judgement))
        if picture_file is not None:
            picture_file.write_text(picture.picture(judgement), "utf-8")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror or error}", FOUND)
