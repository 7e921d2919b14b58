# SPDX-License-Identifier: Apache-2.0
"""The tool over mutual TLS, with tokens and rights."""

import hashlib
import unittest

from support import Case, SecureCase, certificates, until


def flags(**given):
    """--tls-ca FILE and so on."""
    return [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), value)]


class Refused(Case):
    """What cannot work is said at once, in one line, before anything is run."""

    has_daemon = False

    def refuses(self, words, *given, address="127.0.0.1:1"):
        for subcommand in (["do", "k", "--", "touch", str(self.folder / "ran")], ["list"], ["health"]):
            tool = self.run_tool(subcommand[0], *given, *subcommand[1:], address=address)
            self.assertEqual(tool.code, 64, tool.errors())
            self.assertIn(words, tool.errors())
            self.assertEqual(len(tool.errors().splitlines()), 1, tool.errors())
        self.assertFalse((self.folder / "ran").exists())

    def test_half_of_it(self):
        self.refuses("tls_cert is given without tls_key", *flags(tls_cert="x"))
        self.refuses("without tls_ca", *flags(tls_cert="x", tls_key="y"))
        self.refuses("without tls_ca", *flags(tls_server_name="x"))

    def test_files_that_are_not_there(self):
        self.refuses("/no/where cannot be read", *flags(tls_ca="/no/where"))
        self.refuses("/no/where cannot be read", *flags(token_file="/no/where"))

    def test_a_key_that_does_not_fit(self):
        folder = certificates(self.folder)
        self.refuses("a key that is not that of the certificate", *flags(
            tls_ca=folder / "ca.pem", tls_cert=folder / "alice.pem", tls_key=folder / "bob.key"))

    def test_a_token_for_all_to_read(self):
        token = self.folder / "token"
        token.write_text("t")
        self.refuses("for all to read", *flags(token_file=token), address="db.example:7433")


class Secure(SecureCase):
    def test_every_subcommand_gets_through(self):
        self.assert_ends(self.do("--retain", "1h", "k", "--", "echo", "x"), 0, b"x\n")
        for subcommand in (["list"], ["runs"], ["stats"], ["health"], ["top", "--count", "1"],
                           ["forget", "k"]):
            tool = self.run_tool(*subcommand)
            self.assertEqual(tool.code, 0, (subcommand, tool.errors()))
        self.assertEqual(self.run_tool("stop", "k").code, 66)

    def test_options_win_over_the_environment(self):
        self.assertEqual(self.run_tool("health", *flags(tls_ca="/no/where")).code, 64)

    def test_without_a_certificate_nobody_is_there(self):
        tool = self.run_do("--connect-timeout", "2s", *flags(tls_cert="", tls_key=""), "k", "--",
                           "echo", "x")
        self.assertEqual(tool.code, 69, tool.errors())
        self.assertIn("tls_cert", tool.errors())

    def test_in_the_clear_nobody_is_there(self):
        tool = self.run_tool("health", extra=self.clear)
        self.assertEqual(tool.code, 69, tool.errors())
        self.assertIn("tls_ca", tool.errors())

    def test_another_ca(self):
        folder = self.folder / "other"
        certificates(folder)
        tool = self.run_tool("health", *flags(tls_ca=folder / "ca.pem"))
        self.assertEqual(tool.code, 69, tool.errors())
        self.assertIn("tls_ca", tool.errors())

    def test_the_name_that_is_verified(self):
        self.assertEqual(self.run_tool("health", *flags(tls_server_name="localhost")).code, 0)
        tool = self.run_tool("health", *flags(tls_server_name="other.example"))
        self.assertEqual(tool.code, 69, tool.errors())

    def test_a_token_that_nobody_knows(self):
        token = self.folder / "wrong"
        token.write_text("wrong\n")
        tool = self.run_do("--fail-open", *flags(token_file=token), "k", "--", "touch",
                           self.folder / "ran")
        self.assertEqual(tool.code, 77, tool.errors())
        self.assertFalse((self.folder / "ran").exists())

    def test_a_group_without_a_right(self):
        for subcommand in (["do", "--fail-open", "-g", "denied", "k", "--", "true"],
                           ["forget", "-g", "denied", "k"], ["stop", "-g", "denied", "k"],
                           ["list", "-g", "denied"], ["stats", "-g", "denied"]):
            tool = self.run_tool(*subcommand)
            self.assertEqual(tool.code, 77, (subcommand, tool.errors()))
            self.assertIn("no right to", tool.errors())
            self.assertEqual(len(tool.errors().splitlines()), 1, tool.errors())

    def test_a_token_that_changes_is_used_by_the_next_call(self):
        (self.folder / "token").write_text("second\n")
        (self.folder / "tokens").write_text(
            f"ops {hashlib.sha256(b'second').hexdigest()}\n")
        self.until_taken()
        self.assert_ends(self.do("k", "--", "echo", "x"), 0, b"x\n")

    def test_a_right_that_is_taken_away_ends_command_and_followers(self):
        gate = self.gate()
        leader = self.do("k", "--", "sh", "-c", f"{self.note()}; {gate.shell()}")
        self.wait_for_runs(1)
        follower = self.do("--fail-open", "k", "--", "true")
        self.wait_for_callers(2)
        (self.folder / "access").write_text("[who]\nops = token:ops\n[server]\nadmin = ops\n")
        self.assert_ends(leader, 77)
        self.assert_ends(follower, 77)
        self.assert_command_is_gone()
        for tool in (leader, follower):
            self.assertIn("no right to", tool.errors())

    def until_taken(self):
        """The daemon looks at its files again every 500 ms."""
        until(lambda: self.run_tool("list").code == 0, "the new token is taken")


if __name__ == "__main__":
    unittest.main()
