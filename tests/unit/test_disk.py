"""Files that are replaced: whole, and read only by whom they are for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker import disk


@pytest.fixture
def umask() -> Iterator[None]:
    """The strictest usual one lets the group read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Also where an older file, or one that a crash left half written, was open to others."""
    path = tmp_path / "secrets"
    for leftover in (path, tmp_path / "secrets.new"):
        leftover.write_text("old")
        leftover.chmod(0o644)
    disk.replace(path, b"new", disk.PRIVATE)
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
def test_other_files_may_be_read_by_the_group(tmp_path: Path) -> None:
    """As far as the umask lets them; never by everybody."""
    disk.replace(tmp_path / "cursor", b"1")
    assert mode(tmp_path / "cursor") == 0o640
    os.umask(0o077)
    disk.replace(tmp_path / "cursor", b"2")
    assert mode(tmp_path / "cursor") == 0o600
