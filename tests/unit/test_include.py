"""Tables in several files: one table in the end, and each mistake told in the file where it stands."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from tracker.capture import routing
from tracker.settings.load import dump, examine, load, restore
from tracker.settings.model import Routes, Settings
from tracker.settings.problems import Fault, SettingsError


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


class Tables:
    """A folder with routing tables; ``routes.yaml`` is the one that is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **files: str) -> Tables:
        """``sub__a="..."`` becomes ``sub/a.yaml``."""
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        return self

    def load(self, environ: dict[str, str] | None = None) -> Settings:
        return load(None, self.folder / "routes.yaml", environ or {}, {}, (routing.check,))

    def table(self, environ: dict[str, str] | None = None) -> Routes:
        return self.load(environ).routes

    def problems(self) -> list[str]:
        """``file:line:column: path: message`` of each."""
        with pytest.raises(SettingsError) as caught:
            self.load()
        return [str(each).partition("\n")[0].replace(f"{self.folder}/", "") for each in caught.value.problems]


ROUTE = "{{path: /{0}, reply: pixel}}".format


def test_an_included_table_is_part_of_the_table(tables: Tables) -> None:
    """Its routes, and its field sets for everybody; what includes it names no file in the end."""
    tables.write(
        routes="include: [a.yaml, sub/b.yaml]\nroutes: {own: {path: /own, reply: pixel, use: [from_a, from_b]}}",
        a="field_sets: {from_a: {dimensions: {x: query.x}}}\nroutes: {a: {path: /a, reply: pixel, use: [from_b]}}",
        sub__b="field_sets: {from_b: {dimensions: {y: query.y}}}",
    )
    table = tables.table()
    assert set(table.routes) == {"own", "a"}
    assert set(table.field_sets) == {"from_a", "from_b"}
    assert table.include == ()


def test_a_tables_defaults_hold_for_its_own_routes(tables: Tables) -> None:
    """Neither up nor down: each route comes filled with its own file's."""
    tables.write(
        routes="include: [a.yaml]\ndefaults: {ack: power, methods: [POST]}\nroutes: {own: {path: /own, reply: json}}",
        a="include: [b.yaml]\ndefaults: {priority: high, access: open}\nroutes: {a: {path: /a, reply: json}}",
        b="routes: {b: {path: /b, reply: json}}",
    )
    table = tables.table()
    told = {name: (each.methods, each.ack, each.priority, each.access) for name, each in table.routes.items()}
    assert told == {
        "own": (("POST",), "power", "normal", "key"),
        "a": (("GET", "HEAD"), "process", "high", "open"),
        "b": (("GET", "HEAD"), "process", "normal", "key"),
    }
    assert table.defaults.ack == "power"


def test_a_path_is_relative_to_the_file_it_stands_in(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to where the tracker was started; an absolute one is what it says, a link leads where it leads."""
    elsewhere = tables.folder / "elsewhere"
    tables.write(
        routes=f"include: [sub/a.yaml, {tables.folder}/abs.yaml, link.yaml]",
        sub__a="include: [b.yaml, ../c.yaml]", sub__b=f"routes: {{b: {ROUTE('b')}}}", c=f"routes: {{c: {ROUTE('c')}}}",
        abs=f"routes: {{abs: {ROUTE('abs')}}}", far__away=f"routes: {{away: {ROUTE('away')}}}",
    )  # fmt: skip
    (tables.folder / "link.yaml").symlink_to("far/away.yaml")
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert set(tables.table().routes) == {"b", "c", "abs", "away"}


def test_a_preset_is_found_where_no_file_of_that_name_is(tables: Tables) -> None:
    """`presets/x.yaml` is the built-in one, from any depth; a file of one's own in such a folder is taken first."""
    tables.write(routes="include: [presets/pixel.yaml]\n")
    built_in = tables.table()
    assert built_in.routes
    tables.write(routes="include: [sub/a.yaml]\n", sub__a="include: [presets/pixel.yaml]\n")
    assert tables.table().routes == built_in.routes
    (tables.folder / "presets").mkdir()
    tables.write(routes="include: [presets/pixel.yaml]\n", presets__pixel=f"routes: {{mine: {ROUTE('mine')}}}")
    assert set(tables.table().routes) == {"mine"}


def test_a_mistake_in_a_preset_names_it_as_built_in(tables: Tables) -> None:
    """A name that a preset has taken: both places."""
    name = next(iter(tables.write(routes="include: [presets/pixel.yaml]").table().routes))
    tables.write(routes=f"include: [presets/pixel.yaml]\nroutes:\n  {name}: {ROUTE('x')}")
    (told,) = tables.problems()
    assert told == f"routes.yaml:3:3: routes.{name}: `{name}` a second time"
    with pytest.raises(SettingsError, match=r"the first is in built-in presets/pixel.yaml:\d+: names must differ"):
        tables.load()


def test_all_problems_of_all_files_are_told_at_once(tables: Tables) -> None:
    """In the files' order, each with file, line and column; names that clash too, and what cannot be read."""
    tables.write(
        routes="include: [a.yaml, gone.yaml, b.yaml]\nroutes:\n  x: {path: /x}\n  y: {path: /y, reply: pixel}\n",
        a="include: [routes.yaml]\nroutes:\n  y: {path: /z, reply: pixl}\n",
        b="field_sets: []\n",
    )
    assert tables.problems() == [
        "routes.yaml:1:19: include[1]: `gone.yaml`: no such file",
        "routes.yaml:3:3: routes.x: no `reply`",
        "routes.yaml:4:3: routes.y: `y` a second time",
        "a.yaml:1:11: include[0]: includes itself: routes.yaml > a.yaml > routes.yaml",
        "a.yaml:3:24: routes.y.reply: expected `json`, `no_content`, `pixel` or a mapping, got text `pixl`",
        "b.yaml:1:13: field_sets: expected a mapping, got a list",
    ]


def test_the_fault_of_a_check_is_told_in_the_file_that_has_it(tables: Tables) -> None:
    """By the route's or the field set's name; a setting that comes from `defaults` is told there, once."""
    tables.write(
        routes="include: [a.yaml]\nfield_sets:\n  own: {}\nroutes:\n  mine: {path: /mine, reply: pixel}\n",
        a="defaults: {ack: power}\nfield_sets:\n  theirs: {}\nroutes:\n  one: {path: /one, reply: pixel}\n  two: {path: /two, reply: pixel}\n",
    )
    faults = [
        (("routes", "mine", "path"), "routes.yaml:5:16"),
        (("routes", "one", "path"), "a.yaml:5:15"),
        (("routes", "one", "event"), "a.yaml:5:3"),
        (("field_sets", "own"), "routes.yaml:3:3"),
        (("field_sets", "theirs", "metrics"), "a.yaml:3:3"),
        (("routes", "one", "ack"), "a.yaml:1:17"),
        (("routes", "mine", "ack"), "routes.yaml:5:3"),
        (("routes", "nobody"), "routes.yaml:4:1"),
        (("routes",), "routes.yaml:4:1"),
    ]
    for path, place in faults:
        found = examine(None, tables.folder / "routes.yaml", {}, {}, [lambda *_, p=path: [Fault("routes", p, "no")]])
        (problem,) = found.problems
        assert f"{problem.file}:{problem.line}:{problem.column}" == f"{tables.folder}/{place}", path
    both = [Fault("routes", ("routes", name, "ack"), "no") for name in ("one", "two")]
    assert len(examine(None, tables.folder / "routes.yaml", {}, {}, [lambda *_: both]).problems) == 1


def test_each_file_counts_once_however_it_is_reached(tables: Tables) -> None:
    """Two tables may share a third; written twice in one list it is a mistake."""
    tables.write(
        routes="include: [a.yaml, b.yaml]", a=f"include: [c.yaml]\nroutes: {{a: {ROUTE('a')}}}",
        b=f"include: [sub/../c.yaml]\nroutes: {{b: {ROUTE('b')}}}", c=f"routes: {{c: {ROUTE('c')}}}", sub__x="version: 1",
    )  # fmt: skip
    assert set(tables.table().routes) == {"a", "b", "c"}
    tables.write(routes="include: [c.yaml, ./c.yaml]")
    assert tables.problems() == ["routes.yaml:1:19: include[1]: `./c.yaml` a second time"]


def test_variables_are_put_into_included_files(tables: Tables) -> None:
    """In their values and in the list of files itself."""
    tables.write(
        routes="include: ${TABLES}", a="routes: {a: {path: '/${WHERE}', reply: pixel}}", b=f"routes: {{b: {ROUTE('b')}}}"
    )
    found = tables.table({"TABLES": "a.yaml, b.yaml", "WHERE": "x"})
    assert {name: each.path for name, each in found.routes.items()} == {"a": "/x", "b": "/b"}


def test_a_dump_holds_the_whole_table(tables: Tables) -> None:
    """Child processes need no file; and how a table is cut into files does not change its version."""
    tables.write(routes=f"include: [a.yaml]\nroutes: {{b: {ROUTE('b')}}}", a=f"routes: {{a: {ROUTE('a')}}}")
    settings = tables.load()
    raw = dump(settings)
    (tables.folder / "a.yaml").unlink()
    assert restore(raw) == settings
    tables.write(routes=f"routes: {{a: {ROUTE('a')}, b: {ROUTE('b')}}}")
    assert tables.load().version == settings.version
    tables.write(routes=f"routes: {{a: {ROUTE('a')}, b: {ROUTE('c')}}}")
    assert tables.load().version != settings.version


def test_a_table_that_cannot_be_read_is_told(tables: Tables) -> None:
    """At the line that includes it, with the system's reason: here a link that leads to itself."""
    tables.write(routes="include: [a.yaml]")
    (tables.folder / "a.yaml").symlink_to("a.yaml")
    assert tables.problems() == [
        "routes.yaml:1:11: include[0]: `a.yaml`: cannot be read: Too many levels of symbolic links"
    ]


@pytest.mark.parametrize(
    ("included", "message"),
    [("sub", "a folder, not a file"), ("''", "a folder, not a file"), ("x" * 300, "cannot be read"), ("a.yaml/b", "cannot be read"),
     ('"a\\0b"', "holds a control character"), ("5", "expected text"), ("presets/../../README.md", "no such file")],
)  # fmt: skip
def test_what_cannot_be_included_is_told_at_its_place(tables: Tables, included: str, message: str) -> None:
    """One problem, no traceback."""
    tables.write(routes=f"include:\n- {included}\n", a="version: 1", sub__x="version: 1")
    (told,) = tables.problems()
    assert told.startswith("routes.yaml:2:3: include[0]: ")
    assert message in told


def test_a_table_of_tables_is_bounded(tables: Tables) -> None:
    """64 files, 2 MiB and 200,000 values in all: no folder full of files makes the check long or large."""
    chain = {f"i{n}": f"include: [i{n + 1}.yaml]\nroutes: {{r{n}: {ROUTE(n)}}}" for n in range(100)}
    tables.write(routes="include: [i0.yaml]", **chain)
    assert tables.problems() == ["i62.yaml:1:11: include[0]: more than 64 files in one table"]
    tables.write(routes="include: [i37.yaml]", i99="version: 1")
    assert len(tables.table().routes) == 62
    many = "include: [" + ",".join(f"i{n}.yaml" for n in range(60)) + "]"
    tables.write(routes=many, **{f"i{n}": "#" * 40_000 + f"\nroutes: {{r{n}: {ROUTE(n)}}}" for n in range(60)})
    assert tables.problems()[0].endswith("include[52]: more than 2097152 bytes in all files of the table")
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    tables.write(**{f"i{n}": "field_sets: [" + "x," * 15_000 + "]" for n in range(60)})
    told = tables.problems()
    assert time.process_time() - began < 3
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) < 128 * 1024
    assert any("more than 200000 keys and values in all files of the table" in each for each in told)
    assert len(told) <= 200
