"""The Makefile and CI: every target is explained, every job is run, and the README's test command comes first."""

from __future__ import annotations

import configparser
import re
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pytest import MonkeyPatch as Monkey

from tracker import interpreter

ROOT = Path(__file__).parents[2]


def targets() -> list[str]:
    """The phony targets of the Makefile."""
    line = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert line
    return line[1].split()


def test_make_alone_lists_every_target() -> None:
    """What `make` prints is what there is."""
    shown = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, timeout=30, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+)  +\S", shown, re.MULTILINE) == targets()


def test_every_job_has_its_script_and_every_script_its_job() -> None:
    """Nothing in ci/ is forgotten by .ci/run; `test` is the README's own command."""
    line = re.search(r"^JOBS=\((.*)\)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert line
    jobs = set(line[1].split())
    scripts = {path.name for path in (ROOT / "ci").iterdir() if not path.suffix and path.is_file()}
    assert jobs - {"test"} == scripts
    assert "test" in jobs
    assert "make test" in (ROOT / "README.md").read_text("utf-8")


def test_a_failed_job_fails_the_whole_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    """The table names both, and the exit status is not 0."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "ci").mkdir()
    (tmp_path / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    (tmp_path / "ci" / "bad").write_text("echo '=== 1 failed, 2 passed in 3.00s ==='; exit 3\n")
    (tmp_path / "ci" / "good").write_text("read -r line && exit 1; echo reached\n")
    run = subprocess.run(
        ["bash", tmp_path / ".ci" / "run", "bad", "good"], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1, run.stdout + run.stderr
    summary = run.stdout.partition("==== summary")[2]
    assert re.search(r"bad +FAILED \(3\)", summary)
    assert "=== 1 failed, 2 passed in 3.00s ===" in summary
    assert re.search(r"good +passed", summary)
    assert "1 of 2 jobs passed" in summary
    assert "reached" in run.stdout


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 15, 0)], ids=str)
def test_a_python_that_will_not_do_is_refused_in_a_sentence(version: tuple[int, int, int], monkeypatch: Monkey) -> None:
    """Too old and too new alike; this one is accepted."""
    refusal = runpy.run_path(str(ROOT / "ci" / "python_check.py"))["refusal"]
    assert refusal() == ""
    monkeypatch.setattr(sys, "version_info", version)
    assert re.fullmatch(rf"The tracker runs on Python 3\.11 to 3\.14; \S+ is {version[0]}\.{version[1]}\.", refusal())


def test_a_free_threaded_python_is_refused_with_the_reason(monkeypatch: Monkey) -> None:
    """The sentence says what the tracker counts on."""
    refusal = runpy.run_path(str(ROOT / "ci" / "python_check.py"))["refusal"]
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert "counts on the GIL" in refusal()


def test_a_python_without_venv_is_refused_with_the_repair(monkeypatch: Monkey) -> None:
    """Debian's python3 without python3-venv: the apt line names this very version."""
    refusal = runpy.run_path(str(ROOT / "ci" / "python_check.py"))["refusal"]
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert refusal().endswith("apt-get install python{}.{}-venv".format(*sys.version_info))


def test_all_who_speak_of_python_versions_say_the_same() -> None:
    """The package's metadata, the refusal before the set-up, and the refusal of the installed tracker."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    oldest, newest = interpreter.OLDEST, interpreter.NEWEST
    assert setup["options"]["python_requires"] == ">={}.{},<{}.{}".format(*oldest, newest[0], newest[1] + 1)
    named = re.findall(r"Python :: (\d+)\.(\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert [(int(major), int(minor)) for major, minor in named] == [(3, n) for n in range(oldest[1], newest[1] + 1)]
    before = (ROOT / "ci" / "python_check.py").read_text("utf-8")
    assert f"{oldest} <= sys.version_info[:2] <= {newest}" in before
    versions = re.search(r"^for version in (.*); do$", (ROOT / "ci" / "pythons").read_text("utf-8"), re.MULTILINE)
    assert versions
    assert versions[1].split() == [f"3.{n}" for n in range(oldest[1], newest[1] + 1)]
