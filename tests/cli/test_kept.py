# SPDX-License-Identifier: Apache-2.0
"""What a command said and how it ended is never lost, whatever happens to the server."""

import os
import pty
import signal
import threading
import unittest

from support import BIN, PYTHON, Case, Daemon, RestartCase, free_port, is_alive, until


def until_it_stands_still(path):
    """Waits until a file grows no more, and returns its size."""
    written = 0
    while written == 0 or written != path.stat().st_size:
        written = path.stat().st_size
        threading.Event().wait(0.5)
    return written


class ServerGone(Case):
    """The daemon is killed while the command runs."""

    has_daemon = False

    def setUp(self):
        super().setUp()
        self.fixed = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon(self.fixed)
        self.addCleanup(lambda: self.daemon.stop())
        self.address = self.daemon.address
        self.go_on = self.gate()
        self.log = self.folder / "log"

    def lead(self, *options, end="exit 3"):
        """A lone leader whose output goes to a file; the daemon is gone when this returns."""
        with open(self.log, "wb") as log:
            tool = self.do("--lease", "1s", "--connect-timeout", "1s", *options, "key", "--", "sh",
                           "-c", f"{self.note()}; echo first; {self.go_on.shell()}; echo last; {end}",
                           stdout=log)
        self.wait_for_runs(1)
        if "--buffer" not in options:
            until(lambda: self.log.read_bytes() == b"first\n", "the first line is there")
        self.daemon.kill()
        self.daemon.stop()
        return tool

    def test_the_log_of_a_job_that_is_ended_stays(self):
        tool = self.lead()
        self.assertIn(tool.wait(), (69, 75), tool.errors())
        self.assertEqual(self.log.read_bytes(), b"first\n")

    def test_a_command_that_ends_within_the_lease_gives_its_code(self):
        for options in ([], ["--buffer"]):
            with self.subTest(options=options):
                tool = self.lead("--lease", "10s", *options)
                self.go_on.open(1)
                self.assertEqual(tool.wait(), 3, tool.errors())
                self.assertEqual(self.log.read_bytes(), b"first\nlast\n")
                self.assertIn("could not be handed over", tool.errors())
                (self.folder / "runs").unlink()
                self.daemon = Daemon(self.fixed)

    def test_with_fail_open_the_running_command_goes_on_and_its_code_counts(self):
        for options in ([], ["--buffer"], ["--lease", "0"]):
            with self.subTest(options=options):
                tool = self.lead("--fail-open", *options)
                other = self.run_do("--fail-open", "--connect-timeout", "3s", "other", "--", "true")
                self.assertEqual(other.code, 0)  # by now the lease is over
                self.go_on.open(1)
                self.assertEqual(tool.wait(), 3, tool.errors())
                self.assertEqual(self.log.read_bytes(), b"first\nlast\n")
                self.assertIn("the command went on here", tool.errors())
                (self.folder / "runs").unlink()
                self.daemon = Daemon(self.fixed)

    def test_with_fail_open_a_command_that_waits_for_a_frozen_daemon_goes_on(self):
        size = 20_000_000
        with open(self.log, "wb") as log:
            tool = self.do("--fail-open", "key", "--", "sh", "-c",
                           f"{self.note()}; {self.go_on.shell()}; head -c {size} /dev/zero",
                           stdout=log)
        self.wait_for_runs(1)
        self.daemon.process.send_signal(signal.SIGSTOP)
        self.go_on.open(1)
        written = until_it_stands_still(self.log)
        self.assertLess(written, size)  # the rest waits until the daemon takes some
        self.daemon.kill()
        self.assertEqual(tool.wait(), 0, tool.errors())
        self.assertEqual(self.log.stat().st_size, size)

    def test_a_daemon_that_comes_back_without_the_flight_leaves_the_log(self):
        tool = self.lead("--lease", "1m")
        self.daemon = Daemon(self.fixed)
        self.assertEqual(tool.wait(), 75, tool.errors())
        self.assertEqual(self.log.read_bytes(), b"first\n")


class Restarted(RestartCase):
    """The daemon is back within the lease."""

    def test_no_job_is_ended_or_run_twice(self):
        go_on = self.gate()
        jobs = 20
        for end in (lambda: self.daemon.kill(), lambda: self.daemon.stop()):
            leaders, followers = [], []
            for n in range(jobs):
                script = f"{self.note()}; echo begun; {go_on.shell()}; echo done; exit 3"
                leaders.append(self.do(f"key{n}", "--", "sh", "-c", script))
            self.wait_for_runs(jobs)
            followers = [self.do(f"key{n}", "--", "sh", "-c", script) for n in range(3)]
            self.wait_for_callers(jobs + len(followers))
            end()
            self.daemon.stop()
            self.start_daemon()
            self.wait_for_callers(jobs + len(followers))
            go_on.open(jobs)
            for tool in [*leaders, *followers]:
                self.assert_ends(tool, 3, b"begun\ndone\n")
                self.assertNotIn("could not be handed over", tool.errors())
            self.assertEqual(len(self.runs()), jobs)
            (self.folder / "runs").unlink()


class Lost(Case):
    def test_run_limit_leaves_the_log(self):
        path = self.folder / "log"
        with open(path, "wb") as log:
            tool = self.run_do("--run-limit", "1s", "key", "--", "sh", "-c",
                               f"echo said; {self.gate().shell()}", stdout=log)
        self.assertEqual(tool.code, 75)
        self.assertEqual(path.read_bytes(), b"said\n")

    def test_the_next_leaders_output_replaces_it(self):
        path = self.folder / "log"
        gates = [self.gate(f"gate{attempt}") for attempt in (1, 2)]
        script = f'{self.note()}; echo "by $$"; read line <{self.folder}/gate$SINGLEFLIGHT_ATTEMPT'
        with open(path, "wb") as log:
            leader = self.do("--run-limit", "4s", "key", "--", "sh", "-c", script, stdout=log)
        self.wait_for_runs(1)
        follower = self.do("key", "--", "sh", "-c", script)
        self.wait_for_callers(2)
        self.wait_for_runs(2)
        gates[1].open()
        self.assert_ends(follower, 0)
        self.assertEqual(leader.wait(), 0, leader.errors())
        self.assertEqual(path.read_bytes(), f"by {self.runs()[1][0]}\n".encode())


class TooLarge(Case):
    daemon_flags = ("--result-limit", "64KiB")

    def test_a_command_goes_on_when_the_daemon_takes_no_more_of_its_output(self):
        gate = self.gate()
        path = self.folder / "log"
        size = 20_000_000
        with open(path, "wb") as log:
            tool = self.do("key", "--", "sh", "-c",
                           f"{self.note()}; {gate.shell()}; head -c {size} /dev/zero; exit 3",
                           stdout=log)
        self.wait_for_runs(1)
        self.daemon.process.send_signal(signal.SIGSTOP)
        gate.open(1)
        until_it_stands_still(path)
        self.daemon.process.send_signal(signal.SIGCONT)
        self.assertEqual(tool.wait(), 3, tool.errors())
        self.assertEqual(path.stat().st_size, size)
        self.assertIn("larger than", tool.errors())


class LeftBehind(Case):
    def test_a_service_that_holds_the_output_does_not_hold_the_key(self):
        gate = self.gate()
        script = f"echo up; sh -c 'echo $$ >{self.folder}/service; {gate.shell()}; echo on' & exit 5"
        tool = self.do("key", "--", "sh", "-c", script)
        self.assert_ends(tool, 5, b"up\n")
        self.assertIn("still holds its standard output", tool.errors())
        service = until(lambda: (self.folder / "service").exists()
                        and (self.folder / "service").read_text().strip(), "the service runs")
        self.assertTrue(is_alive(int(service)))
        self.assertEqual(self.run_do("--skip-if-running", "key", "--", "true").code, 0)
        gate.open()

    def test_output_that_comes_within_the_grace_is_taken(self):
        gate = self.gate()
        tool = self.do("--output-grace", "1m", "key", "--", "sh", "-c",
                       f"echo first; sh -c '{gate.shell()}; echo last' & exit 5")
        self.until_output(tool, b"first\n")
        gate.open()
        self.assert_ends(tool, 5, b"first\nlast\n")


class NoOutcome(Case):
    """What says nothing about the job is not retained."""

    def assert_runs_again(self):
        again = self.run_do("--retain-error", "1m", "key", "--", "echo", "ran")
        self.assertEqual((again.code, again.output()), (0, b"ran\n"))

    def test_a_job_that_somebody_ended(self):
        for script in ("read line <gate", "trap 'exit 143' TERM; read line <gate"):
            with self.subTest(script=script):
                gate = self.gate(f"gate{len(script)}")
                tool = self.do("--retain-error", "1m", "key", "--", "sh", "-c",
                               f"{self.note()}; " + script.replace("gate", str(gate.path)))
                before = len(self.runs())
                self.wait_for_runs(before + 1)
                tool.send(signal.SIGTERM)
                self.assert_ends(tool, 128 + signal.SIGTERM)
                self.assert_runs_again()
                self.run_tool("forget", "key")

    def test_a_command_that_this_machine_cannot_start(self):
        for command, code in (("/dev/null", 126), ("no-such-command", 127)):
            for words in ([command], ["sh", "-c", command]):
                with self.subTest(words=words):
                    tool = self.run_do("--retain-error", "1m", "key", "--", *words)
                    self.assertEqual(tool.code, code, tool.errors())
                    self.assert_runs_again()
                    self.run_tool("forget", "key")


class Fingerprint(Case):
    def do(self, *arguments, **options):
        return self.start("do", *arguments, **options)

    def test_another_command_for_the_same_key_is_refused(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo done")
        self.wait_for_callers(1)
        other = self.do("key", "--", "sh", "-c", "echo other")
        self.assertEqual(other.wait(), 65)
        self.assertIn("--fingerprint", other.errors())
        split = self.do("key", "--", "sh", "-c", f"{gate.shell()};", "echo done")
        self.assertEqual(split.wait(), 65)
        equal = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo done")
        shares = self.do("--fingerprint", "none", "key", "--", "true")
        follower = self.do("--follow-only", "key")
        self.wait_for_callers(4)
        gate.open()
        for tool in (leader, equal, shares, follower):
            self.assert_ends(tool, 0, b"done\n")


class Escapes(Case):
    EVIL = "evil\x1b]0;pwned\x07\nforged\u0085row"

    def assert_clean(self, text):
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x07", text)
        self.assertNotIn("\u0085", text)

    def test_names_and_texts_of_peers_reach_no_terminal_raw(self):
        gate = self.gate()
        leader = self.do("--caller", self.EVIL, "key", "--", "sh", "-c", f"{gate.shell()}")
        self.wait_for_callers(1)
        for arguments in (["list"], ["top"]):
            text = self.run_tool(*arguments).output().decode()
            self.assertIn("evil\\x1b]0;pwned\\x07\\x0aforged\\xc2\\x85row", text)
            self.assert_clean(text)
        skipped = self.run_do("--skip-if-running", "-v", "key", "--", "true")
        self.assertEqual(skipped.code, 75)
        self.assert_clean(skipped.errors())
        self.assertEqual(len(skipped.errors().splitlines()), 1)
        gate.open()
        self.assert_ends(leader, 0)


class Terminal(Case):
    def test_a_command_that_reads_the_terminal_gets_an_error_and_is_not_stopped(self):
        ours, theirs = pty.openpty()
        script = "import os, sys; os.setsid(); fd = os.open(sys.argv[1], os.O_RDWR); " \
                 "os.execvp(sys.argv[2], sys.argv[2:])"  # with a terminal that controls it
        tool = self.start("-c", script, os.ttyname(theirs), BIN / "singleflight", "do", "key", "--",
                          "sh", "-c", "read x </dev/tty; echo code $?", program=PYTHON)
        self.assert_ends(tool, 0)
        self.assertRegex(tool.output(), rb"code [1-9]")
        os.close(ours)
        os.close(theirs)


if __name__ == "__main__":
    unittest.main()
