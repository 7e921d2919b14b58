# SPDX-License-Identifier: Apache-2.0
"""The bytes: large, binary, to files and pipes, and to readers that do not read or go away."""

import os
import subprocess
import threading
import unittest

from support import BIN, BOUND, Case, Tool, until

LARGE = 20 * 1024 * 1024


class Bytes(Case):
    def large_file(self, size=LARGE):
        path = self.folder / "large"
        path.write_bytes(os.urandom(size))
        return path

    def test_20_mb_of_any_bytes_reach_files_and_pipes_unchanged(self):
        large = self.large_file()
        gate = self.gate()
        command = ("--", "sh", "-c", f"{self.note()}; {gate.shell()}; exec cat {large}")
        to_files = [self.do("key", *command) for _ in range(2)]
        to_pipe = self.do("key", *command, stdout=subprocess.PIPE)
        self.wait_for_callers(3)
        gate.open()
        from_pipe = to_pipe.process.stdout.read()
        to_pipe.process.stdout.close()
        expected = large.read_bytes()
        self.assertEqual(to_pipe.wait(), 0, to_pipe.errors())
        self.assertTrue(from_pipe == expected)
        for tool in to_files:
            self.assertEqual(tool.wait(), 0, tool.errors())
            self.assertTrue(tool.output() == expected)
        self.assertEqual(len(self.runs()), 1)

    def test_20_mb_that_are_retained_reach_who_comes_late(self):
        large = self.large_file()
        self.assertEqual(self.run_do("--retain", "1h", "key", "--", "cat", large).code, 0)
        for options in ([], ["--buffer"]):
            tool = self.run_do(*options, "key", "--", "false")
            self.assertEqual(tool.code, 0, tool.errors())
            self.assertTrue(tool.output() == large.read_bytes())

    def test_no_output_is_an_output(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", gate.shell())
        self.wait_for_callers(1)
        follower = self.do("key", "--", "false")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(leader, 0, b"")
        self.assert_ends(follower, 0, b"")

    def test_it_appends_to_a_file_that_is_appended_to(self):
        path = self.folder / "log"
        path.write_bytes(b"before\n")
        with open(path, "ab") as log:
            self.assertEqual(self.run_do("key", "--", "echo", "now", stdout=log).code, 0)
        self.assertEqual(path.read_bytes(), b"before\nnow\n")

    def test_buffer_prints_only_when_the_outcome_is_known(self):
        gate = self.gate()
        live = self.do("key", "--", "sh", "-c", f"echo first; {gate.shell()}; echo last; exit 3")
        self.wait_for_callers(1)
        buffered = self.do("--buffer", "key", "--", "true")
        self.wait_for_callers(2)
        self.until_output(live, b"first\n")
        self.assertEqual(buffered.output(), b"")
        gate.open()
        self.assert_ends(live, 3, b"first\nlast\n")
        self.assert_ends(buffered, 3, b"first\nlast\n")

    def test_buffer_of_a_leader_prints_at_the_end(self):
        gate = self.gate()
        leader = self.do("--buffer", "key", "--", "sh", "-c",
                         f"echo first; {gate.shell()}; echo last")
        self.wait_for_callers(1)
        follower = self.do("key", "--", "true")
        self.until_output(follower, b"first\n")
        self.assertEqual(leader.output(), b"")
        gate.open()
        self.assert_ends(leader, 0, b"first\nlast\n")

    # ---- more than is shared

    LINES = 'i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i+1)); done; exit 4'
    ALL = "".join(f"line {i}\n" for i in range(300)).encode()

    def test_beyond_the_limit_the_sharing_ends_and_not_the_job(self):
        for options in ([], ["--buffer"]):
            with self.subTest(options=options):
                key = f"key{len(options)}"
                leader = self.run_do("--result-limit", "1KiB", "--retain-error", "1m", *options,
                                     key, "--", "sh", "-c", self.LINES)
                self.assert_ends(leader, 4, self.ALL)
                self.assertIn("larger than the limit", leader.errors())
                late = self.run_do(key, "--", "false")
                self.assertEqual(late.code, 4)
                shared, note, rest = late.output().rpartition(b"singleflight: ")
                self.assertTrue(self.ALL.startswith(shared) and shared.endswith(b"\n"))
                self.assertGreater(len(shared), 800)
                left_out = len(self.ALL) - len(shared)
                self.assertEqual(rest, f"{left_out} more bytes of output were not shared\n".encode())

    def test_output_of_just_the_limit_is_shared_whole(self):
        for size, whole in ((1024, True), (1025, False)):
            with self.subTest(size=size):
                command = f"yes 'ten bytes' | head -n 102; head -c {size - 1020} /dev/zero"
                leader = self.run_do("--result-limit", "1KiB", "--retain", "1m", f"key{size}", "--",
                                     "sh", "-c", command)
                self.assertEqual(len(leader.output()), size)
                late = self.run_do(f"key{size}", "--", "false")
                self.assertEqual(late.output() == leader.output(), whole)
                self.assertEqual(b"were not shared" in late.output(), not whole)

    def test_a_line_that_is_longer_than_the_limit_is_not_shared(self):
        leader = self.run_do("--result-limit", "1KiB", "--retain", "1m", "key", "--", "head", "-c",
                             "2000", "/dev/zero")
        self.assert_ends(leader, 0, bytes(2000))
        late = self.run_do("key", "--", "false")
        self.assertEqual(late.output(), b"singleflight: 2000 more bytes of output were not shared\n")


class ServerLimit(Case):
    daemon_flags = ("--result-limit", "64KiB")

    def test_more_than_the_servers_limit_ends_the_sharing_and_not_the_job(self):
        tool = self.run_do("key", "--", "sh", "-c", "head -c 300000 /dev/zero; exit 4")
        self.assertEqual(tool.code, 4, tool.errors())
        self.assertTrue(tool.output() == bytes(300000))
        self.assertIn("larger than", tool.errors())


class ServerIsFull(Case):
    daemon_flags = ("--result-limit", "64KiB", "--held-limit", "64KiB")

    def test_without_room_at_the_server_the_sharing_ends_and_not_the_job(self):
        kept = self.run_do("--retain", "1m", "kept", "--", "head", "-c", "40000", "/dev/zero")
        self.assert_ends(kept, 0, bytes(40000))
        for options in ([], ["--buffer"]):
            with self.subTest(options=options):
                key = f"key{len(options)}"
                tool = self.run_do("--retain-error", "1m", *options, key, "--", "sh", "-c",
                                   "head -c 40000 /dev/zero; exit 4")
                self.assertEqual(tool.code, 4, tool.errors())
                self.assertTrue(tool.output() == bytes(40000))
                self.assertIn("bytes held for results", tool.errors())
                late = self.run_do(key, "--", "false")
                self.assertEqual(late.code, 75)
                self.assertIn("bytes held for results", late.errors())


class Readers(Case):
    def test_a_leader_whose_reader_is_gone_goes_on_for_its_followers(self):
        gate = self.gate()
        ending, tail = os.pipe()
        command = f"{gate.shell()}; echo one; echo two; {gate.shell()}; echo three"
        leader = self.do("key", "--", "sh", "-c", command, stdout=tail)
        os.close(tail)
        self.wait_for_callers(1)
        follower = self.do("key", "--", "false")
        self.wait_for_callers(2)
        os.close(ending)
        gate.open(1)
        self.until_output(follower, b"one\ntwo\n")
        gate.open()
        self.assert_ends(follower, 0, b"one\ntwo\nthree\n")
        self.assert_ends(leader, 74)
        self.assertEqual(leader.errors(), "")

    def test_a_command_that_nobody_reads_is_ended(self):
        ending, tail = os.pipe()
        tool = self.do("key", "--", "sh", "-c", f"{self.note()}; yes", stdout=tail)
        os.close(tail)
        self.assertEqual(os.read(ending, 4), b"y\ny\n")
        os.close(ending)
        self.assert_ends(tool, 74)
        self.assert_command_is_gone()

    def test_a_follower_whose_reader_is_gone_leaves(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c",
                         f"{gate.shell()}; echo one; {gate.shell()}; echo two")
        self.wait_for_callers(1)
        ending, tail = os.pipe()
        follower = self.do("key", "--", "false", stdout=tail)
        os.close(tail)
        self.wait_for_callers(2)
        os.close(ending)
        gate.open(1)
        self.assert_ends(follower, 74)
        gate.open()
        self.assert_ends(leader, 0, b"one\ntwo\n")

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_a_full_disk_is_code_74_and_said(self):
        with open("/dev/full", "wb") as full:
            tool = self.run_do("key", "--", "echo", "out", stdout=full)
        self.assertEqual(tool.code, 74)
        self.assertIn("cannot write the output: No space left", tool.errors())

    def test_a_follower_that_does_not_read_holds_up_nobody(self):
        gate = self.gate()
        command = f"{gate.shell()}; exec head -c 4000000 /dev/zero"
        ending, tail = os.pipe()
        leader = self.do("key", "--", "sh", "-c", command)
        self.wait_for_callers(1)
        slow = self.do("key", "--", "false", stdout=tail)
        os.close(tail)
        fast = self.do("key", "--", "false")
        self.wait_for_callers(3)
        gate.open()
        for tool in (leader, fast):
            self.assert_ends(tool, 0, bytes(4000000))
        self.assertIsNone(slow.process.poll())
        with os.fdopen(ending, "rb") as reader:
            self.assertTrue(reader.read() == bytes(4000000))
        self.assert_ends(slow, 0)

    def test_a_leader_that_is_not_read_makes_its_command_wait(self):
        ending, tail = os.pipe()
        done = self.folder / "done"
        tool = self.do("key", "--", "sh", "-c", f"head -c 30000000 /dev/zero; touch {done}",
                       stdout=tail)
        os.close(tail)
        # A few buffers fill, then nothing moves any more.
        sizes = []

        def has_settled():
            sizes.append(self.flights()[0]["value_bytes"] if self.flights() else 0)
            return sizes[-1] > 0 and sizes[-5:] == [sizes[-1]] * 5

        until(has_settled, "the command waits")
        self.assertLess(sizes[-1], 8000000)
        self.assertFalse(done.exists())
        read = []
        reader = threading.Thread(target=lambda: read.append(os.fdopen(ending, "rb").read()))
        reader.start()
        self.assert_ends(tool, 0)
        reader.join(BOUND)
        self.assertTrue(read[0] == bytes(30000000))


class ClosedFiles(Case):
    """The tool is started without some of standard input, output and error."""

    def run_closed(self, closing, *arguments):
        tool = Tool(["-c", f'exec "$0" "$@" {closing}', BIN / "singleflight", *arguments],
                    self.address, program="sh")
        self.addCleanup(tool.end)
        return tool.wait()

    def test_the_commands_code_is_the_tools(self):
        for closing in ("2>&-", ">&-", "<&-", "<&- >&- 2>&-"):
            for code in (0, 5):
                with self.subTest(closing=closing, code=code):
                    command = ("do", "key", "--", "sh", "-c", f"echo text; exit {code}")
                    self.assertEqual(self.run_closed(closing, *command), code)

    def test_others_have_the_output_of_a_leader_without_one(self):
        self.run_closed("<&- >&- 2>&-", "do", "--retain", "1h", "key", "--", "echo", "text")
        self.assert_ends(self.do("key", "--", "false"), 0, b"text\n")


if __name__ == "__main__":
    unittest.main()
