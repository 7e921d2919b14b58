# SPDX-License-Identifier: Apache-2.0
"""Whether what has run is run again, and how to end what runs: --every, --stale, --fresh, --hold,
--replace, stop and runs."""

import json
import os
import time
import unittest

from support import Case, Daemon, RestartCase, free_port, until


class Every(Case):
    def test_the_window_begins_with_the_run(self):
        """Once, with --retain, a job of 4 s every 6 s ran in every second slot."""
        slots, period = 4, 3.0
        begun = time.monotonic()
        tools = []
        for slot in range(slots):
            # poll: until the slot begins
            until(lambda at=begun + slot * period: time.monotonic() >= at, "the slot begins")
            tools.append(self.do("--every", "3s", "key", "--", "sh", "-c", f"{self.note()}; sleep 2"))
        for tool in tools:
            self.assert_ends(tool, 0)
        # On a busy machine one of them may ask too late for its slot.
        self.assertGreaterEqual(len(self.runs()), slots - 1)

    def test_within_it_nobody_runs_it_again_however_it_ended(self):
        for code in (0, 3):
            with self.subTest(code=code):
                for _ in range(3):
                    tool = self.run_do("--every", "1h", f"key{code}", "--", "sh", "-c",
                                       f"{self.note()}; exit {code}")
                    self.assertEqual(tool.code, code)
        self.assertEqual(len(self.runs()), 2)

    def test_whose_reader_goes_away_is_run_to_its_end(self):
        read, write = os.pipe()
        gate = self.gate()
        tool = self.do("--every", "1h", "key", "--", "sh", "-c",
                       f"{self.note()}; {gate.shell()}; seq 100000; exit 3", stdout=write)
        os.close(write)
        self.wait_for_runs(1)
        os.close(read)
        gate.open()
        tool.wait()
        late = self.run_do("--every", "1h", "key", "--", "true")
        self.assertEqual(late.code, 3)
        self.assertTrue(late.output().endswith(b"100000\n"))

    def test_it_goes_without_retain(self):
        tool = self.run_do("--every", "1h", "--retain", "1h", "key", "--", "true")
        self.assertEqual(tool.code, 64)
        self.assertIn("--every", tool.errors())


class Fresh(Case):
    def test_a_retained_outcome_is_not_taken(self):
        for _ in range(2):
            self.assertEqual(self.run_do("--fresh", "--retain", "1h", "key", "--", "sh", "-c",
                                         self.note()).code, 0)
        self.assertEqual(len(self.runs()), 2)

    def test_those_who_come_while_it_runs_share_one_more_run(self):
        gate = self.gate()
        script = f"{self.note()}; {gate.shell()}"
        first = self.do("key", "--", "sh", "-c", script)
        self.wait_for_runs(1)
        fresh = [self.do("--fresh", "key", "--", "sh", "-c", script) for _ in range(3)]
        self.wait_for_callers(4)
        self.assertEqual(len(self.runs()), 1)
        gate.open()
        for tool in [first, *fresh]:
            self.assert_ends(tool, 0)
        self.assertEqual(len(self.runs()), 2)


    def test_an_outcome_from_before_the_lost_run_is_not_taken(self):
        self.run_do("--retain", "1h", "key", "--", "echo", "old")
        tool = self.run_do("--fresh", "--run-limit", "1s", "key", "--", "sleep", "60")
        self.assertEqual((tool.code, tool.output()), (75, b""))


class Stale(Case):
    options = ("--retain", "1h", "--max-age", "1s", "--stale", "1h")

    def ask(self, script):
        return self.run_do(*self.options, "key", "--", "sh", "-c", script)

    def age(self):
        """Makes what is retained older than --max-age."""
        ended = time.monotonic()
        until(lambda: time.monotonic() > ended + 1.1, "it is old")

    def test_it_is_served_at_once_and_renewed_in_the_background(self):
        gate = self.gate()
        self.assertEqual(self.ask(f"{self.note()}; echo old").output(), b"old\n")
        self.age()
        slow = f"{self.note()}; {gate.shell()}; echo new"
        for _ in range(3):  # one of them renews it
            again = self.ask(slow)
            self.assertEqual((again.code, again.output()), (0, b"old\n"))
        self.wait_for_runs(2)
        gate.open()
        until(lambda: self.stats()["flights_now"] == 0, "it is renewed")
        self.assertEqual(self.ask(slow).output(), b"new\n")
        self.assertEqual(len(self.runs()), 2)

    def test_when_that_fails_the_old_one_is_served_on(self):
        self.ask("echo old")
        self.age()
        for n in range(2):
            self.assertEqual(self.ask(f"{self.note()}; exit 1").output(), b"old\n")
            self.wait_for_runs(n + 1)
            until(lambda: self.stats()["flights_now"] == 0, "the failure is over")

    def test_not_even_with_retain_error_does_a_failure_replace_it(self):
        options = (*self.options, "--retain-error", "1h", "key", "--", "sh", "-c")
        self.run_do(*options, "echo old")
        self.age()
        for n in range(2):
            self.assertEqual(self.run_do(*options, f"{self.note()}; exit 1").output(), b"old\n")
            self.wait_for_runs(n + 1)
            until(lambda: self.stats()["flights_now"] == 0, "the failure is over")

    def test_one_that_waits_runs_it_when_the_leader_is_lost(self):
        leader = self.do("--lease", "1s", "key", "--", "sh", "-c", f"{self.note()}; sleep 60")
        self.wait_for_runs(1)
        follower = self.do(*self.options, "key", "--", "sh", "-c", f"{self.note()}; echo mine")
        self.wait_for_callers(2)
        leader.process.kill()
        self.assert_ends(follower, 0, b"mine\n")

    def test_with_fail_open_it_runs_without_a_server(self):
        tool = self.run_do(*self.options, "--fail-open", "key", "--", "echo", "here",
                           address=f"127.0.0.1:{free_port()}")
        self.assertEqual((tool.code, tool.output()), (0, b"here\n"), tool.errors())

    def test_the_refresh_asks_the_same_servers(self):
        other = Daemon()
        self.addCleanup(other.stop)
        addresses = f"{self.address},{other.address}"
        keys = [f"key{n}" for n in range(8)]
        ask = ("do", "--fingerprint", "none", "-a", addresses, *self.options)
        for key in keys:
            self.run_tool(*ask, key, "--", "echo", "old", address=None)
        self.age()
        for key in keys:
            self.run_tool(*ask, key, "--", "echo", "new", address=None)

        def renewed(key):
            return self.run_tool("do", "--follow-only", "-a", addresses, key, address=None).output() == b"new\n"
        until(lambda: all(renewed(key) for key in keys), "all are renewed")

    def test_what_is_not_old_is_not_renewed(self):
        self.ask(f"{self.note()}; echo it")
        self.assertEqual(self.ask(f"{self.note()}; echo it").output(), b"it\n")
        self.assertEqual(len(self.runs()), 1)

    def test_it_needs_max_age(self):
        tool = self.run_do("--stale", "1h", "key", "--", "true")
        self.assertEqual(tool.code, 64)
        self.assertIn("--max-age", tool.errors())


class Hold(Case):
    def test_a_payment_whose_worker_dies_is_not_tried_again(self):
        options = ("--hold", "--lease", "1s", "--retain-error", "1h", "invoice", "--", "sh", "-c",
                   f"{self.note()}; sleep 60")
        worker = self.do(*options)
        self.wait_for_runs(1)
        follower = self.do(*options)
        self.wait_for_callers(2)
        worker.process.kill()
        self.assertEqual(follower.wait(), 75, follower.errors())
        late = self.run_do(*options)
        self.assertEqual(late.code, 75)
        self.assertEqual(len(self.runs()), 1)
        self.assertEqual(self.run_tool("forget", "invoice").code, 0)
        self.assertEqual(self.run_do("invoice", "--", "true").code, 0)


    def test_however_it_ended_it_is_kept(self):
        options = ("--hold", "--retain", "1h", "--retain-error", "1h", "invoice", "--", "sh", "-c")
        worker = self.do(*options, f"{self.note()}; sleep 60")
        self.wait_for_runs(1)
        worker.send(15)
        self.assertEqual(worker.wait(), 143)
        self.assertEqual(self.run_do(*options, self.note()).code, 143)
        self.assertEqual(len(self.runs()), 1)


class Stop(Case):
    def test_it_ends_the_run_everywhere_and_nobody_takes_over(self):
        leader = self.do("--caller", "node-1", "key", "--", "sh", "-c", f"{self.note()}; sleep 60")
        self.wait_for_runs(1)
        follower = self.do("key", "--", "sh", "-c", self.note())
        self.wait_for_callers(2)
        stop = self.run_tool("stop", "--caller", "the operator", "key")
        self.assertEqual((stop.code, stop.output()), (0, b"stopped\n"), stop.errors())
        for tool in (leader, follower):
            self.assertEqual(tool.wait(), 75)
            self.assertIn("ended by the operator", tool.errors())
        self.assertEqual(len(self.runs()), 1)
        self.assert_command_is_gone()

    def test_of_what_does_not_run_it_says_so(self):
        stop = self.run_tool("stop", "nothing")
        self.assertEqual(stop.code, 66)
        self.assertIn("nothing runs", stop.errors())

    def test_in_json(self):
        stop = self.run_tool("stop", "--json", "nothing")
        self.assertEqual(json.loads(stop.output()), {"ended": False, "retained": False})

    def test_replace_ends_the_run_and_begins_anew(self):
        old = self.do("key", "--", "sh", "-c", f"{self.note()}; sleep 60")
        self.wait_for_runs(1)
        new = self.run_do("--replace", "key", "--", "sh", "-c", f"{self.note()}; echo new")
        self.assertEqual((new.code, new.output()), (0, b"new\n"), new.errors())
        self.assertIn(old.wait(), (0, 75), old.errors())  # it follows the new one, if that still runs
        self.assertIn("ended by", old.errors())
        self.assert_command_is_gone()


class Runs(RestartCase):
    def test_who_ran_it_when_how_long_and_how_it_ended(self):
        self.run_do("--caller", "node-1", "key", "--", "sh", "-c", "echo out; exit 3")
        self.run_do("--caller", "node-2", "other", "--", "true")
        run = self.json("runs", "key")[0]
        self.assertEqual((run["key"], run["leader"], run["outcome"], run["code"], run["callers"],
                          run["attempts"], run["value_bytes"]),
                         ("key", "node-1", "error", 3, 1, 1, 4))
        self.assertIn("exited with code 3 on node-1", run["message"])
        self.assertLessEqual(run["begun_unix_ms"], run["ended_unix_ms"])
        self.assertLess(abs(run["ended_unix_ms"] / 1000 - time.time()), 600)
        self.assertEqual([r["key"] for r in self.json("runs")], ["other", "key"])
        self.assertEqual(self.json("runs", "ke"), [])  # a key, no prefix
        self.assertEqual([r["key"] for r in self.json("runs", "--prefix", "ke")], ["key"])
        self.assertEqual(self.run_tool("runs", "--prefix", "ke", "key").code, 64)
        self.assertEqual(self.json("runs", "--limit", "1")[0]["key"], "other")
        self.run_do("key2", "--", "true")
        self.assertEqual(self.json("runs", "--limit", "1", "key")[0]["key"], "key")
        self.assertEqual(len(self.json("runs", "--since", "30000d")), 3)
        self.assertEqual(len(self.json("runs", "--since", "1h")), 3)
        table = self.run_tool("runs").output().decode().splitlines()
        self.assertRegex(table[0], r"^ENDED +GROUP +KEY +OUTCOME +LEADER +TOOK")
        self.assertRegex(table[3], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +default +key +error 3 +node-1 +\d")

    def test_they_are_there_the_morning_after(self):
        self.run_do("--caller", "node-1", "--retain", "1h", "key", "--", "true")
        self.run_do("key", "--", "true")  # a retained hit
        self.daemon.stop()
        self.start_daemon()
        runs = self.json("runs", "key")
        self.assertEqual([(r["leader"], r["outcome"]) for r in runs], [("node-1", "ok")])


if __name__ == "__main__":
    unittest.main()
