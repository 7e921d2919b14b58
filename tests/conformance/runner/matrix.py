# SPDX-License-Identifier: Apache-2.0
"""Plays every scenario with every pair of languages, and the crowd with all of them."""

import asyncio
import itertools
import sys

from .peers import Daemon, Driver, Failure, base64_of
from .story import Story, is_possible

# Forty JVMs that connect at the same time take longer than a client's own 5 s.
CROWD_CONNECT_MS = 60000


class Matrix:
    def __init__(self, programs, commands, scenarios, jobs):
        self.programs = programs
        self.commands = commands      # language -> command of its driver
        self.scenarios = scenarios
        self.jobs = asyncio.Semaphore(jobs)
        self.starting = asyncio.Semaphore(2)
        self.passed = {}              # (leader, follower) -> how many
        self.failures = []            # (leader, follower, scenario, text)

    async def start_driver(self, language):
        async with self.starting:
            driver = Driver(language, self.commands[language])
            await driver.start()
            return driver

    async def play(self, pairs):
        daemon = Daemon(self.programs)
        await daemon.start()
        languages = sorted({language for pair in pairs for language in pair})
        drivers = {}
        try:
            for role, language in itertools.product("LF", languages):
                drivers[role, language] = await self.start_driver(language)
            await asyncio.gather(*(
                self._play_one(pair, number, scenario, drivers, daemon)
                for number, scenario in enumerate(self.scenarios) for pair in pairs
                if is_possible(scenario, pair)))
        finally:
            for driver in drivers.values():
                try:
                    await driver.end()
                except Failure as failure:
                    self._fail(driver.language, driver.language, "end of input", failure)
            await daemon.end()

    async def _play_one(self, pair, number, scenario, drivers, daemon):
        leader, follower = pair
        async with self.jobs:
            try:
                peers = {"L": await self._alive(drivers, "L", leader),
                         "F": await self._alive(drivers, "F", follower)}
                story = Story(scenario, peers, daemon, f"{leader}-{follower}-{number}",
                              self.programs)
                await story.play(self.start_driver)
                self.passed[pair] = self.passed.get(pair, 0) + 1
            except Failure as failure:
                self._fail(leader, follower, scenario["name"], failure)

    async def _alive(self, drivers, role, language):
        """One that has ended (an earlier scenario says so) is replaced."""
        if drivers[role, language].has_ended:
            drivers[role, language] = await self.start_driver(language)
        return drivers[role, language]

    def _fail(self, leader, follower, name, failure):
        self.failures.append((leader, follower, name, str(failure)))
        print(f"FAILED {leader} leads, {follower} follows: {name}: {failure}",
              file=sys.stderr, flush=True)

    # ---- all at once

    async def crowd(self, processes):
        """`processes` of each language call one key: one runs the function, all have its value."""
        daemon = Daemon(self.programs)
        await daemon.start()
        crowd = []
        try:
            for language in self.commands:
                crowd += await asyncio.gather(
                    *(self.start_driver(language) for _ in range(processes)))
            await self._crowd_joins(crowd, daemon)
        except Failure as failure:
            self._fail("crowd", "crowd", "one execution", failure)
        finally:
            for driver in crowd:
                await driver.end()
            await daemon.end()
        return len(crowd)

    async def _crowd_joins(self, crowd, daemon):
        function = [{"wait": "go"}, {"write_b64": base64_of(b"of one")}]
        for driver in crowd:
            driver.send({"op": "client", "client": "c", "addresses": [daemon.address],
                         "options": {"connect_timeout_ms": CROWD_CONNECT_MS}})
            driver.send({"op": "do", "client": "c", "call": "a", "function": function,
                         "options": {"group": "crowd", "key_b64": base64_of(b"key")}})
        await daemon.until_listed("crowd", f"{len(crowd)} callers",
                                  lambda row: row["callers"] == len(crowd))
        for driver in crowd:
            driver.send({"op": "signal", "name": "go"})
        leads = 0
        for driver in crowd:
            while (event := await driver.next_event("a", "done"))["event"] != "done":
                leads += event["event"] == "lead"
            wanted = {"status": "OK", "outcome": "OK", "value_bytes": 6, "callers": len(crowd)}
            for field, value in wanted.items():
                if event.get(field) != value:
                    raise Failure(f"{driver.language}: {field} is not {value!r}: {event}")
        if leads != 1:
            raise Failure(f"{leads} of {len(crowd)} ran the function")


def table(matrix, languages):
    """The matrix in Markdown: who leads in the rows, who follows in the columns."""
    lines = ["| leader, follower: | " + " | ".join(languages) + " |",
             "| --- |" + " --- |" * len(languages)]
    for leader in languages:
        cells = []
        for follower in languages:
            passed = matrix.passed.get((leader, follower), 0)
            count = sum(is_possible(s, (leader, follower)) for s in matrix.scenarios)
            cells.append(f"{passed} of {count}")
        lines.append(f"| {leader} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
