"""The commands. Only ``cli.py`` and ``cli_*.py`` print; what they print is made in ``tracker.terminal``.

Here is how the processes start; ``cli_reading`` has the commands that read the journal, ``cli_routing`` those about the
routing table, ``cli_given`` what all share.

Rules
1. A command resolves its settings, calls one function of the library, shows the outcome, and exits with a code of the
   list below. It decides nothing else.
2. What was asked for goes to standard output; everything said about it (banner, progress, errors) to standard error.
   So every output can be piped.
3. Heavy modules are imported in the command that needs them: ``tracker tail`` does not load a web server.

Exit codes: 0 as asked; 1 a problem was found, or nothing was; 2 wrong usage; 75 try again later (the port is taken, the
disk is full, somebody else delivers; EX_TEMPFAIL); 78 the settings, or this interpreter, will not do (EX_CONFIG).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

import tracker
from tracker.cli_bad import bad
from tracker.cli_bench import bench
from tracker.cli_demo import demo
from tracker.cli_explain import explain, routes
from tracker.cli_given import CONFIG, TEMPORARY, Given, console, fail, leave_pipe, settings_flags, warn
from tracker.cli_reading import tail, trace, verify
from tracker.cli_routing import check, sign_url
from tracker.cli_serving import reload
from tracker.interpreter import refusal


class Commands(click.Group):
    """Turns what every command may meet into a sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click has it, on interpreters that will do."""
        reason = refusal()
        if reason:
            click.echo(reason, err=True)
            sys.exit(CONFIG)
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; settings that are wrong and readers that have gone are no tracebacks."""
        from tracker.settings.problems import SettingsError

        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except SettingsError as error:
            fail(str(error), CONFIG)
        except BrokenPipeError:  # `| head` has seen enough
            leave_pipe()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(tracker.__version__, "--version", prog_name="tracker")
def main() -> None:
    """Track hits, and prove it: pixels, clicks and events in, every answered one delivered.

    \b
    tracker serve              start; then, in a second terminal:
    curl -i 'http://127.0.0.1:8000/imp/c1/cr1.gif?price=2.50'
    tracker tail               see the event
    tracker trace EVENT_ID     see who has it

    \b
    Exit codes:  0  as asked              1  a problem was found, or nothing was
                 2  wrong usage          75  try again later: port taken, disk full, somebody else delivers
                78  the settings, or this Python, will not do
    """


@main.command()
@settings_flags(serving=True)
@click.option("--tail/--no-tail", default=None, help="Show events as they arrive (default: on a terminal).")
def serve(given: Given, tail: bool | None) -> None:
    """Take hits and deliver their events, until stopped.

    Starts capture and delivery, restarts what dies, and ends in order on Ctrl-C or SIGTERM. SIGHUP takes over changed
    settings, as `tracker reload` does; wrong ones are said and change nothing.

    \b
    tracker serve --bind 127.0.0.1:8001 --data-dir /tmp/try
    TRACKER_BIND=127.0.0.1:8001 tracker serve

    Exit codes: 0 stopped in order; 1 something had to be killed; 75 the port is taken or the disk is full; 78 wrong
    settings.
    """
    from tracker import supervisor
    from tracker.delivery import registry
    from tracker.terminal.banner import banner

    log_to_stderr()
    settings = given.checked()
    warn(settings)
    folder = Path(settings.tracker.data_dir)
    targets = {
        name: shortened(str(getattr(registry.build(name, each, folder), "target", "")))
        for name, each in settings.tracker.collectors.items()
    }
    watching = sys.stdout.isatty() if tail is None else tail
    with listen(settings.tracker.bind) as listener:
        port = listener.getsockname()[1]  # `--bind 127.0.0.1:0` takes any free one
        console(stderr=True).print(banner(tracker.__version__, settings, port, targets), soft_wrap=True)
        try:
            sys.exit(supervisor.serve(settings, listener, tail=watching, reread=given.again))
        except OSError as error:
            fail_on_disk(settings.tracker.data_dir, error)


@main.command()
@settings_flags(serving=True)
@click.option("--fd", type=int, hidden=True, help="Descriptor of the listening socket, from the supervisor.")
def capture(given: Given, fd: int | None) -> None:
    """Take hits and write their events to the journal; deliver nothing.

    For containers that run each part by itself; `tracker serve` runs both. Point `tracker deliver` at the same data
    folder.

    SIGHUP reads the settings again: good ones are taken over by new worker processes, each old one leaving when it has
    answered what it had begun; wrong ones are said and change nothing. `tracker reload` is for `tracker serve` only.

    \b
    tracker capture --routes routes.yaml --data-dir /var/lib/tracker

    Exit codes: 0 stopped in order; 75 the port is taken; 78 wrong settings.
    """
    from tracker.capture import server

    log_to_stderr()
    settings = given.checked() if given.dump is None else given.load()
    if given.dump is None:
        warn(settings)
    listener = listen(settings.tracker.bind) if fd is None else socket.socket(fileno=fd)
    sys.exit(server.run(settings, listener, given.again if given.dump is None else given.load, given.dump))


@main.command()
@settings_flags(serving=True)
def deliver(given: Given) -> None:
    """Deliver the journal's events to the collectors; take no hits.

    For containers that run each part by itself; `tracker serve` runs both. One process delivers from a data folder:
    a second one exits with 75. Changed settings take a restart; nothing is lost by it.

    \b
    tracker deliver --data-dir /var/lib/tracker

    Exit codes: 0 stopped in order; 1 ended by an error; 75 somebody else delivers from this folder; 78 wrong settings.
    """
    from tracker.delivery import runner

    log_to_stderr()
    sys.exit(runner.run_process(given.checked() if given.dump is None else given.load()))


for command in (reload, check, routes, explain, sign_url, tail, trace, verify, bad, demo, bench):
    main.add_command(command)


# --- starting --------------------------------------------------------------------------------------------------------


def log_to_stderr() -> None:
    """Log lines of this process go to standard error."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)


def listen(bind: str) -> socket.socket:
    """The listening socket; without it, a sentence that says who has it, and exit 75 or 78."""
    from tracker import supervisor
    from tracker.listeners import who_listens

    try:
        return supervisor.listen(bind)
    except OSError as error:
        host, _, port = bind.rpartition(":")
        if error.errno == errno.EADDRINUSE:
            other = f"{host}:{int(port) + 1 if int(port) < 65535 else 8001}"
            fail(
                f"{bind} is taken by {who_listens(int(port)) or 'another program'}.\n"
                f"Stop it, or choose another port: `tracker serve --bind {other}`, or set TRACKER_BIND={other}.",
                TEMPORARY,
            )
        why = error.strerror or str(error)
        if error.errno == errno.EACCES:
            why += ": ports below 1024 belong to root; take one above, or grant cap_net_bind_service"
        fail(f"{bind}: {why}\nChoose another address with --bind HOST:PORT or TRACKER_BIND.", CONFIG)


def fail_on_disk(folder: str, error: OSError) -> NoReturn:
    """The data folder does not let us: exit 75 if that may pass, else 78."""
    passing = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    fail(
        f"{error.filename or folder}: {error.strerror or error}\n"
        "The data folder must be writable; choose another one with --data-dir FOLDER or TRACKER_DATA_DIR.",
        TEMPORARY if passing else CONFIG,
    )


def shortened(path: str) -> str:
    """A path below the working folder without its beginning."""
    try:
        return str(Path(path).relative_to(Path.cwd())) if os.path.isabs(path) else path
    except ValueError:
        return path
