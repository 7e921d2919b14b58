# SPDX-License-Identifier: Apache-2.0
"""Signals go to the command; whoever runs none just leaves."""

import os
import signal
import threading
import unittest

from support import Case, is_alive, until


class Signals(Case):
    def lead(self, script, *options):
        """A leader whose command has noted that it runs, and printed "ready"."""
        before = len(self.runs())
        tool = self.do(*options, "key", "--", "sh", "-c", f"{self.note()}; {script}")
        self.wait_for_runs(before + 1)
        return tool

    def follow(self, *command):
        callers = self.stats()["callers_now"]
        tool = self.do("key", "--", *(command or ("false",)))
        self.wait_for_callers(callers + 1)
        return tool

    def test_a_command_that_handles_the_signal_decides_how_all_end(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            with self.subTest(number=number):
                gate = self.gate(f"gate{number}")
                script = f"trap 'echo handled; exit 7' {int(number)}; echo ready; {gate.shell()}"
                leader = self.lead(script)
                self.until_output(leader, b"ready\n")
                follower = self.follow()
                leader.send(number)
                self.assert_ends(leader, 7, b"ready\nhandled\n")
                self.assert_ends(follower, 7, b"ready\nhandled\n")

    def test_a_leader_that_is_killed_by_term_hands_over(self):
        gate = self.gate()
        leader = self.lead(gate.shell())
        follower = self.follow("sh", "-c", f"{self.note()}; echo second")
        leader.send(signal.SIGTERM)
        self.assert_ends(leader, 128 + signal.SIGTERM)
        self.assert_ends(follower, 0, b"second\n")
        (_, first, token), (_, second, newer) = self.runs()
        self.assertEqual((first, second), (1, 2))
        self.assertGreater(newer, token)

    def test_a_command_that_dies_of_its_own_signal_is_an_outcome_for_all(self):
        gate = self.gate()
        leader = self.lead(f"{gate.shell()}; kill -9 $$")
        follower = self.follow()
        gate.open()
        self.assert_ends(leader, 128 + signal.SIGKILL)
        self.assert_ends(follower, 128 + signal.SIGKILL)
        self.assertIn("ended by signal 9", follower.errors())
        self.assertEqual(len(self.runs()), 1)

    def test_a_follower_leaves_and_the_leader_goes_on(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number=number):
                gate = self.gate(f"gate{number}")
                leader = self.lead(f"{gate.shell()}; echo done")
                follower = self.follow()
                follower.send(number)
                self.assert_ends(follower, 128 + number, b"")
                gate.open()
                self.assert_ends(leader, 0, b"done\n")

    def test_the_signal_reaches_all_that_the_command_has_started(self):
        gate = self.gate()
        pid = self.folder / "pid"
        # The inner shell is no child of the tool.
        script = f"sh -c 'echo $$ >{pid}; {gate.shell()}; true' | cat"
        leader = self.lead(script)
        until(lambda: pid.exists() and pid.read_text(), "the inner shell runs")
        leader.send(signal.SIGTERM)
        self.assert_ends(leader, 128 + signal.SIGTERM)
        until(lambda: not is_alive(int(pid.read_text())), "the inner shell has ended")

    def test_a_signal_before_anybody_answers_ends_the_tool(self):
        self.daemon.process.send_signal(signal.SIGSTOP)
        tool = self.do("key", "--", "true")
        # It has its signal handlers when it is connected.
        until(lambda: self.has_socket(tool), "the tool connects")
        tool.send(signal.SIGINT)
        self.assert_ends(tool, 128 + signal.SIGINT)

    @staticmethod
    def has_socket(tool):
        folder = f"/proc/{tool.process.pid}/fd"
        for name in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{name}").startswith("socket:"):
                    return True
            except OSError:
                pass
        return False

    def test_stop_and_continue_reach_the_command(self):
        gate = self.gate()
        leader = self.lead(f"{gate.shell()}; echo done", "--lease", "1m")
        command = self.runs()[0][0]
        leader.send(signal.SIGTSTP)
        until(lambda: self.state(command) == "T", "the command is stopped")
        until(lambda: self.state(leader.process.pid) == "T", "the tool is stopped")
        leader.send(signal.SIGCONT)
        gate.open()
        self.assert_ends(leader, 0, b"done\n")

    @staticmethod
    def state(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0]


class Killed(Case):
    """SIGKILL: this tool can do nothing any more."""

    def start_pipeline(self, *options):
        grows = self.folder / "grows"
        tool = self.do(*options, "key", "--", "sh", "-c",
                       f"{self.note()}; (trap '' TERM; while :; do date >>{grows}; sleep 0.02; done) | cat")
        until(grows.exists, "the command's child runs")
        return tool, grows

    def test_its_commands_whole_group_is_ended(self):
        tool, grows = self.start_pipeline("--kill-after", "100ms")
        tool.process.kill()
        tool.wait()

        def stands_still():
            size = grows.stat().st_size
            threading.Event().wait(0.3)
            return grows.stat().st_size == size
        until(stands_still, "nothing of the command runs")

    def test_who_reads_its_output_hears_that_it_is_over(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        tool = self.do("--kill-after", "1m", "key", "--", "sh", "-c",
                       f"{self.note()}; trap '' TERM; while :; do sleep 0.1; done", stdout=write)
        os.close(write)
        self.wait_for_runs(1)
        tool.process.kill()
        self.assertEqual(os.read(read, 1), b"")
        os.kill(self.runs()[0][0], 9)

    def test_what_a_command_leaves_behind_lives_when_the_tool_ends(self):
        tool = self.run_do("key", "--", "sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $! >{self.folder}/left")
        self.assertEqual(tool.code, 0)
        left = int((self.folder / "left").read_text())
        self.assertTrue(is_alive(left))
        os.kill(left, 9)


if __name__ == "__main__":
    unittest.main()
