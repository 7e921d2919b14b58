# SPDX-License-Identifier: Apache-2.0
"""One command for many invocations: who runs it, and what everybody gets."""

import unittest

from support import Case


class Together(Case):
    def test_alone_it_runs_the_command_and_exits_with_its_code(self):
        tool = self.run_do("key", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual(tool.code, 3)
        self.assertEqual(tool.output(), b"out\n")
        self.assertEqual(tool.errors(), "err\n")

    def test_five_run_it_once_see_it_live_and_end_alike(self):
        gate = self.gate()
        command = f"{self.note()}; echo first; {gate.shell()}; echo last; echo no >&2; exit 5"
        tools = [self.do("key", "--", "sh", "-c", command) for _ in range(5)]
        self.wait_for_callers(5)
        for tool in tools:
            self.until_output(tool, b"first\n")
        gate.open()
        for tool in tools:
            self.assert_ends(tool, 5, b"first\nlast\n")
        self.assertEqual(len(self.runs()), 1)
        # Standard error is the leader's own; the others say why they failed.
        self.assertEqual(sum(tool.errors() == "no\n" for tool in tools), 1)
        self.assertEqual(sum("the command exited with code 5" in t.errors() for t in tools), 4)

    def test_who_comes_late_gets_what_was_printed_before(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", f"echo first; {gate.shell()}; echo last")
        self.until_output(leader, b"first\n")
        follower = self.do("key", "--", "false")
        self.until_output(follower, b"first\n")
        gate.open()
        self.assert_ends(follower, 0, b"first\nlast\n")
        self.assert_ends(leader, 0, b"first\nlast\n")

    def test_one_after_the_other_each_runs_it(self):
        for count in (1, 2):
            self.assertEqual(self.run_do("key", "--", "sh", "-c", self.note()).code, 0)
            self.assertEqual(len(self.runs()), count)
        self.assertGreater(self.runs()[1][2], self.runs()[0][2])

    def test_another_key_and_another_group_are_other_work(self):
        gate = self.gate()
        command = ("--", "sh", "-c", f"{self.note()}; {gate.shell()}")
        tools = [
            self.do("one", *command),
            self.do("two", *command),
            self.do("--group", "other", "one", *command),
        ]
        self.wait_for_runs(3)
        gate.open()
        for tool in tools:
            self.assert_ends(tool, 0)

    def test_the_command_finds_key_token_and_attempt_in_its_environment(self):
        script = 'echo "$SINGLEFLIGHT_KEY/$SINGLEFLIGHT_ATTEMPT/$SINGLEFLIGHT_TOKEN"'
        tool = self.run_do("a key", "--", "sh", "-c", script,
                           extra={"SINGLEFLIGHT_TOKEN": "of an outer command"})
        key, attempt, token = tool.output().decode().strip().split("/")
        self.assertEqual((key, attempt), ("a key", "1"))
        self.assertGreater(int(token), 0)

    def test_the_command_reads_standard_input(self):
        with open(self.folder / "input", "wb+") as source:
            source.write(b"from the input\n")
            source.seek(0)
            tool = self.run_do("key", "--", "cat", stdin=source)
        self.assertEqual((tool.code, tool.output()), (0, b"from the input\n"))

    def test_standard_output_can_be_opened_by_name(self):
        tool = self.run_do("key", "--", "sh", "-c", "echo by name >/dev/stdout")
        self.assertEqual((tool.code, tool.output()), (0, b"by name\n"))

    def test_arguments_reach_the_command_as_they_are(self):
        tool = self.run_do("key", "--", "printf", "%s|", "", "a b", "--", "--help", "\n")
        self.assertEqual(tool.output(), b"|a b|--|--help|\n|")

    def test_it_waits_for_the_end_of_the_output_not_only_of_the_command(self):
        gate = self.gate()
        tool = self.do("key", "--", "sh", "-c", f"({gate.shell()}; echo late) & echo early")
        self.until_output(tool, b"early\n")
        gate.open()
        self.assert_ends(tool, 0, b"early\nlate\n")


class Keys(Case):
    def test_a_key_may_begin_with_a_dash(self):
        for words in (["--", "-x", "--", "echo", "ran"], ["--", "--retain", "--", "echo", "ran"],
                      ["--", "key", "--", "echo", "ran"], ["key", "--", "echo", "ran"]):
            with self.subTest(words=words):
                self.assert_ends(self.do(*words), 0, b"ran\n")

    def test_the_mark_in_a_command_is_the_commands_own(self):
        self.assert_ends(self.do("key", "--", "echo", "--", "x"), 0, b"-- x\n")
        self.assert_ends(self.do("--", "key", "--", "echo", "--", "x"), 0, b"-- x\n")

    def test_addresses_may_stand_in_one_list(self):
        tool = self.do("--address", f"{self.address},127.0.0.1:1", "--connect-timeout", "1s", "key",
                       "--", "echo", "ran", address="127.0.0.1:1")
        self.assert_ends(tool, 0, b"ran\n")


class NotStarted(Case):
    def test_a_command_that_does_not_exist_is_127(self):
        tool = self.run_do("key", "--", "/no/such/command")
        self.assertEqual(tool.code, 127)
        self.assertIn("cannot run /no/such/command: no such file", tool.errors())

    def test_a_command_that_may_not_run_is_126(self):
        (self.folder / "plain").write_text("no program\n")
        tool = self.run_do("key", "--", self.folder / "plain")
        self.assertEqual(tool.code, 126)
        self.assertIn("permission denied", tool.errors())

    def test_who_cannot_start_the_command_lets_the_next_one_try(self):
        gate = self.gate()
        blocker = self.do("key", "--lease", "0", "--", "sh", "-c", f"{gate.shell()}; exit 1")
        self.wait_for_callers(1)
        broken = self.do("key", "--", "/no/such/command")
        self.wait_for_callers(2)
        sound = self.do("key", "--", "echo", "done")
        self.wait_for_callers(3)
        blocker.process.kill()
        self.assert_ends(broken, 127)
        self.assert_ends(sound, 0, b"done\n")


class Roles(Case):
    def test_skip_if_running_exits_at_once_with_75(self):
        gate = self.gate()
        leader = self.do("--caller", "node-1", "key", "--", "sh", "-c", gate.shell())
        self.wait_for_callers(1)
        tool = self.run_do("--skip-if-running", "key", "--", "echo", "ran")
        self.assertEqual((tool.code, tool.output()), (75, b""))
        self.assertIn("skipped", tool.errors())
        self.assertIn("node-1", tool.errors())
        tool = self.run_do("--skip-if-running", "--skip-code", "0", "-q", "key", "--", "true")
        self.assertEqual((tool.code, tool.errors()), (0, ""))
        gate.open()
        self.assert_ends(leader, 0)

    def test_skip_if_running_runs_when_nobody_does(self):
        tool = self.run_do("--skip-if-running", "key", "--", "echo", "ran")
        self.assertEqual((tool.code, tool.output()), (0, b"ran\n"))

    def test_follow_only_is_66_when_there_is_nothing(self):
        tool = self.run_do("--follow-only", "key")
        self.assertEqual((tool.code, tool.output()), (66, b""))

    def test_follow_only_follows(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo done; exit 4")
        self.wait_for_callers(1)
        follower = self.do("--follow-only", "key")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(follower, 4, b"done\n")
        self.assert_ends(leader, 4)

    def test_the_same_key_with_another_fingerprint_is_65(self):
        gate = self.gate()
        leader = self.do("--fingerprint", "a", "key", "--", "sh", "-c", gate.shell())
        self.wait_for_callers(1)
        tool = self.run_do("--fingerprint", "b", "key", "--", "echo", "ran")
        self.assertEqual((tool.code, tool.output()), (65, b""))
        gate.open()
        self.assert_ends(leader, 0)


class Retained(Case):
    def test_within_the_time_nothing_runs_and_the_outcome_is_the_same(self):
        command = ("--", "sh", "-c", f"{self.note()}; echo $$")
        first = self.run_do("--retain", "1h", "key", *command)
        second = self.run_do("--retain", "1h", "key", *command)
        self.assertEqual(first.code, second.code)
        self.assertEqual(first.output(), second.output())
        self.assertEqual(len(self.runs()), 1)

    def test_a_failure_is_retained_only_if_asked_for(self):
        command = ("--", "sh", "-c", f"{self.note()}; echo $$; exit 9")
        self.assertEqual(self.run_do("--retain", "1h", "key", *command).code, 9)
        first = self.run_do("--retain-error", "1h", "key", *command)
        second = self.run_do("--retain-error", "1h", "key", *command)
        self.assertEqual((first.code, second.code), (9, 9))
        self.assertEqual(first.output(), second.output())
        self.assertEqual(len(self.runs()), 2)

    def test_what_is_older_than_max_age_is_not_taken(self):
        command = ("--", "sh", "-c", self.note())
        self.assertEqual(self.run_do("--retain", "1h", "key", *command).code, 0)
        # At least a millisecond old by the time that anybody can ask.
        until_older = self.run_do("--max-age", "1ms", "key", *command)
        self.assertEqual(until_older.code, 0)
        self.assertEqual(len(self.runs()), 2)

    def test_forget_makes_it_run_again(self):
        command = ("--", "sh", "-c", self.note())
        self.assertEqual(self.run_do("--retain", "1h", "key", *command).code, 0)
        self.assertEqual(self.run_tool("forget", "key").output(),
                         b"forgotten: the retained outcome\n")
        self.assertEqual(self.run_do("--retain", "1h", "key", *command).code, 0)
        self.assertEqual(len(self.runs()), 2)

    def test_a_follower_of_any_role_takes_it(self):
        self.assertEqual(self.run_do("--retain", "1h", "key", "--", "echo", "kept").code, 0)
        for role in (["--follow-only", "key"], ["--skip-if-running", "key", "--", "false"]):
            tool = self.run_do(*role)
            self.assertEqual((tool.code, tool.output()), (0, b"kept\n"))

    def test_a_bound_of_the_server_is_code_64(self):
        tool = self.run_do("--retain", "8d", "key", "--", "true")
        self.assertEqual(tool.code, 64)
        self.assertIn("retain", tool.errors())


class Ends(Case):
    def test_with_pass_on_error_the_next_one_tries(self):
        gate = self.gate()
        first = self.do("key", "--pass-on-error", "--", "sh", "-c",
                        f"echo bad; {gate.shell()}; exit 4")
        self.until_output(first, b"bad\n")
        second = self.do("key", "--", "echo", "good")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(first, 4, b"bad\n")
        self.assert_ends(second, 0, b"good\n")

    def test_timeout_of_a_follower_is_75_and_the_leader_goes_on(self):
        gate = self.gate()
        leader = self.do("key", "--", "sh", "-c", f"{gate.shell()}; echo done")
        self.wait_for_callers(1)
        follower = self.run_do("--timeout", "100ms", "key", "--", "true")
        self.assertEqual(follower.code, 75)
        gate.open()
        self.assert_ends(leader, 0, b"done\n")

    def test_timeout_of_a_leader_is_75_and_ends_its_command(self):
        gate = self.gate()
        tool = self.do("--timeout", "500ms", "key", "--", "sh", "-c",
                       f"{self.note()}; {gate.shell()}")
        self.assert_ends(tool, 75)
        self.assert_command_is_gone()

    def test_run_limit_ends_the_command(self):
        gate = self.gate()
        tool = self.do("--run-limit", "500ms", "key", "--", "sh", "-c",
                       f"{self.note()}; {gate.shell()}")
        self.assert_ends(tool, 75)
        self.assert_command_is_gone()
        self.assertIn("the lead is lost", tool.errors())

    def test_max_attempts_bounds_how_many_try(self):
        gate = self.gate()
        command = ("--", "sh", "-c", f"{self.note()}; {gate.shell()}")
        limits = ("--run-limit", "300ms", "--max-attempts", "2")
        tools = [self.do(*limits, "key", *command) for _ in range(3)]
        for tool in tools:
            self.assertEqual(tool.wait(), 75)
        self.assertLessEqual(len(self.runs()), 2)

    def test_quiet_says_nothing(self):
        tool = self.run_do("--quiet", "--run-limit", "200ms", "key", "--", "sh", "-c",
                           self.gate().shell())
        self.assertEqual((tool.code, tool.errors()), (75, ""))

    def test_verbose_says_who_leads(self):
        gate = self.gate()
        leader = self.do("-v", "--caller", "node-1", "key", "--", "sh", "-c", gate.shell())
        self.wait_for_callers(1)
        follower = self.do("-v", "key", "--", "true")
        self.wait_for_callers(2)
        gate.open()
        self.assert_ends(leader, 0)
        self.assert_ends(follower, 0)
        self.assertIn("leading: attempt 1, token ", leader.errors())
        self.assertIn("following node-1: attempt 1", follower.errors())


if __name__ == "__main__":
    unittest.main()
