# SPDX-License-Identifier: Apache-2.0
"""forget, list, top and stats."""

import fcntl
import json
import os
import pty
import signal
import struct
import termios
import socket
import unittest

from support import Case, until


class Forget(Case):
    def test_nothing_is_forgotten_when_there_is_nothing(self):
        tool = self.run_tool("forget", "key")
        self.assertEqual((tool.code, tool.output()), (0, b"nothing forgotten\n"))

    def test_a_forgotten_flight_ends_as_usual_and_the_next_caller_starts_anew(self):
        gate = self.gate()
        first = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo first")
        self.wait_for_callers(1)
        self.assertEqual(self.run_tool("forget", "key").output(), b"forgotten: the flight\n")
        second = self.run_do("key", "--", "echo", "second")
        self.assertEqual((second.code, second.output()), (0, b"second\n"))
        gate.open()
        self.assert_ends(first, 0, b"first\n")

    def test_if_unshared_leaves_a_flight_with_followers_alone(self):
        gate = self.gate()
        command = ("key", "--", "sh", "-c", gate.shell())
        tools = [self.do(*command) for _ in range(2)]
        self.wait_for_callers(2)
        tool = self.run_tool("forget", "--if-unshared", "--json", "key")
        self.assertEqual(json.loads(tool.output()), {"flight": False, "retained": False})
        tool = self.run_tool("forget", "--json", "key")
        self.assertEqual(json.loads(tool.output()), {"flight": True, "retained": False})
        gate.open()
        for tool in tools:
            self.assert_ends(tool, 0)

    def test_the_group_counts(self):
        self.assertEqual(self.run_do("-g", "one", "--retain", "1h", "key", "--", "true").code, 0)
        self.assertEqual(self.run_tool("forget", "key").output(), b"nothing forgotten\n")
        self.assertEqual(self.run_tool("forget", "-g", "one", "key").output(),
                         b"forgotten: the retained outcome\n")


class List(Case):
    def test_an_empty_list_is_its_heading(self):
        tool = self.run_tool("list")
        self.assertEqual(tool.code, 0)
        self.assertEqual(len(tool.output().splitlines()), 1)
        self.assertTrue(tool.output().startswith(b"GROUP"))
        self.assertEqual(self.flights(), [])

    def test_running_and_retained_have_their_rows(self):
        gate = self.gate()
        self.assertEqual(self.run_do("--retain", "1h", "kept", "--", "echo", "12345").code, 0)
        leader = self.do("--caller", "node-1", "running", "--", "sh", "-c",
                         f"echo abc; {gate.shell()}")
        self.wait_for_callers(1)
        self.until_output(leader, b"abc\n")
        rows = {row["key"]: row for row in self.flights()}
        running, kept = rows["running"], rows["kept"]
        self.assertEqual((running["state"], running["callers"], running["attempt"]), ("led", 1, 1))
        self.assertEqual((running["leader"], running["value_bytes"]), ("node-1", 4))
        self.assertEqual((kept["state"], kept["value_bytes"]), ("retained", 6))
        self.assertGreater(kept["expires_ms"], 3500000)
        self.assertGreater(running["token"], kept["token"])
        table = [line.split() for line in self.run_tool("list").output().decode().splitlines()]
        by_key = {cells[1]: cells for cells in table[1:]}
        self.assertEqual(by_key["running"][2], "led")
        self.assertEqual(by_key["running"][3], "node-1")
        self.assertEqual(by_key["kept"][2], "retained")
        gate.open()
        self.assert_ends(leader, 0)

    def test_rows_that_are_left_out_are_mentioned(self):
        for number in range(3):
            self.assertEqual(self.run_do("--retain", "1h", f"key{number}", "--", "true").code, 0)
        cut = self.run_tool("list", "--limit", "2")
        self.assertEqual(len(cut.output().splitlines()), 1 + 2)
        self.assertIn("there are more rows", cut.errors())
        whole = self.run_tool("list", "--limit", "3")
        self.assertEqual(len(whole.output().splitlines()), 1 + 3)
        self.assertEqual(whole.errors(), "")

    def test_a_server_that_says_nothing_is_no_server(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = f"127.0.0.1:{mute.getsockname()[1]}"
            for subcommand in ("stats", "list", "top"):
                tool = self.run_tool(subcommand, "--connect-timeout", "200ms", address=address)
                self.assertEqual(tool.code, 69, tool.errors())

    def test_prefix_group_and_limit_choose(self):
        for group, key in (("a", "x1"), ("a", "x2"), ("a", "y"), ("b", "x3")):
            self.assertEqual(self.run_do("-g", group, "--retain", "1h", key, "--", "true").code, 0)
        self.assertEqual({r["key"] for r in self.json("list", "--prefix", "x")},
                         {"x1", "x2", "x3"})
        self.assertEqual({r["key"] for r in self.json("list", "-g", "a", "--prefix", "x")},
                         {"x1", "x2"})
        self.assertEqual(len(self.json("list", "--limit", "2")), 2)

    def test_keys_of_any_bytes_are_shown_safely(self):
        key = b"a\x1b[31m\xff\\\n"
        tool = self.run_do("--retain", "1h", os.fsdecode(key), "--", "true")
        self.assertEqual(tool.code, 0, tool.errors())
        self.assertIn(rb"a\x1b[31m\xff\x5c\x0a", self.run_tool("list").output())
        row = self.flights()[0]
        self.assertEqual(bytes.fromhex(row["key_hex"]), key)
        tool = self.run_do("--retain", "1h", "\u00e4\u20ac", "--", "true")
        self.assertIn("\u00e4\u20ac".encode(), self.run_tool("list").output())

    def test_a_forgotten_flight_is_listed_until_it_ends(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", gate.shell())
        self.wait_for_callers(1)
        self.assertEqual(self.run_tool("forget", "key").code, 0)
        self.assertTrue(self.flights()[0]["forgotten"])
        self.assertIn(b"forgotten", self.run_tool("list").output())
        gate.open()
        self.assert_ends(leader, 0)


class Stats(Case):
    def test_the_counters_count(self):
        gate = self.gate()
        tools = [self.do("key", "--", "sh", "-c", gate.shell()) for _ in range(3)]
        self.wait_for_callers(3)
        gate.open()
        for tool in tools:
            self.assert_ends(tool, 0)
        stats = self.stats()
        self.assertEqual(stats["address"], self.address)
        self.assertEqual((stats["calls"], stats["executions"]), (3, 1))
        self.assertEqual((stats["executions_saved"], stats["callers_now"]), (2, 0))
        text = self.run_tool("stats").output().decode()
        self.assertRegex(text, r"(?m)^executions saved +2$")
        self.assertRegex(text, rf"(?m)^server +{self.address}$")


class Top(Case):
    def test_without_a_terminal_it_looks_once(self):
        self.assertEqual(self.run_do("--retain", "1h", "kept", "--", "true").code, 0)
        tool = self.run_tool("top")
        self.assertEqual(tool.code, 0)
        self.assertRegex(tool.output(), rb"\nexecutions +1\n")
        self.assertIn(b"kept", tool.output())
        self.assertNotIn(b"\x1b", tool.output())

    def test_json_and_count(self):
        tool = self.run_tool("top", "--json", "--count", "3", "--interval", "50ms")
        self.assertEqual(tool.code, 0)
        looks = [json.loads(line) for line in tool.output().splitlines()]
        self.assertEqual(len(looks), 3)
        self.assertNotIn("calls_per_s", looks[0])
        self.assertEqual(looks[2]["calls_per_s"], 0)
        self.assertNotIn("saved_part", looks[2])

    def test_rates_and_what_was_saved(self):
        reader, writer = os.pipe()
        tool = self.start("top", "--json", "--count", "100000", "--interval", "100ms", stdout=writer)
        os.close(writer)
        with open(reader, "rb") as lines:
            json.loads(lines.readline())
            for _ in range(4):
                self.assertEqual(self.run_do("--retain", "1h", "key", "--", "true").code, 0)
            seen = []
            while not seen or seen[-1]["saved_part"] < 0.75:
                look = json.loads(lines.readline())
                if "address" in look and "saved_part" in look:
                    seen.append(look)
        self.assertEqual(seen[-1]["saved_part"], 0.75)
        self.assertTrue(any(look["calls_per_s"] > 0 and look["saved_per_s"] > 0 for look in seen))
        tool.send(signal.SIGTERM)
        tool.wait()
        text = self.run_tool("stats").output().decode()
        self.assertRegex(text, r"(?m)^saved of all calls +75.0%$")
        self.assertNotIn("calls/s", text)
        text = self.run_tool("top", "--count", "2", "--interval", "50ms").output().decode()
        self.assertRegex(text, r"(?m)^calls/s +0.0$")

    def terminal(self):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.addCleanup(os.close, ours)
        return ours, theirs

    def test_on_a_terminal_it_refreshes_until_q(self):
        self.assertEqual(self.run_do("--retain", "1h", "kept", "--", "true").code, 0)
        ours, theirs = self.terminal()
        before = termios.tcgetattr(theirs)
        tool = self.start("top", "--interval", "50ms", stdin=theirs, stdout=theirs)
        seen = b""
        while seen.count(b"\x1b[H") < 3:
            seen += os.read(ours, 65536)
        self.assertIn(b"kept", seen)
        self.assertRegex(seen, rb"\| executions 1 \|")
        self.assertRegex(seen, rb"saved of all calls 0.0% \| calls 0.0/s")
        self.assertRegex(seen, rb"ENDED +GROUP +KEY[^\n]*\n[0-9: -]{19}  default +kept")
        os.write(ours, b"q")
        self.assert_ends(tool, 0)
        self.assertEqual(termios.tcgetattr(theirs), before)
        os.close(theirs)

    def test_on_a_terminal_a_signal_ends_it_and_the_terminal_is_as_before(self):
        ours, theirs = self.terminal()
        before = termios.tcgetattr(theirs)
        tool = self.start("top", stdin=theirs, stdout=theirs)
        seen = b""
        while b"\x1b[H" not in seen:
            seen += os.read(ours, 65536)
        tool.send(signal.SIGTERM)
        self.assert_ends(tool, 0)
        until(lambda: termios.tcgetattr(theirs) == before, "the terminal is as before")
        os.close(theirs)


if __name__ == "__main__":
    unittest.main()
