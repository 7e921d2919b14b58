# SPDX-License-Identifier: Apache-2.0
import re
import subprocess
import unittest

from example import EXAMPLES, ExampleCase
from support import BOUND, until


class LockRelief(ExampleCase):
    example = EXAMPLES / "lock_relief"

    def setUp(self):
        super().setUp()
        self.socket = self.folder / "redis.sock"
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
             "--dir", self.folder, "--daemonize", "no"], stdout=subprocess.DEVNULL)
        self.addCleanup(self.stop_redis)
        until(self.socket.exists, "Redis listens")

    def stop_redis(self):
        self.redis.terminate()
        self.redis.wait(BOUND)

    def ask_redis(self, *words):
        return subprocess.run(["redis-cli", "-s", self.socket, *words], check=True,
                              capture_output=True, text=True).stdout.strip()

    def tries_for_the_lock(self):
        found = re.search(r"cmdstat_set:calls=(\d+)", self.ask_redis("INFO", "commandstats"))
        return int(found[1]) if found else 0

    def test_of_thirty_processes_one_tries_for_the_lock(self):
        tools = [self.start_example(self.socket, "job") for _ in range(30)]
        self.assertEqual(self.finish(tools), ["run 1\n"] * 30)
        self.assertEqual(self.tries_for_the_lock(), 1)
        self.assertEqual(self.ask_redis("GET", "runs:job"), "1")
        self.assertEqual(self.ask_redis("EXISTS", "lock:job"), "0")

    def test_a_lock_that_somebody_else_has_is_respected(self):
        self.ask_redis("SET", "lock:job", "a process that does not use singleflight")
        tools = [self.start_example(self.socket, "job") for _ in range(5)]
        for tool in tools:
            self.assertEqual(tool.wait(), 1)
            self.assertEqual(tool.output(), b"somebody else has the lock\n")
        self.assertEqual(self.ask_redis("EXISTS", "runs:job"), "0")
        self.assertEqual(self.ask_redis("EXISTS", "lock:job"), "1")


if __name__ == "__main__":
    unittest.main()
