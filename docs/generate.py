"""The reference pages, made from the code they describe; run by docs/conf.py at each build.

Rules
1. A page is a function without arguments that returns Markdown. It says nothing that the code does not say.
2. What has no help text is listed by ``undocumented()``; tests/docs turns red on it.
3. Pages go to docs/reference/generated/, which is not committed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import struct
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import fields
import msgspec

from tracker import counters, event, reasons
from tracker.capture import metrics
from tracker.settings import model, variables

GENERATED = Path(__file__).parent / "reference" / "generated"


# --- settings ----------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """tracker.yaml, its environment variables, and the file as it is built in."""
    return "\n".join([
        "# Settings",
        "",
        "Later wins: the built-in defaults, the file (`--config tracker.yaml`), the environment (`TRACKER_...`), the",
        "command's flags. Unknown names and impossible values are refused before anything starts, all of them at once,",
        "each with its line. `tracker check` looks without starting.",
        "",
        *structs(model.Tracker),
        "## Environment",
        "",
        f"`{variables.CONFIG}` and `{variables.ROUTES}` name the two files, like `--config` and `--routes`.",
        "",
        module_text("tracker.settings.variables"),
        "",
        "## How the files are read",
        "",
        module_text("tracker.settings.source"),
        "",
        "## The built-in file",
        "",
        *listing("tracker.yaml"),
    ])


def routes_page() -> str:
    """routes.yaml, and the table as it is built in."""
    return "\n".join([
        "# Routing table",
        "",
        "The file `--routes routes.yaml` says which paths are tracked, what a hit there means and what comes back.",
        "`tracker check` checks it; everything in it is compiled once, at the start.",
        "",
        *structs(model.Routes),
        "## The built-in table",
        "",
        *listing("routes.yaml"),
    ])


def structs(root: type[msgspec.Struct]) -> Iterable[str]:
    """A section for a Struct and each one inside it."""
    variable = {path: name for name, path in variables.variables().items()}
    top = {row.struct: row.name for row in fields.rows(root) if row.struct}
    for each in fields.family(root):
        prefix = "" if each is root else top.get(each, "")
        yield f"({fields.anchor(each)})="
        yield f"## {prefix or each.__name__}"
        yield ""
        yield fields.summary(each)
        yield ""
        for row in fields.rows(each):
            path = (prefix, row.name) if prefix else (row.name,)
            facts = [row.kind, "required" if row.default == "required" else f"default {row.default}"]
            if root is model.Tracker and path in variable:
                facts.append(f"`{variable[path]}`")
            yield from entry(row.name, facts, row.help)
    yield ""


def entry(name: str, facts: Iterable[str], text: str) -> Iterable[str]:
    """One row as a definition: name, facts, help."""
    yield f"`{name}`"
    yield ": " + " · ".join(fact for fact in facts if fact not in ("", "default -"))
    yield ""
    yield from (f"  {line}".rstrip() for line in text.splitlines())
    yield ""


def listing(name: str) -> Iterable[str]:
    """A file of config/, as it travels in the wheel."""
    return ["```yaml", (files("tracker") / "config" / name).read_text("utf-8").rstrip(), "```", ""]


# --- commands ----------------------------------------------------------------------------------------------------


def commands() -> dict[str, click.Command]:
    """Every command by its full name, ``tracker`` itself first."""
    from tracker import cli

    found: dict[str, click.Command] = {}

    def walk(name: str, command: click.Command) -> None:
        if not command.hidden:
            found[name] = command
            for below, inner in getattr(command, "commands", {}).items():
                walk(f"{name} {below}", inner)

    walk("tracker", cli.main)
    return found


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", ""]
    for name, command in commands().items():
        context = click.Context(command, info_name=name)
        lines += [f"## {name}", "", "```text", command.get_usage(context).removeprefix("Usage: "), "```", ""]
        lines += [plain(command.help), ""]
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                lines += entry(record[0], [], "") if not record[1] else [f"`{record[0]}`", f": {record[1]}", ""]
        below = [inner for inner in commands() if inner.rpartition(" ")[0] == name]
        lines += [f"* [{inner}](#{inner.replace(' ', '-')})" for inner in below] + [""]
    return "\n".join(lines)


def plain(text: str | None) -> str:
    """A command's help without click's marks: ``\\b`` keeps a paragraph as it stands, so it becomes a block."""
    paragraphs = inspect.cleandoc((text or "").partition("\f")[0]).split("\n\n")
    return "\n\n".join(
        "```text\n" + paragraph.removeprefix("\b\n") + "\n```" if paragraph.startswith("\b") else paragraph
        for paragraph in paragraphs
    )


# --- what is counted ---------------------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every sample of /-/metrics."""
    lines = [
        "# Metrics",
        "",
        "`/-/metrics` answers in the Prometheus text format, summed over all workers, to loopback and to",
        "`status_networks`. Counters are published once a second and never go back while the data folder lives.",
        "",
        "## Counters",
        "",
    ]
    by_name: dict[str, list[counters.Counter]] = {}
    for counter in counters.COUNTERS:
        by_name.setdefault(counter.name, []).append(counter)
    for name, rows in by_name.items():
        lines += [f"`{name}`", f": {rows[0].help}"]
        if rows[0].label:
            lines += ["", f"  `{rows[0].label}`: " + ", ".join(f"`{row.value}`" for row in rows)]
        lines.append("")
    lines += ["## Gauges", "", "Read at each request from the rings, `DATA/run` and `DATA/delivery`.", ""]
    for gauge in metrics.GAUGES:
        lines += [f"`{gauge.name}`", f": {gauge.help}"]
        if gauge in metrics.DELIVERY:
            lines += ["", "  `collector`: the name in the settings"]
        if gauge is metrics.CONFIG_WORKERS:
            lines += ["", "  `version`: as `tracker check` and `/-/readyz` say it"]
        lines.append("")
    return "\n".join(lines)


def reasons_page() -> str:
    """The closed list of reasons."""
    kinds = {
        "bad": ("Bad lane", "The hit is kept in the bad lane, with this `reason`; it is never billed."),
        "refused": ("Refused", "The hit is not kept. It is counted, and the client is told in `X-Tracker-Reason`."),
        "flag": ("Flags", "The event is kept in the good lane, with this name among its `flags`."),
    }
    lines = ["# Reasons", "", "Why something is refused, flagged or set aside: a closed list, the same in replies,"]
    lines += ["events and metrics.", ""]
    for kind, (title, text) in kinds.items():
        lines += [f"## {title}", "", text, ""]
        for reason in reasons.REASONS:
            if reason.kind == kind:
                lines += [f"`{reason.name}`", f": {reason.help}", ""]
    return "\n".join(lines)


# --- event and journal -------------------------------------------------------------------------------------------


def event_page() -> str:
    """The event's fields."""
    lines = ["# The event", "", module_text("tracker.event"), ""]
    for each in fields.family(event.Event):
        lines += [f"({fields.anchor(each)})=", f"## {each.__name__}", "", fields.summary(each), ""]
        for row in fields.rows(each):
            lines += entry(row.name, [row.kind, "always" if row.default == "required" else ""], row.help)
    return "\n".join(lines)


JOURNAL = (
    "tracker.journal.segment", "tracker.capture.ring", "tracker.journal.slot", "tracker.journal.recovery",
    "tracker.journal.adoption", "tracker.journal.seal",
    "tracker.journal.cursor", "tracker.delivery.losses", "tracker.delivery.status", "tracker.counters",
)  # fmt: skip
"""Modules whose files an operator finds under the data folder."""


def journal_page() -> str:
    """The files of the data folder, in the words of the modules that write them."""
    lines = [
        "# Journal format",
        "",
        "What stands on the disk, in the words of the modules that write it. The format has a version; a change of it",
        "is announced in the change log.",
        "",
    ]
    for name in JOURNAL:
        module = importlib.import_module(name)
        lines += [f"## {name}", "", module_text(name), ""]
        for constant, text in constants(module).items():
            shown = number(constant, getattr(module, constant))
            if shown:
                lines += [f"`{constant}` = `{shown}`", f": {text}", ""]
        for thing in public_classes(module).values():
            if issubclass(thing, msgspec.Struct) and name.startswith("tracker.delivery."):  # a line or file people read
                lines += [f"### {thing.__name__}", "", fields.summary(thing), ""]
                for row in fields.rows(thing):
                    lines += entry(row.name, [row.kind], row.help)
    return "\n".join(lines)


def number(name: str, value: object) -> str:
    """A constant of a file format, as one finds it in the file; empty for what is none."""
    match value:
        case struct.Struct():
            return f'struct "{value.format}", {value.size} bytes'
        case int() if name == "MAGIC":  # stored as one word
            return str(value.to_bytes(8, "little"))
        case bool() | int() | float() | str() | bytes():
            return str(value)
    return ""


# --- collectors --------------------------------------------------------------------------------------------------


def collectors() -> dict[str, Any]:
    """The collectors that come with the tracker, by the name used for ``type:``."""
    return {point.name: point.load() for point in entry_points(group="tracker.collectors")}


def collectors_page() -> str:
    """Each collector's options."""
    lines = [
        "# Collectors",
        "",
        "Collectors are configured below `collectors:` in `tracker.yaml`; see [there](settings.md#struct-collector)",
        "for what all of them have. This is what each takes under `options:`.",
        "",
    ]
    for name, collector in collectors().items():
        lines += [f"## {name}", "", module_text(collector.__module__), ""]
        for each in fields.family(collector.Options):
            for row in fields.rows(each):
                lines += entry(row.name, [row.kind, f"default {row.default}"], row.help)
    return "\n".join(lines)


def plugin_page() -> str:
    """The port of collectors."""
    module = importlib.import_module("tracker.delivery.plugin")
    lines = ["# Plugin API", "", module_text(module.__name__), ""]
    lines += ["A collector is a class that an entry point of the group `tracker.collectors` names.", ""]
    for name, thing in public_classes(module).items():
        lines += [f"## {name}", "", fields.summary(thing), ""]
        told = fields.docstrings(thing)
        for field, kind in inspect.get_annotations(thing).items():
            lines += [f"`{field}`", f": {kind}", "", f"  {told.get(field, '')}", ""]
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and function.__doc__ and function.__module__ == module.__name__:
                signature = str(inspect.signature(function)).replace("'", "")
                lines += [f"`{method}{signature}`", f": {inspect.cleandoc(function.__doc__)}", ""]
    return "\n".join(lines)


def transforms_page() -> str:
    """Transforms of `preprocess:`."""
    module = importlib.import_module("tracker.capture.preprocess")
    lines = ["# Transforms", "", module_text(module.__name__), "", "## Built in", ""]
    for point in sorted(entry_points(group=module.GROUP), key=lambda each: each.name):
        lines += [f"`{point.name}`", f": {inspect.cleandoc(point.load().__doc__ or '')}", ""]
    lines += ["## Incoming", "", fields.summary(module.Incoming), ""]
    told = fields.docstrings(module.Incoming)
    for field, kind in inspect.get_annotations(module.Incoming).items():
        lines += [f"`{field}`", f": {kind}", "", f"  {told[field]}", ""]
    lines += ["Where a table lists them: [Write a routing table](../../howto/routes.md#transforms)."]
    return "\n".join(lines)


# --- reading modules ---------------------------------------------------------------------------------------------


def module_text(name: str) -> str:
    """A module's docstring; the lists of rules become Markdown lists."""
    text = inspect.getdoc(importlib.import_module(name)) or ""
    paragraphs = []
    for line in text.splitlines():
        # "Rules" or "Invariants" alone on a line heads the list below it.
        if re.fullmatch(r"[A-Z][\w ()]{0,30}:?", line):
            line = f"\n**{line.rstrip(':')}**\n"
        paragraphs.append(line)
    return "\n".join(paragraphs)


def constants(module: Any) -> dict[str, str]:
    """The documented constants of a module: a value with a docstring below it."""
    found = fields.texts_below(ast.parse(inspect.getsource(module)).body)
    return {name: text for name, text in found.items() if name.isupper() and not name.startswith("_")}


def public_classes(module: Any) -> dict[str, type[Any]]:
    """The classes that a module defines, in its order."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
    }


# --- all of it ---------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "routes": routes_page,
    "commands": commands_page,
    "event": event_page,
    "reasons": reasons_page,
    "metrics": metrics_page,
    "journal": journal_page,
    "collectors": collectors_page,
    "plugin": plugin_page,
    "transforms": transforms_page,
}


def undocumented() -> list[str]:
    """What can be configured, called or counted and has no help text."""
    found = []
    for root in (model.Tracker, model.Routes, event.Event, *(kind.Options for kind in collectors().values())):
        found += fields.undocumented(root)
    for name, command in commands().items():
        if not (command.help or "").strip():
            found.append(name)
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden and not (parameter.help or "").strip():
                found.append(f"{name} {parameter.opts[0]}")
            if isinstance(parameter, click.Argument) and parameter.human_readable_name not in (command.help or ""):
                found.append(f"{name} {parameter.human_readable_name}")
    found += [counter.name for counter in counters.COUNTERS if not counter.help.strip()]
    found += [gauge.name for gauge in metrics.GAUGES if not gauge.help.strip()]
    found += [reason.name for reason in reasons.REASONS if not reason.help.strip()]
    found += [name for name in JOURNAL if not inspect.getdoc(importlib.import_module(name))]
    for name, thing in public_classes(importlib.import_module("tracker.delivery.plugin")).items():
        if not fields.summary(thing):
            found.append(f"plugin.{name}")
    return found


def write(folder: Path = GENERATED) -> None:
    """Write every page; an unchanged one keeps its time, so that Sphinx reads only what is new."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        path, text = folder / f"{name}.md", page().rstrip() + "\n"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
