"""What is not Python must travel in the wheel too; the checkout would hide that it does not."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tracker"


def declared() -> set[Path]:
    """The files that setup.cfg's package_data takes."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    patterns = setup["options.package_data"]["tracker"].split()
    return {path for pattern in patterns for path in PACKAGE.glob(pattern)}


def test_every_file_that_is_no_module_is_declared() -> None:
    """Data beside the modules, and every file of config/."""
    beside = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    config = {PACKAGE / "config" / path.relative_to(ROOT / "config") for path in files_of(ROOT / "config")}
    assert config
    assert beside | config == declared()


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_packages_config_is_the_repositorys_config() -> None:
    """One set of files: what one edits in config/ is what the wheel gets."""
    assert (PACKAGE / "config").resolve() == ROOT / "config"


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without __init__.py would be left out of the wheel."""
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "config" not in path.parts}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
