# SPDX-License-Identifier: Apache-2.0
"""systemd reads the units of the page as they are meant, and the line that they run does its job.
(There is no systemd to run them here: a container has none.)
"""

import re
import shlex
import shutil
import subprocess
import unittest

from recipe import make_bin, take
from support import BIN, Case


@unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
class Systemd(Case):
    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *arguments], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_the_units_are_right(self):
        service = take("service").replace("/usr/local/bin/singleflight", str(BIN / "singleflight"))
        (self.folder / "nightly.service").write_text(service)
        (self.folder / "nightly.timer").write_text(take("timer"))
        done = self.analyze("verify", "--man=no", str(self.folder / "nightly.service"),
                            str(self.folder / "nightly.timer"))
        about_ours = [line for line in done.stdout.splitlines() if "nightly" in line]
        self.assertEqual((done.returncode, about_ours), (0, []), done.stdout)

    def test_the_timer_fires_at_three(self):
        when = re.search(r"OnCalendar=(.*)", take("timer"))[1]
        done = self.analyze("calendar", "--iterations=2", "--base-time=2026-03-01 12:00 UTC", when)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"2026-03-0\d 03:00:00")

    def test_the_line_runs_it_once_for_five_nodes(self):
        line = shlex.split(re.search(r"ExecStart=(.*)", take("service"))[1])[1:]
        tools = make_bin(self.folder / "bin", make_report=f"{self.note()}\necho a report")
        nodes = [self.start(*line, extra={"PATH": f"{tools}:/usr/bin:/bin"}) for _ in range(5)]
        for node in nodes:
            self.assert_ends(node, 0, b"a report\n")
        self.assertEqual(len(self.runs()), 1)


if __name__ == "__main__":
    unittest.main()
