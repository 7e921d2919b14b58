# SPDX-License-Identifier: Apache-2.0
"""The examples, built outside of the tree against the library as it is installed."""

import os
import subprocess
import unittest

from example import SOURCE, ExampleCase
from support import BIN

PACKAGES = {
    "cache_breakdown": ["sqlite3"],
    "merge_remote_calls": [],
    "message_dedup": [],
    "lock_relief": ["hiredis"],
}


class Installed(ExampleCase):
    def setUp(self):
        super().setUp()
        self.prefix = self.folder / "prefix"
        for part in ("library", "development"):
            self.run_quietly(os.environ["SFL_CMAKE"], "--install", BIN.parent,
                             "--prefix", self.prefix, "--component", part)
        self.pc_folder = next(self.prefix.rglob("singleflight.pc")).parent
        sanitize = os.environ.get("SFL_SANITIZE")
        self.flags = [f"-fsanitize={sanitize}"] if sanitize else []

    def run_quietly(self, *command, **options):
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def pkg_config(self, *arguments):
        environment = dict(os.environ, PKG_CONFIG_PATH=str(self.pc_folder))
        return self.run_quietly("pkg-config", *arguments, env=environment).split()

    def build(self, name, *arguments):
        self.run_quietly(os.environ["CC"], "-Wall", "-Wextra", "-Werror", *self.flags,
                         f"examples/{name}.c", "-o", self.folder / name,
                         *self.pkg_config("--cflags", "--libs", *arguments, "singleflight",
                                          *PACKAGES[name]), cwd=SOURCE)
        return self.folder / name

    def assert_charges(self, program, **environment):
        self.example = program
        ledger = self.folder / "ledger"
        tool = self.run_example(ledger, "order-1", 5, extra=environment)
        self.assertEqual(tool.code, 0, tool.errors())
        self.assertEqual(len(ledger.read_text().splitlines()), 1)

    def test_every_example_builds_with_pkg_config(self):
        for name in PACKAGES:
            with self.subTest(name=name):
                self.build(name)

    def test_they_run_with_the_shared_library(self):
        self.assert_charges(self.build("message_dedup"),
                            LD_LIBRARY_PATH=str(self.pc_folder.parent))

    def test_they_run_with_the_static_library(self):
        for library in self.pc_folder.parent.glob("libsingleflight.so*"):
            library.unlink()
        self.assert_charges(self.build("message_dedup", "--static"))

    def test_the_cmake_package_is_found_and_links(self):
        project = self.folder / "project"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\n"
            "project(user C)\n"
            "find_package(singleflight REQUIRED)\n"
            f"add_executable(user {SOURCE}/examples/message_dedup.c)\n"
            "target_link_libraries(user PRIVATE singleflight::singleflight)\n")
        flags = " ".join(self.flags)
        self.run_quietly(os.environ["SFL_CMAKE"], "-S", project, "-B", project / "build",
                         f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_FLAGS={flags}")
        self.run_quietly(os.environ["SFL_CMAKE"], "--build", project / "build")
        self.assert_charges(project / "build" / "user")


if __name__ == "__main__":
    unittest.main()
