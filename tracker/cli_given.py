"""What all commands share: the settings' flags, exit codes, and how to leave.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from tracker.settings.load import Check, Examined
    from tracker.settings.model import Settings

FOUND = 1
"""A problem was found, or nothing was."""
TEMPORARY = 75
"""EX_TEMPFAIL: the port is taken, the disk is full, somebody else delivers."""
CONFIG = 78
"""EX_CONFIG: the settings, or this interpreter, will not do."""

Command = TypeVar("Command", bound=Callable[..., Any])


def fail(message: str, code: int) -> NoReturn:
    """Say it and exit."""
    click.echo(message, err=True)
    raise SystemExit(code)


def warn(settings: Settings) -> None:
    """Say what is doubtful about the settings, on standard error."""
    for warning in settings.warnings:
        click.echo(warning, err=True)


def leave_pipe() -> NoReturn:
    """Exit 0 without a word; the interpreter's own last flush must not meet the closed pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


def console(*, stderr: bool = False) -> Console:
    """A rich console that interprets nothing: what it gets is text."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


class Given(NamedTuple):
    """What a command line says about the settings; later wins: files, then TRACKER_ variables, then flags."""

    config: Path | None
    routes: Path | None
    dump: Path | None
    flags: dict[str, object]

    def load(self, checks: Sequence[Check] = ()) -> Settings:
        """The settings. Raises ``SettingsError``."""
        from tracker.settings import load

        if self.dump is None:
            return load.load(self.config, self.routes, os.environ, self.flags, checks)
        try:
            return load.restore(self.dump.read_bytes())
        except (OSError, ValueError) as error:
            fail(f"{self.dump}: {error}", CONFIG)

    def checked(self) -> Settings:
        """The settings after every check there is. Raises ``SettingsError``."""
        return self.load(_checks())

    def again(self) -> Settings:
        """The same for who serves already, once nobody is writing the files. Raises ``SettingsError``."""
        from tracker.settings import settled, variables

        named = (self.config or os.environ.get(variables.CONFIG), self.routes or os.environ.get(variables.ROUTES))
        return settled.read(self.checked, [Path(each) for each in named if each])

    def examined(self) -> Examined:
        """The same, with its problems and warnings as they are."""
        from tracker.settings import load

        return load.examine(self.config, self.routes, os.environ, self.flags, _checks())

    def data_dir(self) -> Path:
        """The data folder: as flagged, else as in the settings. Raises ``SettingsError``."""
        flagged = self.flags.get("data_dir")
        return Path(str(flagged) if flagged is not None else self.load().tracker.data_dir)

    def served(self) -> Settings:
        """The settings that the data folder was last served with, unless a file is named. Raises ``SettingsError``."""
        from tracker.settings import load

        if self.config is None and self.routes is None:
            try:
                return load.restore((self.data_dir() / "run" / "settings.json").read_bytes())
            except (OSError, ValueError):
                pass
        return self.load()


def _checks() -> Sequence[Check]:
    from tracker.capture import routing
    from tracker.delivery import registry

    return routing.check, registry.check


_FILES = (
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                 help="Settings (default: $TRACKER_CONFIG, else built in)."),
    click.option("--routes", type=click.Path(path_type=Path), metavar="FILE",
                 help="Routing table (default: $TRACKER_ROUTES, else built in)."),
    click.option("--data-dir", metavar="FOLDER", help="Folder of rings, journal, cursors and logs (default: var)."),
)  # fmt: skip
_SERVING = (
    click.option("--bind", metavar="HOST:PORT", help="Address for hits (default: 127.0.0.1:8000)."),
    click.option("--workers", metavar="N", help="Capture processes; 0 means one a core."),
    click.option("--settings", type=click.Path(path_type=Path), hidden=True, help="A dump made by the supervisor."),
)


def settings_flags(*, serving: bool) -> Callable[[Command], Command]:
    """Adds the settings' flags to a command, which gets them as its first argument, a ``Given``."""

    def wrap(command: Command) -> Command:
        @functools.wraps(command)
        def with_given(
            config: Path | None, routes: Path | None, data_dir: str | None, bind: str | None = None,
            workers: str | None = None, settings: Path | None = None, **rest: Any,
        ) -> Any:  # fmt: skip
            flags: dict[str, object] = {"bind": bind, "data_dir": data_dir, "workers": workers}
            return command(Given(config, routes, settings, flags), **rest)

        decorated: Any = with_given
        for option in reversed(_FILES + _SERVING if serving else _FILES):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return wrap
