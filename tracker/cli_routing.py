"""The commands about the routing table: check and sign-url. ``cli_explain`` has those that show what it means.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from datetime import datetime

import click

from tracker.cli_given import CONFIG, FOUND, Given, fail, settings_flags, warn
from tracker.terminal.safe import safe


@click.command()
@settings_flags(serving=True)
@click.option("--strict", is_flag=True, help="Refuse what is doubtful, too: warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome and every problem as one JSON object.")
@click.option("--schema", type=click.Choice(["tracker", "routes"]), metavar="tracker|routes",
              help="Print the JSON Schema of that file, for editors, and check nothing.")  # fmt: skip
def check(given: Given, strict: bool, as_json: bool, schema: str | None) -> None:
    """Check settings and routing table; start nothing.

    The checks are those of `serve`, all of them. Every problem is shown at once, with its file, line and column; so is
    every warning, which refuses nothing unless `--strict` is given.

    \b
    tracker check --config tracker.yaml --routes routes.yaml
    OK: 6 routes, 2 collectors (version 56449d2b5fba)
    tracker check --schema routes > routes.schema.json

    Exit codes: 0 they are right; 78 they are not, or there are warnings and `--strict`.
    """
    if schema is not None:
        from tracker.settings.file import BUILT_IN

        click.echo((BUILT_IN / f"{schema}.schema.json").read_bytes(), nl=False)
        return
    found = given.examined()
    if as_json:
        from tracker.terminal.problem_report import as_object

        told = as_object(found, strict=strict)
        click.echo(json.dumps(told, indent=2))
        raise SystemExit(0 if told["ok"] else CONFIG)
    settings = found.or_refused()
    warn(settings)
    if strict and found.problems:
        count = len(found.problems)
        fail(f"{count} warning{'s' * (count != 1)}; with --strict nothing would be started.", CONFIG)
    routes, collectors = len(settings.routes.routes), len(settings.tracker.collectors)
    click.echo(f"OK: {routes} route{'s' * (routes != 1)}, {collectors} collector{'s' * (collectors != 1)} "
               f"(version {settings.version})")  # fmt: skip


SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST_TOLD = 20
"""Most lines of a batch whose mistake is told."""


def unix_expiry(_ctx: click.Context, _param: click.Parameter, text: str) -> int | None:
    """``30d`` or ``12h`` from now, an RFC 3339 time, or ``never``; as Unix seconds, None for never."""
    text = text.strip()
    if text == "never":
        return None
    now = int(time.time())
    span = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", text, re.ASCII)
    if span is not None:
        return now + int(span[1]) * SECONDS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"`{text}`: write 12h, 30d, never, or such as 2027-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"`{text}` has no time zone: write {text}Z, or its offset, such as {text}+02:00")
    if moment.timestamp() <= now:
        raise click.BadParameter(f"`{text}` has passed")
    return int(moment.timestamp())


@click.command("sign-url")
@settings_flags(serving=False)
@click.option("--kid", metavar="ID", help="Sign with this key of the ring (default: its first).")
@click.option("--expires", callback=unix_expiry, default="30d", show_default=True, metavar="WHEN",
              help="How long it is good: 12h, 30d, 4w, a time such as 2027-01-31T00:00:00Z, or never.")  # fmt: skip
@click.option("--check", "examined", is_flag=True, help="Examine URL, a finished link, instead of making one.")
@click.argument("url")
@click.argument("destination", required=False)
def sign_url(
    given: Given, kid: str | None, expires: int | None, examined: bool, url: str, destination: str | None
) -> None:
    """Sign a click's destination: print the tracking URL that leads there.

    URL is one of the tracker's own, whole or from its path on; its route has `signed_by`. DESTINATION is any http(s)
    URL; it may hold {click_id} and the route's dimensions, such as {campaign}. Without it, or with `-`, destinations
    are read from standard input, one a line, and nothing is printed unless all of them are right. The link is bound to
    its path: who changes path, destination or expiry makes it worthless.

    \b
    tracker sign-url https://t.example/click/c1/cr1 https://shop.example/spring
    tracker sign-url --expires never /click/c1/cr1 'https://shop.example/?click={click_id}'
    tracker sign-url --kid 2026b https://t.example/click/c1/cr1 < destinations.txt > links.txt
    tracker sign-url --check 'https://t.example/click/c1/cr1?url=...&kid=...&exp=...&sig=...'

    Exit codes: 0 signed, or good; 1 not: the reason is said; 2 wrong usage; 78 wrong settings.
    """
    from tracker.capture.link import LinkError, Signer, examine

    settings = given.checked()
    try:
        if examined:
            if destination is not None:
                raise click.UsageError("--check takes a finished link and no DESTINATION")
            click.echo(f"OK: {safe(examine(settings, url, time.time_ns() // 1_000_000))}")
            return
        signer = Signer(settings, url, kid)
        if destination is not None and destination != "-":
            link = signer.link(destination, expires)
            note_macros(signer.unknown_macros(destination))
            click.echo(link)
            return
    except LinkError as error:
        fail(safe(str(error)), FOUND)
    if sys.stdin.isatty() and destination is None:
        raise click.UsageError("no DESTINATION, and nothing is piped in")
    links: list[str] = []
    refused = 0
    macros: dict[str, None] = {}
    for number, line in enumerate(sys.stdin.buffer, 1):
        text = line.decode("utf-8", "replace").strip()
        if not text:
            continue
        try:
            links.append(signer.link(text, expires))
            macros |= dict.fromkeys(signer.unknown_macros(text))
        except LinkError as error:
            refused += 1
            if refused <= MOST_TOLD:
                click.echo(f"line {number}: {safe(str(error))}", err=True)
    if refused:
        fail(f"{refused} of {refused + len(links)} destinations refused; no link was made.", FOUND)
    note_macros(macros)
    for link in links:
        click.echo(link)


def note_macros(names: Iterable[str]) -> None:
    """Say which braces will stay in the destination."""
    for name in names:
        click.echo(f"note: {{{name}}} is no dimension of the route: it stays as it is", err=True)
