"""Rules about the files themselves: what stands in the repository, under which name, and how long it may be."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "tracker").rglob("*.py"))
SOURCES = [path for path in MODULES if "config" not in path.parts]

MAY_PRINT = re.compile(r"tracker/cli(_\w+)?\.py")
HIT_PATH_LINES = 260


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


BUILT = {"build", "dist", "var", "_build", "generated", "__pycache__", "tracker.egg-info"}


def committed() -> list[Path]:
    """The repository's own files; without git (an archive, another owner's checkout), whatever is not built."""
    git = shutil.which("git")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False) if git else None
    if listed is not None and listed.returncode == 0:
        found = [ROOT / line for line in listed.stdout.decode().split("\0") if line]
    else:
        found = [path for path in ROOT.rglob("*") if not any(map(is_built, path.relative_to(ROOT).parts))]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def is_built(part: str) -> bool:
    return part in BUILT or (part.startswith(".") and part not in (".ci", ".dockerignore", ".gitignore"))


def test_there_is_something_to_look_at() -> None:
    """The rules below read the tree as it is, not an empty list."""
    assert ROOT / "tracker" / "event.py" in SOURCES
    assert ROOT / "README.md" in committed()


def test_no_module_bears_the_name_of_a_standard_module() -> None:
    """`import x` means one thing to a reader."""
    assert [name(path) for path in SOURCES if path.stem in sys.stdlib_module_names] == []


def test_nothing_is_called_after_nothing() -> None:
    """Manager, helper, util, handler and data name no thing."""
    empty = re.compile(r"(manager|helper|util|handler)s?\b|\bdata\.py$", re.IGNORECASE)
    assert [name(path) for path in SOURCES if empty.search(path.name)] == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_the_commands_print(path: Path) -> None:
    """Library code returns, raises or logs."""
    calls = [
        f"{name(path)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == [] or MAY_PRINT.fullmatch(name(path))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stat().st_size], ids=name)
def test_a_module_opens_with_its_promise(path: Path) -> None:
    """The first thing in a module is its docstring."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", sorted((ROOT / "tracker" / "capture").glob("*.py")), ids=name)
def test_a_file_of_the_hit_path_is_read_in_one_sitting(path: Path) -> None:
    """About 250 lines."""
    assert len(path.read_text("utf-8").splitlines()) <= HIT_PATH_LINES


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    """No home folder, no scratch folder of the one who wrote it."""
    # In pieces, so that this file does not find itself.
    homes = "|".join(("/ho" + "me/[a-z]", "/ro" + "ot/", "/Us" + "ers/[a-z]", "/wo" + "rk/", r"[A-Z]:\\Us" + "ers"))
    pattern = re.compile(rf"(?<![\w.$)}}/-])(?:{homes})".encode())
    found = []
    for path in committed():
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name(path)}:{number}: {line[:120]!r}")
    assert found == []


def test_the_commands_of_a_shell_script_stop_at_the_first_error_or_say_why_not() -> None:
    """Each CI script sets its shell's strictness itself, or is a single exec."""
    for path in [ROOT / ".ci" / "run", *sorted((ROOT / "ci").iterdir())]:
        if path.suffix or not path.is_file():
            continue
        text = path.read_text("utf-8")
        assert text.startswith("#!/usr/bin/env bash\n"), name(path)
        assert re.search(r"^(set -e?u|exec )", text, re.MULTILINE), name(path)
