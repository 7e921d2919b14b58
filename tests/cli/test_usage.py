# SPDX-License-Identifier: Apache-2.0
"""The command line itself: nothing here needs a daemon."""

import base64
import hashlib
import shutil
import subprocess
import unittest

from support import BIN, Case

WRONG = [
    ([], "say what to do"),
    (["bogus"], "there is no subcommand bogus"),
    (["--bogus"], "there is no subcommand --bogus"),
    (["do"], "the key is missing"),
    (["do", "--", "true"], "the key is missing"),
    (["do", "--", "true", "false"], "the key is missing"),
    (["do", "", "--", "true"], "the key is missing"),
    (["do", "key"], "the command is missing"),
    (["do", "key", "--"], "the command is missing"),
    (["do", "key", "true"], '"--" goes before the command'),
    (["do", "--bogus", "key", "--", "true"], "--bogus is not an option here"),
    (["do", "--json", "key", "--", "true"], "--json is not an option here"),
    (["do", "key", "--retain", "--", "true"], "--retain needs a value"),
    (["do", "--retain", "10", "key", "--", "true"], "--retain needs a unit"),
    (["do", "--retain", "10x", "key", "--", "true"], "--retain has an unknown unit"),
    (["do", "--skip-code", "256", "key", "--", "true"], "--skip-code is too large"),
    (["do", "--skip-code", "-1", "key", "--", "true"], "--skip-code must be a whole number"),
    (["do", "--max-attempts", "many", "key", "--", "true"], "must be a whole number"),
    (["do", "--result-limit", "0", "key", "--", "true"], "--result-limit is too small"),
    (["do", "--hold", "--pass-on-error", "key", "--", "true"], "contradict each other"),
        (["do", "--replace", "--follow-only", "key"], "contradict each other"),
        (["do", "--every", "1h", "--max-age", "1m", "key", "--", "true"], "contradict each other"),
        (["do", "--fingerprint", "", "key", "--", "true"], "must not be empty"),
        (["do", "--on-leader-loss", "cry", "key", "--", "true"], "must be one of promote|fail"),
    (["do", "--fingerprint", "x" * 65, "key", "--", "true"], "longer than 64 bytes"),
    (["do", "--follow-only", "--skip-if-running", "key"], "contradict each other"),
    (["do", "--address", "", "key", "--", "true"], "--address must not be empty"),
    (["do", "-a", "localhost", "key", "--", "true"], '"localhost" is no address'),
    (["list", "--address", "127.0.0.1:1,127.0.0.1:99999"], '"127.0.0.1:99999" is no address'),
    (["forget"], "the key is missing"),
    (["forget", "one", "two"], "two is one word too many"),
    (["list", "key"], "key is one word too many"),
    (["token"], "the name is missing"),
    (["token", "a b"], "a name has 1 to 64"),
    (["token", "cron", "ops"], "ops is one word too many"),
    (["list", "--limit", "4294967296"], "--limit is too large"),
    (["top", "--interval", "1ms"], "--interval is too small"),
    (["stats", "--if-unshared"], "--if-unshared is not an option here"),
]


class Usage(Case):
    has_daemon = False

    def test_a_wrong_command_line_is_code_64_and_says_what_is_wrong(self):
        for arguments, what in WRONG:
            with self.subTest(arguments=arguments):
                tool = self.run_tool(*arguments)
                self.assertEqual(tool.code, 64)
                self.assertIn(what, tool.errors())
                self.assertEqual(tool.output(), b"")

    def test_a_token_and_the_line_of_its_hash(self):
        tools = [self.run_tool("token", "cron.1") for _ in range(2)]
        tokens = [tool.output().decode().removesuffix("\n") for tool in tools]
        self.assertNotEqual(*tokens)
        for tool, token in zip(tools, tokens):
            self.assertEqual(len(base64.urlsafe_b64decode(token + "=")), 32)
            hashed = hashlib.sha256(token.encode()).hexdigest()
            self.assertEqual((tool.code, tool.errors()), (0, f"cron.1 {hashed}\n"))

    def test_help_goes_to_standard_output(self):
        tool = self.run_tool("--help")
        self.assertEqual((tool.code, tool.errors()), (0, ""))
        for word in (b"do", b"forget", b"list", b"top", b"stats", b"Exit codes", b"75"):
            self.assertIn(word, tool.output())

    def test_each_subcommand_has_its_help(self):
        for name in ("do", "forget", "list", "top", "stats"):
            with self.subTest(name=name):
                tool = self.run_tool(name, "--help")
                self.assertEqual((tool.code, tool.errors()), (0, ""))
                self.assertIn(f"Usage: singleflight {name}".encode(), tool.output())
                self.assertIn(b"--address", tool.output())
                self.assertLess(max(map(len, tool.output().splitlines())), 81)

    def test_options_stand_before_or_after_the_key(self):
        for arguments in (["--help", "key"], ["key", "--help"]):
            tool = self.run_do(*arguments)
            self.assertEqual(tool.code, 0)

    def test_version_names_release_revision_and_library(self):
        tool = self.run_tool("--version")
        self.assertEqual(tool.code, 0)
        self.assertRegex(tool.output(), rb"^singleflight \d+\.\d+\.\d+ \(.+\)\ngRPC .+, (shared|static)\n$")

    def complete(self, *words):
        """What bash offers for the last of the words."""
        script = (f'source <("{BIN}/singleflight" --print-completion bash); COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); _singleflight; printf "%s\\n" "${COMPREPLY[@]}"')
        shell = subprocess.run(["bash", "-c", script, "bash", "singleflight", *words],
                               capture_output=True, text=True, check=True)
        self.assertEqual(shell.stderr, "")
        return shell.stdout.split()

    def test_bash_completes_subcommands_options_and_commands(self):
        self.assertEqual(self.complete("s"), ["stop", "stats"])
        self.assertEqual(self.complete("do", "--retain"), ["--retain", "--retain-error", "--retained-code"])
        self.assertEqual(self.complete("list", "--retain"), [])
        self.assertIn("true", self.complete("do", "key", "--", "tru"))
        self.assertEqual(self.complete("list", "--tls-ca", __file__[:-1]), [__file__])

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_can_read_its_completion(self):
        page = subprocess.run([BIN / "singleflight", "--print-completion", "zsh"],
                              capture_output=True, check=True)
        subprocess.run(["zsh", "-n"], input=page.stdout, check=True)
        self.assertIn(b"--skip-if-running[", page.stdout)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_the_man_pages_are_well_formed(self):
        for flag, word in (("--print-man-page", rb"skip\-if\-running"),
                           ("--print-config-man-page", rb"tls\-server\-name")):
            page = subprocess.run([BIN / "singleflight", flag], capture_output=True, check=True)
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "style"], input=page.stdout,
                                  capture_output=True, check=False)
            complaints = [line for line in lint.stdout.decode().splitlines()
                          if "referenced manual not found" not in line]
            self.assertEqual(complaints, [])
            self.assertIn(word, page.stdout)


if __name__ == "__main__":
    unittest.main()
