# SPDX-License-Identifier: Apache-2.0
"""The fences that docs/guarantees.md shows do refuse old tokens: run as they stand there."""

import re
import sqlite3
import subprocess
import tempfile
import unittest

from example import SOURCE
from support import BOUND, until

PAGE = (SOURCE / "docs" / "guarantees.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


class Sql(unittest.TestCase):
    def setUp(self):
        self.database = sqlite3.connect(":memory:")
        self.addCleanup(self.database.close)

    @staticmethod
    def statement(text, begin):
        """The statement that begins so, with its parameters as SQLite numbers them."""
        text = text[text.index(begin):]
        return re.sub(r"\$(\d)", r"?\1", text[:text.index(";")])

    def test_one_row_refuses_a_smaller_token(self):
        text = blocks("sql")[0]
        self.database.execute(self.statement(text, "CREATE TABLE"))
        upsert = self.statement(text, "INSERT")
        changed = [self.database.execute(upsert, ("r", f"by {token}", token)).rowcount
                   for token in (5, 5, 7, 6, 0)]
        self.assertEqual(changed, [1, 1, 1, 0, 0])
        self.assertEqual(self.database.execute("SELECT body FROM reports").fetchall(), [("by 7",)])

    def test_a_fence_at_the_start_of_a_transaction_refuses_a_smaller_token(self):
        self.database.execute("CREATE TABLE fences (key text PRIMARY KEY, token bigint NOT NULL)")
        fence = self.statement(blocks("sql")[1], "INSERT")
        passed = [self.database.execute(fence, ("k", token)).fetchall()
                  for token in (5, 4, 5, 9, 5)]
        self.assertEqual(passed, [[(5,)], [], [(5,)], [(9,)], []])


class Redis(unittest.TestCase):
    def test_the_script_refuses_a_smaller_token_of_any_length(self):
        with tempfile.TemporaryDirectory() as folder:
            socket, script = f"{folder}/socket", f"{folder}/fence.lua"
            with open(script, "w", encoding="utf-8") as file:
                file.write(blocks("lua")[0])
            redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket,
                                      "--save", "", "--dir", folder], stdout=subprocess.DEVNULL)
            try:
                ask = ["redis-cli", "-s", socket]
                until(lambda: subprocess.run([*ask, "PING"], capture_output=True,
                                             check=False).stdout == b"PONG\n", "Redis answers")
                tokens = ["5", "5", "7", "6", "10", "9", "18446744073709551615",
                          "18446744073709551614"]
                passed = [subprocess.run([*ask, "--eval", script, "value", "token", ",",
                                          f"by {token}", token], capture_output=True, text=True,
                                         check=True).stdout.strip() for token in tokens]
                self.assertEqual(passed, ["1", "1", "1", "0", "1", "0", "1", "0"])
            finally:
                redis.terminate()
                redis.wait(BOUND)


if __name__ == "__main__":
    unittest.main()
