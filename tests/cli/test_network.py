# SPDX-License-Identifier: Apache-2.0
"""No server, servers that come and go, and connections that break."""

import os
import signal
import unittest

from relay import Relay
from support import Case, Daemon, free_port, is_alive, until


class NoServer(Case):
    has_daemon = False
    # Port 1 on loopback: nothing listens, and the refusal comes at once.
    NOWHERE = ("--address", "127.0.0.1:1", "--connect-timeout", "200ms")

    def test_it_says_so_and_exits_with_69(self):
        tool = self.run_do(*self.NOWHERE, "key", "--", "echo", "ran")
        self.assertEqual((tool.code, tool.output()), (69, b""))
        self.assertIn("127.0.0.1:1", tool.errors())
        self.assertIn("no server can be reached", tool.errors())

    def test_with_fail_open_it_runs_the_command_with_token_0(self):
        tool = self.run_do(*self.NOWHERE, "--fail-open", "key", "--", "sh", "-c",
                           'echo "token $SINGLEFLIGHT_TOKEN"; exit 6')
        self.assertEqual((tool.code, tool.output()), (6, b"token 0\n"))

    def test_fail_open_keeps_large_output_and_buffer(self):
        for options in ([], ["--buffer"]):
            tool = self.run_do(*self.NOWHERE, "--fail-open", *options, "key", "--", "head", "-c",
                               "3000000", "/dev/zero")
            self.assertEqual(tool.code, 0)
            self.assertTrue(tool.output() == bytes(3000000))

    def test_follow_only_never_runs_anything_even_with_fail_open(self):
        tool = self.run_do(*self.NOWHERE, "--fail-open", "--follow-only", "key")
        self.assertEqual(tool.code, 69)

    def test_forget_list_top_and_stats_exit_with_69(self):
        for arguments in (["forget", "key"], ["list"], ["stats"], ["top"]):
            with self.subTest(arguments=arguments):
                tool = self.run_tool(*arguments, *self.NOWHERE)
                self.assertEqual((tool.code, tool.output().strip()), (69, b""))
                self.assertIn("127.0.0.1:1", tool.errors())


class Addresses(Case):
    def test_the_option_comes_before_the_environment(self):
        tool = self.run_do("--address", self.address, "key", "--", "echo", "ran",
                           address="127.0.0.1:1")
        self.assertEqual((tool.code, tool.output()), (0, b"ran\n"))

    def test_a_unix_socket(self):
        path = self.folder / "socket"
        daemon = Daemon(flags=("--unix-socket", str(path)))
        self.addCleanup(daemon.stop)
        until(path.exists, "the socket is there")
        tool = self.run_do("--address", f"unix:{path}", "key", "--", "echo", "ran")
        self.assertEqual((tool.code, tool.output()), (0, b"ran\n"))

    def test_with_several_servers_each_key_has_one_home(self):
        other = Daemon()
        self.addCleanup(other.stop)
        both = ("--address", self.address, "--address", other.address)
        for number in range(8):
            command = ("--", "sh", "-c", self.note(f"runs{number}"))
            for _ in range(2):
                tool = self.run_do(*both, "--retain", "1h", f"key{number}", *command)
                self.assertEqual(tool.code, 0, tool.errors())
            self.assertEqual(len(self.runs(f"runs{number}")), 1)
        rows = [row["address"] for row in self.json("list", *both)]
        self.assertEqual(len(rows), 8)
        self.assertEqual({r["address"] for r in self.json("stats", *both)},
                         {self.address, other.address})


class Breaks(Case):
    def setUp(self):
        super().setUp()
        self.relay = Relay(self.address)
        self.addCleanup(self.relay.close)

    def test_a_connection_that_is_back_within_the_lease_does_not_end_the_command(self):
        gate = self.gate()
        script = f"{self.note()}; echo first; {gate.shell()}; echo last"
        leader = self.do("--lease", "1m", "key", "--", "sh", "-c", script,
                         address=self.relay.address)
        self.wait_for_callers(1)
        follower = self.do("key", "--", "false")
        self.until_output(follower, b"first\n")
        self.relay.cut()
        until(lambda: self.flights()[0]["state"] == "orphaned", "the leader is out of reach")
        self.relay.mend()
        until(lambda: self.flights()[0]["state"] == "led", "the leader is back")
        gate.open()
        self.assert_ends(leader, 0, b"first\nlast\n")
        self.assert_ends(follower, 0, b"first\nlast\n")
        self.assertEqual(len(self.runs()), 1)

    def test_a_leader_that_is_cut_off_for_longer_than_the_lease_ends_its_command(self):
        gate = self.gate()
        script = f"{self.note()}; echo $$; {gate.shell()}; echo last"
        leader = self.do("--lease", "1s", "--connect-timeout", "1m", "key", "--", "sh", "-c",
                         script, address=self.relay.address)
        self.wait_for_runs(1)
        follower = self.do("--lease", "1s", "key", "--", "sh", "-c", script)
        self.wait_for_callers(2)
        self.relay.cut()
        self.wait_for_runs(2)
        until(lambda: not is_alive(self.runs()[0][0]), "the old command has ended")
        self.relay.mend()
        self.wait_for_callers(2)
        gate.open()
        expected = f"{self.runs()[1][0]}\nlast\n".encode()
        self.assert_ends(follower, 0, expected)
        self.assert_ends(leader, 0, expected)

    def test_a_follower_that_was_cut_off_joins_again_and_prints_each_byte_once(self):
        gate = self.gate()
        script = f"echo first; {gate.shell()}; echo last"
        leader = self.do("key", "--", "sh", "-c", script)
        self.wait_for_callers(1)
        reading, writing = os.pipe()
        follower = self.do("key", "--", "false", address=self.relay.address, stdout=writing)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            self.assertEqual(pipe.read(6), b"first\n")
            self.relay.cut()
            self.wait_for_callers(1)
            self.relay.mend()
            self.wait_for_callers(2)
            gate.open()
            self.assertEqual(pipe.read(100), b"last\n")
        self.assert_ends(follower, 0)
        self.assert_ends(leader, 0)


class DaemonEnds(Case):
    has_daemon = False

    def setUp(self):
        super().setUp()
        self.fixed = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon(self.fixed)
        self.address = self.daemon.address
        self.addCleanup(lambda: self.daemon.stop())

    def test_a_leader_whose_daemon_is_gone_for_good_ends_its_command(self):
        tool = self.do("--lease", "1s", "--connect-timeout", "1s", "key", "--", "sh", "-c",
                       f"{self.note()}; {self.gate().shell()}")
        self.wait_for_runs(1)
        self.daemon.kill()
        self.assertIn(tool.wait(), (69, 75), tool.errors())
        self.assert_command_is_gone()
        self.assertIn("the lead is lost", tool.errors())

    def test_a_daemon_that_forgot_the_flight_fences_the_leader_that_comes_back(self):
        tool = self.do("--lease", "1m", "key", "--", "sh", "-c",
                       f"{self.note()}; {self.gate().shell()}")
        self.wait_for_runs(1)
        self.daemon.kill()
        self.daemon = Daemon(self.fixed)
        self.assertEqual(tool.wait(), 75, tool.errors())
        self.assert_command_is_gone()

    def test_followers_make_a_new_flight_on_the_daemon_that_comes_back(self):
        gate = self.gate()
        script = f'{self.note()}; echo "token $SINGLEFLIGHT_TOKEN"; {gate.shell()}; echo last'
        tools = [self.do("--lease", "1m", "key", "--", "sh", "-c", script) for _ in range(4)]
        self.wait_for_callers(4)
        self.daemon.kill()
        self.daemon = Daemon(self.fixed)
        # The old leader may come before any of the others, when there is nobody to follow yet.
        until(lambda: self.stats()["callers_now"]
              + sum(tool.process.poll() is not None for tool in tools) == 4, "all are back")
        self.wait_for_runs(2)
        gate.open()
        codes = [tool.wait() for tool in tools]
        token = self.runs()[1][2]
        self.assertGreater(token, self.runs()[0][2])
        self.assertGreaterEqual(codes.count(0), 3, codes)
        self.assertEqual(codes.count(0) + codes.count(75), 4, codes)
        for tool, code in zip(tools, codes):
            if code == 0:
                self.assertEqual(tool.output(), f"token {token}\nlast\n".encode())

    def test_a_drain_lets_a_running_command_end(self):
        gate = self.gate()
        self.daemon.stop()
        self.daemon = Daemon(self.fixed, flags=("--drain-time", "1m"))
        leader = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo done")
        self.wait_for_callers(1)
        self.daemon.process.send_signal(signal.SIGTERM)
        until(lambda: self.run_do("--connect-timeout", "100ms", "other", "--", "true").code == 69,
              "the daemon drains")
        gate.open()
        self.assert_ends(leader, 0, b"done\n")
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
