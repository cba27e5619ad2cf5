"""The JSON Schemas as an editor uses them: what is right passes, and mistakes are seen while they are typed."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tracker.settings.file import BUILT_IN

jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="pip install jsonschema-rs")

CONFIG = Path(__file__).parents[2] / "config"
SHIPPED = sorted(set(CONFIG.rglob("*.yaml")) - {CONFIG / "mix.yaml"})
"""All but the mix of requests that the gate sends: it is no file of settings."""
MISTAKES = runpy.run_path(str(Path(__file__).with_name("test_settings_mistakes.py")))


def schema_of(path: Path) -> Path:
    """The schema that a file's first line names."""
    first = path.read_text("utf-8").partition("\n")[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, f"{path}: the first line names its schema for editors"
    return path.parent / found[1]


def validator(name: str) -> Any:
    """A validator that knows the draft's rules for schemas too."""
    schema = json.loads((CONFIG / name).read_text("utf-8"))
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.validator_for(schema)


TRACKER, ROUTES = validator("tracker.schema.json"), validator("routes.schema.json")


def errors(which: str, text: str) -> list[str]:
    """What the schema has against a file."""
    return [str(error) for error in (TRACKER if which == "tracker" else ROUTES).iter_errors(yaml.safe_load(text))]


def test_there_are_files_to_look_at() -> None:
    """Both built-in files and the presets."""
    assert {"tracker.yaml", "routes.yaml"} < {path.name for path in SHIPPED}
    assert any(path.parent.name == "presets" for path in SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(CONFIG).as_posix())
def test_every_shipped_file_names_its_schema_and_fits_it(path: Path) -> None:
    """An editor finds the schema by the first line, in the checkout and in the installed package."""
    schema = schema_of(path)
    assert schema.resolve().parent == CONFIG
    assert (BUILT_IN / schema.name).read_bytes() == schema.read_bytes()
    assert errors("tracker" if path.name == "tracker.yaml" else "routes", path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("tracker", "workers: ${N}\nstatus_networks: ${S}\npublic_without_keys: ${P}\nenvironment: ${E:-x}\nversion: 1"),
        ("tracker", "clients: {proxy_header: '${H}'}\nlimits: {max_body_bytes: '${B}'}\nsigning_keys: {a: {k: '${K}'}}"),
        ("tracker", "collectors: {a: {type: log, lanes: '${L}', options: {file: x, compress: '${C}'}}, b: {type: mine, options: {x: [1]}}}"),
        ("routes", "routes: {a: {path: /a, reply: pixel, methods: '${M}', ack: '${A}', properties: [x], cookie: {}, flags: [test]}}"),
        ("routes", "include: [presets/dsp.yaml]\nroutes: {a: {path: /a, reply: {fixed: {}}, dimensions: {d: {const: x}, e: query.e}}}"),
        ("routes", "routes: {a: {path: /a, reply: pixel, ack: ~, event: ~, properties: none, privacy: {ip: drop}}}"),
    ],
)  # fmt: skip
def test_what_the_tracker_accepts_the_schema_accepts(which: str, text: str) -> None:
    """Variables where numbers, words and lists stand; every short and long form."""
    assert errors(which, text) == []


@pytest.mark.parametrize("name", MISTAKES["SEEN_WHILE_TYPING"])
def test_a_mistake_is_seen_while_it_is_typed(name: str) -> None:
    """Names, types and values: what needs no look at other settings, the editor underlines already."""
    mistake = MISTAKES["MISTAKES"][name]
    files = dict(MISTAKES["mutated"]())[name]
    assert errors(mistake.file, files[f"{mistake.file}.yaml"])


def test_many_mistakes_are_seen_while_they_are_typed() -> None:
    """The list is no token."""
    assert len(MISTAKES["SEEN_WHILE_TYPING"]) >= 50
