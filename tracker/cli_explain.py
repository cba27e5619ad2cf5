"""The commands that say what the routing table means: explain and routes. They need no running tracker.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import ipaddress
import shlex
import sys
import time
from pathlib import Path

import click

from tracker.cli_given import FOUND, Given, console, fail, settings_flags
from tracker.cli_reading import show_json
from tracker.terminal.safe import safe

SOMEBODY = "203.0.113.7"
"""An address for examples (RFC 5737), as somebody's out there."""
MAX_BYTES = 10_000_000
"""Largest paste."""


class TakesCurl(click.Command):
    """A command whose arguments may be a curl command as it is, without quotes around the whole."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Everything from the word ``curl`` on is one argument: its options are curl's."""
        if "curl" in args[:-1]:
            at = args.index("curl")
            args = [*args[:at], "--", shlex.join(args[at:])]
        return super().parse_args(ctx, args)


def address(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    """An IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise click.BadParameter(f"`{safe(text)}` is no IP address: write 198.51.100.9 or 2001:db8::1") from None
    return text


@click.command(cls=TakesCurl)
@settings_flags(serving=False)
@click.option("--from", "client", callback=address, default=SOMEBODY, show_default=True, metavar="IP",
              help="Where the hit comes from: the address of the connection.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.argument("inputs", nargs=-1, metavar="INPUT")
def explain(given: Given, client: str, as_json: bool, inputs: tuple[str, ...]) -> None:
    """What would this become? A URL, tag or request: its event, field by field, and its reply.

    INPUT is a path, a URL, an ad tag (HTML or VAST; each URL in it is explained), a curl command, a recorded request,
    a line of an access log or a HAR entry; @FILE reads it from a file, - from standard input; there may be several.
    Nothing is sent and nothing is written. Event and reply come from the code that serves, with the settings that
    `serve` would use.

    \b
    tracker explain '/imp/c1/cr1.gif?price=2.50'
    tracker explain --routes my-routes.yaml 'POST /hit/signup'
    tracker explain curl 'http://127.0.0.1:8000/hit/signup' --json '{"plan": "pro"}'
    tracker explain @tag.html
    pbpaste | tracker explain -
    tracker explain --json /imp/c1/cr1.gif | jq '.explanations[0].event'

    \b
    JSON: {"version", "explanations": [{"source", "method", "path", "query", "notes", "elsewhere",
           "outcome": "good" | "bad" | "refused", "reason", "help", "route", "near", "event_name",
           "fields": [{"kind", "name", "key", "read_as", "sources": [{"source", "state", "held", "value",
              "flags", "asked"}], "used", "value", "trouble", "flags", "pattern", "currency", "cost"}],
           "words", "properties", "client", "flags", "troubles", "destination", "cost", "reply",
           "event", "kept", "collectors"}]}

    Exit codes: 0 each hit would be a good event; 1 one is bad, refused or has no route; 2 the input is not understood;
    78 wrong settings.
    """
    from tracker.capture.identity import FreshIds
    from tracker.explain import pasted
    from tracker.explain.explainer import Explainer
    from tracker.explain.request import NotUnderstood
    from tracker.terminal import explain_report

    if not inputs and sys.stdin.isatty():
        raise click.UsageError(f"what? Give {pasted.FORMS}; @FILE, or - for standard input.")
    settings = given.checked()
    try:
        requests = [each for text in inputs or ("-",) for each in pasted.requests(contents(text))]
    except NotUnderstood as error:
        raise click.BadParameter(safe(str(error)), param_hint="INPUT") from error
    found = Explainer(settings, FreshIds()).explain_all(requests, client, time.time_ns() // 1_000_000)
    if as_json:
        show_json({"version": settings.version, "explanations": found})
    else:
        out = console()
        out.print(explain_report.report(found, out.width if out.is_terminal else 0), soft_wrap=True)
    sys.exit(0 if all(each.outcome == "good" or each.elsewhere for each in found) else FOUND)


@click.command()
@settings_flags(serving=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def routes(given: Given, as_json: bool) -> None:
    """The routing table: each route's path, event and reply, and which collectors take its events.

    Routes whose good events nobody takes are marked: their events stay in the journal until that forgets them.

    \b
    tracker routes
    tracker routes --routes my-routes.yaml --config my-tracker.yaml
    tracker routes --json | jq -r '.routes[] | [.name, .path] | @tsv'

    \b
    JSON: {"version", "untaken": [route], "routes": [{"name", "methods", "path", "event", "reply", "to", "ack",
           "access", "priority", "good": [{"collector", "share": "all" | "some"}], "bad"}],
           "collectors": [{"name", "type", "events", "lanes", "good": [route], "bad": [route]}]}

    Exit codes: 0 shown; 78 wrong settings.
    """
    from tracker.explain.table import table
    from tracker.terminal import routes_report

    found = table(given.checked())
    if as_json:
        show_json(found)
    else:
        out = console()
        out.print(routes_report.report(found, out.width if out.is_terminal else 0), soft_wrap=True)


def contents(text: str) -> str:
    """What an INPUT says: itself, a file's content (``@FILE``), or standard input (``-``)."""
    if text != "-" and not text.startswith("@"):
        return text
    try:
        if text == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(text[1:]).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise click.BadParameter(f"{safe(text[1:])}: {reason}", param_hint="INPUT") from error
    if len(raw) > MAX_BYTES:
        fail(f"{safe(text)}: more than {MAX_BYTES:,} bytes; paste the part that matters", 2)
    return raw.decode("utf-8", "surrogateescape")
