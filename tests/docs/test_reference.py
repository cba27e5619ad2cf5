"""What can be configured, called, counted or plugged in is in the reference, or CI is red."""

from __future__ import annotations

from collections.abc import Callable

import click
import fields
import generate
import msgspec
import pytest

from tracker import counters, event, reasons
from tracker.capture import metrics
from tracker.settings import model, variables


def test_everything_has_a_help_text() -> None:
    """Settings, routes, event fields, collector options, commands, options, counters, reasons, the port."""
    assert generate.undocumented() == []


@pytest.mark.parametrize("root", [model.Tracker, model.Routes], ids=["settings", "routes"])
def test_every_setting_is_on_its_page_with_its_help(root: type[msgspec.Struct]) -> None:
    """The page has each field of each Struct as a definition, and its docstring below."""
    page = generate.settings_page() if root is model.Tracker else generate.routes_page()
    for struct in fields.family(root):
        for row in fields.rows(struct):
            assert f"\n`{row.name}`\n: " in page
            assert all(line.strip() in page for line in row.help.splitlines())


def test_every_environment_variable_is_on_the_settings_page() -> None:
    """A variable that the tracker reads is written where people look for it."""
    page = generate.settings_page()
    names = [*variables.variables(), variables.CONFIG, variables.ROUTES]
    assert len(names) > 2
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_command_and_option_is_on_the_commands_page() -> None:
    """As `--help` has them."""
    page = generate.commands_page()
    assert "\n## tracker serve\n" in page
    for name, command in generate.commands().items():
        assert f"\n## {name}\n" in page
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in page for option in parameter.opts)


def test_every_counter_and_gauge_is_on_the_metrics_page() -> None:
    """Name, label value and all."""
    page = generate.metrics_page()
    for counter in counters.COUNTERS:
        assert f"`{counter.name}`" in page
        assert counter.help in page
        assert not counter.value or f"`{counter.value}`" in page
    for gauge in metrics.GAUGES:
        assert f"`{gauge.name}`\n: {gauge.help}" in page


def test_every_reason_is_on_the_reasons_page() -> None:
    """With what its owner can do."""
    page = generate.reasons_page()
    for reason in reasons.REASONS:
        assert f"\n`{reason.name}`\n: {reason.help}\n" in page


def test_every_field_of_an_event_is_on_the_event_page() -> None:
    """The data contract is public."""
    page = generate.event_page()
    for struct in (event.Event, event.Context):
        for row in fields.rows(struct):
            assert f"\n`{row.name}`\n: " in page


def test_every_collector_and_option_is_on_the_collectors_page() -> None:
    """Whatever the entry points name."""
    page = generate.collectors_page()
    assert "log" in generate.collectors()
    for name, collector in generate.collectors().items():
        assert f"\n## {name}\n" in page
        for row in fields.rows(collector.Options):
            assert f"\n`{row.name}`\n: " in page


def test_the_journal_page_names_the_formats_numbers() -> None:
    """Magic, header and record layout come from the constants that the code uses."""
    from tracker.capture import ring
    from tracker.journal import segment

    page = generate.journal_page()
    assert segment.RECORD.format in page
    assert segment.HEADER.format in page
    assert str(ring.MAGIC.to_bytes(8, "little")) in page


@pytest.mark.parametrize("page", generate.PAGES.values(), ids=generate.PAGES.keys())
def test_a_page_is_whole_markdown(page: Callable[[], str]) -> None:
    """One title, first; every code fence is closed; no Python object leaks into the text."""
    lines = page().splitlines()
    assert lines[0].startswith("# ")
    fenced = False
    for line in lines[1:]:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        assert fenced or not line.startswith("# "), line
    assert not fenced
    assert " object at 0x" not in "\n".join(lines)
    assert "<class " not in "\n".join(lines)


# --- the generator is not blind ----------------------------------------------------------------------------------


class Bare(msgspec.Struct):
    """Fields with and without a docstring."""

    told: int = 1
    """It says why."""
    untold: int = 2
    inner: model.Limits = model.Limits()


def test_a_field_without_a_docstring_is_found() -> None:
    """Only that one: a Struct's own docstring speaks for the field that is nothing but it."""
    assert fields.undocumented(Bare) == ["Bare.untold"]


def test_an_option_without_help_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command and an option that keep silent are both named."""

    @click.command()
    @click.option("--mute")
    def silent(mute: str) -> None:
        pass

    monkeypatch.setattr(generate, "commands", lambda: {"tracker silent": silent})
    assert generate.undocumented() == ["tracker silent", "tracker silent --mute"]
