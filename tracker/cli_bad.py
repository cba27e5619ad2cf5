"""The command that reads the bad lane: bad. It writes nothing and may run beside the tracker.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import click

from tracker.cli_given import Given, console, settings_flags
from tracker.cli_reading import need_journal, progress, show_json
from tracker.reasons import REASONS
from tracker.terminal.safe import safe

MOST_SHOWN = 10_000
"""Most events of ``--lines``: they are held in memory."""

_AGO = re.compile(r"(\d{1,6})\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment_ms(text: str) -> int:
    """Unix milliseconds of ``90s``, ``30m``, ``1h``, ``7d`` ago, or of an RFC 3339 time. Raises ``ValueError``."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time_ns() // 1_000_000 - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"`{text}` is no time: write 90s, 30m, 1h or 7d, or 2026-11-20T14:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError(f"`{text}` has no time zone: write {text}Z for UTC, or its offset, such as {text}+01:00")
    return int(at.timestamp() * 1000)


@click.command()
@settings_flags(serving=False)
@click.option("--reason", "reasons", multiple=True, metavar="REASON",
              type=click.Choice([reason.name for reason in REASONS if reason.kind == "bad"]),
              help="Only this reason, such as invalid_field. May be repeated: any of them.")  # fmt: skip
@click.option("--route", "of_routes", multiple=True, metavar="NAME",
              help="Only hits of this route. May be repeated: any of them.")  # fmt: skip
@click.option("--since", metavar="TIME", help="Only hits received since then: 90s, 30m, 1h or 7d ago, or RFC 3339.")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0, max=MOST_SHOWN), default=5, show_default=True,
              metavar="N", help="Show the newest N of them with what they brought.")  # fmt: skip
@click.option("--counts", "only_counts", is_flag=True, help="Only count: show no single event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def bad(
    given: Given, reasons: tuple[str, ...], of_routes: tuple[str, ...], since: str | None, count: int,
    only_counts: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show what went wrong: bad hits by reason and route, and the newest of them.

    A hit that cannot become a proper event (a price that is no number, a redirect to a strange host) is answered, kept
    in the bad lane with its reason, and never billed. Here they are counted, each reason with what to do about it, and
    the newest are shown with the parameters that they brought, anonymised and cut. Hits that were not kept at all are
    counted below: those refused, and those beyond `limits.max_bad_events_per_second`.

    \b
    tracker bad --since 1h
    tracker bad --reason invalid_field --route impression -n 20
    tracker bad --counts --json | jq '.groups[] | [.events, .reason, .route]'

    \b
    JSON: {"data_dir", "since", "events", "searched_bytes", "damaged_bytes", "problems": [text],
           "groups": [{"reason", "route", "events", "oldest", "newest", "field", "example"}],
           "not_kept": {REASON: number}, "newest": [event]}   newest: oldest first, as the journal has them

    Exit codes: 0 shown, also if there are none; 1 there is no journal, or the disk did not give all of it; 2 no such
    time or reason.
    """
    from tracker.journal import bad_lane
    from tracker.terminal import bad_report

    since_ms, text = None, ""
    if since is not None:
        try:
            since_ms = moment_ms(since)
            at = datetime.fromtimestamp(since_ms / 1000, UTC)
        except (ValueError, OverflowError) as error:
            raise click.BadParameter(str(error), param_hint="--since") from error
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    folder = given.data_dir()
    need_journal(folder)
    with progress("Searching") as advance:
        found = bad_lane.look(
            folder, count=0 if only_counts else count, reasons=reasons, routes=of_routes, since_ms=since_ms, since=text,
            progress=advance,
        )  # fmt: skip
    if as_json:
        show_json(found)
    else:
        console().print(bad_report.report(found, narrowed=bool(reasons or of_routes)), soft_wrap=True)
    if found.damaged_bytes:
        click.echo("some bytes of the journal are damaged and were passed over: see `tracker verify`", err=True)
    for problem in found.problems:
        click.echo(safe(problem), err=True)
    if found.problems:
        raise SystemExit(1)
