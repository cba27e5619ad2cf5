"""The registry: from the settings' ``type: log`` to a collector, and every mistake of theirs as a ``Fault``.

Rules
1. Collectors are found as entry points of the group ``tracker.collectors``; the built-in ones too. A type is imported
   only if a collector of that type is configured.
2. An entry point that names extras (``kafka = ... [kafka]``) and cannot be imported is answered with the pip line.
3. Options are checked by the collector's own ``Options``, all of them at once. A ``ValueError`` of its
   ``__post_init__`` that begins with an option's name and a colon is a fault of that option.
4. A collector may have an attribute ``target``, a text that says what it writes to. Two collectors with the same
   target are a mistake: each would undo the other's care.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from tracker.delivery.plugin import Collector, Place
from tracker.settings import model
from tracker.settings.problems import Fault, Path, quoted, suggestion

GROUP: Final = "tracker.collectors"
"""The group of entry points."""

_AT: Final = re.compile(r"(?P<message>.*) - at `\$(?P<path>[^`]*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[\.\.\.\]")


class UnusableType(Exception):
    """A collector type that cannot be had. ``str()`` says why, ``hint`` what next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def types() -> dict[str, EntryPoint]:
    """What is installed, by type; imports nothing."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def find(name: str, known: Mapping[str, EntryPoint] | None = None) -> type[Collector]:
    """The collector class of a type. Raises ``UnusableType``."""
    known = types() if known is None else known
    point = known.get(name)
    if point is None:
        raise UnusableType(f"unknown collector type {quoted(name)}", suggestion(name, known))
    try:
        found = point.load()
    except Exception as error:  # a stranger's module: it may raise anything
        if isinstance(error, ImportError) and point.extras:
            package = point.dist.name if point.dist else "tracker"
            raise UnusableType(
                f"the collector type {quoted(name)} needs another library: {error}",
                f"pip install '{package}[{','.join(point.extras)}]'",
            ) from error
        raise UnusableType(
            f"the collector type {quoted(name)} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    options = getattr(found, "Options", None)
    methods = ("open", "deliver", "close")
    if not (isinstance(options, type) and issubclass(options, msgspec.Struct)) or not all(
        callable(getattr(found, method, None)) for method in methods
    ):
        raise UnusableType(
            f"{point.value} is no collector",
            f"it needs `Options`, a msgspec.Struct, and the methods {', '.join(methods)}",
        )
    return found  # type: ignore[no-any-return]  # entry points are untyped; what counts was looked at


def place(name: str, data_dir: FilePath) -> Place:
    """Where the collector of this name may keep files. The folder is not made here."""
    return Place(name, data_dir, data_dir / "delivery" / name)


def build(name: str, settings: model.Collector, data_dir: FilePath) -> Collector:
    """The collector that the settings describe, not opened. Raises ``UnusableType`` or ``ValueError``."""
    kind = find(settings.type)
    return kind(msgspec.convert(settings.options, kind.Options), place(name, data_dir))


def check(tracker: model.Tracker, routes: model.Routes) -> Iterable[Fault]:  # noqa: ARG001  # the type of a check
    """Everything that is wrong with the configured collectors."""
    known = types()
    targets: dict[str, str] = {}
    for name, settings in tracker.collectors.items():
        at: Path = ("collectors", name)
        try:
            kind = find(settings.type, known)
        except UnusableType as error:
            yield Fault("tracker", (*at, "type"), str(error), error.hint)
            continue
        faults = list(_options_faults((*at, "options"), settings.options, kind.Options))
        yield from faults
        if faults:
            continue
        try:
            options = msgspec.convert(settings.options, kind.Options)
            target = str(getattr(kind(options, place(name, FilePath(tracker.data_dir))), "target", ""))
        except Exception as error:  # a stranger's constructor
            yield Fault("tracker", at, f"the collector cannot be made: {type(error).__name__}: {error}")
            continue
        if target and target in targets:
            where = (*at, "options") if settings.options else at
            other = targets[target]
            yield Fault("tracker", where, f"writes to the same target as `{other}`: {target}", "choose another one")
        targets.setdefault(target, name)


def _options_faults(at: Path, options: Mapping[str, Any], kind: type[msgspec.Struct]) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    sound = True
    for name, value in options.items():
        if name not in fields:
            if kind.__struct_config__.forbid_unknown_fields:
                sound = False
                yield Fault("tracker", (*at, name), f"unknown option {quoted(name)}", suggestion(name, fields))
            continue
        try:
            msgspec.convert(value, fields[name].type)
        except (msgspec.ValidationError, ValueError) as error:
            sound = False
            yield _fault((*at, name), str(error))
    for name, field in fields.items():
        if field.required and name not in options:
            sound = False
            yield Fault("tracker", at, f"the option {quoted(name)} is missing")
    if not sound:
        return
    try:
        msgspec.convert(options, kind)
    except (msgspec.ValidationError, ValueError) as error:  # what __post_init__ says
        name, colon, rest = str(error).partition(": ")
        if colon and name in fields:
            yield _fault((*at, name) if name in options else at, rest if name in options else str(error))
        else:
            yield _fault(at, str(error))


def _fault(at: Path, message: str) -> Fault:
    """A fault of what msgspec said, whose own path (``$.x[0]``) goes on from ``at``."""
    match = _AT.fullmatch(message)
    if match:
        message = match["message"]
        at = (*at, *(step[1] or int(step[2]) for step in _STEP.finditer(match["path"]) if step[1] or step[2]))
    return Fault("tracker", at, message[:1].lower() + message[1:])
