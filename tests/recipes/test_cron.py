# SPDX-License-Identifier: Apache-2.0
"""Five nodes with Debian's cron and the same crontab. Each cron has a mount namespace of its own with
its own crontab and sendmail, and a clock that runs ten times as fast and differs from the others'.
"""

import os
import re
import shutil
import subprocess
import unittest

from recipe import SOURCE, make_bin, take, write_program
from support import Case, until

# What makes a node: its crontab, and a place for its mail. Ends as cron.
NODE = """
set -e
mount -t tmpfs none /run
mount -t tmpfs none /var/spool
mkdir -p /var/spool/cron/crontabs
chmod 1730 /var/spool/cron/crontabs
cp "$1/crontab" /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /etc/cron.d
[ ! -e "$1/nightly" ] || cp "$1/nightly" /etc/cron.d/
mount -t tmpfs none /usr/sbin -o size=1m,mode=755
cp "$1/cron" "$1/sendmail" /usr/sbin
LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) FAKETIME="$2 x10" exec /usr/sbin/cron -f
"""


def can_unshare():
    return shutil.which("cron", path="/usr/sbin") is not None and shutil.which("faketime") and \
        subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                       capture_output=True, check=False).returncode == 0


@unittest.skipUnless(can_unshare(), "needs root, cron and faketime")
class Cron(Case):
    def start_node(self, name, clock, crontab, example=None):
        """One node; `clock` is the time that it believes it is. `example` is for /etc/cron.d."""
        folder = self.folder / name
        folder.mkdir()
        tools = make_bin(folder / "bin", make_report=self.report)
        variables = {
            "PATH": f"{tools}:/usr/bin:/bin",
            "SINGLEFLIGHT_ADDRESS": self.address,
            "MAILTO": "root",
            # What a sanitizer says is in the mail, and of leaks it knows nothing in a namespace.
            "ASAN_OPTIONS": "detect_leaks=0",
            "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS") or "exitcode=66",
        }
        (folder / "crontab").write_text(
            "".join(f"{name}={value}\n" for name, value in variables.items()) + crontab)
        if example is not None:
            for variable in ("PATH", "SINGLEFLIGHT_ADDRESS"):
                given = f"{variable}={variables[variable]}"
                example, count = re.subn(rf"^{variable}=.*$", given, example, flags=re.MULTILINE)
                self.assertEqual(count, 1, variable)
            (folder / "nightly").write_text(example)
        shutil.copy("/usr/sbin/cron", folder / "cron")
        write_program(folder / "sendmail", f"#!/bin/sh\nexec cat >{folder}/mail.$$\n")
        process = subprocess.Popen(["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", NODE, "node", folder, clock])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    def mails(self):
        """Those that have a text."""
        return [path.read_text() for path in self.folder.glob("*/mail.*") if path.stat().st_size]

    def start_five(self, crontab, command, example=None):
        self.report = f"{self.note()}\n{command}"
        for n in range(5):
            # The slowest clock begins three minutes of its own, 18 seconds, after the fastest.
            self.start_node(f"node-{n}", f"@2026-03-01 02:5{9 - n % 4}:50", crontab, example)

    def all_have_asked(self):
        return self.stats()["calls"] == 5 and self.stats()["callers_now"] == 0

    def test_it_runs_once_and_sends_one_mail(self):
        self.start_five(take("cron"), "echo a report")
        until(self.all_have_asked, "all nodes have asked")
        self.assertEqual(len(self.runs()), 1)
        until(self.mails, "there is a mail")
        self.assertEqual(len(self.mails()), 1, self.mails())
        self.assertIn("a report", self.mails()[0])

    def test_so_does_the_example_in_etc_cron_d(self):
        example = (SOURCE / "deploy" / "cron" / "nightly").read_text()
        self.assertIn(take("cron").replace("* * * ", "* * * root "), example)
        self.start_five("", "echo a report", example)
        until(self.all_have_asked, "all nodes have asked")
        self.assertEqual(len(self.runs()), 1)

    def test_a_failure_is_not_repeated_and_sends_one_mail(self):
        self.start_five(take("cron"), "echo broken >&2; exit 3")
        until(self.all_have_asked, "all nodes have asked")
        self.assertEqual(len(self.runs()), 1)
        until(self.mails, "there is a mail")
        self.assertEqual(len(self.mails()), 1, self.mails())
        self.assertIn("broken", self.mails()[0])


if __name__ == "__main__":
    unittest.main()
