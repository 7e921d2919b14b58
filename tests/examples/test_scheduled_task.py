# SPDX-License-Identifier: Apache-2.0
import os
import unittest

from example import SOURCE, ExampleCase
from support import BIN, until


class ScheduledTask(ExampleCase):
    example = SOURCE / "examples" / "scheduled_task"

    def node(self, script, every="1h"):
        """What cron starts on one node."""
        return self.start_example("nightly", "sh", "-c", script,
                                  extra={"EVERY": every, "PATH": f"{BIN}:{os.environ['PATH']}"})

    def test_nodes_whose_clocks_differ_run_it_once(self):
        gate = self.gate()
        script = f"{self.note()}; echo report; {gate.shell()}; echo end"
        # Three clocks agree; two more nodes are late, when the task is over.
        on_time = [self.node(script) for _ in range(3)]
        self.wait_for_callers(3)
        gate.open()
        answers = self.finish(on_time)
        answers += self.finish([self.node(script)])
        answers += self.finish([self.node(script)])
        self.assertEqual(sorted(answers), [""] * 4 + ["report\nend\n"])
        self.assertEqual(len(self.runs()), 1)

    def test_the_next_time_it_runs_again(self):
        self.finish([self.node(self.note())])
        # The time is over, or: it is forgotten.
        self.assertEqual(self.run_tool("forget", "nightly").code, 0)
        self.finish([self.node(self.note())])
        self.assertEqual(len(self.runs()), 2)

    def test_when_the_time_is_over_it_runs_again(self):
        self.finish([self.node(self.note(), every="100ms")])
        until(lambda: not self.flights(), "nothing is retained")
        self.finish([self.node(self.note(), every="100ms")])
        self.assertEqual(len(self.runs()), 2)

    def test_a_task_that_fails_is_not_repeated_by_a_late_node(self):
        for _ in range(2):
            self.assertEqual(self.node(f"{self.note()}; exit 3").wait(), 3)
        self.assertEqual(len(self.runs()), 1)


if __name__ == "__main__":
    unittest.main()
