# SPDX-License-Identifier: Apache-2.0
"""/etc/singleflight.conf: here it is another file, by SINGLEFLIGHT_CONFIG."""

import re
import subprocess
import unittest

from support import BIN, Case, SecureCase

NOBODY = "127.0.0.1:1"


class Wrong(Case):
    """A mistake in the file is one line, and nothing is run."""

    has_daemon = False

    def says(self, text, words):
        file = self.folder / "singleflight.conf"
        file.write_text(text)
        for subcommand in (["do", "k", "--", "touch", str(self.folder / "ran")], ["list"], ["health"]):
            tool = self.run_tool(*subcommand, extra={"SINGLEFLIGHT_CONFIG": str(file)})
            self.assertEqual(tool.code, 78, tool.errors())
            self.assertEqual(tool.errors(), f"singleflight: {file}:{words}\n")
        self.assertFalse((self.folder / "ran").exists())

    def test_a_name_that_is_no_setting_comes_with_the_one_that_is_meant(self):
        self.says("\nadress = a:1\n", '2: "adress" is not a setting; is address meant?')
        self.says("retain = 1h\n", '1: "retain" is not a setting')

    def test_values_that_cannot_be(self):
        self.says("address = a:1, b\n", '1: address "a:1, b" is no HOST:PORT')
        self.says("address =\n", '1: address "" is no HOST:PORT')
        self.says("tls-ca =\n", '1: tls-ca "" is no FILE')
        self.says("tls-ca = a\ntls-ca = b\n", "2: tls-ca stands here again; it was set on line 1")
        self.says("address\n", '1: is not "name = value"')

    def test_a_file_that_is_not_there(self):
        tool = self.run_tool("list", extra={"SINGLEFLIGHT_CONFIG": "/no/where"})
        self.assertEqual(tool.code, 78)
        self.assertIn("cannot read the config file /no/where: No such file", tool.errors())

    def test_help_and_tokens_need_none(self):
        for words in (["--help"], ["do", "--help"], ["token", "cron"]):
            self.assertEqual(self.run_tool(*words, extra={"SINGLEFLIGHT_CONFIG": "/no/where"}).code, 0)

    def test_a_misspelt_variable_is_named(self):
        extra = {"SINGLEFLIGHT_ADRESS": "a:1", "SINGLEFLIGHT_PORT_7433_TCP_ADDR": "10.0.0.1",
                 "SINGLEFLIGHT_SERVICE_HOST": "10.0.0.1", "SINGLEFLIGHT_MINE": "x"}
        said = "SINGLEFLIGHT_ADRESS is not known; is SINGLEFLIGHT_ADDRESS meant?"
        tool = self.run_tool("health", extra=extra, address=NOBODY)
        self.assertEqual(re.findall(r".* is not known.*", tool.errors()), [f"singleflight: {said}"])
        self.assertEqual(self.run_tool("health", "-q", extra=extra, address=NOBODY).errors(), "")

    def test_the_page_has_every_setting(self):
        page = subprocess.run([BIN / "singleflight", "--print-config-man-page"], text=True,
                              check=True, stdout=subprocess.PIPE).stdout.replace("\\-", "-")
        self.assertEqual(re.findall(r"^\\fB([a-z-]+)\\fR = ", page, re.MULTILINE),
                         ["address", "tls-ca", "tls-cert", "tls-key", "tls-server-name", "token-file"])


class Plain(Case):
    def test_option_before_environment_before_file(self):
        file = self.folder / "singleflight.conf"
        found, nobody = ("health", 0), ("health", 69)
        for in_file, in_environment, flag, (subcommand, code) in (
            (self.daemon.address, None, None, found),
            (NOBODY, None, None, nobody),
            (NOBODY, self.daemon.address, None, found),
            (self.daemon.address, NOBODY, None, nobody),
            (NOBODY, NOBODY, self.daemon.address, found),
            (self.daemon.address, self.daemon.address, NOBODY, nobody),
        ):
            with self.subTest(file=in_file, environment=in_environment, flag=flag):
                file.write_text(f"; here\naddress = {in_file}\n")
                flags = [] if flag is None else ["--address", flag]
                tool = self.run_tool(subcommand, "--connect-timeout", "1s", *flags,
                                     address=in_environment,
                                     extra={"SINGLEFLIGHT_CONFIG": str(file)})
                self.assertEqual(tool.code, code, tool.errors())

    def test_servers_on_one_line_and_on_several(self):
        file = self.folder / "singleflight.conf"
        for text in (f"address = {NOBODY}\naddress = {self.daemon.address}\n",
                     f"address = {NOBODY} ,  {self.daemon.address}\n"):
            file.write_text(text)
            tool = self.run_tool("health", "--connect-timeout", "1s", address=None,
                                 extra={"SINGLEFLIGHT_CONFIG": str(file)})
            self.assertEqual(tool.output().decode().splitlines(),
                             [f"{NOBODY} does not serve", f"{self.daemon.address} serves"])

    def test_the_command_does_not_see_it(self):
        file = self.folder / "singleflight.conf"
        file.write_text(f"address = {self.daemon.address}\naddress = {NOBODY}\n")
        tool = self.run_tool("do", "--fail-open", "--connect-timeout", "1s", "k", "--", "env",
                             address=None, extra={"SINGLEFLIGHT_CONFIG": str(file)})
        self.assertEqual(tool.code, 0, tool.errors())
        self.assertNotIn(b"SINGLEFLIGHT_ADDRESS", tool.output())


class Secure(SecureCase):
    def test_certificates_and_all_from_the_file(self):
        file = self.folder / "singleflight.conf"
        file.write_text("".join(
            f"{name.removeprefix('SINGLEFLIGHT_').lower().replace('_', '-')} = {value}\n"
            for name, value in self.secure.items()))
        tool = self.run_tool("health", extra={**self.clear,
                                              "SINGLEFLIGHT_CONFIG": str(file)})
        self.assertEqual(tool.code, 0, tool.errors())


if __name__ == "__main__":
    unittest.main()
