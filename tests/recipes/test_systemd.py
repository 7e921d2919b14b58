# SPDX-License-Identifier: Apache-2.0
"""systemd reads the units of the page as they are meant, and the line that they run does its job.
(There is no systemd to run them here: a container has none.)
"""

import re
import shlex
import shutil
import subprocess
import unittest

from recipe import SOURCE, make_bin, take
from support import BIN, Case


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
class Recipes(Case):
    def test_the_units_are_right(self):
        service = take("service").replace("=singleflight ", f"={BIN / 'singleflight'} ")
        (self.folder / "nightly.service").write_text(service)
        (self.folder / "nightly.timer").write_text(take("timer"))
        done = analyze("verify", "--man=no", str(self.folder / "nightly.service"),
                            str(self.folder / "nightly.timer"))
        about_ours = [line for line in done.stdout.splitlines() if "nightly" in line]
        self.assertEqual((done.returncode, about_ours), (0, []), done.stdout)

    def test_the_files_are_those_of_the_page(self):
        for kind in ("service", "timer"):
            file = SOURCE / "deploy" / "systemd" / "examples" / f"nightly.{kind}"
            self.assertEqual(file.read_text(), take(kind))

    def test_the_timer_fires_at_three(self):
        when = re.search(r"OnCalendar=(.*)", take("timer"))[1]
        done = analyze("calendar", "--iterations=2", "--base-time=2026-03-01 12:00 UTC", when)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"2026-03-0\d 03:00:00")

    def test_the_line_runs_it_once_for_five_nodes(self):
        line = shlex.split(re.search(r"ExecStart=(.*)", take("service"))[1])[1:]
        tools = make_bin(self.folder / "bin", make_report=f"{self.note()}\necho a report")
        nodes = [self.start(*line, extra={"PATH": f"{tools}:/usr/bin:/bin"}) for _ in range(5)]
        for node in nodes:
            self.assert_ends(node, 0, b"a report\n")
        self.assertEqual(len(self.runs()), 1)


@unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
class Unit(Case):
    """singleflightd.service, as `cmake --install` writes it."""

    def install(self, **settings):
        prefix = self.folder / "prefix"
        given = [f"-D{name}={value}" for name, value in settings.items()]
        script = SOURCE / "deploy" / "systemd" / "install.cmake"
        subprocess.run(["cmake", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DSFL_INSTALL=daemon",
                        *given, "-P", script], check=True, stdout=subprocess.DEVNULL)
        (prefix / "bin").mkdir(exist_ok=True)
        (prefix / "bin" / "singleflightd").symlink_to(BIN / "singleflightd")
        return prefix / "lib" / "systemd" / "system" / "singleflightd.service"

    def test_systemd_reads_all_of_it(self):
        unit = self.install(SFL_SYSTEMD=252)
        done = analyze("verify", "--man=no", str(unit))
        about_ours = [line for line in done.stdout.splitlines() if "singleflightd" in line]
        self.assertEqual((done.returncode, about_ours), (0, []), done.stdout)

    def test_it_is_hardened(self):
        done = analyze("security", "--offline=true", "--threshold=20", str(self.install()))
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_reload_is_waited_for_where_systemd_can(self):
        self.assertIn("\nType=notify-reload\n", self.install(SFL_SYSTEMD=253).read_text())

    def test_it_starts_with_the_settings_beside_it(self):
        """--config names the file that was installed with it, and that one is good."""
        start = re.search(r"ExecStart=(.*)", self.install().read_text())[1]
        done = subprocess.run([*shlex.split(start), "--check-config"], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("data-dir = /var/lib/singleflightd ; /", done.stdout)

    def test_what_was_edited_is_not_written_over(self):
        file = self.folder / "prefix" / "etc" / "singleflightd.conf"
        self.install()
        file.write_text("; edited\n")
        (self.folder / "prefix" / "bin" / "singleflightd").unlink()
        self.install()
        self.assertEqual(file.read_text(), "; edited\n")


if __name__ == "__main__":
    unittest.main()
