"""The commands about the routing table: check, explain, routes, reload, sign-url.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import click

from tracker.cli_given import Given, settings_flags


@click.command()
@settings_flags(serving=True)
def check(given: Given) -> None:
    """Check settings and routing table; start nothing.

    The checks are those of `serve`. Every problem is shown at once, with its file, line and column.

    \b
    tracker check --config tracker.yaml --routes routes.yaml
    OK: 6 routes, 2 collectors (version 56449d2b5fba)

    Exit codes: 0 they are right; 78 they are not.
    """
    settings = given.checked()
    routes, collectors = len(settings.routes.routes), len(settings.tracker.collectors)
    click.echo(f"OK: {routes} route{'s' * (routes != 1)}, {collectors} collector{'s' * (collectors != 1)} "
               f"(version {settings.version})")  # fmt: skip
