# SPDX-License-Identifier: Apache-2.0
"""Leaders that are killed, frozen or cut off; and what the others make of it."""

import os
import signal
import subprocess
import unittest

from support import Case, is_alive, until


class LeaderLoss(Case):
    def two_callers(self, script, *options, follower_options=(), **follower_streams):
        """A leader and a follower with the same command; the command runs."""
        command = ("--", "sh", "-c", f"{self.note()}; {script}")
        leader = self.do(*options, "key", *command)
        self.wait_for_runs(1)
        follower = self.do(*options, *follower_options, "key", *command, **follower_streams)
        self.wait_for_callers(2)
        return leader, follower

    def assert_handed_over(self):
        runs = self.runs()
        self.assertEqual([attempt for _, attempt, _ in runs], [1, 2])
        self.assertGreater(runs[1][2], runs[0][2])

    def test_without_a_lease_the_next_one_takes_over_at_once(self):
        gate = self.gate()
        leader, follower = self.two_callers(f"{gate.shell()}; echo done", "--lease", "0")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assert_ends(follower, 0, b"done\n")
        self.assert_handed_over()

    def test_with_a_lease_the_next_one_takes_over_when_it_has_run_out(self):
        gate = self.gate()
        leader, follower = self.two_callers(f"{gate.shell()}; echo done", "--lease", "1s")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assert_ends(follower, 0, b"done\n")
        self.assert_handed_over()

    def test_the_command_of_a_tool_that_is_killed_ends_as_well(self):
        gate = self.gate()
        leader, follower = self.two_callers(f"{gate.shell()}; true", "--lease", "0")
        leader.process.kill()
        until(lambda: not is_alive(self.runs()[0][0]), "the command has ended")
        gate.open()
        self.assert_ends(follower, 0)

    def test_of_five_exactly_one_takes_over_and_all_end_alike(self):
        gate = self.gate()
        script = f"{self.note()}; echo line 1; echo line 2; {gate.shell()}; echo line 3"
        tools = [self.do("--lease", "0", "--caller", str(n), "key", "--", "sh", "-c", script)
                 for n in range(5)]
        self.wait_for_callers(5)
        for tool in tools:
            self.until_output(tool, b"line 1\nline 2\n")
        leader = int(self.flights()[0]["leader"])
        tools.pop(leader).process.kill()
        self.wait_for_runs(2)
        gate.open()
        for tool in tools:
            self.assert_ends(tool, 0, b"line 1\nline 2\nline 3\n")
        self.assert_handed_over()

    def test_on_leader_loss_fail_ends_the_others_with_75(self):
        gate = self.gate()
        leader, follower = self.two_callers(gate.shell(), "--lease", "0", "--on-leader-loss",
                                            "fail")
        leader.process.kill()
        self.assert_ends(follower, 75)
        self.assertEqual(len(self.runs()), 1)

    # ---- what was printed already

    # Each attempt prints something else.
    SCRIPT = 'echo "attempt $SINGLEFLIGHT_ATTEMPT"; {}; echo end'

    def test_a_file_is_cut_back_to_where_the_tool_began(self):
        gate = self.gate()
        path = self.folder / "file"
        path.write_bytes(b"before\n")
        with open(path, "r+b") as file:
            file.seek(0, os.SEEK_END)
            leader, follower = self.two_callers(self.SCRIPT.format(gate.shell()), "--lease", "0",
                                                stdout=file)
            until(lambda: path.read_bytes() == b"before\nattempt 1\n", "the file is written to")
            leader.process.kill()
            self.wait_for_runs(2)
            until(lambda: path.read_bytes() == b"before\nattempt 2\n", "the file is cut back")
            gate.open()
            self.assert_ends(follower, 0)
        self.assertEqual(path.read_bytes(), b"before\nattempt 2\nend\n")
        self.assertEqual(follower.errors(), "")

    def test_a_file_that_somebody_else_appended_to_is_not_cut_back(self):
        gate = self.gate()
        path = self.folder / "file"
        with open(path, "ab") as file:
            leader, follower = self.two_callers(self.SCRIPT.format(gate.shell()), "--lease", "0",
                                                stdout=file)
            until(lambda: path.exists() and path.read_bytes() == b"attempt 1\n", "it is written")
            file.write(b"mine\n")
            file.flush()
            leader.process.kill()
            self.wait_for_runs(2)
            gate.open()
            self.assert_ends(follower, 0)
        self.assertEqual(path.read_bytes(), b"attempt 1\nmine\nattempt 2\nend\n")
        self.assertIn("the output begins anew", follower.errors())

    def read_from(self, pipe, size):
        got = b""
        while len(got) < size:
            got += os.read(pipe.fileno(), size - len(got))
        return got

    def test_into_a_pipe_the_same_output_goes_on_where_it_was(self):
        gate = self.gate()
        leader, follower = self.two_callers(f"echo same; {gate.shell()}; echo end", "--lease",
                                            "0", stdout=subprocess.PIPE)
        pipe = follower.process.stdout
        self.assertEqual(self.read_from(pipe, 5), b"same\n")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assertEqual(pipe.read(), b"end\n")
        pipe.close()
        self.assert_ends(follower, 0)
        self.assertEqual(follower.errors(), "")

    def test_into_a_pipe_another_output_is_printed_from_its_beginning_with_a_note(self):
        gate = self.gate()
        leader, follower = self.two_callers(self.SCRIPT.format(gate.shell()), "--lease", "0",
                                            stdout=subprocess.PIPE)
        pipe = follower.process.stdout
        self.assertEqual(self.read_from(pipe, 10), b"attempt 1\n")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assertEqual(pipe.read(), b"attempt 2\nend\n")
        pipe.close()
        self.assert_ends(follower, 0)
        self.assertIn("the output begins anew", follower.errors())

    def test_into_a_pipe_an_output_that_became_shorter_is_printed_anew(self):
        gate = self.gate()
        script = f'[ $SINGLEFLIGHT_ATTEMPT = 2 ] || echo long; echo x; {gate.shell()}'
        leader, follower = self.two_callers(script, "--lease", "0", stdout=subprocess.PIPE)
        pipe = follower.process.stdout
        self.assertEqual(self.read_from(pipe, 7), b"long\nx\n")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assertEqual(pipe.read(), b"x\n")
        pipe.close()
        self.assert_ends(follower, 0)

    def test_with_buffer_only_the_attempt_that_counts_is_printed(self):
        gate = self.gate()
        leader, follower = self.two_callers(
            self.SCRIPT.format(gate.shell()), "--lease", "0", follower_options=("--buffer",),
            stdout=subprocess.PIPE)
        self.until_output(leader, b"attempt 1\n")
        leader.process.kill()
        self.wait_for_runs(2)
        gate.open()
        self.assertEqual(follower.process.stdout.read(), b"attempt 2\nend\n")
        follower.process.stdout.close()
        self.assert_ends(follower, 0)


class Frozen(Case):
    """A leader that stands still, and wakes up when another one leads."""

    def freeze(self, script, *options):
        command = ("--", "sh", "-c", f"{self.note()}; {script}")
        leader = self.do("--lease", "1s", *options, "key", *command)
        self.wait_for_runs(1)
        follower = self.do("--lease", "1s", "key", *command)
        self.wait_for_callers(2)
        leader.send(signal.SIGSTOP)
        self.wait_for_runs(2)
        return leader, follower

    def test_its_command_is_ended_and_it_follows_the_new_leader(self):
        gate = self.gate()
        leader, follower = self.freeze(f'echo "by $$"; {gate.shell()}; echo end; exit 3')
        old, new = self.runs()[0][0], self.runs()[1][0]
        self.assertTrue(is_alive(old), "a frozen tool cannot end its command")
        leader.send(signal.SIGCONT)
        until(lambda: not is_alive(old), "the old command has ended")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(follower, 3, f"by {new}\nend\n".encode())
        self.assert_ends(leader, 3, f"by {new}\nend\n".encode())
        self.assertIn("the lead is lost", leader.errors())
        self.assertEqual(len(self.runs()), 2)
        self.assertEqual(self.stats()["executions"], 2)

    def test_when_nobody_leads_any_more_it_exits_with_75(self):
        gates = [self.gate(f"gate{attempt}") for attempt in (1, 2)]
        script = f"read line <{self.folder}/gate$SINGLEFLIGHT_ATTEMPT"
        leader, follower = self.freeze(script)
        gates[1].open()
        self.assert_ends(follower, 0)
        leader.send(signal.SIGCONT)
        self.assert_ends(leader, 75)
        self.assert_command_is_gone()

    def test_a_command_that_has_ended_meanwhile_gives_its_code(self):
        gate = self.gate()
        leader, follower = self.freeze(f"echo said; {gate.shell()}; exit 3")
        gate.open()
        until(lambda: not is_alive(self.runs()[0][0]), "the old command has ended")
        self.assert_ends(follower, 3)
        leader.send(signal.SIGCONT)
        self.assert_ends(leader, 3, b"said\n")
        self.assertIn("could not be handed over", leader.errors())

    def test_a_command_that_ignores_term_is_killed_with_all_it_started(self):
        gate = self.gate()
        inner = self.folder / "inner"
        script = (f"trap '' TERM; sh -c 'echo $$ >>{inner}; {gate.shell()}; true' & "
                  f"{gate.shell()}; wait")
        leader, follower = self.freeze(script, "--kill-after", "200ms")
        until(lambda: len(inner.read_text().split()) == 2, "both inner shells run")
        leader.send(signal.SIGCONT)
        self.wait_for_callers(2)
        # It joins again only after the old command is gone.
        self.assertFalse(is_alive(self.runs()[0][0]))
        self.assertFalse(is_alive(int(inner.read_text().split()[0])))
        gate.open()
        self.assert_ends(follower, 0)
        self.assert_ends(leader, 0)


if __name__ == "__main__":
    unittest.main()
