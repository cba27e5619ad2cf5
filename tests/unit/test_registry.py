"""The registry: strangers and built-ins by one door, and every mistake in the settings found before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.delivery import registry
from tracker.delivery.collectors.log import LogCollector
from tracker.settings.model import Collector, Routes, Tracker
from tracker.settings.problems import Fault

Install = Callable[..., None]

STRANGER = """
import msgspec

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topic: str
    servers: tuple[str, ...] = ()
    depth: dict[str, list[int]] = {}

    def __post_init__(self):
        if self.topic == "reserved":
            raise ValueError("topic: `reserved` belongs to somebody else")
        if len(self.servers) > 2:
            raise ValueError("two servers at the most")

class Stranger:
    Options = Options
    def __init__(self, options, place):
        if options.topic == "explode":
            raise RuntimeError("bang")
    def open(self): pass
    def deliver(self, batch): return ()
    def close(self): pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package with one module and the entry points of the collectors' group."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install_one(module: str, source: str, *points: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[tracker.collectors]", *points]) + "\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install_one


def faults(**collectors: Collector) -> list[Fault]:
    return list(registry.check(Tracker(collectors=collectors), Routes()))


def log(**options: Any) -> Collector:
    return Collector(type="log", options=options)


def test_the_built_in_collector_comes_in_by_the_door_of_strangers() -> None:
    """It is an entry point of the installed package, and found as one."""
    assert registry.find("log") is LogCollector


def test_good_settings_have_no_faults(tmp_path: Path) -> None:
    """Every option that the log collector has, and none."""
    assert not faults(a=log(), b=log(file="b.ndjson", rotate_bytes=0, rotate_every_s=60, compress="gzip", keep=5, fsync="commit"))
    assert isinstance(registry.build("a", log(file="x"), tmp_path), LogCollector)


def test_an_unknown_type_says_which_one_was_meant() -> None:
    """Or which ones there are."""
    (near, far) = faults(a=Collector(type="logg"), b=Collector(type="teleport"))
    assert near == Fault("tracker", ("collectors", "a", "type"), "unknown collector type `logg`", "did you mean `log`?")
    assert (far.path, far.hint) == (("collectors", "b", "type"), "known: log")


def test_every_wrong_option_is_a_fault_of_its_own() -> None:
    """All at once, each with its path, unknown ones with a suggestion."""
    found = faults(a=log(fille="x", rotate_bytes="1G", keep=-1, compress="lzma", fsync=True))
    assert [(fault.path[2:], fault.message, fault.hint) for fault in found] == [
        (("options", "fille"), "unknown option `fille`", "did you mean `file`?"),
        (("options", "rotate_bytes"), "expected `int`, got `str`", ""),
        (("options", "keep"), "expected `int` >= 0", ""),
        (("options", "compress"), "invalid enum value 'lzma'", ""),
        (("options", "fsync"), "expected `str`, got `bool`", ""),
    ]


def test_what_an_option_itself_refuses_is_a_fault_of_that_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pip line of a missing library stands at the option that needs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (fault,) = faults(a=log(compress="zstd"))
    assert fault.path == ("collectors", "a", "options", "compress")
    assert fault.message == "zstd needs another library: pip install 'tracker[zstd]'"


def test_two_collectors_never_write_to_one_file(tmp_path: Path) -> None:
    """However the file is spelt; and not both to standard output."""
    data = tmp_path / "data"
    tracker = Tracker(
        data_dir=str(data),
        collectors={
            "a": log(),
            "b": log(file="../log/./events.ndjson"),
            "c": log(file=str(data / "log/events.ndjson")),
            "d": log(file="other.ndjson"),
            "e": log(file="-"),
            "f": log(file="-"),
        },
    )
    found = list(registry.check(tracker, Routes()))
    assert [(fault.path, "`a`" in fault.message, "`e`" in fault.message) for fault in found] == [
        (("collectors", "b", "options"), True, False),
        (("collectors", "c", "options"), True, False),
        (("collectors", "f", "options"), False, True),
    ]
    assert not data.exists()


def test_only_configured_types_are_imported(install: Install) -> None:
    """A stranger that explodes at import hurts nobody who does not use it."""
    install("bomb", "raise SystemError('bang')", "bomb = bomb:Bomb")
    assert not faults(a=log())
    assert "bomb" not in sys.modules
    (fault,) = faults(a=Collector(type="bomb"))
    assert fault.path == ("collectors", "a", "type")
    assert "SystemError: bang" in fault.message


def test_a_missing_library_is_answered_with_the_pip_line(install: Install) -> None:
    """The line comes from the extras that the entry point names."""
    install("shop", "import no_such_library_here", "kafka = shop:Kafka [kafka]", "plain = shop:Plain")
    (fault, plain) = faults(a=Collector(type="kafka"), b=Collector(type="plain"))
    assert fault.hint == "pip install 'shop[kafka]'"
    assert "no_such_library_here" in fault.message
    assert plain.hint == ""
    assert "no_such_library_here" in plain.message


def test_what_is_no_collector_is_refused(install: Install) -> None:
    """A class without the three methods or without options; an attribute that is not there."""
    install("odd", "class Odd: pass", "odd = odd:Odd", "gone = odd:Gone")
    odd, gone = faults(a=Collector(type="odd"), b=Collector(type="gone"))
    assert odd.message == "odd:Odd is no collector"
    assert "AttributeError" in gone.message


def test_a_strangers_options_are_checked_as_deep_as_they_go(install: Install) -> None:
    """Missing ones, nested ones with their own path, and what its own check says."""
    install("stranger", STRANGER, "stranger = stranger:Stranger")

    def of(**options: Any) -> list[tuple[Any, str]]:
        return [(fault.path[2:], fault.message) for fault in faults(a=Collector(type="stranger", options=options))]

    assert of(topic="t", servers=["a", "b"], depth={"x": [1]}) == []
    assert of() == [(("options",), "the option `topic` is missing")]
    assert of(topic="t", servers=["a", 2]) == [(("options", "servers", 1), "expected `str`, got `int`")]
    assert of(topic="t", depth={"x": ["y"]}) == [(("options", "depth", 0), "expected `int`, got `str`")]
    assert of(topic="reserved") == [(("options", "topic"), "`reserved` belongs to somebody else")]
    assert of(topic="t", servers=["a", "b", "c"]) == [(("options",), "two servers at the most")]
    assert of(topic="explode") == [((), "the collector cannot be made: RuntimeError: bang")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["file", "rotate_bytes", "rotate_every_s", "compress", "keep", "fsync"]) | st.text(max_size=9), JSON
    )
)
def test_any_options_give_faults_or_a_collector(options: dict[str, Any]) -> None:
    """Nothing raises, every path begins at the collector, and no faults means that it can be built."""
    found = faults(a=Collector(type="log", options=options))
    assert all(fault.path[:3] == ("collectors", "a", "options") for fault in found)
    if not found:
        registry.build("a", Collector(type="log", options=options), Path("unused"))
