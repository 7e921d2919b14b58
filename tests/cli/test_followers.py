# SPDX-License-Identifier: Apache-2.0
"""What those who do not run the command print, and how long they wait."""

import os
import pathlib
import pty
import subprocess
import time
import unittest

from support import BIN, Case, free_port, until


class Printed(Case):
    """The same line on five nodes is to make one mail."""

    def lead_and_follow(self, *options, end="exit 7"):
        gate = self.gate()
        script = f"{self.note()}; echo out; echo err >&2; {gate.shell()}; {end}"
        leader = self.do(*options, "--caller", "node-1", "key", "--", "sh", "-c", script)
        self.wait_for_runs(1)
        follower = self.do(*options, "--caller", "node-2", "key", "--", "sh", "-c", script)
        self.wait_for_callers(2)
        gate.open()
        self.assertEqual(leader.wait(), follower.wait())
        self.assertEqual(len(self.runs()), 1)
        return leader, follower

    def test_a_follower_of_a_failed_command_hears_where_and_what_it_said(self):
        leader, follower = self.lead_and_follow()
        self.assertEqual(leader.errors(), "err\n")
        self.assertEqual(follower.output(), b"out\n")
        self.assertEqual(follower.errors(),
                         "singleflight: the command exited with code 7 on node-1\n"
                         "singleflight: | err\n")

    def test_so_does_whoever_gets_the_retained_failure(self):
        self.lead_and_follow("--retain-error", "1m")
        late = self.run_do("key", "--", "true")
        self.assertEqual(late.code, 7)
        self.assertIn("exited with code 7 on node-1", late.errors())
        self.assertIn("| err", late.errors())

    def test_of_a_command_that_succeeds_nothing_is_said(self):
        _, follower = self.lead_and_follow(end="exit 0")
        self.assertEqual(follower.errors(), "")

    def test_only_the_last_lines_are_shared_and_nothing_of_them_reaches_a_terminal_raw(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c",
                         f"{self.note()}; seq 10000 >&2; printf '\\033[31mred\\n' >&2; {gate.shell()}; exit 1")
        self.wait_for_runs(1)
        follower = self.do("key", "--", "true")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(leader, 1)
        self.assert_ends(follower, 1)
        lines = follower.errors().splitlines()
        self.assertEqual(lines[-1], "singleflight: | \\x1b[31mred")
        self.assertEqual(lines[-2], "singleflight: | 10000")
        self.assertRegex(lines[1], r"^singleflight: \| \d+$")
        self.assertLess(len(lines), 1_000)
        self.assertEqual(leader.errors().splitlines()[:10000], [str(n) for n in range(1, 10001)])

    def test_errors_own_shares_nothing(self):
        leader, follower = self.lead_and_follow("--errors", "own")
        self.assertEqual(leader.errors(), "err\n")
        self.assertNotIn("| err", follower.errors())

    def test_with_output_leader_a_follower_prints_nothing(self):
        for options in ([], ["--buffer"]):
            with self.subTest(options=options):
                leader, follower = self.lead_and_follow("--output", "leader", *options)
                self.assertEqual(leader.output(), b"out\n")
                self.assertEqual(follower.output(), b"")
                self.assertEqual(follower.errors(), "")
                (self.folder / "runs").unlink()
                os.unlink(self.folder / "gate")

    def test_a_terminal_is_left_to_the_command(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        tool = self.do("key", "--", "sh", "-c", "test -t 2 && echo a terminal")
        self.assert_ends(tool, 1, b"")  # a file is none
        done = subprocess.run(
            [BIN / "singleflight", "do", "other", "--", "sh", "-c", "test -t 2 && echo a terminal"],
            env={**os.environ, "SINGLEFLIGHT_ADDRESS": self.address}, stderr=theirs,
            stdout=subprocess.PIPE, timeout=60, check=False)
        os.close(theirs)
        self.assertEqual((done.returncode, done.stdout), (0, b"a terminal\n"))


class Retained(Case):
    def test_once_prints_nothing_of_a_retained_outcome(self):
        first = self.run_do("--retain", "1m", "--once", "key", "--", "echo", "said")
        self.assertEqual(first.output(), b"said\n")
        for options in ([], ["--buffer"]):
            again = self.run_do("--once", *options, "key", "--", "echo", "again")
            self.assertEqual((again.code, again.output(), again.errors()), (0, b"", ""))

    def test_retained_code_tells_that_nothing_was_run(self):
        self.run_do("--retain", "1m", "key", "--", "echo", "said")
        again = self.run_do("--retained-code", "42", "key", "--", "echo", "again")
        self.assertEqual((again.code, again.output()), (42, b"said\n"))
        other = self.run_do("--retained-code", "42", "other", "--", "true")
        self.assertEqual(other.code, 0)

    def test_the_bounds_of_retained_code_are_told(self):
        tool = self.run_do("--retained-code", "256", "key", "--", "true")
        self.assertEqual(tool.code, 64)
        self.assertIn("--retained-code is too large", tool.errors())


class Wait(Case):
    def test_a_follower_waits_so_long_and_no_longer(self):
        gate = self.gate()
        leader = self.do("--wait", "100ms", "--caller", "node-1", "key", "--", "sh", "-c",
                         f"{self.note()}; {gate.shell()}; exit 3")
        self.wait_for_runs(1)
        follower = self.run_do("--wait", "200ms", "key", "--", "true")
        self.assertEqual(follower.code, 75)
        self.assertIn("node-1 still runs it", follower.errors())
        gate.open()
        self.assert_ends(leader, 3)  # its own run is never touched

    def test_one_that_gets_the_lead_while_it_waits_runs_to_the_end(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", f"{self.note()}; {gate.shell()}")
        self.wait_for_runs(1)
        follower = self.do("--wait", "1s", "key", "--", "sh", "-c", f"{self.note()}; sleep 1.5; exit 3")
        self.wait_for_callers(2)
        leader.send(15)
        self.assert_ends(leader, 143)
        self.assert_ends(follower, 3)


    def test_it_is_no_reason_when_there_is_no_server(self):
        tool = self.run_do("--wait", "100ms", "--connect-timeout", "1s", "key", "--", "true",
                           address=f"127.0.0.1:{free_port()}")
        self.assertEqual(tool.code, 69, tool.errors())


class Jitter(Case):
    def test_it_begins_at_random_within_the_time(self):
        begun = time.monotonic()
        tools = [self.do("--jitter", "2s", f"key{n}", "--", "sh", "-c", "date +%s.%N") for n in range(6)]
        for tool in tools:
            self.assertEqual(tool.wait(), 0, tool.errors())
        self.assertLess(time.monotonic() - begun, 60)
        starts = sorted(float(tool.output()) for tool in tools)
        self.assertGreater(starts[-1] - starts[0], 0.1)

    def test_a_timeout_counts_from_its_end(self):
        tool = self.run_do("--jitter", "1500ms", "--timeout", "30s", "key", "--", "true")
        self.assertEqual(tool.code, 0, tool.errors())

    def test_a_signal_ends_it(self):
        tool = self.do("--jitter", "1h", "key", "--", "true")
        # poll: until the tool listens to signals; before, the signal ends it all the same
        status = pathlib.Path(f"/proc/{tool.process.pid}/status")
        until(lambda: "SigCgt:\t0000000000000000" not in status.read_text(), "it listens to signals")
        tool.send(15)
        self.assertIn(tool.wait(), (143, -15))


class Environment(Case):
    def test_the_command_finds_its_group(self):
        tool = self.run_do("--group", "nightly", "key", "--", "sh", "-c", "echo $SINGLEFLIGHT_GROUP")
        self.assertEqual(tool.output(), b"nightly\n")
        tool = self.run_do("key", "--", "sh", "-c", "echo $SINGLEFLIGHT_GROUP")
        self.assertEqual(tool.output(), b"default\n")


if __name__ == "__main__":
    unittest.main()
