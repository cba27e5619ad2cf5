"""Whatever stands in the files, the environment and the flags: settings, or SettingsError with a place; nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tracker.settings import source, tree
from tracker.settings.load import dump, load, restore, variables
from tracker.settings.model import Routes, Tracker
from tracker.settings.problems import Findings, SettingsError

CONFIG = Path(__file__).parents[2] / "config"
DEFAULTS = {name: (CONFIG / f"{name}.yaml").read_bytes() for name in ("tracker", "routes")}
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

# What YAML and the model are made of, so that random texts come near to files.
WORDS = [
    "a", "b", "é", "routes", "bind", "path", "reply", "pixel", "redirect", "to", "from", "as", "collectors", "type", "version",
    "on", "no", "~", "null", "1", "0123", "1:30", "1.5", ".nan", ".inf", "-", "2024-01-01", "0x1f", "9" * 30, "9" * 5000,
    ":", ": ", "? ", "- ", "[", "]", "{", "}", ",", ", ", "#", " #", "&a ", "*a", "*", "!", "!!str ", "!!python/name:os.system ",
    "<<", "|", ">", "|2-", "'", '"', "\\", '"\\ud800"', '"\\0"', "\\x", "%YAML 1.1", "---", "...", "@", "`", "$", "${A}", "${B:-x}", "${", "$${A}",
    "\n", "\n  ", "\n    ", " ", "\t", "\r", "\r\n", "\x85", "\u2028", "\ufeff", "\0", "\x7f", "\U0001f600", "x" * 2000,
]  # fmt: skip
yamlish = st.lists(st.sampled_from(WORDS), max_size=60).map(lambda words: "".join(words).encode("utf-8"))


@st.composite
def mutated(draw: st.DrawFn, which: str) -> bytes:
    """A built-in file with some pieces cut out, doubled, moved or replaced."""
    raw = DEFAULTS[which]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 30)))
        piece = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from(WORDS).map(str.encode),
                st.sampled_from(raw.split(b"\n")).map(lambda line: b"\n" + line + b"\n"),
                st.just(raw[start:end] * 2),
            )
        )
        raw = raw[:start] + piece + raw[end:]
    return raw


@contextmanager
def file(raw: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(raw)
        yield path


def judged(raw: bytes, which: str, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> None:
    """Loads the bytes as one of the two files and looks at whatever comes out."""
    with file(raw) as path:
        config, routes = (path, None) if which == "tracker" else (None, path)
        environ, flags = environ or {"A": "on", "B": ""}, flags or {}
        try:
            found = load(config, routes, environ, flags, ())
        except SettingsError as error:
            text = str(error)
            assert 1 <= len(error.problems) <= 200
            assert text.endswith("; nothing was started.")
            assert all(character.isprintable() or character == "\n" for character in text)
            text.encode("utf-8")
            lines = raw.count(b"\n") + 1
            for problem in error.problems:
                assert problem.message
                if problem.file == str(path):
                    # Line 0 would mean that the walk took what msgspec refused.
                    assert 1 <= problem.line <= lines
                    assert 1 <= problem.column <= len(problem.excerpt) + 1
        else:
            assert restore(dump(found)) == found
            assert load(config, routes, environ, flags, ()) == found


@pytest.mark.parametrize("which", DEFAULTS)
@QUICK
@given(raw=st.binary(max_size=200))
@example(raw=b"\xff\xfea\0:\0 \0b\0")
@example(raw=b"\xed\xa0\x80: 1")
def test_any_bytes(which: str, raw: bytes) -> None:
    """Settings or SettingsError."""
    judged(raw, which)


@pytest.mark.parametrize("which", DEFAULTS)
@QUICK
@given(raw=yamlish)
@example(raw=b'a: "\\ud800"')
@example(raw=b"a: &a {b: &b [*a, *b]}")
@example(raw=b"? {a: [b]}\n: c")
@example(raw=b"data_dir: 9" + b"9" * 60)
@example(raw=b"collectors: {a: {type: x, options: {1.0e+999: 1, b: 1.0e+999, c: .nan, d: 2024-99-99}}}")
def test_anything_that_looks_like_yaml(which: str, raw: bytes) -> None:
    """Settings or SettingsError."""
    judged(raw, which)


@pytest.mark.parametrize("which", DEFAULTS)
@QUICK
@given(st.data())
def test_any_change_of_a_built_in_file(which: str, data: st.DataObject) -> None:
    """Settings or SettingsError."""
    judged(data.draw(mutated(which)), which)


@QUICK
@given(st.data())
def test_any_change_of_an_included_file(data: st.DataObject) -> None:
    """Settings or SettingsError; each problem in a file that is there, at a line that is there."""
    inner = data.draw(st.one_of(mutated("routes"), yamlish))
    outer = b"include: [a.yaml, presets/pixel.yaml, " + data.draw(st.sampled_from([b"b.yaml", b"./a.yaml", b"x.yaml", b"a"])) + b"]\n"
    with tempfile.TemporaryDirectory() as folder:
        texts = {"x.yaml": outer, "a.yaml": inner, "b.yaml": b"include: [a.yaml]\nroutes: {b: {path: /b, reply: pixel, use: [ad]}}"}
        for name, raw in texts.items():
            (Path(folder) / name).write_bytes(raw)
        try:
            found = load(None, Path(folder) / "x.yaml", {"A": "on"}, {}, ())
        except SettingsError as error:
            assert 1 <= len(error.problems) <= 200
            for problem in error.problems:
                name = Path(problem.file).name
                assert problem.file.startswith("built-in ") or 1 <= problem.line <= texts[name].count(b"\n") + 1
        else:
            assert restore(dump(found)) == found
            assert found.routes.include == ()


def shaped(model: Any) -> st.SearchStrategy[Any]:
    """Data that is nearly the model: its names, with values of every kind."""
    scalars = st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2**65), st.floats(), st.sampled_from([*WORDS, "process", "GET", "good", "/a/{b}", "text", "USD"]),
    )  # fmt: skip
    names: set[str] = set()

    def collect(kind: Any) -> None:
        if isinstance(kind, msgspec.inspect.StructType):
            for field in kind.fields:
                names.add(field.encode_name)
                collect(field.type)
        for inner in (getattr(kind, "types", ()), [getattr(kind, "value_type", None)], [getattr(kind, "item_type", None)]):
            for each in inner:
                if each is not None:
                    collect(each)

    collect(msgspec.inspect.type_info(model))
    keys = st.sampled_from(sorted(names)) | st.sampled_from(["a", "b", "A"])
    return st.dictionaries(
        keys,
        st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=12),
        max_size=6,
    )


@pytest.mark.parametrize(("which", "model"), [("tracker", Tracker), ("routes", Routes)])
@QUICK
@given(st.data())
def test_any_data_of_the_models_names(which: str, model: type[Any], data: st.DataObject) -> None:
    """Written as block, as flow or as JSON: settings or SettingsError."""
    plain = data.draw(shaped(model))
    style = data.draw(st.sampled_from(["block", "flow", "json"]))
    if style == "json":
        text = json.dumps(plain, ensure_ascii=data.draw(st.booleans()))
    else:
        text = yaml.safe_dump(plain, default_flow_style=style == "flow", allow_unicode=True)
    judged(text.encode("utf-8", "replace"), which)


anything = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(WORDS)


@QUICK
@given(
    environ=st.dictionaries(st.sampled_from([*variables(), "TRACKER_X", "TRACKER_", "A"]) | anything, anything, max_size=5),
    flags=st.dictionaries(
        st.sampled_from([".".join(path) for path in variables().values()]) | anything,
        st.one_of(st.none(), anything, st.integers(), st.floats(), st.booleans(), st.lists(anything), st.binary(), st.dictionaries(anything, anything)),
        max_size=5,
    ),
)  # fmt: skip
def test_any_environment_and_flags(environ: dict[str, str], flags: dict[str, object]) -> None:
    """Settings or SettingsError, with text that can be printed."""
    environ = {name: value for name, value in environ.items() if name not in ("TRACKER_CONFIG", "TRACKER_ROUTES")}
    judged(b"version: 1\ndata_dir: ${A:-x}\n", "tracker", environ | {"B": ""}, flags)


@QUICK
@given(name=anything)
def test_any_name_of_a_file(name: str) -> None:
    """A file that cannot be opened is a problem, whatever its name."""
    with tempfile.TemporaryDirectory() as folder, pytest.raises(SettingsError) as caught:
        load(Path(folder) / "no" / name.replace("/", "_"), None, {}, {}, ())
    str(caught.value).encode("utf-8")


texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc", "Cs"]), max_size=12)
options = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


def escaped(value: Any) -> Any:
    """Text that means ``${`` says so; keys are no values, and mean what they are."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value


@QUICK
@given(
    workers=st.integers(0, 2**63 - 1),
    collectors=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True),
        st.fixed_dictionaries({"type": texts, "options": st.dictionaries(texts, options, max_size=4)}),
        max_size=3,
    ),
)
def test_what_is_valid_is_loaded_exactly_and_restored_exactly(workers: int, collectors: dict[str, Any]) -> None:
    """A collector's options, whatever JSON they are, arrive as written and survive dump and restore."""
    plain = {"workers": workers, "collectors": collectors}
    # Written by PyYAML, whose floats YAML 1.1 reads as floats (JSON's 1e300 is text to it).
    text = yaml.safe_dump(escaped(plain), allow_unicode=True)
    with file(text.encode("utf-8")) as path:
        found = load(path, None, {}, {}, ())
    assert found.tracker.workers == workers
    assert {name: each.options for name, each in found.tracker.collectors.items()} == {
        name: each["options"] for name, each in collectors.items()
    }
    assert restore(dump(found)) == found


@QUICK
@given(data=st.data())
def test_both_of_pyyamls_parsers_give_the_same_tree(data: st.DataObject) -> None:
    """Where libyaml is missing, the settings are the same, down to the columns."""
    which = data.draw(st.sampled_from(sorted(DEFAULTS)))
    lines = DEFAULTS[which].split(b"\n")
    cut = data.draw(st.integers(1, len(lines)))
    raw = b"\n".join(lines[:cut])
    assert _tree(raw, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == _tree(raw, yaml.SafeLoader)


def _tree(raw: bytes, loader: Any) -> tuple[tree.Dictionary | None, list[tuple[Any, ...]]]:
    findings = Findings()
    before, source._LOADER = source._LOADER, loader
    try:
        root = source.parse(raw, dict(os.environ), findings).root
    finally:
        source._LOADER = before
    return root, [each.path for each in findings.found]
