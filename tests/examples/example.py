# SPDX-License-Identifier: Apache-2.0
"""Starts examples, many at once, as the nodes and processes of an installation would."""

import os
import pathlib

from support import BIN, Case, Tool

SOURCE = pathlib.Path(os.environ["SFL_SOURCE_DIR"]).resolve()
EXAMPLES = BIN.parent / "examples"


class ExampleCase(Case):
    example = None  # the path of the program

    def start_example(self, *arguments, **options):
        tool = Tool([str(a) for a in arguments], options.pop("address", self.address),
                    program=self.example, **options)
        self.addCleanup(tool.end)
        return tool

    def run_example(self, *arguments, **options):
        tool = self.start_example(*arguments, **options)
        tool.code = tool.wait()
        return tool

    def finish(self, tools):
        """Waits for all, and returns what they printed; they must have succeeded."""
        for tool in tools:
            self.assertEqual(tool.wait(), 0, tool.errors())
        return [tool.output().decode() for tool in tools]
