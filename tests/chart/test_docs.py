# SPDX-License-Identifier: Apache-2.0
"""What docs/kubernetes.md and README say can be typed."""

import os
import re
import shlex
import subprocess
import tempfile
import unittest

import yaml

import support


def read(*path):
    with open(os.path.join(support.ROOT, *path), encoding="utf-8") as file:
        return file.read()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


PAGE = read("docs", "kubernetes.md")


class Docs(unittest.TestCase):
    def test_the_lines_with_helm_are_taken(self):
        lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines()
                 if line.startswith("helm install")]
        self.assertTrue(lines)
        for line in lines:
            words = shlex.split(line, comments=True)[1:]
            words[words.index("deploy/helm/singleflightd")] = support.CHART
            words.remove("--wait")
            with self.subTest(line=line):
                support.helm(*words, "--dry-run=client")

    def test_the_folders_that_kubectl_is_given_are_built(self):
        folders = re.findall(r"kubectl apply -k deploy/kubernetes(\S*)", PAGE)
        self.assertEqual(len(folders), 2)
        for folder in folders:
            with self.subTest(folder=folder):
                self.assertTrue(support.built("./" + folder.strip("/")))

    def test_the_values_are_taken(self):
        values = [yaml.safe_load(block) for block in blocks(PAGE, "yaml")]
        self.assertGreater(len(values), 3)
        closed = next(value for value in values if "tokens" in value)
        for value in values:
            with self.subTest(value=value):
                # Rights alone would be half a security.
                support.render(value | closed if "access" in value else value)

    def test_the_token_s_line_makes_what_the_daemon_reads(self):
        line = re.search(r"^umask 077; (singleflight token .*)$", PAGE, re.M).group(1)
        with tempfile.TemporaryDirectory() as folder:
            tool = os.path.dirname(support.TOOL)
            subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=True, env={"PATH": tool})
            self.assertTrue(os.path.getsize(os.path.join(folder, "jobs.token")))
            subprocess.run([support.DAEMON, "--check-config", "--token-file", "tokens"], cwd=folder,
                           check=True, capture_output=True)

    def test_readme_has_the_same_five_lines(self):
        lines = blocks(PAGE, "sh")[0]
        self.assertEqual(len(lines.splitlines()), 5)
        self.assertIn(lines, blocks(read("README.md"), "sh"))

    def test_the_files_that_it_names_are_there(self):
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", PAGE):
            with self.subTest(target=target):
                self.assertTrue(os.path.exists(os.path.join(support.ROOT, "docs", target)))
