# SPDX-License-Identifier: Apache-2.0
"""Recipes as the page has them, and programs that they call."""

import os
import pathlib
import re

from support import BIN

SOURCE = pathlib.Path(os.environ["SFL_SOURCE_DIR"]).resolve()
PAGE = SOURCE / "docs" / "scheduling.md"


def take(name):
    """The block of code that follows `<!-- recipe: NAME -->` in the page."""
    match = re.search(rf"<!-- recipe: {name} -->\n+```\w*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    if match is None:
        raise AssertionError(f"{PAGE.name} has no recipe {name}")
    return match[1]


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def make_bin(folder, **programs):
    """A folder for PATH with the tool and the given shell scripts (make_report for make-report)."""
    folder.mkdir()
    (folder / "singleflight").symlink_to(BIN / "singleflight")
    for name, text in programs.items():
        write_program(folder / name.replace("_", "-"), f"#!/bin/sh\n{text}\n")
    return folder
