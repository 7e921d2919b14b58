# SPDX-License-Identifier: Apache-2.0
"""./dev image where it cannot build: one line, and a code that CI counts as skipped."""

import os
import subprocess
import tempfile
import unittest

from images import ROOT, WORK


class Build(unittest.TestCase):
    def build(self, **environment):
        kept = {name: value for name, value in os.environ.items() if name != "SFL_IMAGE_ENTERED"}
        return subprocess.run(
            [ROOT / "deploy/container/build", "--output", tempfile.mkdtemp(dir=WORK)],
            env={**kept, "XDG_CACHE_HOME": tempfile.mkdtemp(dir=WORK), **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def test_without_a_mirror_of_debian(self):
        ended = self.build(SFL_DEBIAN_MIRROR="http://127.0.0.1:1/debian")
        self.assertEqual((ended.returncode, ended.stdout), (75, ""), ended.stderr)
        self.assertIn("debootstrap could not make Debian's base", ended.stderr)

    def test_without_buildah(self):
        tools = tempfile.mkdtemp(dir=WORK)
        for name in ("bash", "dirname"):
            os.symlink(f"/usr/bin/{name}", f"{tools}/{name}")
        ended = self.build(PATH=tools)
        self.assertEqual((ended.returncode, ended.stdout), (77, ""), ended.stderr)
        self.assertEqual(ended.stderr, "image: there is no buildah: ./dev deps image\n")


if __name__ == "__main__":
    unittest.main()
