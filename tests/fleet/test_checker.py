#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checker finds what no caller may see, and nothing else."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fleet.calls import Call, kinds_of  # noqa: E402
from fleet.checker import check  # noqa: E402
from fleet.report import report_of, tell  # noqa: E402

KINDS = kinds_of(30000)


def leader(name, began, ended, token, key="k", kind="plain"):
    """A call of the client `name` up to the dot, whose function ran from began to just before ended."""
    call = Call(name, name.split(".")[0], KINDS[kind], key, began)
    call.led, call.lead_token, call.told = began, token, ended - 0.01
    call.take_done({"came_at": ended, "status": "OK", "outcome": "OK", "token": str(token),
                    "led": True, "value_sha256": call.value_sha256})
    return call


def follower(name, began, ended, of, kind=None, **fields):
    call = Call(name, name.split(".")[0], kind and KINDS[kind] or of.kind, of.key, began)
    call.take_done({"came_at": ended, "status": "OK", "outcome": "OK",
                    "token": str(of.lead_token), "led": False,
                    "value_sha256": of.value_sha256, **fields})
    return call


class TheChecker(unittest.TestCase):
    def assert_finds(self, text, *calls):
        found = check(calls)
        self.assertTrue(any(text in one for one in found), f"{text!r} is not in {found}")

    def test_a_good_load_has_nothing_to_tell(self):
        one = leader("c.1", 0, 1, 7)
        two = leader("go.2", 1.1, 2, 8, kind="aged")
        good = [one, follower("go.1", 0.5, 1, one), two,
                follower("c.2", 2.2, 2.3, two, retained=True, age_ms=200)]
        self.assertEqual(check(good), [])
        self.assertEqual(report_of(good, 2.3)["verdict"], "passed")

    def test_a_value_of_another_function(self):
        one, two = leader("c.1", 0, 1, 7), leader("go.2", 1.1, 2, 8)
        wrong = follower("go.1", 0.5, 1, one, value_sha256=two.value_sha256)
        self.assert_finds("not the value that c.1 made", one, two, wrong)

    def test_a_value_of_another_key(self):
        one = leader("c.1", 0, 1, 7)
        wrong = follower("go.1", 0.5, 1, leader("c.2", 0, 1, 7, key="other"))
        self.assert_finds("nobody was told to lead", one, wrong)

    def test_a_token_that_nobody_has(self):
        one = leader("c.1", 0, 1, 7)
        self.assert_finds("nobody was told to lead", follower("go.1", 0.5, 1, one))

    def test_one_token_for_two(self):
        self.assert_finds("the same token", leader("c.1", 0, 1, 7), leader("go.2", 1.1, 2, 7))

    def test_two_functions_at_a_time(self):
        self.assert_finds("began to run while", leader("c.1", 0, 1, 7),
                          leader("go.2", 0.5, 2, 8))

    def test_who_has_lost_the_lead_runs_no_more(self):
        lost = leader("c.1", 0, 1, 7)
        lost.lost, lost.told, lost.error = 0.6, 3, "ABORTED: lost"
        self.assertEqual(check([lost, leader("go.2", 0.5, 2, 8)]), [])
        self.assert_finds("began to run while", lost, leader("go.2", 0.05, 2, 8))

    def test_tokens_that_fall(self):
        self.assert_finds("led with token 6 after", leader("c.1", 0, 1, 7),
                          leader("go.2", 1.1, 2, 6))

    def test_a_value_of_before_the_call(self):
        one = leader("c.1", 0, 1, 7)
        self.assert_finds("are allowed", one, follower("go.1", 1.2, 1.3, one))

    def test_a_merged_call_may_get_what_is_on_the_way(self):
        one = leader("c.1", 0, 1, 7)
        waits = follower("go.1", 0.5, 1.3, one)
        self.assertEqual(check([one, waits, follower("go.2", 1.2, 1.3, one)]), [])
        self.assert_finds("are allowed", one, waits, follower("node.2", 1.2, 1.3, one))

    def test_a_retained_value_that_is_too_old(self):
        one = leader("c.1", 0, 1, 7, kind="aged")
        old = follower("go.1", 1.7, 1.8, one, retained=True, age_ms=400)
        self.assert_finds("0.5 s are allowed", one, old)
        told = follower("go.1", 1.2, 1.8, one, retained=True, age_ms=600)
        self.assert_finds("told an age", one, told)

    def test_a_fresh_call_in_a_flight_that_ran(self):
        one = leader("c.1", 0, 1, 7)
        self.assert_finds("it is fresh", one, follower("go.1", 0.5, 1, one, kind="fresh"))

    def test_one_that_failed_open(self):
        one = leader("c.1", 0, 1, 7)
        one.done["failed_open"] = True
        self.assert_finds("failed open", one)

    def test_an_error_fails_the_load_and_is_told(self):
        one = leader("c.1", 0, 1, 7)
        failed = Call("go.1", "go", KINDS["plain"], "k", 0.5)
        failed.take_done({"came_at": 1, "status": "UNAVAILABLE", "message": "no server"})
        report = report_of([one, follower("java.1", 0.5, 1, one), failed], 1)
        self.assertEqual(report["verdict"], "failed")
        self.assertIn("ERROR 1 x go, plain: UNAVAILABLE: no server", "\n".join(tell(report)))

    def test_a_load_of_one_client_alone_proves_nothing(self):
        self.assertEqual(report_of([leader("c.1", 0, 1, 7)], 1)["verdict"], "failed")


if __name__ == "__main__":
    unittest.main()
