"""The Makefile and CI: every target is explained, every job is run, and the README's test command comes first."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

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
