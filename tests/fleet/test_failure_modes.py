#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/failure-modes.md names tests that are there, or says that it is not tested."""

import json
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "failure-modes.md")
FOLDERS = ("integration", "client", "kubernetes", "")


def scenarios():
    folder = os.path.join(ROOT, "tests", "conformance", "scenarios")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield from (scenario["name"] for scenario in json.load(file))


def rows():
    """Title and last cell of each row of the tables that have a column for it."""
    shows = False
    with open(PAGE, encoding="utf-8") as page:
        for line in page:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not line.startswith("|"):
                shows = False
            elif cells[-1] == "shown by":
                shows = True
            elif shows and not set(line) <= set("|- \n"):
                yield cells[0], cells[-1]


def is_there(name, known):
    if name == "restarts":
        return os.path.exists(os.path.join(ROOT, "tests", "fleet", "restarts"))
    if name.endswith((".py", ".c")):
        return any(os.path.exists(os.path.join(ROOT, "tests", folder, name)) for folder in FOLDERS)
    return any(scenario.startswith(name) for scenario in known)


class ThePage(unittest.TestCase):
    def test_each_row_is_shown_by_tests_that_are_there(self):
        known, found = list(scenarios()), list(rows())
        self.assertGreater(len(found), 30)
        for title, shown in found:
            names = re.findall(r"`([^`]+)`", shown)
            self.assertTrue(names or "not tested" in shown or "above" in shown, title)
            for name in names:
                self.assertTrue(is_there(name, known), f"{title}: there is no {name}")


if __name__ == "__main__":
    unittest.main()
