# SPDX-License-Identifier: Apache-2.0
import sqlite3
import unittest

from example import EXAMPLES, ExampleCase


class CacheBreakdown(ExampleCase):
    example = EXAMPLES / "cache_breakdown"

    def setUp(self):
        super().setUp()
        self.database = self.folder / "users.db"
        with sqlite3.connect(self.database) as database:
            database.execute("CREATE TABLE users (name TEXT PRIMARY KEY, profile TEXT)")
            database.executemany("INSERT INTO users VALUES (?, ?)",
                                 [(f"user_{n}", f"profile of {n}") for n in range(1000)])
        database.close()

    def test_of_forty_processes_one_asks_the_database_for_each_user(self):
        for user in (123, 456):
            tools = [self.start_example(self.database, f"user_{user}") for _ in range(20)]
            answers = self.finish(tools)
            self.assertEqual(answers.count(f"profile of {user} (from the database)\n"), 1)
            self.assertEqual(answers.count(f"profile of {user} (shared)\n"), 19)
        self.assertEqual(self.stats()["executions"], 2)

    def test_a_user_who_is_not_there_is_an_error_for_everybody(self):
        tools = [self.start_example(self.database, "user_none") for _ in range(5)]
        for tool in tools:
            self.assertEqual(tool.wait(), 1)
            self.assertIn("no such user", tool.errors())

    def test_a_database_that_is_not_there_is_an_error(self):
        tool = self.run_example(self.folder / "none.db", "user_1")
        self.assertEqual(tool.code, 1)
        self.assertIn("unable to open", tool.errors())


if __name__ == "__main__":
    unittest.main()
