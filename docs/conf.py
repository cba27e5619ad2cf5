"""Sphinx, MyST, Furo. Built offline, with warnings as errors: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import tracker

generate.write()

project = "tracker"
author = "the tracker's contributors"
version = release = tracker.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"tracker {release}"
html_copy_source = False
html_show_copyright = False
